"""Noise layers: active in training, the identity in every other entry point.

Invariant: the noise has its own site under the layer's instance and is drawn per example. May import: floors 0-1,
`layers.{spec,check,operands}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, TensorType
from bl_compiler.layers import check, operands
from bl_compiler.layers.spec import LayerContext, LayerSpec, layer


def _dropped(ctx: LayerContext, x: Value, rate: float, dims: Sequence[Dim]) -> Value:
    """X with entries of a mask over `dims` set to 0 in training, the others scaled to keep the mean."""
    if rate == 0.0:
        return x
    b, keep = ctx.b, 1.0 - rate
    logits = b.const(log(keep) - log(rate), operands.weight_dtype(x.tensor))
    mask = ctx.noise("mask", operands.repeated(b, b.add("dist.Bernoulli", logits), dims))
    factor = b.binary("mul", b.cast(mask, x.tensor.dtype), 1.0 / keep)
    return b.add("model.phase", b.binary("mul", x, factor), x)


@layer()
def dropout(ctx: LayerContext, x: Value, rate: float) -> Value:
    """Dropout: in training each element is 0 with probability `rate`, and 1 / (1 - rate) times itself otherwise.

    Anywhere else it is the identity (Srivastava et al. 2014). Weights that are dropped out in prediction too, as an
    approximate posterior, are `kernel ~ … by dropout(rate)`.

    Args:
        x: floats.
        rate: the probability of 0; at least 0 and below 1. At 0 the layer is the identity and draws nothing.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if `rate` is out of range or x holds no floats.
    """
    t = operands.floats("x", x, "dropout")
    return _dropped(ctx, x, check.fraction("rate", rate), t.dims)


@layer()
def spatial_dropout(ctx: LayerContext, x: Value, rate: float) -> Value:
    """Dropout of whole channels: all positions of a channel of an example are 0 together (Tompson et al. 2015).

    As `SpatialDropout1D` to `3D` of Keras, for any number of positions.

    Args:
        x: [plates…, positions…, channels], floats.
        rate: the probability of 0; at least 0 and below 1. At 0 the layer is the identity and draws nothing.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if `rate` is out of range or x holds no floats.
    """
    t = operands.floats("x", x, "spatial_dropout")
    operands.channels("x", t, "spatial_dropout")
    dims = (*(d if d.is_plate else Dim(1) for d in t.dims[:-1]), t.dims[-1])
    return _dropped(ctx, x, check.fraction("rate", rate), dims)


def _gaussian(ctx: LayerContext, t: TensorType, mean: float, stddev: float) -> Value:
    b, dtype = ctx.b, t.dtype
    d = b.add("dist.Normal", b.const(mean, dtype), b.const(stddev, dtype))
    return ctx.noise("noise", operands.repeated(b, d, t.dims))


@layer()
def gaussian_dropout(ctx: LayerContext, x: Value, rate: float) -> Value:
    """Gaussian dropout: in training each element times noise of mean 1 and variance rate / (1 - rate).

    Anywhere else it is the identity. The noise has the variance of that of `dropout` (Srivastava et al. 2014, section
    10).

    Args:
        x: floats.
        rate: of the dropout it stands for; at least 0 and below 1. At 0 the layer is the identity and draws nothing.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if `rate` is out of range or x holds no floats.
    """
    t, share = operands.floats("x", x, "gaussian_dropout"), check.fraction("rate", rate)
    if share == 0.0:
        return x
    noise = _gaussian(ctx, t, 1.0, sqrt(share / (1.0 - share)))
    return ctx.b.add("model.phase", ctx.b.binary("mul", x, noise), x)


@layer()
def gaussian_noise(ctx: LayerContext, x: Value, stddev: float) -> Value:
    """X plus independent Gaussian noise of mean 0 in training; x itself anywhere else.

    Args:
        x: floats.
        stddev: the noise's standard deviation; at least 0. At 0 the layer is the identity and draws nothing.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if `stddev` is below 0 or x holds no floats.
    """
    t, spread = operands.floats("x", x, "gaussian_noise"), check.number("stddev", stddev, low=0.0)
    if spread == 0.0:
        return x
    return ctx.b.add("model.phase", ctx.b.binary("add", x, _gaussian(ctx, t, 0.0, spread)), x)


DROPOUT: tuple[LayerSpec, ...] = (dropout, spatial_dropout, gaussian_dropout, gaussian_noise)
