"""A graph on its way in a hypothesis strategy: the values so far, and choices among them.

Invariant: every value in the pool is defined in the builder; in numeric mode every float is known to stay within a
bound, and integers are small and not negative. May import: hypothesis, the IR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import (
    Dim,
    DimKind,
    Dims,
    DistType,
    DType,
    TensorType,
    Type,
    TypeRuleError,
    broadcast_dims,
)
from bl_compiler.source import NO_SPAN, Span

T = TypeVar("T")

PLATES = (PlateInfo("batch", 4, 100), PlateInfo("rows", "n"), PlateInfo("group", 3, 30))
_BATCH = Dim(4, "batch", DimKind.PLATE)
_GROUP = Dim(3, "group", DimKind.PLATE)
_ROWS = Dim("n", "rows", DimKind.PLATE)
_INNER = (Dim(1), Dim(2), Dim(3), Dim(2, "heads"), Dim(3, "time", DimKind.TIME), Dim(2, "features"))
_NAMES = ("", "", "", "h", "x", "h_1", "logits", "1st", "a b", "é", "_")
_SPANS = (NO_SPAN, Span("m.blg", 3, 5, 3, 20), Span('odd "name".blg', 1, 1, 2, 4))
_SCOPES = ("", "logits/dense", "h", 'odd "scope"')
_HISTORIES = ((), ("AddZero",), ("AddZero", "cse", "odd rule"))
LARGEST = 50.0
"""The bound of floats in numeric mode."""

FLOATS = (DType.F32, DType.F32, DType.F32, DType.BF16, DType.F16, DType.F64)
INTEGERS = (DType.I32, DType.I32, DType.U8, DType.I64)


@dataclass
class Build:
    """One graph on its way.

    Attributes:
        numeric: only values that every backend computes alike: f32, i32 and bool, static sizes, safe domains.
        pure: no sites and nothing that has an effect, but for inputs.
        inside: whether this is a region, whose fresh values are constants.
        bounds: in numeric mode, the greatest absolute value of each float.
        sites: how many sites the function has so far, shared with regions.
    """

    draw: st.DrawFn
    builder: GraphBuilder
    numeric: bool = False
    pure: bool = False
    inside: bool = False
    pool: list[Value] = field(default_factory=list)
    bounds: dict[Value, float] = field(default_factory=dict)
    counter: list[int] = field(default_factory=lambda: [0])

    # --- choices -----------------------------------------------------------------------------------------------------

    def any_of(self, items: Sequence[T]) -> T:
        """One of a few things."""
        return self.draw(st.sampled_from(items))

    def integer(self, low: int, high: int) -> int:
        """A number between two, both included."""
        return self.draw(st.integers(low, high))

    def flag(self) -> bool:
        """Yes or no."""
        return self.draw(st.booleans())

    def number(self) -> float:
        """A constant for arithmetic, often a special one."""
        choices = [0.0, 1.0, -1.0, 0.5, 2.0, -0.0] + ([] if self.numeric else [float("inf"), float("nan"), 1e-30])
        return self.any_of(choices)

    def unique(self, stem: str) -> str:
        """A name that was not given before."""
        self.counter[0] += 1
        return f"{stem}/{self.counter[0]}"

    # --- values ------------------------------------------------------------------------------------------------------

    def push(self, value: Value, bound: float = 2.0) -> Value:
        """Make a value available; one of a large bound is squashed first, one with a plate twice is left out."""
        if isinstance(value.type, TensorType) and len(set(value.type.plates)) < len(value.type.plates):
            return value  # elementwise ops refuse it
        if self.numeric and isinstance(value.type, TensorType) and value.type.dtype.is_float and bound > LARGEST:
            value, bound = self.builder.unary("tanh", value), 1.0
        self.pool.append(value)
        self.bounds[value] = bound
        return value

    def emit(
        self, op: str, *inputs: Value, bound: float = 2.0, site: str | None = None, **attrs: object
    ) -> tuple[Value, ...]:
        """Append a node and make its results available; nothing if the op refuses."""
        if not self.numeric:
            self.builder.span = self.any_of(_SPANS)
            self.builder.scope = self.any_of(_SCOPES)
            self.builder.made_by = self.any_of(_HISTORIES)
        name = self.any_of(_NAMES)
        try:
            node = self.builder.emit(op, inputs, attrs, site=site, name=name)
        except TypeRuleError:
            return ()
        return tuple([self.push(value, bound) for value in node.results])

    def make(self, op: str, *inputs: Value, bound: float = 2.0, **attrs: object) -> Value:
        """Append a node that is known to be well typed."""
        (value,) = self.emit(op, *inputs, bound=bound, **attrs)
        return value

    def bound(self, *values: Value) -> float:
        """The greatest bound of some values."""
        return max([self.bounds.get(value, 2.0) for value in values], default=0.0)

    def pick(self, wanted: Callable[[TensorType], bool], fresh: Callable[[], TensorType]) -> Value:
        """An array of the pool, or a new one if there is none or by chance."""
        found = [v for v in self.pool if isinstance(v.type, TensorType) and wanted(v.type)]
        if found and self.integer(0, 4):
            return self.any_of(found[-12:])
        return self.fresh(fresh())

    def fresh(self, type_: TensorType) -> Value:
        """A new input; inside a region, a constant."""
        if self.inside:
            value: object = self.number() if type_.dtype.is_float else self.integer(0, 2)
            value = self.flag() if type_.dtype is DType.BOOL else value
            return self.make("tensor.full", value=value, dtype=type_.dtype, dims=type_.dims)
        return self.make("model.input", key=self.unique("in"), type=type_)

    # --- types -------------------------------------------------------------------------------------------------------

    def dims(self, low: int = 0, high: int = 3, *, plates: bool = True) -> Dims:
        """Dimensions, a plate first as a rule."""
        rank = self.integer(low, high)
        outer = (_BATCH, _BATCH, _GROUP) if self.numeric else (_BATCH, _BATCH, _GROUP, _ROWS)
        dims = [self.any_of(_INNER) for _ in range(rank)]
        if plates and rank and self.integer(0, 2):
            dims[0] = self.any_of(outer)
        return tuple(dims)

    def float_type(self) -> DType:
        """An element type."""
        return DType.F32 if self.numeric else self.any_of(FLOATS)

    def integer_type(self) -> DType:
        """An element type."""
        return DType.I32 if self.numeric else self.any_of(INTEGERS)

    def float_array(self, low: int = 0, high: int = 3) -> Value:
        """Floats of a rank."""
        return self.pick(
            lambda t: t.dtype.is_float and low <= t.rank <= high,
            lambda: TensorType(self.float_type(), self.dims(low, high)),
        )

    def int_array(self, low: int = 0, high: int = 3) -> Value:
        """Integers of a rank."""
        return self.pick(
            lambda t: t.dtype.is_integer and low <= t.rank <= high,
            lambda: TensorType(self.integer_type(), self.dims(low, high)),
        )

    def bool_array(self, dims: Dims | None = None) -> Value:
        """Truth values, to go with `dims` if given."""
        return self.pick(
            lambda t: t.dtype is DType.BOOL and (dims is None or fits(t.dims, dims)),
            lambda: TensorType(DType.BOOL, self.dims() if dims is None else dims),
        )

    def beside(self, other: Value, *, floats: bool = True) -> Value:
        """An array that broadcasts with another."""
        dims = other.tensor.dims

        def fresh() -> TensorType:
            kept = dims[self.integer(0, len(dims)) :]
            dtype = self.float_type() if floats else self.integer_type()
            return TensorType(dtype, tuple(d if self.integer(0, 3) or d.is_plate else Dim(1) for d in kept))

        return self.pick(lambda t: (t.dtype.is_float if floats else t.dtype.is_integer) and fits(t.dims, dims), fresh)

    def distributions(self) -> list[Value]:
        """The distributions of the pool."""
        return [v for v in self.pool if isinstance(v.type, DistType)]

    def number_like(self, value: float, like: Value) -> Value:
        """A scalar constant for guards."""
        return self.builder.const(value, like.tensor.dtype)

    # --- domains, in numeric mode ------------------------------------------------------------------------------------

    def within(self, x: Value, domain: str) -> Value:
        """Map into a domain in which functions are smooth and moderate; outside numeric mode, leave as it is."""
        if not self.numeric or domain == "real":
            return x
        build = self.builder
        if domain == "positive":
            return build.binary("add", build.unary("softplus", build.unary("tanh", x)), 0.3)
        if domain == "unit":
            return build.binary("add", build.binary("mul", build.unary("sigmoid", build.unary("tanh", x)), 0.8), 0.1)
        assert domain == "small", domain
        return build.binary("mul", build.unary("tanh", x), 0.9)


def fits(a: Dims, b: Dims) -> bool:
    """Whether two shapes broadcast."""
    try:
        broadcast_dims(a, b)
    except TypeRuleError:
        return False
    return True


def is_static(type_: Type) -> bool:
    """Whether all sizes of an array are known."""
    return isinstance(type_, TensorType) and all(isinstance(size, int) for size in type_.shape)


def new_build(draw: st.DrawFn, *, numeric: bool, pure: bool, name: str = "model") -> Build:
    """An empty graph."""
    return Build(draw, GraphBuilder(CORE_OPS, name), numeric=numeric, pure=pure)
