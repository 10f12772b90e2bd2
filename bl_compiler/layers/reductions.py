"""Reductions along axes, under the names of `jax.numpy`.

Invariant: as in NumPy, no axis means all axes, plates among them. May import: floors 0-1,
`layers.{spec,check,operands}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import DType
from bl_compiler.layers import check, operands
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function

Axes = int | str | Sequence[int | str] | None
"""What `axis` takes: a number (negative from the end), a name, a list of them, or none for all."""


_OF_TWO = {"max": "maximum", "min": "minimum"}


def _refuse_second_array(name: str, axis: object) -> None:
    """Python's `max(a, b)` is another function here; say so where it is meant."""
    if isinstance(axis, Value) and name in _OF_TWO:
        raise ArgumentError(
            "axis",
            f"`{name}` works along the axes of one array, found two arrays",
            f"write `{_OF_TWO[name]}(x, y)`",
            code="BLC0204",
        )


def _declare(name: str, doc: str, op: str, notes: str = "") -> LayerSpec:
    def apply(ctx: LayerContext, x: Value, axis: Axes = None, keepdims: bool = False) -> Value:  # noqa: FBT001, FBT002
        _refuse_second_array(name, axis)
        axes = operands.axes(operands.array("x", x), axis)
        keep = check.boolean("keepdims", keepdims)
        if op in ("any", "all") and x.tensor.dtype is not DType.BOOL:
            x = ctx.b.binary("ne", x, 0)
        # Emitted even without axes: the element type of the result differs from that of the operand.
        return ctx.b.add(f"math.{op}", x, axes=axes, keepdims=keep)

    apply.__name__ = name
    apply.__doc__ = f"""{doc} along one or more axes.
{notes}
    Args:
        x: an array.
        axis: an axis by number or name, a list of them, or none for all axes (plates too).
        keepdims: whether the axes stay, with size 1.

    Returns:
        An array without these axes.
    """
    return function(apply)


_SIMPLE = (
    _declare("sum", "Sum", "sum"),
    _declare("mean", "Arithmetic mean", "mean"),
    _declare("prod", "Product", "prod"),
    _declare("max", "Greatest element", "reduce_max", "\n    The greater of two arrays is `maximum(x, y)`.\n"),
    _declare("min", "Least element", "reduce_min", "\n    The lesser of two arrays is `minimum(x, y)`.\n"),
    _declare("any", "Whether any element is true (or unlike 0)", "any"),
    _declare("all", "Whether all elements are true (or unlike 0)", "all"),
    _declare("logsumexp", "Logarithm of the sum of exponentials, without overflow,", "logsumexp"),
)


def _variance(b: GraphBuilder, x: Value, axes: Sequence[int], ddof: int, *, keepdims: bool) -> Value:
    centered = b.binary("sub", x, b.add("math.mean", x, axes=tuple(axes), keepdims=True))
    squares = b.unary("square", centered)
    if ddof == 0:
        return b.add("math.mean", squares, axes=tuple(axes), keepdims=keepdims)
    count = operands.total("x", [x.tensor.dims[a] for a in axes], "`var` with `ddof`")
    if count <= ddof:
        raise ArgumentError("ddof", f"`ddof` {ddof} leaves nothing of {count} elements", "write a smaller number")
    return b.binary("div", b.add("math.sum", squares, axes=tuple(axes), keepdims=keepdims), float(count - ddof))


@function
def var(
    ctx: LayerContext,
    x: Value,
    axis: Axes = None,
    ddof: int = 0,
    keepdims: bool = False,  # noqa: FBT001, FBT002 -- jax.numpy's signature
) -> Value:
    """Variance along one or more axes: the mean of squared deviations from the mean.

    Args:
        x: an array.
        axis: an axis by number or name, a list of them, or none for all axes (plates too).
        ddof: subtracted from the number of elements that the sum of squares is divided by; 1 is unbiased.
        keepdims: whether the axes stay, with size 1.

    Returns:
        An array without these axes.
    """
    axes = operands.axes(operands.array("x", x), axis)
    less = check.non_negative_int("ddof", ddof)
    return _variance(ctx.b, x, axes, less, keepdims=check.boolean("keepdims", keepdims))


@function
def std(
    ctx: LayerContext,
    x: Value,
    axis: Axes = None,
    ddof: int = 0,
    keepdims: bool = False,  # noqa: FBT001, FBT002 -- jax.numpy's signature
) -> Value:
    """Standard deviation along one or more axes: the square root of `var`.

    Args:
        x: an array.
        axis: an axis by number or name, a list of them, or none for all axes (plates too).
        ddof: subtracted from the number of elements that the sum of squares is divided by; 1 is unbiased.
        keepdims: whether the axes stay, with size 1.

    Returns:
        An array without these axes.
    """
    axes = operands.axes(operands.array("x", x), axis)
    less = check.non_negative_int("ddof", ddof)
    return ctx.b.unary("sqrt", _variance(ctx.b, x, axes, less, keepdims=check.boolean("keepdims", keepdims)))


