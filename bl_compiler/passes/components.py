"""Divergences of sites whose posterior is one of several, chosen by a uniform index.

With a latent index c, q(c) = p(c) = 1/K and q(z | c) = q_c(z), the divergence of (c, z) from its prior is the mean of
KL(q_c ‖ p) over the K components. The index is drawn once for the model, so a site by itself would add the divergence
of the component drawn, which has this mean; here the mean itself is taken, and the draw adds no noise to it.

Invariant: a site whose form is not recognized keeps the divergence of its draw, which has the same expectation.
May import: floors 0-1, `entry_frame`.
"""

from __future__ import annotations

from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.ops_dist import base_pair
from bl_compiler.ir.types import distribution
from bl_compiler.passes.entry_frame import Frame


def component_mean(frame: Frame, node: Node) -> Value | None:
    """The mean over components of the closed-form divergence of a `model.sample`; None if its posterior has none."""
    prior, posterior = node.inputs
    pair = base_pair(distribution(posterior.type), distribution(prior.type))
    made = frame.model.producers.get(posterior)
    if (
        made is None
        or pair not in CLOSED_FORM_KL
        or distribution(prior.type).event
        or distribution(posterior.type).event
    ):
        return None
    family = FAMILIES.get(made.op.name.removeprefix("dist."))
    if family is None or family.event_ndim:
        return None
    index = _index(frame.model, made)
    if index is None or not is_uniform_index(frame.model, index):
        return None
    b = frame.builder
    whole = [frame.value(_taken_from(frame.model, v, index) or v) for v in made.inputs]
    each = b.add("prob.kl", b.add(made.op.name, *whole), frame.value(prior))
    return b.reduce("mean", each, (0,))


def _index(model: Graph, made: Node) -> Value | None:
    """The one scalar index by which parameters of full rank are taken along their first axis."""
    found: set[Value] = set()
    rank = len(distribution(made.result.type).batch)
    for value in made.inputs:
        node = model.producers.get(value)
        if node is not None and node.op.name == "tensor.take" and not node.inputs[1].tensor.dims:
            if node.attrs.integer("axis") != 0 or value.tensor.rank != rank:
                return None
            found.add(node.inputs[1])
        elif value.tensor.rank > rank:
            return None
    return found.pop() if len(found) == 1 else None


def _taken_from(model: Graph, value: Value, index: Value) -> Value | None:
    node = model.producers.get(value)
    return node.inputs[0] if node is not None and node.op.name == "tensor.take" and node.inputs[1] is index else None


def is_uniform_index(model: Graph, index: Value) -> bool:
    """Whether a value is noise drawn uniformly from 0, …, K - 1."""
    noise = model.producers.get(index)
    law = None if noise is None or noise.op.name != "model.noise" else model.producers.get(noise.inputs[0])
    if law is None or law.op.name != "dist.Categorical":
        return False
    logits = model.producers.get(law.inputs[0])
    return logits is not None and logits.op.name == "tensor.full" and logits.result.tensor.rank == 1
