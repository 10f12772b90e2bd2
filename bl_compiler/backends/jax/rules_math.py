"""How elementwise ops and reductions are written. May import: floors 0-1, `pyexpr`, `context`."""

from __future__ import annotations

import ast

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, Literal, Rule
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DType, promote

MATH_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, math")

UNARY = {
    "exp": "jnp.exp({x})",
    "expm1": "jnp.expm1({x})",
    "log": "jnp.log({x})",
    "log1p": "jnp.log1p({x})",
    "sqrt": "jnp.sqrt({x})",
    "rsqrt": "jax.lax.rsqrt({x})",
    "sin": "jnp.sin({x})",
    "cos": "jnp.cos({x})",
    "tan": "jnp.tan({x})",
    "arcsin": "jnp.arcsin({x})",
    "arccos": "jnp.arccos({x})",
    "arctan": "jnp.arctan({x})",
    "sinh": "jnp.sinh({x})",
    "cosh": "jnp.cosh({x})",
    "tanh": "jnp.tanh({x})",
    "sigmoid": "jax.nn.sigmoid({x})",
    "log_sigmoid": "log_sigmoid({x})",
    "softplus": "softplus({x})",
    "erf": "jax.lax.erf({x})",
    "lgamma": "jax.lax.lgamma({x})",
    "digamma": "jax.lax.digamma({x})",
    "gelu": "jax.nn.gelu({x}, approximate={approximate})",
    "silu": "jax.nn.silu({x})",
    "elu": "jax.nn.elu({x}, {alpha})",
    "selu": "jax.nn.selu({x})",
    "leaky_relu": "jax.nn.leaky_relu({x}, {slope})",
    "neg": "-{x}",
    "abs": "jnp.abs({x})",
    "sign": "jnp.sign({x})",
    "floor": "jnp.floor({x})",
    "ceil": "jnp.ceil({x})",
    "round": "jnp.round({x})",
    "square": "jnp.square({x})",
    "relu": "jax.nn.relu({x})",
    "not": "~{x}",
    "stop_gradient": "jax.lax.stop_gradient({x})",
}
BINARY = {
    "add": "{a} + {b}",
    "sub": "{a} - {b}",
    "mul": "{a} * {b}",
    "max": "jnp.maximum({a}, {b})",
    "min": "jnp.minimum({a}, {b})",
    "mod": "{a} % {b}",
    "floor_div": "{a} // {b}",
    "div": "{a} / {b}",
    "arctan2": "jnp.arctan2({a}, {b})",
    "and": "{a} & {b}",
    "or": "{a} | {b}",
}
COMPARE = {
    "eq": "{a} == {b}",
    "ne": "{a} != {b}",
    "lt": "{a} < {b}",
    "le": "{a} <= {b}",
    "gt": "{a} > {b}",
    "ge": "{a} >= {b}",
}
REDUCE = {
    "sum": "jnp.sum",
    "mean": "jnp.mean",
    "prod": "jnp.prod",
    "reduce_max": "jnp.max",
    "reduce_min": "jnp.min",
    "any": "jnp.any",
    "all": "jnp.all",
    "logsumexp": "logsumexp",
}
ALONG = {"softmax": "jax.nn.softmax({x}, axis={axis})", "log_softmax": "jax.nn.log_softmax({x}, axis={axis})"}
_WHOLE = ("floor", "ceil", "round")
_MOST_UNROLLED = 4
"""Greatest whole exponent that is written as one, which JAX turns into multiplications."""


def _name(node: Node) -> str:
    return node.op.name.removeprefix("math.")


@MATH_RULES.rule(*(f"math.{name}" for name in UNARY))
def _unary(cx: Context, node: Node) -> ast.expr | None:
    dtype = node.result.tensor.dtype
    if _name(node) in _WHOLE and dtype.is_integer:
        cx.alias(node.result, node.inputs[0])
        return None
    extra = {key: pyexpr.number(node.attrs.number(key)) for key in ("alpha", "slope") if key in node.attrs}
    if "approximate" in node.attrs:
        extra["approximate"] = pyexpr.number(node.attrs.flag("approximate"))
    return fill(UNARY[_name(node)], x=cx.array(node.inputs[0], dtype), **extra)


