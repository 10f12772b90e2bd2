"""How an op is declared: once, and read by parser, printer, verifier, passes and documentation.

Invariant: an `OpSet` is a value handed down, never a global filled by imports. May import: floor 0, `types`, `attrs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.types import Type, TypeRuleError
from bl_compiler.suggest import did_you_mean


class Effect(StrEnum):
    """What evaluating a node does besides giving its results. All but PURE keep a node from being merged or dropped."""

    PURE = "pure"
    DECLARES = "declares"
    DRAWS = "draws"
    OBSERVES = "observes"
    UPDATES = "updates"


class PlateRule(StrEnum):
    """How results relate to the operands' plate elements; the plate analysis reads it.

    POINTWISE: element b of a result depends on element b of each operand only.
    AXES: as POINTWISE, unless a plate axis is among the attribute `axes` (or the contracted, windowed or indexed axes).
    MIXES: results depend on all elements.
    NONE: no operand carries plates.
    """

    POINTWISE = "pointwise"
    AXES = "axes"
    MIXES = "mixes"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Required:
    """Marks an attribute without a default."""


REQUIRED = Required()
InferRule = Callable[[Sequence[Type], Attrs], tuple[Type, ...]]


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op.

    Attributes:
        name: `family.verb`.
        operands: their names; `x?` may be absent, `x*` stands for any number; both only at the end.
        infer: result types from operand types and attributes; raises `TypeRuleError`.
        attrs: names and defaults (`REQUIRED` without one).
        linear: the operands in each of which, the others held fixed, the op is linear.
    """

    name: str
    operands: tuple[str, ...]
    infer: InferRule = field(compare=False)
    doc: str = field(compare=False)
    attrs: Mapping[str, object] = field(default_factory=dict, compare=False)
    effect: Effect = Effect.PURE
    plates: PlateRule = PlateRule.POINTWISE
    linear: tuple[str, ...] = ()

    def check_arity(self, count: int) -> None:
        """Raise `TypeRuleError` unless the op takes `count` operands."""
        least = sum(not o.endswith(("?", "*")) for o in self.operands)
        most = None if any(o.endswith("*") for o in self.operands) else len(self.operands)
        if count < least or (most is not None and count > most):
            raise TypeRuleError(
                f"`{self.name}` takes {least if most == least else f'{least} or more'} operands, not {count}"
            )

    def complete(self, attrs: Mapping[str, object]) -> Attrs:
        """`attrs` with defaults filled in; raises `TypeRuleError` on unknown or missing ones."""
        for name in attrs:
            if name not in self.attrs:
                raise TypeRuleError(f"`{self.name}` has no attribute `{name}`")
        full = {**self.attrs, **attrs}
        for name, value in full.items():
            if value is REQUIRED:
                raise TypeRuleError(f"`{self.name}` needs the attribute `{name}`")
        return Attrs(full)


class OpSet(Mapping[str, OpSpec]):
    """Ops by name."""

    def __init__(self, *families: Iterable[OpSpec]) -> None:
        self._specs: dict[str, OpSpec] = {}
        for family in families:
            for spec in family:
                if spec.name in self._specs:
                    raise ValueError(f"op `{spec.name}` is declared twice")
                self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> OpSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def find(self, name: str) -> OpSpec:
        """The op of that name.

        Raises:
            TypeRuleError: if there is none; the message suggests a close one.
        """
        if name in self._specs:
            return self._specs[name]
        close = did_you_mean(name, self._specs)
        raise TypeRuleError(f"unknown op `{name}`" + (f", did you mean `{close}`" if close else ""))