@function
def norm(
    ctx: LayerContext,
    x: Value,
    axis: Axes = None,
    keepdims: bool = False,  # noqa: FBT001, FBT002 -- jax.numpy's signature
) -> Value:
    """Euclidean norm along one or more axes: the square root of the sum of squares.

    Its gradient at 0 does not exist and comes out as NaN, as in JAX.

    Args:
        x: an array.
        axis: an axis by number or name, a list of them, or none for all axes (plates too).
        keepdims: whether the axes stay, with size 1.

    Returns:
        An array without these axes.
    """
    axes = operands.axes(operands.array("x", x), axis)
    squares = ctx.b.unary("square", x)
    return ctx.b.unary("sqrt", ctx.b.add("math.sum", squares, axes=axes, keepdims=check.boolean("keepdims", keepdims)))


def _along(ctx: LayerContext, x: Value, axis: object, op: str) -> Value:
    t = operands.array("x", x)
    if axis is None:
        return ctx.b.add(f"math.{op}", operands.flattened(ctx.b, x, f"`{op}` without an axis"), axis=0)
    return ctx.b.add(f"math.{op}", x, axis=operands.axis(t, axis))


@function
def argmax(ctx: LayerContext, x: Value, axis: int | str | None = None) -> Value:
    """Index of the greatest element along an axis; the first of several.

    Args:
        x: an array.
        axis: the axis, by number or name; none means the index into x as a vector, as in NumPy.

    Returns:
        An array of i32 without that axis.
    """
    return _along(ctx, x, axis, "argmax")


@function
def argmin(ctx: LayerContext, x: Value, axis: int | str | None = None) -> Value:
    """Index of the least element along an axis; the first of several.

    Args:
        x: an array.
        axis: the axis, by number or name; none means the index into x as a vector, as in NumPy.

    Returns:
        An array of i32 without that axis.
    """
    return _along(ctx, x, axis, "argmin")


@function
def cumsum(ctx: LayerContext, x: Value, axis: int | str | None = None) -> Value:
    """Running sum along an axis: element i is the sum of the elements up to and including i.

    Args:
        x: an array.
        axis: the axis, by number or name; none means along x as a vector, as in NumPy.

    Returns:
        An array of the same shape, or a vector without an axis.
    """
    return _along(ctx, x, axis, "cumsum")


@function
def global_avg_pool(ctx: LayerContext, x: Value, keepdims: bool = False) -> Value:  # noqa: FBT001, FBT002
    """Mean of each channel over all positions: over the axes between the plates and the last.

    Keras calls this `GlobalAveragePooling`. Without a plate the first axis counts as a position, too.

    Args:
        x: [plates…, positions…, channels], floats.
        keepdims: whether the axes of positions stay, with size 1.

    Returns:
        [plates…, channels].
    """
    return _global(ctx, x, "mean", "global_avg_pool", keepdims=check.boolean("keepdims", keepdims))


@function
def global_max_pool(ctx: LayerContext, x: Value, keepdims: bool = False) -> Value:  # noqa: FBT001, FBT002
    """Greatest element of each channel over all positions: over the axes between the plates and the last.

    Keras calls this `GlobalMaxPooling`. Without a plate the first axis counts as a position, too.

    Args:
        x: [plates…, positions…, channels].
        keepdims: whether the axes of positions stay, with size 1.

    Returns:
        [plates…, channels].
    """
    return _global(ctx, x, "reduce_max", "global_max_pool", keepdims=check.boolean("keepdims", keepdims))


def _global(ctx: LayerContext, x: Value, op: str, name: str, *, keepdims: bool) -> Value:
    t = operands.floats("x", x, name) if op == "mean" else operands.array("x", x)
    axes = [i for i, d in enumerate(t.dims[:-1]) if not d.is_plate]
    if not axes or t.dims[-1].is_plate:
        raise ArgumentError(
            "x", f"`{name}` needs [plates…, positions…, channels], found {t}", "leave it out here", code="BLC0206"
        )
    return ctx.b.reduce(op, x, axes, keepdims=keepdims)


REDUCTIONS: tuple[LayerSpec, ...] = (
    *_SIMPLE,
    var,
    std,
    norm,
    argmax,
    argmin,
    cumsum,
    global_avg_pool,
    global_max_pool,
)
