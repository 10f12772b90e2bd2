"""Normalization: batch_norm, layer_norm, group_norm, instance_norm, rms_norm.

Invariant: statistics are computed in at least f32, centered before squaring (so that a large mean costs no digits), and
variances divide by the number of elements. May import: floors 0-1, `layers.{spec,check,operands}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import constant
from bl_compiler.ir.types import Dim, DType
from bl_compiler.layers import check, operands
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, layer

Axes = int | str | Sequence[int | str]


def _wide(b: GraphBuilder, x: Value) -> Value:
    """X in an element type that statistics can be summed in."""
    return b.cast(x, DType.F32) if x.tensor.dtype in (DType.F16, DType.BF16) else x


def _epsilon(value: object) -> float:
    return check.number("epsilon", value, low=0.0)


def _scaled(ctx: LayerContext, y: Value, axes: Sequence[int], *, use_scale: bool, use_bias: bool) -> Value:
    """Y times a trained scale plus a trained bias, both over `axes`."""
    t, b = y.tensor, ctx.b
    sizes = tuple(operands.static("x", t.dims[a], "normalization") for a in axes)
    # Weights broadcast from the right; axes of size 1 stand for those of y in between.
    full = tuple(Dim(s) if a in axes else Dim(1) for a, s in enumerate(t.shape))[min(axes) :]
    dtype = operands.weight_dtype(t)
    if use_scale:
        y = b.binary("mul", y, b.reshape(ctx.weight("scale", sizes, constant(1.0), dtype=dtype), full))
    if use_bias:
        y = b.binary("add", y, b.reshape(ctx.weight("bias", sizes, constant(0.0), dtype=dtype), full))
    return y


def _standardized(b: GraphBuilder, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """X less its mean over `axes`, over its standard deviation there."""
    centered = b.binary("sub", x, b.reduce("mean", x, axes, keepdims=True))
    variance = b.reduce("mean", b.unary("square", centered), axes, keepdims=True)
    return b.binary("mul", centered, b.unary("rsqrt", b.binary("add", variance, epsilon)))


@layer("scale", "bias")
def batch_norm(
    ctx: LayerContext,
    x: Value,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    use_scale: bool = True,  # noqa: FBT001, FBT002
    use_offset: bool = True,  # noqa: FBT001, FBT002
) -> Value:
    """Batch normalization: scale · (x - mean) / sqrt(variance + epsilon) + bias (Ioffe and Szegedy 2015).

    In training, mean and variance of each channel are those of the whole batch, over all axes but the last; anywhere
    else they are running averages, updated by each training step as momentum · old + (1 - momentum) · new. The variance
    divides by the number of elements, in both, as in Keras and Flax. The defaults are Keras's (Flax has an epsilon of
    1e-5). An instance used several times normalizes each use by the statistics of that use, and its running averages
    follow the first use.

    The terms of the examples in a batch depend on each other here, which rules out estimators that assume otherwise
    for weights before this layer.

    Weights: scale [channels], bias [channels]. Statistics: mean [channels], var [channels].

    Args:
        x: [..., channels], floats.
        momentum: how much of the running averages a step keeps; from 0 to 1.
        epsilon: added to the variance; at least 0.
        use_scale: whether to multiply by `scale`.
        use_offset: whether to add `bias`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats or has no axis besides the channels.
    """
    t, b = operands.floats("x", x, "batch_norm"), ctx.b
    size = operands.channels("x", t, "batch_norm")
    keep = check.number("momentum", momentum, low=0.0, high=1.0)
    margin = _epsilon(epsilon)
    scaled, shifted = check.boolean("use_scale", use_scale), check.boolean("use_offset", use_offset)
    axes = tuple(range(t.rank - 1))
    if not axes:
        raise ArgumentError(
            "x", f"`batch_norm` needs an axis besides the channels, found {t}", "use `layer_norm`", code="BLC0206"
        )
    x = _wide(b, x)
    mean = b.reduce("mean", x, axes)
    variance = b.reduce("mean", b.unary("square", b.binary("sub", x, mean)), axes)
    dtype = operands.weight_dtype(t)
    kept_mean = ctx.state("mean", (size,), constant(0.0), dtype=dtype)
    kept_variance = ctx.state("var", (size,), constant(1.0), dtype=dtype)
    if ctx.once("statistics"):
        ctx.update("mean", _moved(b, kept_mean, mean, keep))
        ctx.update("var", _moved(b, kept_variance, variance, keep))
    center = b.add("model.phase", mean, kept_mean)
    spread = b.add("model.phase", variance, kept_variance)
    factor = b.unary("rsqrt", b.binary("add", spread, margin))
    if scaled:
        # One factor per channel, so that the whole array is multiplied once.
        factor = b.binary("mul", factor, ctx.weight("scale", (size,), constant(1.0), dtype=dtype))
    y = b.binary("mul", b.binary("sub", x, center), factor)
    return _scaled(ctx, y, (t.rank - 1,), use_scale=False, use_bias=shifted)


def _moved(b: GraphBuilder, old: Value, new: Value, keep: float) -> Value:
    return b.binary("add", b.binary("mul", old, keep), b.binary("mul", new, round(1.0 - keep, 12)))


@layer("scale", "bias")
def layer_norm(
    ctx: LayerContext,
    x: Value,
    axis: Axes = -1,
    epsilon: float = 1e-6,
    use_scale: bool = True,  # noqa: FBT001, FBT002
    use_offset: bool = True,  # noqa: FBT001, FBT002
) -> Value:
    """Layer normalization: scale · (x - mean) / sqrt(variance + epsilon) + bias (Ba et al. 2016).

    Mean and variance are those of each example and position by itself, over `axis`. The default epsilon is Flax's
    (Keras has 1e-3).

    Weights: scale and bias, of the sizes of `axis`.

    Args:
        x: floats.
        axis: the axis that is normalized, by number or name, or a list of them; no plate.
        epsilon: added to the variance; at least 0.
        use_scale: whether to multiply by `scale`.
        use_offset: whether to add `bias`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats or `axis` is a plate.
    """
    t = operands.floats("x", x, "layer_norm")
    axes, margin = _inner_axes(t.rank, x, axis), _epsilon(epsilon)
    scaled, shifted = check.boolean("use_scale", use_scale), check.boolean("use_offset", use_offset)
    y = _standardized(ctx.b, _wide(ctx.b, x), axes, margin)
    return _scaled(ctx, y, axes, use_scale=scaled, use_bias=shifted)


def _inner_axes(rank: int, x: Value, axis: object) -> tuple[int, ...]:
    """The axes to normalize over: at least one, and no plate."""
    axes = operands.axes(x.tensor, axis) if axis is not None and axis != [] else ()
    if not axes or not rank:
        raise ArgumentError("axis", f"`axis` names no axis of {x.type}", "write `axis=-1` for the last one")
    for a in axes:
        operands.axis(x.tensor, a, ordered=True)
    return axes


@layer("scale")
def rms_norm(
    ctx: LayerContext,
    x: Value,
    axis: Axes = -1,
    epsilon: float = 1e-6,
    use_scale: bool = True,  # noqa: FBT001, FBT002
) -> Value:
    """Root mean square normalization: scale · x / sqrt(mean of x² + epsilon) (Zhang and Sennrich 2019).

    Weights: scale, of the sizes of `axis`.

    Args:
        x: floats.
        axis: the axis that is normalized, by number or name, or a list of them; no plate.
        epsilon: added to the mean square; at least 0.
        use_scale: whether to multiply by `scale`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats or `axis` is a plate.
    """
    t, b = operands.floats("x", x, "rms_norm"), ctx.b
    axes, margin = _inner_axes(t.rank, x, axis), _epsilon(epsilon)
    scaled = check.boolean("use_scale", use_scale)
    wide = _wide(b, x)
    power = b.reduce("mean", b.unary("square", wide), axes, keepdims=True)
    y = b.binary("mul", wide, b.unary("rsqrt", b.binary("add", power, margin)))
    return _scaled(ctx, y, axes, use_scale=scaled, use_bias=False)


def _grouped(ctx: LayerContext, x: Value, groups: int, epsilon: float, *, scaled: bool, shifted: bool) -> Value:
    t, b = x.tensor, ctx.b
    size = operands.static("x", t.dims[-1], "normalization")
    split = b.reshape(_wide(b, x), (*t.dims[:-1], Dim(groups), Dim(size // groups)))
    axes = [i for i, d in enumerate(t.dims[:-1]) if not d.is_plate] + [t.rank]
    y = b.reshape(_standardized(b, split, axes, epsilon), t.dims)
    return _scaled(ctx, y, (t.rank - 1,), use_scale=scaled, use_bias=shifted)


@layer("scale", "bias")
def group_norm(
    ctx: LayerContext,
    x: Value,
    groups: int = 32,
    epsilon: float = 1e-6,
    use_scale: bool = True,  # noqa: FBT001, FBT002
    use_offset: bool = True,  # noqa: FBT001, FBT002
) -> Value:
    """Group normalization: scale · (x - mean) / sqrt(variance + epsilon) + bias (Wu and He 2018).

    Mean and variance are those of each group of neighboring channels of each example: over all axes but the plates, and
    the channels of the group. A sequence axis counts as a position, so a step sees later ones. The default epsilon is
    Flax's (Keras has 1e-3).

    Weights: scale [channels], bias [channels].

    Args:
        x: [plates…, positions…, channels], floats.
        groups: the number of groups; it divides `channels`.
        epsilon: added to the variance; at least 0.
        use_scale: whether to multiply by `scale`.
        use_offset: whether to add `bias`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats or `groups` does not divide the channels.
    """
    t = operands.floats("x", x, "group_norm")
    size = operands.channels("x", t, "group_norm")
    count, margin = check.positive_int("groups", groups), _epsilon(epsilon)
    scaled, shifted = check.boolean("use_scale", use_scale), check.boolean("use_offset", use_offset)
    if size % count:
        raise ArgumentError(
            "groups",
            f"{size} channels do not divide into {count} groups",
            f"write one of {operands.divisors(size)}",
        )
    return _grouped(ctx, x, count, margin, scaled=scaled, shifted=shifted)


@layer("scale", "bias")
def instance_norm(
    ctx: LayerContext,
    x: Value,
    epsilon: float = 1e-6,
    use_scale: bool = True,  # noqa: FBT001, FBT002
    use_offset: bool = True,  # noqa: FBT001, FBT002
) -> Value:
    """Instance normalization: `group_norm` with a group for each channel (Ulyanov et al. 2016).

    Weights: scale [channels], bias [channels].

    Args:
        x: [plates…, positions…, channels], floats.
        epsilon: added to the variance; at least 0.
        use_scale: whether to multiply by `scale`.
        use_offset: whether to add `bias`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats or has no positions.
    """
    t = operands.floats("x", x, "instance_norm")
    size, margin = operands.channels("x", t, "instance_norm"), _epsilon(epsilon)
    scaled, shifted = check.boolean("use_scale", use_scale), check.boolean("use_offset", use_offset)
    if all(d.is_plate for d in t.dims[:-1]):
        raise ArgumentError(
            "x", f"`instance_norm` needs [plates…, positions…, channels], found {t}", "use `layer_norm`", code="BLC0206"
        )
    return _grouped(ctx, x, size, margin, scaled=scaled, shifted=shifted)


NORM: tuple[LayerSpec, ...] = (batch_norm, layer_norm, rms_norm, group_norm, instance_norm)
