"""NumPy rules of what a model declares: feeds, sizes, initial values, sites, observations and outputs.

Invariant: the function `model` evaluates to what training sees: sites are drawn from their posteriors and every density
is entered into the frame's record. May import: floors 0-1, numpy, `frame`, `values`, the run-time distributions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.frame import Frame, Rule, Runtime, array, law
from bl_compiler.backends.reference.initial import initial_value
from bl_compiler.backends.reference.kl import KL, kl
from bl_compiler.backends.reference.rules_dist import log_prob
from bl_compiler.backends.reference.values import Array, EvaluationError, feed
from bl_compiler.ir.graph import Node
from bl_compiler.ir.ops_dist import base_pair
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import distribution

Operands = tuple[Runtime, ...]

MODEL_RULES: RuleTable[Rule] = RuleTable("numpy models")


@MODEL_RULES.rule("model.input")
def _input(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (_fed(frame.inputs, node.attrs.text("key"), "input", node),)


@MODEL_RULES.rule("model.param", "model.state")
def _param(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (_fed(frame.params, node.attrs.text("path"), "parameter", node),)


def _fed(values: Mapping[str, npt.ArrayLike], name: str, what: str, node: Node) -> Array:
    if name not in values:
        raise EvaluationError(f"no {what} `{name}` is fed")
    return feed(values[name], node.attrs.array_type("type").dtype, f"{what} `{name}`")


@MODEL_RULES.rule("model.plate_size")
def _plate_size(frame: Frame, node: Node, operands: Operands) -> Operands:
    plate = node.attrs.text("plate")
    if plate not in frame.sizes:
        raise EvaluationError(f"the total of plate `{plate}` is not known; state it in `sizes`")
    return (np.asarray(float(frame.sizes[plate])),)


@MODEL_RULES.rule("model.step")
def _step(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (np.asarray(float(frame.step)),)


@MODEL_RULES.rule("param.initialize")
def _initialize(frame: Frame, node: Node, operands: Operands) -> Operands:
    init, type_ = node.attrs["init"], node.attrs.array_type("type")
    assert isinstance(init, tuple), init
    value = initial_value(init, frame.shape(type_.dims), lambda d: frame.draw(node, d))
    return (feed(value, type_.dtype, f"the initial value of `{node.attrs.text('path')}`"),)


@MODEL_RULES.rule("model.sample")
def _sample(frame: Frame, node: Node, operands: Operands) -> Operands:
    prior, posterior = map(law, operands)
    value = frame.draw(node, posterior)
    frame.note("value", node.site, value)
    frame.note("prior", node.site, log_prob(prior, value))
    frame.note("posterior", node.site, log_prob(posterior, value))
    pair = base_pair(distribution(node.inputs[1].type), distribution(node.inputs[0].type))
    if pair in KL and prior.event_shape == posterior.event_shape:
        frame.note("kl", node.site, kl(posterior, prior))
    return (value,)


@MODEL_RULES.rule("model.point")
def _point(frame: Frame, node: Node, operands: Operands) -> Operands:
    prior, value = law(operands[0]), array(operands[1])
    frame.note("value", node.site, value)
    frame.note("prior", node.site, log_prob(prior, value))
    return (value,)


@MODEL_RULES.rule("model.noise")
def _noise(frame: Frame, node: Node, operands: Operands) -> Operands:
    value = frame.draw(node, law(operands[0]))
    frame.note("value", node.site, value)
    return (value,)


@MODEL_RULES.rule("model.observe")
def _observe(frame: Frame, node: Node, operands: Operands) -> Operands:
    term = log_prob(law(operands[1]), array(operands[0]))
    if len(operands) > 2:
        term = np.where(array(operands[2]), term, 0.0)
    frame.note("likelihood", node.site, term)
    return ()


@MODEL_RULES.rule("model.predict")
def _predict(frame: Frame, node: Node, operands: Operands) -> Operands:
    frame.note("prediction", node.attrs.text("key"), array(operands[0]))
    return ()


@MODEL_RULES.rule("model.update")
def _update(frame: Frame, node: Node, operands: Operands) -> Operands:
    frame.note("update", node.attrs.text("path"), array(operands[0]))
    return ()


@MODEL_RULES.rule("model.phase")
def _phase(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (operands[0 if frame.training else 1],)
