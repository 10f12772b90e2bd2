"""Checks and small operations on the arrays that layers and functions take: element types, axes, plates, slices.

Invariant: axes come out as numbers counted from the front; a check that fails raises `ArgumentError` about the operand.
May import: floors 0-1, `layers.{spec,check}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DimKind, DistType, DType, TensorType
from bl_compiler.layers.check import integer, spell
from bl_compiler.layers.spec import ArgumentError
from bl_compiler.suggest import did_you_mean


def array(argument: str, x: Value) -> TensorType:
    """The type of an operand that must be an array."""
    if isinstance(x.type, TensorType):
        return x.type
    found = "a distribution" if isinstance(x.type, DistType) else "a map"
    way_out = "take its `.mean`, or draw from it in a `sample` statement" if isinstance(x.type, DistType) else ""
    raise ArgumentError(argument, f"`{argument}` must be an array, found {found} {x.type}", way_out, code="BLC0205")


def floats(argument: str, x: Value, layer: str, way_out: str = 'cast it first with `cast(…, "f32")`') -> TensorType:
    """The type of an operand that must be an array of floats."""
    t = array(argument, x)
    if not t.dtype.is_float:
        raise ArgumentError(argument, f"`{layer}` needs floats, found {t.dtype}", way_out, code="BLC0207")
    return t


def integers(argument: str, x: Value, layer: str, way_out: str = 'cast it first with `cast(…, "i32")`') -> TensorType:
    """The type of an operand that must be an array of integers."""
    t = array(argument, x)
    if not t.dtype.is_integer:
        raise ArgumentError(argument, f"`{layer}` needs integers, found {t.dtype}", way_out, code="BLC0207")
    return t


def weight_dtype(t: TensorType) -> DType:
    """The element type of the weights that meet an input: f32, unless that would drop digits of f64 inputs."""
    return DType.F64 if t.dtype is DType.F64 else DType.F32


def static(argument: str, dim: Dim, what: str) -> int:
    """The size of a dimension that must be known at compile time."""
    if isinstance(dim.size, str):
        raise ArgumentError(
            argument,
            f"{what} needs a size known at compile time, and `{dim.size}` is not",
            "give the size in the input's type or the plate's, and compile without `--batch dynamic`",
            code="BLC0208",
        )
    return dim.size


def channels(argument: str, t: TensorType, layer: str) -> int:
    """The size of the last axis."""
    if not t.dims:
        raise ArgumentError(
            argument,
            f"`{layer}` needs at least one axis, found a scalar {t}",
            "add an axis with `expand_dims(-1)`",
            code="BLC0206",
        )
    if t.dims[-1].is_plate:
        raise ArgumentError(
            argument,
            f"`{layer}` works on the last axis, and in {t} that is the plate `{t.dims[-1].name}`",
            "add an axis with `expand_dims(-1)`",
            code="BLC0206",
        )
    return static(argument, t.dims[-1], f"`{layer}`")


def axis(t: TensorType, value: object, argument: str = "axis", *, ordered: bool = False) -> int:
    """One axis, given by number (negative from the end) or by name.

    Args:
        t: the operand's type.
        value: what the user wrote.
        argument: the parameter's name.
        ordered: whether positions along the axis are told apart, which on a plate they are not.
    """
    found = _named(t, value, argument) if isinstance(value, str) else _numbered(t, integer(argument, value), argument)
    if ordered and t.dims[found].is_plate:
        raise ArgumentError(
            argument,
            f"`{t.dims[found].name}` is a plate, and its examples have no order",
            "choose another axis",
            code="BLC0206",
        )
    return found


def _numbered(t: TensorType, value: int, argument: str) -> int:
    if -t.rank <= value < t.rank:
        return value % t.rank
    raise ArgumentError(
        argument,
        f"`{argument}` {value} is out of range for {t}",
        f"write a number from {-t.rank} to {t.rank - 1}" if t.rank else "a scalar has no axes",
    )


def _named(t: TensorType, value: str, argument: str) -> int:
    names = [d.name for d in t.dims]
    if value in names:
        return names.index(value)
    known = [n for n in names if n]
    close = did_you_mean(value, known)
    way_out = (
        f'did you mean "{close}"?' if close else f"its named axes: {', '.join(known)}" if known else "write its number"
    )
    raise ArgumentError(argument, f"{t} has no axis {spell(value)}", way_out)


def axes(t: TensorType, value: object, argument: str = "axis") -> tuple[int, ...]:
    """Distinct axes in ascending order: all for `none`, else from one number or name or a list of them."""
    if value is None:
        return tuple(range(t.rank))
    listed = value if isinstance(value, list | tuple) else [value]
    found = sorted(axis(t, v, argument) for v in listed)
    if len(set(found)) < len(found):
        raise ArgumentError(argument, f"`{argument}` names an axis twice: {spell(value)}", "name each axis once")
    return tuple(found)


def sequence_axis(t: TensorType, layer: str) -> int:
    """The axis along which the sequence runs: the first that stands for time, else the first after the plates."""
    for i, d in enumerate(t.dims):
        if d.kind is DimKind.TIME:
            return i
    for i, d in enumerate(t.dims):
        if not d.is_plate:
            return i
    raise ArgumentError(
        "x",
        f"`{layer}` needs a sequence axis, found {t}",
        "name it in the input's type, as in `time=50`",
        code="BLC0206",
    )


def plates_first(b: GraphBuilder, x: Value) -> tuple[Value, int]:
    """X with its plate axes moved to the front, and how many there are."""
    dims = x.tensor.dims
    order = sorted(range(len(dims)), key=lambda i: not dims[i].is_plate)
    moved = x if order == list(range(len(dims))) else b.transpose(x, order)
    return moved, sum(d.is_plate for d in dims)


def total(argument: str, dims: Sequence[Dim], what: str) -> int:
    """The number of elements of `dims`."""
    return prod(static(argument, d, what) for d in dims)


def flattened(b: GraphBuilder, x: Value, what: str) -> Value:
    """X as a vector, as NumPy does where no axis is given."""
    return x if x.tensor.rank == 1 else b.reshape(x, (Dim(total("x", x.tensor.dims, what)),))


def part(b: GraphBuilder, x: Value, along: int, start: int, stop: int) -> Value:
    """X from `start` below `stop` along one axis; x itself where that is all of it."""
    dims = x.tensor.dims
    if (start, stop) == (0, dims[along].size):
        return x
    starts = [start if i == along else 0 for i in range(len(dims))]
    limits = [stop if i == along else d.size for i, d in enumerate(dims)]
    return b.add("tensor.slice", x, starts=tuple(starts), limits=tuple(limits), strides=(1,) * len(dims))


def repeated(b: GraphBuilder, d: Value, dims: Sequence[Dim]) -> Value:
    """Independent copies of a scalar distribution over `dims`; the distribution itself if there are none."""
    return b.add("dist.expand", d, dims=tuple(dims)) if dims else d


def divisors(size: int) -> str:
    """The divisors of a size, for a help line."""
    return ", ".join(str(i) for i in range(1, size + 1) if size % i == 0)


def halves(b: GraphBuilder, x: Value, along: int, what: str) -> tuple[Value, Value]:
    """The first and the second half of x along an axis of even size."""
    size = static("x", x.tensor.dims[along], f"`{what}`")
    if size % 2:
        raise ArgumentError(
            "x",
            f"`{what}` splits an axis in two halves, and this one has size {size}",
            "give the layer before it an even number of units",
            code="BLC0206",
        )
    return part(b, x, along, 0, size // 2), part(b, x, along, size // 2, size)
