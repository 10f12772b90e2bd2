"""What lowering one model carries along.

Invariant: an error goes to the sink first, then `Abort` leaves the statement.
May import: floors 0-1, `layers.spec`, `ast`, `values`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from bl_compiler.diagnostics import Abort, Diagnostic, Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.values import Beliefs, Frame, Returned, Scope, describe, is_array
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Objective, Optimizer, PlateInfo, Value
from bl_compiler.ir.types import DType, TypeRuleError
from bl_compiler.layers.spec import ArgumentError, LayerSet
from bl_compiler.source import NO_SPAN, Span
from bl_compiler.suggest import did_you_mean

_RANGE: Mapping[DType, tuple[float, float]] = {
    DType.U8: (0, 255),
    DType.I32: (-(2**31), 2**31 - 1),
    DType.I64: (-(2**63), 2**63 - 1),
    DType.F16: (-65504.0, 65504.0),
    DType.BF16: (-3.3895313892515355e38, 3.3895313892515355e38),
    DType.F32: (-3.4028234663852886e38, 3.4028234663852886e38),
    DType.F64: (-1.7976931348623157e308, 1.7976931348623157e308),
}
"""The least and the greatest number of each element type."""


class Leave(Abort):
    """Raised to leave a whole body after its error went to the sink: it has no value to go on with."""


@dataclass(frozen=True, slots=True)
class LowerSettings:
    """What the caller chooses.

    Attributes:
        model: which model of the file; None for the only one.
        defines: option values that override the file's.
        batch: the first plate's size in one step; "dynamic" leaves it symbolic.
    """

    model: str | None = None
    defines: Mapping[str, object] = field(default_factory=dict)
    batch: int | str | None = None


@dataclass(slots=True)
class Env:
    """Where an expression stands: the names it sees, the frame its layers belong to, the beliefs in force."""

    scope: Scope
    frame: Frame
    beliefs: Beliefs

    def inner(self) -> Env:
        """An inner block's."""
        return Env(Scope(self.scope), self.frame, self.beliefs)


