"""NumPy rules of elementwise ops, reductions and changes of element type.

Invariant: operands are first held as the result's elements are, so no rule depends on NumPy's own promotions.
May import: floors 0-1, numpy, scipy, `frame`, `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from bl_compiler.backends.reference.frame import ArrayRule, Frame
from bl_compiler.backends.reference.values import Array, FloatArray, as_kind, convert
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

MATH_RULES: RuleTable[ArrayRule] = RuleTable("numpy math")

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
"""The fixed point of mean 0 and variance 1 (Klambauer et al. 2017, equation 14)."""


def _log_sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(-np.logaddexp(0.0, -x))


FLOAT_UNARY: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.asarray(1 / np.sqrt(x)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "log_sigmoid": _log_sigmoid,
    "softplus": lambda x: np.asarray(np.logaddexp(0.0, x)),
    "erf": special.erf,
    "lgamma": special.gammaln,
    "digamma": special.psi,
    "silu": lambda x: np.asarray(x * special.expit(x)),
    "selu": lambda x: np.asarray(_SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))),
}
UNARY: Mapping[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "square": np.square,
    "relu": lambda x: np.asarray(np.maximum(x, 0)),
}
BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "mod": np.mod,
    "floor_div": np.floor_divide,
    "div": np.divide,
    "pow": np.power,
    "arctan2": np.arctan2,
}
COMPARE: Mapping[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}
"""Ops from two operands of any type to booleans."""


def _unary(function: Callable[[Array], Array]) -> ArrayRule:
    def rule(frame: Frame, node: Node, x: Array) -> Array:
        dtype = node.result.tensor.dtype
        return as_kind(function(as_kind(x, dtype)), dtype)

    return rule


def _binary(function: Callable[[Array, Array], Array]) -> ArrayRule:
    def rule(frame: Frame, node: Node, a: Array, b: Array) -> Array:
        dtype = node.result.tensor.dtype
        return function(as_kind(a, dtype), as_kind(b, dtype))

    return rule


def _compare(function: Callable[[Array, Array], Array]) -> ArrayRule:
    return lambda frame, node, a, b: function(a, b)


for _name, _function in {**FLOAT_UNARY, **UNARY}.items():
    MATH_RULES.rule(f"math.{_name}")(_unary(_function))
for _name, _two in BINARY.items():
    MATH_RULES.rule(f"math.{_name}")(_binary(_two))
for _name, _two in COMPARE.items():
    MATH_RULES.rule(f"math.{_name}")(_compare(_two))


@MATH_RULES.rule("math.gelu")
def _gelu(frame: Frame, node: Node, x: Array) -> Array:
    """Hendrycks and Gimpel (2016): x Φ(x), and its tanh form."""
    x = as_kind(x, node.result.tensor.dtype)
    if node.attrs.flag("approximate"):
        return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
    return np.asarray(x * special.ndtr(x))


@MATH_RULES.rule("math.elu")
def _elu(frame: Frame, node: Node, x: Array) -> Array:
    x = as_kind(x, node.result.tensor.dtype)
    return np.where(x > 0, x, node.attrs.number("alpha") * np.expm1(np.minimum(x, 0)))


@MATH_RULES.rule("math.leaky_relu")
def _leaky_relu(frame: Frame, node: Node, x: Array) -> Array:
    x = as_kind(x, node.result.tensor.dtype)
    return np.where(x >= 0, x, node.attrs.number("slope") * x)


@MATH_RULES.rule("math.not")
def _not(frame: Frame, node: Node, x: Array) -> Array:
    return np.logical_not(x)


@MATH_RULES.rule("math.select")
def _select(frame: Frame, node: Node, condition: Array, a: Array, b: Array) -> Array:
    dtype = node.result.tensor.dtype
    return np.where(condition, as_kind(a, dtype), as_kind(b, dtype))


@MATH_RULES.rule("math.cast")
def _cast(frame: Frame, node: Node, x: Array) -> Array:
    return convert(x, node.attrs.dtype("dtype"))


@MATH_RULES.rule("math.stop_gradient")
def _stop_gradient(frame: Frame, node: Node, x: Array) -> Array:
    return x


# --- reductions -------------------------------------------------------------------------------------------------------


def _logsumexp(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    # Where all are minus infinity or one is plus infinity, shifting by it would make NaN.
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axis))


REDUCE: Mapping[str, Callable[..., Array]] = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "logsumexp": _logsumexp,
    "any": np.any,
    "all": np.all,
}


def _reduce(function: Callable[..., Array]) -> ArrayRule:
    def rule(frame: Frame, node: Node, x: Array) -> Array:
        held = as_kind(x, node.result.tensor.dtype)
        return function(held, axis=node.attrs.integers("axes"), keepdims=node.attrs.flag("keepdims"))

    return rule


for _name, _reduction in REDUCE.items():
    MATH_RULES.rule(f"math.{_name}")(_reduce(_reduction))


@MATH_RULES.rule("math.argmax")
def _argmax(frame: Frame, node: Node, x: Array) -> Array:
    return np.asarray(np.argmax(x, axis=node.attrs.integer("axis")), np.int64)


@MATH_RULES.rule("math.argmin")
def _argmin(frame: Frame, node: Node, x: Array) -> Array:
    return np.asarray(np.argmin(x, axis=node.attrs.integer("axis")), np.int64)


@MATH_RULES.rule("math.log_softmax")
def _log_softmax(frame: Frame, node: Node, x: Array) -> Array:
    x = as_kind(x, node.result.tensor.dtype)
    return np.asarray(x - _logsumexp(x, axis=(node.attrs.integer("axis"),), keepdims=True))


@MATH_RULES.rule("math.softmax")
def _softmax(frame: Frame, node: Node, x: Array) -> Array:
    return np.exp(_log_softmax(frame, node, x))


@MATH_RULES.rule("math.cumsum")
def _cumsum(frame: Frame, node: Node, x: Array) -> Array:
    return np.cumsum(as_kind(x, node.result.tensor.dtype), axis=node.attrs.integer("axis"))
