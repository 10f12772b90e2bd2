"""How distributions and what is asked of them are written. May import: floors 0-1, `pyexpr`, `context`, `laws`."""

from __future__ import annotations

import ast
from dataclasses import replace

from bl_compiler.backends.jax import laws, pyexpr
from bl_compiler.backends.jax.context import Context, FamilyLaw, MixtureLaw, Rule
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node
from bl_compiler.ir.improper import IMPROPER
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DType, distribution

DIST_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, dist")


@DIST_RULES.rule(*(family.op for family in FAMILIES.values()))
def _family(cx: Context, node: Node) -> None:
    type_ = distribution(node.result.type)
    family = FAMILIES[node.op.name.removeprefix("dist.")]
    cx.bindings[node.result] = FamilyLaw(family, node.inputs, type_.dtype, type_.batch, type_.event)


@DIST_RULES.rule(*(family.op for family in IMPROPER.values()))
def _improper(cx: Context, node: Node) -> None:
    type_ = distribution(node.result.type)
    cx.bindings[node.result] = FamilyLaw(IMPROPER[type_.family], (), type_.dtype, type_.batch, type_.event)


@DIST_RULES.rule("dist.expand")
def _expand(cx: Context, node: Node) -> None:
    law = cx.law(node.inputs[0])
    inner = law.batch[len(law.batch) - law.independent :]
    cx.bindings[node.result] = replace(law, batch=node.attrs.dims("dims") + inner)


@DIST_RULES.rule("dist.independent")
def _independent(cx: Context, node: Node) -> None:
    law = cx.law(node.inputs[0])
    cx.bindings[node.result] = replace(law, independent=law.independent + node.attrs.integer("ndims"))


@DIST_RULES.rule("dist.reshape_event")
def _reshape_event(cx: Context, node: Node) -> None:
    law = cx.law(node.inputs[0])
    assert isinstance(law, FamilyLaw), law
    cx.bindings[node.result] = replace(law, reshaped=node.attrs.dims("dims"))


@DIST_RULES.rule("dist.mixture")
def _mixture(cx: Context, node: Node) -> None:
    logits, components = node.inputs
    type_ = distribution(node.result.type)
    cx.bindings[node.result] = MixtureLaw(logits, cx.law(components), type_.dtype, type_.batch)


@DIST_RULES.rule("prob.log_prob")
def _log_prob(cx: Context, node: Node) -> ast.expr:
    d, x = node.inputs
    law = cx.law(d)
    return laws.log_prob(cx, law, cx.array(x, _value_dtype(law, x.tensor.dtype)), x.tensor.dims)[0]


def _value_dtype(law: FamilyLaw | MixtureLaw, dtype: DType) -> DType:
    """The element type in which a value enters a log density: class indices stay integers, all else are floats."""
    while isinstance(law, MixtureLaw):
        law = law.components
    if law.family.name == "Categorical":
        return dtype if dtype.is_integer else DType.I32
    return laws.density_dtype(law)


@DIST_RULES.rule("prob.mean", "prob.variance")
def _moment(cx: Context, node: Node) -> ast.expr:
    return laws.moment(cx, cx.law(node.inputs[0]), node.op.name.removeprefix("prob."))[0]


@DIST_RULES.rule("prob.probs")
def _probs(cx: Context, node: Node) -> ast.expr:
    return laws.probs(cx, cx.law(node.inputs[0]))[0]


@DIST_RULES.rule("prob.kl")
def _kl(cx: Context, node: Node) -> ast.expr:
    q, p = map(cx.law, node.inputs)
    return laws.divergence(cx, q, p)[0]


@DIST_RULES.rule("random.draw")
def _draw(cx: Context, node: Node) -> ast.expr:
    assert node.site is not None
    return laws.sample(cx, cx.law(node.inputs[0]), cx.site_key(node.site))


@DIST_RULES.rule("random.sign")
def _sign(cx: Context, node: Node) -> ast.expr:
    assert node.site is not None
    parts = {"key": cx.site_key(node.site), "shape": cx.shape(node.attrs.dims("dims"))}
    return fill(
        "jax.random.rademacher({key}, {shape}, {dtype})", dtype=pyexpr.dtype(node.attrs.dtype("dtype")), **parts
    )