class State:
    """The state of lowering; `lower.py` sets `evaluate` and `run`, which ties the recursive knot between files."""

    evaluate: Callable[[ast.Expr, Env], object]
    run: Callable[[ast.Block, Env], Returned | None]

    def __init__(self, sink: Sink, builder: GraphBuilder, layers: LayerSet, settings: LowerSettings) -> None:
        self.sink = sink
        self.b = builder
        self.layers = layers
        self.settings = settings
        self.plates: list[PlateInfo] = []
        self.objective = Objective()
        self.objective_span: Span = NO_SPAN
        self.optimizer = Optimizer()
        self.optimizer_span: Span = NO_SPAN
        self.paths: dict[str, Span] = {}
        self.observed: dict[Value, Span] = {}
        self.observations: set[str] = set()
        self.arguments: dict[tuple[Value, str], Span] = {}
        self.named: list[tuple[str, Value]] = []
        self.model_noise: dict[str, Value] = {}
        self.beliefs: list[tuple[Span, Callable[[], bool]]] = []
        self.declared: set[str] = set()
        self.depth = 0
        self.applications = 0
        self.exhausted = False
        self.roles = sorted({role for spec in layers.values() for role in spec.roles} | {"recurrent_kernel"})

    def fail(self, code: str, message: str, at: Span, *, label: str = "", help: str = "", note: str = "") -> NoReturn:
        """Report an error and leave the statement."""
        found = self.sink.error(code, message, at=at, label=label)
        if help:
            found.help(help)
        if note:
            found.note(note)
        raise Abort

    def fail_quietly(self) -> NoReturn:
        """Leave the statement after its error went to the sink."""
        raise Abort

    def not_yet(self, what: str, at: Span) -> NoReturn:
        """Report a part of the language that a later release brings."""
        self.fail("BLC0210", f"{what} is not supported yet", at)

    def give_up(self, message: str, at: Span, help: str) -> NoReturn:
        """Report a program without end, and leave all of it: going on would take as long as the program."""
        self.exhausted = True
        self.sink.error("BLC0215", message, at=at).help(help)
        raise Leave

    def unknown(self, what: str, name: str, known: Sequence[str], at: Span, *, code: str = "BLC0201") -> NoReturn:
        """Report a name that means nothing, with a close one where there is one."""
        at = self.word(name, at)
        owner = what.partition(" of ")[2]
        message = (
            f"{owner} has no {what.partition(' of ')[0]} `{name}`"
            if owner.startswith("`")
            else f"unknown {what} `{name}`"
        )
        found = self.sink.error(code, message, at=at, label="not known here")
        self.suggest(found, name, known, at)
        raise Abort

    def word(self, word: str, within: Span) -> Span:
        """The place of a word inside a span, for parts of statements that have no span of their own."""
        source = self.sink.sources.get(within.file)
        if source is None:
            return within
        start, end = (source.offset(within.line, within.column), source.offset(within.end_line, within.end_column))
        found = re.search(rf"\b{re.escape(word)}\b", source.text[start:end])
        if found is None:
            return within
        before = source.text[: start + found.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Span(within.file, line, column, line, column + len(word))

    @staticmethod
    def suggest(found: Diagnostic, name: str, known: Sequence[str], at: Span) -> None:
        """Add "did you mean" to a diagnostic, or the list of the few names there are."""
        close = did_you_mean(name, known)
        if close is not None:
            found.help(f"did you mean `{close}`?", replace=(at, close))
        elif 0 < len(known) <= 12:
            found.help("known: " + ", ".join(f"`{k}`" for k in sorted(set(known))))

    @contextmanager
    def typed(self, at: Span, spans: Mapping[str, Span] | None = None) -> Iterator[None]:
        """Report refusals of type rules and layers that happen inside at `at`, or at the argument at fault."""
        try:
            with self.b.at(span=at):
                yield
        except TypeRuleError as fault:
            self.shape_error(str(fault), at)
        except ArgumentError as fault:
            found = self.sink.error(fault.code, fault.message, at=(spans or {}).get(fault.argument, at))
            if spans and fault.argument in spans:
                found.label(at, "in this call")
            if fault.help:
                found.help(fault.help)
            if fault.code == "BLC0206":
                self._table(found)
            raise Abort from None

    def shape_error(self, message: str, at: Span) -> NoReturn:
        """Report a refusal of a type rule with the table of the shapes so far."""
        code = "BLC0207" if "dtype" in message or " bool" in message or "integers" in message else "BLC0206"
        found = self.sink.error(code, message, at=at)
        self._table(found)
        raise Abort

    def _table(self, found: Diagnostic) -> None:
        rows = [(name, str(value.type)) for name, value in self.named if is_array(value)][-12:]
        if rows:
            width = max(len(name) for name, _ in rows)
            found.note("shapes so far:\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in rows))

    def remember(self, name: str, value: object) -> None:
        """Name a value for readers of the IR and of shape tables."""
        if isinstance(value, Value):
            self.b.hint(value, name.rpartition("/")[2], override=True)
            self.named.append((name, value))

    def claim(self, path: str, at: Span) -> str:
        """Take `path` for a parameter or site.

        Two of one path are an error at the second.
        """
        if path in self.paths:
            found = self.sink.error("BLC0213", f"a second weight or site named `{path}`", at=at)
            found.label(self.paths[path], "the first is here").help("give one of them another name")
            raise Abort
        self.paths[path] = at
        return path

    def array(self, value: object, at: Span, what: str = "an array") -> Value:
        """`value` as an array of the program: numbers become constants."""
        if isinstance(value, Value) and is_array(value):
            return value
        if isinstance(value, bool):
            with self.b.at(span=at):
                return self.b.const(value, DType.BOOL)
        if isinstance(value, (int, float)):
            return self.number(value, DType.I32 if isinstance(value, int) else DType.F32, at)
        self.fail("BLC0205", f"expected {what}, found {describe(value)}", at)

    def number(self, value: int | float, dtype: DType, at: Span) -> Value:
        """A number as a constant of an element type, which must be able to hold it."""
        self.check_range(value, dtype, at)
        with self.b.at(span=at):
            return self.b.const(float(value) if dtype.is_float else int(value), dtype)

    def check_range(self, value: int | float, dtype: DType, at: Span) -> None:
        """Refuse a number that an element type cannot hold."""
        low, high = _RANGE[dtype]
        if not low <= value <= high:
            way_out = f"the largest {dtype} is {high:g}" if dtype.is_float else f"{dtype} holds {low} to {high}"
            self.fail("BLC0203", f"{value} does not fit {dtype}", at, help=way_out)
