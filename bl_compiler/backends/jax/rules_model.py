"""How inputs, parameters, sizes and initial values are written. May import: floors 0-1, `pyexpr`, `context`."""

from __future__ import annotations

import ast

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, Literal, Rule
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.builder import input_type
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DType

MODEL_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, model")

SITE_PREFIX = "site:"
"""Inputs of `log_joint` under this prefix are the values of sites."""

_SPACES = {
    "positive": "positive({x})",
    "unit_interval": "unit_interval({x})",
    "interval": "interval({x}, {low}, {high})",
    "simplex": "simplex({x})",
    "lower_cholesky": "lower_cholesky({x})",
}


def source_of_input(key: str) -> ast.expr:
    """Where the caller puts the value of an input."""
    if key.startswith(SITE_PREFIX):
        return fill("sites[{key}]", key=pyexpr.string(key.removeprefix(SITE_PREFIX)))
    return fill("inputs[{key}]", key=pyexpr.string(key))


@MODEL_RULES.rule("model.input")
def _input(cx: Context, node: Node) -> ast.expr:
    source, dtype = source_of_input(node.attrs.text("key")), pyexpr.dtype(node.result.tensor.dtype)
    return fill("jnp.asarray({source}, {dtype})", source=source, dtype=dtype)


@MODEL_RULES.rule("model.param", "model.state")
def _param(cx: Context, node: Node) -> ast.expr:
    return fill("params[{path}]", path=pyexpr.string(node.attrs.text("path")))


@MODEL_RULES.rule("model.plate_size")
def _plate_size(cx: Context, node: Node) -> ast.expr | None:
    plate = node.attrs.text("plate")
    total = cx.module.plate(plate).total
    if total is not None:
        cx.bindings[node.result] = Literal(float(total), DType.F32)
        return None
    return fill("plate_total(sizes, {plate})", plate=pyexpr.string(plate))


@MODEL_RULES.rule("model.step")
def _step(cx: Context, node: Node) -> ast.expr:
    return fill("training_step(step)")


@MODEL_RULES.rule("param.constrain", "param.unconstrain")
def _constrain(cx: Context, node: Node) -> ast.expr | None:
    space = node.attrs.text("constraint")
    if space == "real":
        cx.alias(node.result, node.inputs[0])
        return None
    bounds = {key: pyexpr.number(node.attrs.number(key)) for key in ("low", "high")}
    direction = "to_" if node.op.name == "param.constrain" else "from_"
    return fill(direction + _SPACES[space], x=cx.array(node.inputs[0]), **bounds)


@MODEL_RULES.rule("param.initialize")
def _initialize(cx: Context, node: Node) -> ast.expr:
    type_, init = input_type(node), node.attrs["init"]
    assert isinstance(init, tuple), init
    generator, *arguments = init
    parts = {"shape": cx.shape(type_.dims), "dtype": pyexpr.dtype(type_.dtype)}
    if generator == "constant":
        (value,) = arguments
        if value in (0, 1):
            return fill("jnp.ones({shape}, {dtype})" if value else "jnp.zeros({shape}, {dtype})", **parts)
        return fill("jnp.full({shape}, {value}, {dtype})", value=pyexpr.literal(value, type_.dtype), **parts)
    return fill(
        "{f}({key}, {arguments}, {shape}, {dtype})",
        f=pyexpr.name(f"init_{generator}"),
        key=cx.site_key(node.attrs.text("path")),
        arguments=[pyexpr.number(value) for value in arguments],
        **parts,
    )
