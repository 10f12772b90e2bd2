"""Changes of shape that keep every element once: flatten, reshape, transpose, axes added and dropped, images in rows.

Invariant: plate axes survive, whole and under their names. May import: floors 0-1, `layers.{spec,check,operands}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DimKind, Dims, TensorType, dims_text
from bl_compiler.layers import check, operands
from bl_compiler.layers.check import spell
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function


@function
def flatten(ctx: LayerContext, x: Value) -> Value:
    """All axes but the plates as one: [batch, 4, 4, 8] becomes [batch, 128].

    Keras and Flax users know the first axis as the batch; here plates say which axes are examples. Without plates the
    result is a vector.

    Args:
        x: an array.

    Returns:
        [plates…, the product of the other sizes].
    """
    operands.array("x", x)
    x, plates = operands.plates_first(ctx.b, x)
    rest = x.tensor.dims[plates:]
    if len(rest) == 1:
        return x
    return ctx.b.reshape(x, (*x.tensor.dims[:plates], Dim(operands.total("x", rest, "`flatten`"))))


def _wanted(dims: Sequence[object], plates: Dims) -> tuple[Dim, ...]:
    """The dimensions a user asks for after the plates; a leading plate repeats what is there anyway."""
    items = dims[0] if len(dims) == 1 and isinstance(dims[0], list | tuple) else dims
    named = [i for i, d in enumerate(items) if isinstance(d, Dim) and d.is_plate]
    if [items[i] for i in named] != list(plates)[: len(named)] or named != list(range(len(named))):
        raise ArgumentError(
            "dims",
            "`reshape` keeps the plates where they are: in front",
            "leave the plates out and write the sizes of the other axes",
            code="BLC0206",
        )
    return tuple(d if isinstance(d, Dim) else Dim(check.integer("dims", d, least=-1)) for d in items[len(named) :])


@function
def reshape(ctx: LayerContext, x: Value, *dims: int) -> Value:
    """The same elements, in row-major order, under other sizes; the plates stay in front.

    `x |> reshape(28, 28, 1)` turns [batch, 784] into [batch, 28, 28, 1].

    Args:
        x: an array.
        *dims: the sizes of the axes after the plates, or a list of them; one of them may be -1, for what is left.

    Returns:
        [plates…, dims…].
    """
    operands.array("x", x)
    x, plates = operands.plates_first(ctx.b, x)
    kept, rest = x.tensor.dims[:plates], x.tensor.dims[plates:]
    wanted = _wanted(dims, kept)
    if [d.size for d in wanted] == [d.size for d in rest]:
        return ctx.b.reshape(x, (*kept, *wanted))
    count = operands.total("x", rest, "`reshape`")
    sizes = [operands.static("dims", d, "`reshape`") for d in wanted]
    unknown = [i for i, s in enumerate(sizes) if s == -1]
    known = prod(s for s in sizes if s != -1)
    fits = len(unknown) == 1 and known > 0 and count % known == 0 if unknown else known == count
    if not fits:
        raise ArgumentError(
            "dims",
            f"cannot reshape the {count} elements of {dims_text(rest)} to {spell(sizes)}",
            "write sizes with the same product; one of them may be -1",
            code="BLC0206",
        )
    full = tuple(Dim(count // known) if i in unknown else d for i, d in enumerate(wanted))
    return ctx.b.reshape(x, (*kept, *full))


@function
def transpose(ctx: LayerContext, x: Value, axes: Sequence[int | str] | None = None) -> Value:
    """Axes in another order: axis i of the result is axis `axes[i]` of x, as in `jax.numpy`.

    Args:
        x: an array.
        axes: all axes, by number or name, or those after the plates, counted from the first after the plates; none
            reverses the axes after the plates (NumPy reverses all).

    Returns:
        x with its axes permuted.
    """
    t = operands.array("x", x)
    plates = sum(d.is_plate for d in t.dims)
    if axes is None:
        x, plates = operands.plates_first(ctx.b, x)
        return ctx.b.transpose(x, (*range(plates), *reversed(range(plates, t.rank))))
    if isinstance(axes, list | tuple) and len(axes) == t.rank - plates < t.rank:
        x, plates = operands.plates_first(ctx.b, x)
        inner = x.tensor.with_dims(x.tensor.dims[plates:])
        order = [operands.axis(inner, a, "axes") for a in axes]
        return _permuted(ctx, x, [*range(plates), *(plates + a for a in order)], axes)
    listed = axes if isinstance(axes, list | tuple) else [axes]
    return _permuted(ctx, x, [operands.axis(t, a, "axes") for a in listed], axes)


def _permuted(ctx: LayerContext, x: Value, order: Sequence[int], axes: object) -> Value:
    if sorted(order) != list(range(x.tensor.rank)):
        raise ArgumentError(
            "axes", f"`axes` {spell(axes)} is no permutation of the axes of {x.type}", "name every axis once"
        )
    return ctx.b.transpose(x, order)


@function
def swapaxes(ctx: LayerContext, x: Value, axis1: int | str, axis2: int | str) -> Value:
    """Two axes exchanged.

    Args:
        x: an array.
        axis1: one axis, by number or name.
        axis2: the other.

    Returns:
        x with these axes exchanged.
    """
    t = operands.array("x", x)
    first, second = operands.axis(t, axis1, "axis1"), operands.axis(t, axis2, "axis2")
    order = list(range(t.rank))
    order[first], order[second] = second, first
    return ctx.b.transpose(x, order)


@function
def moveaxis(ctx: LayerContext, x: Value, source: int | str, destination: int) -> Value:
    """One axis moved to another place; the others keep their order.

    Args:
        x: an array.
        source: the axis, by number or name.
        destination: its number in the result.

    Returns:
        x with that axis moved.
    """
    t = operands.array("x", x)
    moved, to = operands.axis(t, source, "source"), operands.axis(t, destination, "destination")
    order = [i for i in range(t.rank) if i != moved]
    order.insert(to, moved)
    return ctx.b.transpose(x, order)


@function
def expand_dims(ctx: LayerContext, x: Value, axis: int | Sequence[int]) -> Value:
    """New axes of size 1.

    Args:
        x: an array.
        axis: the place of the new axis in the result (negative from the end), or a list of places.

    Returns:
        x with these axes added.
    """
    t = operands.array("x", x)
    places = check.ints("axis", axis)
    full = TensorType(t.dtype, (*t.dims, *(Dim(1) for _ in places)))
    new = operands.axes(full, list(places))
    rest = iter(t.dims)
    return ctx.b.reshape(x, tuple(Dim(1) if i in new else next(rest) for i in range(full.rank)))


@function
def squeeze(ctx: LayerContext, x: Value, axis: int | str | Sequence[int | str] | None = None) -> Value:
    """Axes of size 1 dropped.

    Args:
        x: an array.
        axis: an axis by number or name, or a list of them; none drops every axis of size 1 that is neither a plate nor
            a sequence, so that a batch or a sequence of one stays what it is (NumPy would drop it).

    Returns:
        x without these axes.
    """
    t = operands.array("x", x)
    if axis is None:
        drop = tuple(i for i, d in enumerate(t.dims) if d.size == 1 and d.kind is DimKind.PLAIN)
    else:
        drop = operands.axes(t, axis)
    for i in drop:
        if t.dims[i].size != 1 or t.dims[i].is_plate:
            what = "is a plate" if t.dims[i].is_plate else f"has size {t.dims[i].size}"
            raise ArgumentError(
                "axis", f"axis {i} of {t} {what}", "only other axes of size 1 can be dropped", code="BLC0206"
            )
    return ctx.b.reshape(x, tuple(d for i, d in enumerate(t.dims) if i not in drop))


@function
def raster(ctx: LayerContext, x: Value) -> Value:
    """An image as a sequence of pixels, row by row: [batch, H, W, C] becomes [batch, pixel=H·W, C].

    Args:
        x: [plates…, others…, height, width, channels]; with just two axes after the plates, [plates…, height, width].

    Returns:
        [plates…, others…, pixel=height·width, channels], where the new axis is a sequence axis.
    """
    t = operands.array("x", x)
    x, plates = operands.plates_first(ctx.b, x)
    dims = x.tensor.dims
    if len(dims) - plates < 2:
        raise ArgumentError(
            "x", f"`raster` needs [plates…, height, width, channels], found {t}", "reshape it first", code="BLC0206"
        )
    end = len(dims) if len(dims) - plates == 2 else len(dims) - 1
    pixels = operands.total("x", dims[end - 2 : end], "`raster`")
    return ctx.b.reshape(x, (*dims[: end - 2], Dim(pixels, "pixel", DimKind.TIME), *dims[end:]))


SHAPE: tuple[LayerSpec, ...] = (
    flatten,
    reshape,
    transpose,
    swapaxes,
    moveaxis,
    expand_dims,
    squeeze,
    raster,
)
