"""Putting arrays together and taking them apart along an axis: concat, stack, split, tile, pad, reverse, shift.

Invariant: none of these works along a plate, whose examples have no order. May import: floors 0-1,
`layers.{spec,check,operands,declare}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, TensorType, dims_text
from bl_compiler.layers import check, operands
from bl_compiler.layers.check import spell
from bl_compiler.layers.declare import alias
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function


def _several(arrays: Sequence[Value], what: str) -> TensorType:
    """The type of the first of some arrays of one rank."""
    if not arrays:
        raise ArgumentError("arrays", f"`{what}` needs at least one array", f"write `[a, b] |> {what}`")
    types = [operands.array("arrays", x) for x in arrays]
    for t in types[1:]:
        if t.rank != types[0].rank:
            raise ArgumentError(
                "arrays",
                f"`{what}` needs arrays of one rank, found {dims_text(types[0].dims)} and {dims_text(t.dims)}",
                "add an axis with `expand_dims`, or flatten them",
                code="BLC0206",
            )
    return types[0]


@function
def concat(ctx: LayerContext, arrays: Sequence[Value], axis: int | str = -1) -> Value:
    """Arrays end to end along an axis: `[h, z] |> concat` joins the features of h and z.

    The default is the last axis, unlike in NumPy, whose first axis would be the batch here.

    Args:
        arrays: a list of arrays, of equal sizes but for that axis.
        axis: the axis, by number or name; no plate.

    Returns:
        One array.
    """
    first = _several(arrays, "concat")
    if not first.rank:
        raise ArgumentError("arrays", "`concat` needs arrays, found scalars", "use `stack`", code="BLC0206")
    along = operands.axis(first, axis, ordered=True)
    for x in arrays:
        for i, (d, wanted) in enumerate(zip(x.tensor.dims, first.dims, strict=True)):
            if i != along and d.size != wanted.size:
                raise ArgumentError(
                    "arrays",
                    f"cannot join {dims_text(first.dims)} and {dims_text(x.tensor.dims)} along axis {along}",
                    "the other axes must have equal sizes",
                    code="BLC0206",
                )
    return arrays[0] if len(arrays) == 1 else ctx.b.add("tensor.concat", *arrays, axis=along)


@function
def stack(ctx: LayerContext, arrays: Sequence[Value], axis: int = 0) -> Value:
    """Arrays of one shape side by side on a new axis, as `jax.numpy.stack`.

    Args:
        arrays: a list of arrays.
        axis: the place of the new axis in the result, negative from the end.

    Returns:
        An array with one axis more, of the number of arrays.
    """
    first = _several(arrays, "stack")
    wider = first.with_dims((*first.dims, Dim(1)))
    place = operands.axis(wider, check.integer("axis", axis))
    for x in arrays:
        if x.tensor.shape != first.shape:
            raise ArgumentError(
                "arrays",
                f"`stack` needs arrays of one shape, found {dims_text(first.dims)} and {dims_text(x.tensor.dims)}",
                "use `concat` for arrays that differ along one axis",
                code="BLC0206",
            )
    b = ctx.b
    slabs = [b.reshape(x, (*x.tensor.dims[:place], Dim(1), *x.tensor.dims[place:])) for x in arrays]
    return slabs[0] if len(slabs) == 1 else b.add("tensor.concat", *slabs, axis=place)


@function
def split(ctx: LayerContext, x: Value, parts: int | Sequence[int], axis: int | str = -1) -> tuple[Value, ...]:
    """Pieces of an array along an axis.

    `let (a, b) = x |> split(2)` cuts x in two halves. A list holds the sizes of the pieces, and the default is the last
    axis; in NumPy a list holds the places to cut, and the default is the first axis.

    Args:
        x: an array.
        parts: the number of equal pieces, or a list of their sizes.
        axis: the axis, by number or name; no plate.

    Returns:
        The pieces, as a tuple.
    """
    t = operands.array("x", x)
    along = operands.axis(t, axis, ordered=True)
    size = operands.static("x", t.dims[along], "`split`")
    if isinstance(parts, list | tuple):
        sizes = check.ints("parts", parts, least=1)
        if sum(sizes) != size:
            raise ArgumentError(
                "parts",
                f"`parts` {spell(parts)} add up to {sum(sizes)}, and the axis has size {size}",
                "write the sizes of the pieces",
            )
    else:
        count = check.positive_int("parts", parts)
        if size % count:
            raise ArgumentError(
                "parts",
                f"an axis of size {size} does not divide into {count} equal parts",
                f"write one of {operands.divisors(size)}, or a list of sizes",
            )
        sizes = (size // count,) * count
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(operands.part(ctx.b, x, along, s, s + n) for s, n in zip(starts, sizes, strict=True))


@function
def tile(ctx: LayerContext, x: Value, reps: int | Sequence[int]) -> Value:
    """An array repeated along its axes, as `jax.numpy.tile`.

    Args:
        x: an array.
        reps: how often, for each of the last axes (1 along a plate); more numbers than axes add axes in front.

    Returns:
        An array with sizes multiplied by `reps`.
    """
    t, b = operands.array("x", x), ctx.b
    times = check.ints("reps", reps, least=1)
    rank = max(t.rank, len(times))
    times = (1,) * (rank - len(times)) + times
    dims = (*(Dim(1) for _ in range(rank - t.rank)), *t.dims)
    for d, n in zip(dims, times, strict=True):
        if d.is_plate and n != 1:
            raise ArgumentError(
                "reps", f"`{d.name}` is a plate and cannot be repeated", "write 1 for it", code="BLC0206"
            )
    # [3, 4] tiled (2, 1): [3, 4] -> [1, 3, 4] -> [2, 3, 4] -> [6, 4]. Axes that stay alone get no partner.
    split_dims = [p for d, n in zip(dims, times, strict=True) for p in ([Dim(1), d] if n > 1 else [d])]
    wide_dims = [p for d, n in zip(dims, times, strict=True) for p in ([Dim(n), d] if n > 1 else [d])]
    joined = [
        d if n == 1 else Dim(operands.static("x", d, "`tile`") * n, d.name, d.kind)
        for d, n in zip(dims, times, strict=True)
    ]
    return b.reshape(b.broadcast(b.reshape(x, split_dims), wide_dims), joined)


@function
def pad(
    ctx: LayerContext, x: Value, widths: int | Sequence[int] | Sequence[Sequence[int]], value: float = 0.0
) -> Value:
    """An array with a border of one value. Plates have no border.

    Args:
        x: an array.
        widths: how many elements to add: an integer for both ends of every axis after the plates, one pair
            (before, after) for every axis, or a list with a pair or an integer for each axis after the plates.
        value: the value of the new elements.

    Returns:
        An array with the sizes of these axes increased.
    """
    t = operands.array("x", x)
    free = [i for i, d in enumerate(t.dims) if not d.is_plate]
    pairs = dict(zip(free, _widths(widths, len(free)), strict=True))
    low, high = (tuple(pairs.get(i, (0, 0))[side] for i in range(t.rank)) for side in (0, 1))
    filler = check.number("value", value)
    return ctx.b.add("tensor.pad", x, low=low, high=high, value=filler if t.dtype.is_float else int(filler))


def _widths(widths: object, count: int) -> list[tuple[int, int]]:
    nested = isinstance(widths, list | tuple) and any(isinstance(w, list | tuple) for w in widths)
    if not nested and (isinstance(widths, int) or (isinstance(widths, list | tuple) and len(widths) == 2)):
        return [check.pair("widths", widths)] * count
    if isinstance(widths, list | tuple) and len(widths) == count:
        return [check.pair("widths", w) for w in widths]
    raise ArgumentError(
        "widths",
        f"`widths` must fit the {count} axes after the plates, found {spell(widths)}",
        "write an integer, or a list with a pair (before, after) for each axis after the plates",
    )


@function
def flip(ctx: LayerContext, x: Value, axis: int | str | Sequence[int | str] = -1) -> Value:
    """An array in reverse order along one or more axes, as `jax.numpy.flip`.

    Args:
        x: an array.
        axis: an axis by number or name, or a list of them; no plate.

    Returns:
        An array of the same shape.
    """
    t = operands.array("x", x)
    listed = axis if isinstance(axis, list | tuple) else [axis]
    along = tuple(sorted({operands.axis(t, a, ordered=True) for a in listed}))
    return ctx.b.add("tensor.reverse", x, axes=along)


@function
def shift_right(ctx: LayerContext, x: Value, axis: int | str | None = None) -> Value:
    """A sequence one step later: a zero step in front, the last step dropped.

    What comes after it may read step t and has seen the inputs before t only, as autoregressive models need.

    Args:
        x: [plates…, steps, …].
        axis: the sequence axis, by number or name; none means the first that stands for time, or else the first after
            the plates.

    Returns:
        An array of the same shape.
    """
    t, b = operands.array("x", x), ctx.b
    along = operands.sequence_axis(t, "shift_right") if axis is None else operands.axis(t, axis, ordered=True)
    size = operands.static("x", t.dims[along], "`shift_right`")
    low = tuple(int(i == along) for i in range(t.rank))
    later = b.add("tensor.pad", x, low=low, high=(0,) * t.rank, value=0.0 if t.dtype.is_float else 0)
    return operands.part(b, later, along, 0, size)


ASSEMBLE: tuple[LayerSpec, ...] = (
    concat,
    alias("concatenate", concat),
    stack,
    split,
    tile,
    pad,
    flip,
    alias("reverse", flip),
    shift_right,
)
