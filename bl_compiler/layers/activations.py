"""Activation functions, under the names and with the defaults of `jax.nn`.

Invariant: all are elementwise but `softmax`, `log_softmax` and `glu`, which work along one axis.
May import: floors 0-1, `layers.{spec,check,operands,declare}`.
"""

from __future__ import annotations

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.layers import check, operands
from bl_compiler.layers.declare import alias, elementwise
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function


def _cut(b: GraphBuilder, x: Value, low: float, high: float) -> Value:
    return b.binary("min", b.binary("max", x, low), high)


def _hard_sigmoid(b: GraphBuilder, x: Value) -> Value:
    return b.binary("div", _cut(b, b.binary("add", x, 3.0), 0.0, 6.0), 6.0)


def _soft_sign(b: GraphBuilder, x: Value) -> Value:
    return b.binary("div", x, b.binary("add", b.unary("abs", x), 1.0))


def _mish(b: GraphBuilder, x: Value) -> Value:
    return b.binary("mul", x, b.unary("tanh", b.unary("softplus", x)))


_SILU = elementwise("silu", "Sigmoid linear unit: x times the logistic function of x (Elfwing et al. 2017)", "silu")
_HARD_SILU = elementwise(
    "hard_silu",
    "Piecewise form of `silu`: x · hard_sigmoid(x) (Howard et al. 2019)",
    lambda b, x: b.binary("mul", x, _hard_sigmoid(b, x)),
)
_SOFT_SIGN = elementwise("soft_sign", "Soft sign: x / (1 + |x|)", _soft_sign)

_SIMPLE = (
    elementwise("relu", "Rectifier: max(x, 0)", "relu"),
    elementwise("relu6", "Rectifier cut at 6: min(max(x, 0), 6)", lambda b, x: _cut(b, x, 0.0, 6.0)),
    elementwise("sigmoid", "Logistic function: 1 / (1 + e⁻ˣ)", "sigmoid"),
    elementwise("log_sigmoid", "Logarithm of the logistic function, without overflow", "log_sigmoid"),
    elementwise("tanh", "Hyperbolic tangent", "tanh"),
    elementwise("softplus", "Smooth rectifier: log(1 + eˣ), without overflow", "softplus"),
    elementwise("selu", "Scaled exponential linear unit (Klambauer et al. 2017)", "selu"),
    elementwise("hard_tanh", "Piecewise form of `tanh`: x cut to [-1, 1]", lambda b, x: _cut(b, x, -1.0, 1.0)),
    elementwise("hard_sigmoid", "Piecewise form of `sigmoid`: relu6(x + 3) / 6", _hard_sigmoid),
    elementwise("mish", "Self-regularized smooth activation: x · tanh(softplus(x)) (Misra 2019)", _mish),
    elementwise("identity", "X itself", lambda b, x: x),
    _SILU,
    alias("swish", _SILU),
    _HARD_SILU,
    alias("hard_swish", _HARD_SILU),
    _SOFT_SIGN,
    alias("softsign", _SOFT_SIGN),
)


@function
def gelu(ctx: LayerContext, x: Value, approximate: bool = True) -> Value:  # noqa: FBT001, FBT002 -- jax.nn's signature
    """Gaussian error linear unit: x · Φ(x) (Hendrycks and Gimpel 2016), elementwise.

    As in `jax.nn`, and unlike Keras, the default is the approximation by tanh.

    Args:
        x: an array of any shape.
        approximate: whether Φ is approximated by tanh; otherwise it is computed by `erf`.

    Returns:
        An array of the same shape.
    """
    operands.array("x", x)
    return ctx.b.add("math.gelu", x, approximate=check.boolean("approximate", approximate))


@function
def elu(ctx: LayerContext, x: Value, alpha: float = 1.0) -> Value:
    """Exponential linear unit: x above 0, alpha · (eˣ - 1) below (Clevert et al. 2015), elementwise.

    Args:
        x: an array of any shape.
        alpha: minus the limit for small x.

    Returns:
        An array of the same shape.
    """
    operands.array("x", x)
    return ctx.b.add("math.elu", x, alpha=check.number("alpha", alpha))


