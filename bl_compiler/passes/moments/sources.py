"""What is known of a draw itself: the moments of its distribution. May import: floors 0-1, `laws`."""

from __future__ import annotations

from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_dist import base_family
from bl_compiler.ir.types import distribution
from bl_compiler.passes.moments.laws import Axes, Emitter, Law, Reading, Refusal, inner_axes

INDEPENDENT = frozenset(
    {"Normal", "Laplace", "Logistic", "Gumbel", "HalfNormal", "LogNormal", "Exponential", "Gamma", "Beta", "Uniform"}
)
"""Families over single numbers that always have a variance."""


def draw_law(cx: Reading, node: Node) -> Law:
    """What is known of a draw.

    Raises:
        Refusal: it has no mean or variance in closed form.
    """
    type_ = distribution(node.inputs[0].type)
    family = base_family(type_)

    def mean(em: Emitter) -> Value:
        return em.builder.add("prob.mean", em.value(node.inputs[0]))

    if family in INDEPENDENT:

        def variances(em: Emitter, axes: Axes) -> Value:
            return em.builder.add("prob.variance", em.value(node.inputs[0]))

        return Law(node, frozenset({node}), variances, gaussian=family == "Normal", mean=mean)
    law = cx.producers.get(node.inputs[0])
    if family == "MultivariateNormal" and law is not None and law.op.name == "dist.MultivariateNormal":
        factor, last = law.inputs[1], len(type_.batch)
        if factor.tensor.rank == last + 2:

            def covariances(em: Emitter, axes: Axes) -> Value:
                if not axes:
                    return em.builder.add("prob.variance", em.value(node.inputs[0]))
                letters = "".join(chr(ord("a") + i) for i in range(last))
                tril = em.value(factor)
                return em.builder.einsum(f"{letters}ij,{letters}kj->{letters}ik", tril, tril)

            dense = frozenset({last}) & inner_axes(node.result.tensor.dims)
            return Law(node, frozenset({node}), covariances, dense, gaussian=True, mean=mean)
    if family in FAMILIES and FAMILIES[family].discrete:
        raise Refusal(f"a draw from {family} is discrete")
    raise Refusal(f"the moments of a draw from {type_.family} are not worked out")