@MATH_RULES.rule(*(f"math.{name}" for name in BINARY))
def _binary(cx: Context, node: Node) -> ast.expr:
    a, b = cx.together(node.inputs, node.result.tensor.dtype)
    return fill(BINARY[_name(node)], a=a, b=b)


@MATH_RULES.rule("math.pow")
def _pow(cx: Context, node: Node) -> ast.expr:
    a, b = cx.together(node.inputs, node.result.tensor.dtype)
    power = cx.bindings[node.inputs[1]]
    if isinstance(power, Literal) and abs(power.value) <= _MOST_UNROLLED and power.value == int(power.value):
        return fill(
            "{a} ** {b}", a=cx.array(node.inputs[0], node.result.tensor.dtype), b=pyexpr.number(int(power.value))
        )
    return fill("{a} ** {b}", a=a, b=b)


@MATH_RULES.rule(*(f"math.{name}" for name in COMPARE))
def _compare(cx: Context, node: Node) -> ast.expr:
    a, b = node.inputs
    left, right = cx.together(node.inputs, promote(a.tensor.dtype, b.tensor.dtype))
    return fill(COMPARE[_name(node)], a=left, b=right)


@MATH_RULES.rule("math.select")
def _select(cx: Context, node: Node) -> ast.expr:
    condition, *branches = node.inputs
    a, b = cx.together(branches, node.result.tensor.dtype)
    return fill("jnp.where({c}, {a}, {b})", c=cx.array(condition), a=a, b=b)


@MATH_RULES.rule(*(f"math.{name}" for name in REDUCE))
def _reduce(cx: Context, node: Node) -> ast.expr:
    (x,) = node.inputs
    name, axes, dtype = _name(node), node.attrs.integers("axes"), node.result.tensor.dtype
    call = fill("{f}({x})", f=fill(REDUCE[name]), x=cx.array(x, dtype if name in ("mean", "logsumexp") else None))
    assert isinstance(call, ast.Call)
    keepdims = node.attrs.flag("keepdims")
    if len(axes) != x.tensor.rank or keepdims or name == "logsumexp":
        call.keywords.append(ast.keyword("axis", pyexpr.axes(axes)))
    if keepdims:
        call.keywords.append(ast.keyword("keepdims", pyexpr.number(value=True)))
    if name in ("sum", "prod") and not dtype.is_float:
        # Without it JAX would widen integers where 64 bits are enabled.
        call.keywords.append(ast.keyword("dtype", pyexpr.dtype(dtype)))
    return call


@MATH_RULES.rule("math.argmax", "math.argmin")
def _arg_reduce(cx: Context, node: Node) -> ast.expr:
    function, axis = fill(f"jnp.{_name(node)}"), pyexpr.number(node.attrs.integer("axis"))
    return fill("{f}({x}, axis={axis}).astype(jnp.int32)", f=function, x=cx.array(node.inputs[0]), axis=axis)


@MATH_RULES.rule(*(f"math.{name}" for name in ALONG))
def _along(cx: Context, node: Node) -> ast.expr:
    x = cx.array(node.inputs[0], node.result.tensor.dtype)
    return fill(ALONG[_name(node)], x=x, axis=pyexpr.number(node.attrs.integer("axis")))


@MATH_RULES.rule("math.cumsum")
def _cumsum(cx: Context, node: Node) -> ast.expr:
    dtype = node.result.tensor.dtype
    x = cx.array(node.inputs[0], None if dtype.is_integer else dtype)
    if not dtype.is_integer:
        return fill("jnp.cumsum({x}, axis={axis})", x=x, axis=pyexpr.number(node.attrs.integer("axis")))
    return fill(
        "jnp.cumsum({x}, axis={axis}, dtype={dtype})",
        x=x,
        axis=pyexpr.number(node.attrs.integer("axis")),
        dtype=pyexpr.dtype(dtype),
    )


@MATH_RULES.rule("math.cast")
def _cast(cx: Context, node: Node) -> ast.expr | None:
    (x,) = node.inputs
    dtype: DType = node.attrs.dtype("dtype")
    if x.tensor.dtype is dtype:
        cx.alias(node.result, x)
        return None
    return fill("{x}.astype({dtype})", x=cx.array(x), dtype=pyexpr.dtype(dtype))
