"""The terms of an objective before they are summed: log likelihoods, divergences, log priors.

Invariant: a term has every entry of its site exactly once. May import: floors 0-1, `entry_frame`, `masking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_dist import has_closed_form
from bl_compiler.ir.types import DistType, distribution
from bl_compiler.passes.components import component_mean
from bl_compiler.passes.entry_frame import Frame, same_axes
from bl_compiler.passes.masking import safe_distribution, safe_value

Signed = tuple[Literal[1, -1], Value]
"""A term with its sign."""

KLForm = Literal["closed-form", "monte-carlo"]


def kl_form(q: DistType, p: DistType) -> KLForm:
    """How the divergence KL(q ‖ p) is computed.

    >>> from bl_compiler.ir.types import DType
    >>> kl_form(DistType("Normal", DType.F32), DistType("Laplace", DType.F32))
    'closed-form'
    >>> kl_form(DistType("Normal", DType.F32), DistType("StudentT", DType.F32))
    'monte-carlo'
    """
    fits = [d.size for d in q.batch + q.event] == [d.size for d in p.batch + p.event]
    return "closed-form" if fits and has_closed_form(q, p) else "monte-carlo"


def log_density(frame: Frame, d: Value, x: Value) -> Value:
    """`log d(x)` of a distribution and an array of the model."""
    d = frame.unexpanded(d, x.tensor.dims[: x.tensor.rank - len(distribution(d.type).event)])
    return frame.builder.add("prob.log_prob", frame.value(d), frame.value(x))


def log_likelihood(frame: Frame, node: Node, *, differentiated: bool) -> Value:
    """The log likelihood of each entry of a `model.observe`, 0 where its mask is false (see `masking`)."""
    b = frame.builder
    with b.at(span=node.span, scope=node.scope):
        x, d, *masks = node.inputs
        if not masks:
            return log_density(frame, d, x)
        mask, type_ = frame.value(masks[0]), distribution(d.type)
        d = frame.unexpanded(d, x.tensor.dims[: x.tensor.rank - len(type_.event)])
        guarded = safe_distribution(frame, mask, d) if differentiated else frame.value(d)
        found = b.add("prob.log_prob", guarded, safe_value(frame, mask, frame.value(x), type_))
        return b.add("math.select", mask, found, b.scalar(0.0, found))


def divergence(frame: Frame, node: Node) -> list[Signed]:
    """KL(posterior ‖ prior) of a `model.sample`: in closed form, or `log q(z) - log p(z)` at the draw z of the frame.

    A posterior with a uniform index has the mean of its components' (see `components`). The Monte Carlo form is
    unbiased and needs no second draw (Kingma and Welling 2014, estimator A of equation 6).
    """
    p, q = node.inputs
    b = frame.builder
    with b.at(span=node.span, scope=node.scope):
        if kl_form(distribution(q.type), distribution(p.type)) == "closed-form":
            mean = component_mean(frame, node)
            return [(1, _closed_form(frame, q, p) if mean is None else mean)]
        return log_ratio(frame, node)


def _closed_form(frame: Frame, q: Value, p: Value) -> Value:
    b = frame.builder
    more = len(distribution(q.type).event) - len(distribution(p.type).event)
    if more:
        # Independent axes count as event axes on one side only: make them so on the other.
        dq, dp = frame.value(q), frame.value(p)
        if more > 0:
            dp = b.add("dist.independent", dp, ndims=more)
        else:
            dq = b.add("dist.independent", dq, ndims=-more)
        return b.add("prob.kl", dq, dp)
    q = frame.unexpanded(q, distribution(p.type).batch)
    p = frame.unexpanded(p, distribution(q.type).batch)
    return b.add("prob.kl", frame.value(q), frame.value(p))


def log_ratio(frame: Frame, node: Node) -> list[Signed]:
    """`log q(z) - log p(z)` of a `model.sample` at its value z; two terms if their entries have different axes."""
    p, q = node.inputs
    b = frame.builder
    with b.at(span=node.span, scope=node.scope):
        log_q, log_p = log_density(frame, q, node.result), log_density(frame, p, node.result)
        if same_axes(log_q.tensor.dims, log_p.tensor.dims):
            return [(1, b.binary("sub", log_q, log_p))]
        return [(1, log_q), (-1, log_p)]


def log_prior(frame: Frame, node: Node) -> Value:
    """The log density of a `model.sample` or `model.point` under its prior, or of a `model.noise`, at its value."""
    with frame.builder.at(span=node.span, scope=node.scope):
        return log_density(frame, node.inputs[0], node.result)


def signed_sum(frame: Frame, terms: Sequence[Signed]) -> Value:
    """The sum of terms of one shape: the positive ones less the negative ones."""
    b = frame.builder
    sides: dict[int, Value] = {}
    for sign, value in terms:
        sides[sign] = b.binary("add", sides[sign], value) if sign in sides else value
    if -1 not in sides:
        return sides[1]
    return b.binary("sub", sides[1], sides[-1]) if 1 in sides else b.unary("neg", sides[-1])
