"""Elementwise mathematics under the names of `jax.numpy` and `jax.scipy.special`, choice, and element types.

Invariant: an element of a result depends on the elements of the operands at the same place only.
May import: floors 0-1, `layers.{spec,check,operands,declare}`.
"""

from __future__ import annotations

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import DType
from bl_compiler.layers import check, operands
from bl_compiler.layers.declare import alias, elementwise, pairwise
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function


def _reciprocal(b: GraphBuilder, x: Value) -> Value:
    return b.binary("div", 1.0, x)


def _logit(b: GraphBuilder, x: Value) -> Value:
    # log(x) - log1p(-x) keeps its digits at both ends of (0, 1), where x / (1 - x) does not.
    return b.binary("sub", b.unary("log", x), b.unary("log1p", b.unary("neg", x)))


def _logaddexp(b: GraphBuilder, x: Value, y: Value) -> Value:
    distance = b.unary("neg", b.unary("abs", b.binary("sub", x, y)))
    return b.binary("add", b.binary("max", x, y), b.unary("log1p", b.unary("exp", distance)))


_GAMMALN = elementwise("gammaln", "Logarithm of the absolute value of the gamma function", "lgamma")
_NEGATIVE = elementwise("negative", "Minus x", "neg")
_POWER = pairwise("pow", "X to the power y, as floats; the operator `**` is the same", "pow")
_MOD = pairwise("mod", "Remainder of x / y, with the sign of y; the operator `%` is the same", "mod")
_DIVIDE = pairwise("divide", "Quotient, as floats; the operator `/` is the same", "div")

_UNARY = (
    elementwise("exp", "Exponential function", "exp"),
    elementwise("expm1", "Exponential less 1: eˣ - 1, exact for small x", "expm1"),
    elementwise("log", "Natural logarithm", "log"),
    elementwise("log1p", "Logarithm of 1 + x, exact for small x", "log1p"),
    elementwise("sqrt", "Square root", "sqrt"),
    elementwise("rsqrt", "One over the square root", "rsqrt"),
    elementwise("square", "Square", "square"),
    elementwise("reciprocal", "1 / x", _reciprocal),
    elementwise("abs", "Absolute value", "abs"),
    elementwise("sign", "-1 below 0, 0 at 0, 1 above", "sign"),
    elementwise("floor", "Greatest integer not above", "floor"),
    elementwise("ceil", "Least integer not below", "ceil"),
    elementwise("round", "Nearest integer, halves to the even one", "round"),
    elementwise("sin", "Sine", "sin"),
    elementwise("cos", "Cosine", "cos"),
    elementwise("tan", "Tangent", "tan"),
    elementwise("arcsin", "Inverse sine", "arcsin"),
    elementwise("arccos", "Inverse cosine", "arccos"),
    elementwise("arctan", "Inverse tangent", "arctan"),
    elementwise("sinh", "Hyperbolic sine", "sinh"),
    elementwise("cosh", "Hyperbolic cosine", "cosh"),
    elementwise("erf", "Error function", "erf"),
    elementwise("digamma", "Derivative of `gammaln`", "digamma"),
    elementwise("logit", "Inverse of the logistic function: log(x / (1 - x))", _logit),
    elementwise("stop_gradient", "X, through which no gradient flows", "stop_gradient"),
    _GAMMALN,
    alias("lgamma", _GAMMALN),
    _NEGATIVE,
    alias("neg", _NEGATIVE),
)

_BINARY = (
    pairwise("add", "Sum; the operator `+` is the same", "add"),
    pairwise("subtract", "Difference; the operator `-` is the same", "sub"),
    pairwise("multiply", "Product; the operator `*` is the same", "mul"),
    _DIVIDE,
    pairwise("floor_divide", "Quotient rounded down; the operator `//` is the same", "floor_div"),
    _MOD,
    alias("remainder", _MOD),
    _POWER,
    alias("power", _POWER),
    pairwise("maximum", "Greater of x and y", "max"),
    pairwise("minimum", "Lesser of x and y", "min"),
    pairwise("arctan2", "Angle of the point (y, x): arctan(x / y) in the right quadrant", "arctan2"),
    pairwise("logaddexp", "Logarithm of the sum of exponentials: log(eˣ + eʸ), without overflow", _logaddexp),
)


def _choose(ctx: LayerContext, condition: Value, x: Value, y: Value, what: str) -> Value:
    t = operands.array("condition", condition)
    operands.array("x", x)
    operands.array("y", y)
    if t.dtype is not DType.BOOL:
        raise ArgumentError(
            "condition",
            f"`{what}` needs a bool condition, found {t.dtype}",
            "compare it, as in `x > 0`",
            code="BLC0207",
        )
    return ctx.b.add("math.select", condition, x, y)


@function
def where(ctx: LayerContext, condition: Value, x: Value, y: Value) -> Value:
    """X where the condition holds, else y; the shapes broadcast.

    Args:
        condition: an array of bool.
        x: an array or a number.
        y: an array or a number.

    Returns:
        An array of the common shape.
    """
    return _choose(ctx, condition, x, y, "where")


@function
def select(ctx: LayerContext, condition: Value, x: Value, y: Value) -> Value:
    """X where the condition holds, else y: `jax.lax.select` with broadcasting, the same as `where`.

    Args:
        condition: an array of bool.
        x: an array or a number.
        y: an array or a number.

    Returns:
        An array of the common shape.
    """
    return _choose(ctx, condition, x, y, "select")


@function
def clip(ctx: LayerContext, x: Value, a_min: Value | None = None, a_max: Value | None = None) -> Value:
    """X cut to the interval from `a_min` to `a_max`, elementwise.

    Args:
        x: an array of any shape.
        a_min: the least value, or none for no bound.
        a_max: the greatest value, or none for no bound.

    Returns:
        An array of the common shape.
    """
    operands.array("x", x)
    if a_min is not None:
        operands.array("a_min", a_min)
        x = ctx.b.binary("max", x, a_min)
    if a_max is not None:
        operands.array("a_max", a_max)
        x = ctx.b.binary("min", x, a_max)
    return x


@function
def cast(ctx: LayerContext, x: Value, dtype: str) -> Value:
    """The same numbers in another element type.

    Floats become integers by dropping the fraction; bool becomes 0 and 1; anything but 0 becomes `true`.

    Args:
        x: an array of any shape.
        dtype: `"f32"`, `"bf16"`, `"f16"`, `"f64"`, `"i32"`, `"i64"`, `"u8"` or `"bool"`.

    Returns:
        An array of the same shape.
    """
    operands.array("x", x)
    return ctx.b.cast(x, check.dtype("dtype", dtype))


@function
def rescale(ctx: LayerContext, x: Value) -> Value:
    """Bytes to [-1, 1]: x / 127.5 - 1, as f32.

    Args:
        x: an array of integers from 0 to 255.

    Returns:
        An array of the same shape, f32.
    """
    operands.integers("x", x, "rescale", "floats need no `rescale`; scale them by arithmetic, as in `2 * x - 1`")
    b = ctx.b
    return b.binary("sub", b.binary("div", b.cast(x, DType.F32), 127.5), 1.0)


MATH: tuple[LayerSpec, ...] = (*_UNARY, *_BINARY, where, select, clip, cast, alias("astype", cast), rescale)
