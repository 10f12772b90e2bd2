"""What a pass is, what it is given, and the hooks around it.

Invariant: a pass is a frozen dataclass whose fields are its options, and a function of the module and the context: it
keeps no state, and gives back the same module object where it changes nothing. May import: floors 0-1, `journal`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

from bl_compiler.ir.graph import Module, Node
from bl_compiler.ir.opspec import OpSet
from bl_compiler.passes.journal import Journal

if TYPE_CHECKING:
    from bl_compiler.passes.pipeline import Pipeline

ENTRIES = ("init", "train", "predict", "predict_joint", "log_likelihood", "log_joint", "sample", "sample_prior")
"""The entry points that the pass `entries` derives."""

Literal = bool | int | float | tuple["Literal", ...]
"""An array as nested tuples."""


class Fact(StrEnum):
    """What passes may ask of a module and leave behind; each can be seen in the module itself (`facts_of`)."""

    MODEL = "model"
    ENTRIES = "entries"


def facts_of(module: Module) -> frozenset[Fact]:
    """The facts that hold for a module as it is, however it was made."""
    found: set[Fact] = set()
    if "model" in module.functions:
        found.add(Fact.MODEL)
    if any(name in module.functions for name in ENTRIES):
        found.add(Fact.ENTRIES)
    return frozenset(found)


class Evaluator(Protocol):
    """Evaluates one node on constants: how passes compute without importing an array library."""

    def __call__(self, node: Node, operands: Sequence[Literal]) -> Sequence[Literal] | None:
        """The results as nested tuples, or None for an op that it does not know."""


@dataclass(slots=True)
class PassContext:
    """What passes are given besides the module.

    Attributes:
        ops: the ops that new nodes use.
        journal: what rules did.
        evaluate: computes constants; without it nothing is folded.
        instruments: what runs around each pass, in this order.
        estimators: the preference among exact estimators, as `Options.estimators` has it.
        target: what is compiled for, as text.
    """

    ops: OpSet
    journal: Journal = field(default_factory=Journal)
    evaluate: Evaluator | None = None
    instruments: tuple[Instrument, ...] = ()
    estimators: str = "auto"
    target: str = "cpu"


@dataclass(frozen=True)
class Pass(ABC):
    """One transformation of a module.

    Attributes:
        name: kebab-case, a verb with its object where that is short.
        requires: facts without which the manager refuses to run it.
        establishes: facts that hold afterwards.
        destroys: facts that hold no longer.
    """

    name: ClassVar[str]
    requires: ClassVar[frozenset[Fact]] = frozenset()
    establishes: ClassVar[frozenset[Fact]] = frozenset()
    destroys: ClassVar[frozenset[Fact]] = frozenset()

    @abstractmethod
    def run(self, module: Module, ctx: PassContext) -> Module:
        """The transformed module; the same object if nothing changed."""

    def __str__(self) -> str:
        from bl_compiler.passes.pipeline import pass_text

        return pass_text(self)


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One run of a pass.

    Attributes:
        index: its position in the pipeline, from 1.
        rewrites: how many rules fired.
        rest: the passes after it.
    """

    index: int
    ran: Pass
    before: Module
    after: Module
    seconds: float
    rewrites: int
    rest: Pipeline

    @property
    def changed(self) -> bool:
        """Whether the pass changed the module."""
        return self.after is not self.before


class Instrument:
    """Hooks around passes; a subclass overrides those it needs."""

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        """Before the first pass."""

    def should_run(self, upcoming: Pass, module: Module) -> bool:
        """Whether a pass may run; one refusal among the instruments skips it."""
        return True

    def before(self, upcoming: Pass, module: Module) -> None:
        """Before a pass."""

    def after(self, record: PassRecord) -> None:
        """After a pass; raising counts as the pass's failure."""

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        """After a pass (or an instrument after it) raised; `rest` starts with the culprit, `module` entered it."""

    def stop(self, record: PassRecord) -> bool:
        """Whether the pipeline ends here."""
        return False

    def end(self, module: Module) -> None:
        """After the last pass that ran."""