@function
def celu(ctx: LayerContext, x: Value, alpha: float = 1.0) -> Value:
    """Continuously differentiable exponential linear unit: x above 0, alpha · (e^(x/alpha) - 1) below (Barron 2017).

    Args:
        x: an array of any shape.
        alpha: minus the limit for small x; above 0.

    Returns:
        An array of the same shape.
    """
    operands.array("x", x)
    scale = check.number("alpha", alpha, above=0.0)
    return ctx.b.binary("mul", ctx.b.add("math.elu", ctx.b.binary("div", x, scale), alpha=1.0), scale)


@function
def leaky_relu(ctx: LayerContext, x: Value, negative_slope: float = 0.01) -> Value:
    """Leaky rectifier: x above 0, negative_slope · x below, elementwise.

    The default slope is that of `jax.nn`; Keras has 0.3.

    Args:
        x: an array of any shape.
        negative_slope: the slope below 0.

    Returns:
        An array of the same shape.
    """
    operands.array("x", x)
    return ctx.b.add("math.leaky_relu", x, slope=check.number("negative_slope", negative_slope))


@function
def softmax(ctx: LayerContext, x: Value, axis: int | str = -1) -> Value:
    """Exponentials scaled to sum to 1 along an axis.

    To observe classes, `Categorical(logits=x)` is exact and needs no softmax.

    Args:
        x: unnormalized log probabilities.
        axis: the axis, by number or name.

    Returns:
        An array of the same shape.
    """
    return ctx.b.add("math.softmax", x, axis=operands.axis(operands.array("x", x), axis))


@function
def log_softmax(ctx: LayerContext, x: Value, axis: int | str = -1) -> Value:
    """Logarithm of `softmax` along an axis: x - logsumexp(x), without overflow.

    Args:
        x: unnormalized log probabilities.
        axis: the axis, by number or name.

    Returns:
        An array of the same shape.
    """
    return ctx.b.add("math.log_softmax", x, axis=operands.axis(operands.array("x", x), axis))


@function
def glu(ctx: LayerContext, x: Value, axis: int | str = -1) -> Value:
    """Gated linear unit: the first half along an axis times the logistic function of the second (Dauphin et al. 2016).

    Args:
        x: an array of even size along `axis`.
        axis: the axis, by number or name.

    Returns:
        An array of half the size along `axis`.
    """
    first, second = operands.halves(ctx.b, x, operands.axis(operands.array("x", x), axis, ordered=True), "glu")
    return ctx.b.binary("mul", first, ctx.b.unary("sigmoid", second))


ACTIVATIONS: tuple[LayerSpec, ...] = (*_SIMPLE, gelu, elu, celu, leaky_relu, softmax, log_softmax, glu)

_BY_NAME = {"linear": None, **{spec.name: spec for spec in ACTIVATIONS}}


def activate(ctx: LayerContext, x: Value, activation: object, argument: str = "activation") -> Value:
    """X through the activation a user gave a layer: none, a name in quotes, or anything that can be called.

    Args:
        ctx: the layer's context.
        x: the layer's result so far.
        activation: what the user wrote.
        argument: the layer's parameter it was given for.
    """
    if activation is None:
        return x
    if isinstance(activation, str):
        spec = _BY_NAME[check.one_of(argument, activation, _BY_NAME)]
        if spec is None:
            return x
        result = spec.function(ctx, x)
        assert isinstance(result, Value)
        return result
    if isinstance(activation, bool | int | float | list | tuple | Value):
        raise ArgumentError(
            argument,
            f"`{argument}` must be a function, found {check.spell(activation)}",
            f"write a function's name, such as `{argument}=relu`",
            code="BLC0205",
        )
    return ctx.call(activation, x)
