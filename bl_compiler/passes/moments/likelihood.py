"""Gaussian likelihoods whose location is uncertain.

For a value f with mean m and variance v, known scale s and data y, the expected log density is

    E log N(y; f, s) = log N(y; m, s) - v / (2 s²)

whatever f's law (Wu et al. 2019, equation 9); the predictive mean is m and the predictive variance s² + v.
Invariant: a distribution that is uncertain is a Normal, expanded or with its axes joined to events, of uncertain
location and known scale. May import: floors 0-1, `laws`, `linear`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import Dims, DistType, broadcast_dims, distribution
from bl_compiler.passes.moments.laws import Axes, Emitter, Law, Problem, Reading, Refusal
from bl_compiler.passes.moments.linear import full_second, lifted, lifted_dense
from bl_compiler.passes.moments.products import require_independent

EXPECTED = Problem("an expected log density stands for all draws already")


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Normal under expansions and joined axes.

    Attributes:
        node: the `dist.Normal`.
        wrappers: the nodes around it, innermost first.
        type: the type of the whole.
    """

    node: Node
    wrappers: tuple[Node, ...]
    type: DistType

    @property
    def loc(self) -> Value:
        """The location."""
        return self.node.inputs[0]

    @property
    def scale(self) -> Value:
        """The scale."""
        return self.node.inputs[1]

    @property
    def dims(self) -> Dims:
        """All dimensions of a draw."""
        return self.type.batch + self.type.event


def gaussian_of(cx: Reading, d: Value, what: str) -> Gaussian:
    """The Normal that a distribution is.

    Raises:
        Refusal: it is another distribution, or its scale is uncertain.
    """
    wrappers: list[Node] = []
    node = cx.producers.get(d)
    while node is not None and node.op.name in ("dist.expand", "dist.independent"):
        wrappers.append(node)
        node = cx.producers.get(node.inputs[0])
    if node is None or node.op.name != "dist.Normal":
        family = node.op.name.removeprefix("dist.") if node is not None else "a distribution"
        raise Refusal(f"{what} of {family} has no closed form here")
    if node.inputs[1] in cx.laws:
        raise Refusal(f"{what} of a Normal whose scale is uncertain has no closed form here")
    return Gaussian(node, tuple(reversed(wrappers)), distribution(d.type))


def log_density_law(cx: Reading, node: Node) -> Law:
    """What is known of a `prob.log_prob` whose distribution or value is uncertain.

    Raises:
        Refusal: there is no closed form.
    """
    d, x = node.inputs
    found = gaussian_of(cx, d, "the expected log density")
    terms = [v for v in (found.loc, x) if v in cx.laws]
    laws = [cx.laws[v] for v in terms]
    sources = frozenset[Node]().union(*(law.sources for law in laws))
    for law in laws:
        if isinstance(law.spread, Problem):
            raise Refusal(f"a Gaussian log density needs a variance, and {law.spread.text}")
    require_independent(laws, "the density")
    full = broadcast_dims(found.dims, x.tensor.dims)

    def mean(em: Emitter) -> Value:
        b = em.builder
        plain = b.emit(node.op.name, [em.value(v) for v in node.inputs], dict(node.attrs)).result
        variance = em.second(terms[0])
        for term in terms[1:]:
            variance = b.binary("add", variance, em.second(term))
        double = b.binary("mul", em.squared(em.value(found.scale)), 2.0)
        loss = b.binary("div", variance, double)
        events = len(found.type.event)
        if events:
            loss = b.reduce("sum", b.broadcast(loss, full), range(len(full) - events, len(full)))
        return b.binary("sub", plain, loss)

    return Law(node, sources, EXPECTED, mean=mean)


def mean_law(cx: Reading, node: Node) -> Law:
    """What is known of a `prob.mean`: the Normal's location.

    Raises:
        Refusal: there is no closed form.
    """
    found = gaussian_of(cx, node.inputs[0], "the mean")
    law = cx.laws[found.loc]
    if isinstance(law.spread, Problem):
        return Law(node, law.sources, law.spread)

    def second(em: Emitter, axes: Axes) -> Value:
        return full_second(em, lifted(em, found.loc, found.dims, axes), found.dims, axes)

    return Law(node, law.sources, second, lifted_dense(law, found.loc.tensor.dims, found.dims), law.gaussian)
