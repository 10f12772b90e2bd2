"""NumPy rules of distributions: making them, their densities and moments, and draws.

Invariant: a draw comes from the frame's noise and from nowhere else.
May import: floors 0-1, numpy, `frame`, the run-time distributions, `kl`.
"""

from __future__ import annotations

import numpy as np

from bl_compiler.backends.reference.discrete import Bernoulli, Categorical
from bl_compiler.backends.reference.distributions import Distribution, Independent, Mixture, Parametric, Reshaped
from bl_compiler.backends.reference.frame import Frame, Rule, Runtime, array, law
from bl_compiler.backends.reference.improper import LogUniform
from bl_compiler.backends.reference.kl import kl
from bl_compiler.backends.reference.values import Array
from bl_compiler.backends.reference.vectors import RUNTIME_FAMILIES
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

Operands = tuple[Runtime, ...]

DIST_RULES: RuleTable[Rule] = RuleTable("numpy distributions")


def _family(family: type[Parametric]) -> Rule:
    return lambda frame, node, operands: (family(*map(array, operands)),)


for _name, _declared in FAMILIES.items():
    DIST_RULES.rule(_declared.op)(_family(RUNTIME_FAMILIES[_name]))


@DIST_RULES.rule("dist.LogUniform")
def _log_uniform(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (LogUniform(),)


@DIST_RULES.rule("dist.expand")
def _expand(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (law(operands[0]).expand(frame.shape(node.attrs.dims("dims"))),)


@DIST_RULES.rule("dist.independent")
def _independent(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (Independent(law(operands[0]), node.attrs.integer("ndims")),)


@DIST_RULES.rule("dist.reshape_event")
def _reshape_event(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (Reshaped(law(operands[0]), frame.shape(node.attrs.dims("dims"))),)


@DIST_RULES.rule("dist.mixture")
def _mixture(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (Mixture(array(operands[0]), law(operands[1])),)


@DIST_RULES.rule("prob.log_prob")
def _log_prob(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (log_prob(law(operands[0]), array(operands[1])),)


def log_prob(d: Distribution, x: Array) -> Array:
    """Log density, over the batch common to `d` and `x`."""
    events = len(d.event_shape)
    return np.broadcast_to(d.log_prob(x), np.broadcast_shapes(d.batch_shape, x.shape[: x.ndim - events]))


@DIST_RULES.rule("prob.mean")
def _mean(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (np.asarray(law(operands[0]).mean()),)


@DIST_RULES.rule("prob.variance")
def _variance(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (np.asarray(law(operands[0]).variance()),)


@DIST_RULES.rule("prob.probs")
def _probs(frame: Frame, node: Node, operands: Operands) -> Operands:
    d = law(operands[0])
    assert isinstance(d, Categorical), d
    return (d.probs(),)


@DIST_RULES.rule("prob.kl")
def _kl(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (kl(law(operands[0]), law(operands[1])),)


@DIST_RULES.rule("random.draw")
def _draw(frame: Frame, node: Node, operands: Operands) -> Operands:
    return (frame.draw(node, law(operands[0])),)


@DIST_RULES.rule("random.sign")
def _sign(frame: Frame, node: Node, operands: Operands) -> Operands:
    coins = Bernoulli(np.zeros(frame.shape(node.attrs.dims("dims"))))
    return (2.0 * frame.draw(node, coins) - 1.0,)
