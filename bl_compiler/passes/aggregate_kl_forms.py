"""What divergences and log priors become when parameters of the prior are constants.

A divergence between Gaussians is `c (w² + (u - m)²) - log w - k` per element, with `c = 1 / (2 s²)` and
`k = 1/2 - log s`, for a posterior of mean u and scale w and a prior of mean m and constant scale s (Kingma and Welling
2014, appendix B). Both constants stay inside the sum: the terms of a divergence near 0 are near 0 there, and outside
they would be a difference of two numbers that grow with the number of elements. Each element's error is a few roundings
of `log s`, so scales far from 1 keep the formula of ratios, as does s = 1, where nothing can be merged.

A log prior has no zero to lose: its normalizer leaves the sum, and so does its factor.

Invariant: half precision and scales that are computed keep their form. May import: floors 0-1, `journal`, `rules`,
`engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi, prod

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.types import Dims, DType, distribution
from bl_compiler.passes.engine import RuleSet
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.rules import Match, Rule, View

PRIOR_SUM = "LogPriorConstants"
"""The name under which the journal has rewritten sums of log priors."""

_LOOK_THROUGH = ("tensor.broadcast", "tensor.reshape")
_WRAPPERS = ("dist.expand", "dist.independent")
_WIDE = (DType.F32, DType.F64)
_SCALES = (1e-2, 1e2)
"""Scales of priors for which a divergence at 0 errs by less than 1e-6 per element in f32: 1 + 3 |log s| roundings."""

Producer = Callable[[Value], Node | None]


def _base(producer: Producer, d: Value) -> Node | None:
    """The node of the family under expansions and event axes."""
    node = producer(d)
    while node is not None and node.op.name in _WRAPPERS:
        node = producer(node.inputs[0])
    return node


def _constant(producer: Producer, x: Value) -> tuple[float, Node] | None:
    """The number that x is everywhere, and the node that says it."""
    node = producer(x)
    while node is not None and node.op.name in _LOOK_THROUGH:
        node = producer(node.inputs[0])
    value = node.attrs["value"] if node is not None and node.op.name in ("tensor.const", "tensor.full") else None
    if node is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value), node


# --- divergences -----------------------------------------------------------------------------------------------------


def _match_gaussians(node: Node, view: View) -> Match | None:
    q, p = (_base(view.producer, d) for d in node.inputs)
    if q is None or p is None or {q.op.name, p.op.name} not in ({"dist.Normal"}, {"dist.LogNormal"}):
        return None
    found = _constant(view.producer, p.inputs[1])
    if found is None or found[0] == 1 or node.result.tensor.dtype not in _WIDE:
        return None
    values = {"q_loc": q.inputs[0], "q_scale": q.inputs[1], "p_loc": p.inputs[0]}
    centre = _constant(view.producer, p.inputs[0])
    return Match(node, values, (q, p, found[1], *([centre[1]] if centre is not None and centre[0] == 0 else [])))


def _scale_of(match: Match) -> float:
    value = match.nodes[2].attrs["value"]
    assert isinstance(value, (int, float)), value
    return float(value)


def _costs_digits(match: Match, view: View) -> str | None:
    low, high = _SCALES
    scale = _scale_of(match)
    if not low <= scale <= high:
        return f"with a prior of scale {scale:g} merged constants would cost digits"
    if any(match[name].tensor.dtype not in _WIDE for name in ("q_loc", "q_scale", "p_loc")):
        return "parameters are in half precision"
    return None


def _merged_gaussians(match: Match, b: GraphBuilder) -> Sequence[Value]:
    scale, root = _scale_of(match), match.root
    centred = len(match.nodes) > 3
    shift = match["q_loc"] if centred else b.binary("sub", match["q_loc"], match["p_loc"])
    squares = b.binary("add", b.unary("square", match["q_scale"]), b.unary("square", shift))
    x = b.binary("sub", b.binary("mul", squares, 0.5 / scale**2), b.unary("log", match["q_scale"]))
    x = b.binary("sub", x, 0.5 - log(scale))
    wanted, event = root.result.tensor.dims, distribution(root.inputs[0].type).event
    x = b.broadcast(x, wanted + event)
    return [b.reduce("sum", x, range(len(wanted), len(wanted) + len(event)))]


DIVERGENCE_RULES = RuleSet(
    [Rule("GaussianConstants", ("prob.kl",), _match_gaussians, _merged_gaussians, _costs_digits)]
)
"""Divergences whose constants can be merged."""


# --- log priors of points --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PriorSum:
    """A sum of log densities as `factor · Σ statistic(x - loc) + constant`.

    Attributes:
        statistic: the op `math.NAME` applied to each difference.
        full: the dimensions of the site: batch and event.
        summed: which of them are summed; the mean is taken over the rest.
    """

    factor: float
    constant: float
    statistic: str
    x: Value
    loc: Value | None
    full: Dims
    summed: tuple[int, ...]

    def emit(self, b: GraphBuilder) -> Value:
        """Append the sum of the statistic."""
        difference = self.x if self.loc is None else b.binary("sub", self.x, self.loc)
        found = b.unary(self.statistic, difference)
        if found.tensor.shape != tuple(d.size for d in self.full):
            found = b.broadcast(found, self.full)
        found = b.reduce("sum", found, self.summed)
        return b.reduce("mean", found, range(found.tensor.rank))


@dataclass(frozen=True, slots=True)
class _Family:
    statistic: str
    factor: Callable[[float], float]
    normalizer: Callable[[float], float]


_LOG_DENSITIES: Mapping[str, _Family] = {
    "dist.Normal": _Family("square", lambda s: -0.5 / s**2, lambda s: -log(s) - 0.5 * log(2 * pi)),
    "dist.Laplace": _Family("abs", lambda s: -1 / s, lambda s: -log(2 * s)),
}
"""Families of a location and a scale whose log density is `factor · statistic(x - loc) + normalizer`."""


def prior_sum(graph: Graph, value: Value, journal: Journal) -> PriorSum | None:
    """The form of a term that sums log densities with a constant scale; None for other terms."""
    producer = graph.producers.get
    summed, density = _summed(graph, value)
    if density is None or density.op.name != "prob.log_prob":
        return None
    d, x = density.inputs
    base = _base(producer, d)
    family = _LOG_DENSITIES.get(base.op.name) if base is not None else None
    if base is None or family is None:
        return None
    journal.attempted(PRIOR_SUM)
    loc, scale = base.inputs
    found, centre = _constant(producer, scale), _constant(producer, loc)
    batch = density.result.tensor.dims
    full = batch + distribution(d.type).event
    axes = (*summed, *range(len(batch), len(full)))
    counts = [n for i in axes if isinstance(n := full[i].size, int)]
    reason = None
    if found is None or found[0] <= 0:
        reason = "the scale of the prior is not a constant"
    elif any(v.tensor.dtype not in _WIDE for v in (x, loc, density.result)) or value.tensor.dtype not in _WIDE:
        reason = "values are in half precision"
    elif len(counts) < len(axes):
        reason = "the number of elements is not known"
    if reason is not None or found is None:
        journal.refused(PRIOR_SUM, reason or "", density)
        return None
    return PriorSum(
        family.factor(found[0]),
        family.normalizer(found[0]) * prod(counts),
        family.statistic,
        x,
        None if centre is not None and centre[0] == 0 else loc,
        full,
        axes,
    )


def _summed(graph: Graph, value: Value) -> tuple[tuple[int, ...], Node | None]:
    """The axes that a scalar sums, and the node whose elements it sums, under a mean over the other axes."""
    node = graph.producers.get(value)
    if node is not None and node.op.name == "math.mean" and not value.tensor.rank:
        node = graph.producers.get(node.inputs[0])
    if node is not None and node.op.name == "math.sum" and not node.attrs.flag("keepdims"):
        return node.attrs.integers("axes"), graph.producers.get(node.inputs[0])
    return (), node
