"""The candidates of each draw: whether each estimator is exact there, what it costs, and how noisy it is.

The noise of a stochastic gradient over B of N examples has a part from the choice of the examples, which falls as 1 / B
whatever the estimator, and a part from the draws. Of the latter one shared draw keeps the covariance between examples
whole, G draws keep 1 / G of it, and draws that are uncorrelated between examples none (Kingma, Salimans and Welling
2015, equation 4). Measured factors are in benchmarks/RESULTS.md. In prediction an average over draws has the variance
of one example's law, which exact estimators share.

May import: floors 0-1, `costs`, `moments`, the rest of this package but `choice` and `choose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from bl_compiler.ir.attrs import attr_key
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.estimators import AUTO, SHARED, Estimator
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.types import TensorType, distribution
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.rates import seconds
from bl_compiler.passes.costs.totals import nodes_cost, step_cost
from bl_compiler.passes.costs.work import SYMBOLIC
from bl_compiler.passes.estimators.decisions import Candidate, Reason
from bl_compiler.passes.estimators.legality import Site, Verdict, verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry, plan_of, readers_of, scratch_of, touched_by
from bl_compiler.passes.moments.integrate import deterministic_reasons, integrated

GROUPS = 8
"""How many draws a step makes where the compiler groups examples by itself."""

LOCAL, _DETERMINISTIC = Estimator("local_reparameterization"), Estimator("deterministic")
CORRELATION = {"continuous": 0.055, "discrete": 0.012}
"""The correlation of the noise in the gradients of two examples that share a draw, by what is observed: 0.037 to 0.083
and 0.004 to 0.028 where it was measured (benchmarks/RESULTS.md)."""

_FLIPOUT_FACTOR = 1.3
"""The variance of flipout's gradient against that of independent draws: signs leave the perturbation's size shared."""


@dataclass
class Weighed:
    """A draw with its candidates.

    Attributes:
        site: The draw.
        asked: The estimator asked for.
        candidates: What was weighed, in a fixed order.
        extra: What each adds to the cost of a step.
    """

    site: Site
    asked: Estimator
    candidates: list[Candidate]
    extra: dict[Estimator, Cost]

    def candidate(self, estimator: Estimator) -> Candidate:
        """The candidate of an estimator."""
        return next(c for c in self.candidates if c.estimator == estimator)


@dataclass
class Scales:
    """Weighs the candidates of the draws of one entry point.

    Attributes:
        graph: The entry point.
        ops: The op set of its nodes.
        training: Whether it is differentiated.
        target: What is compiled for, as text.
        correlation: That of the noise in the gradients of two examples that share a draw.
        weigh_all: Whether to judge `deterministic` too where nobody asks for it.
    """

    graph: Graph
    ops: OpSet
    training: bool
    target: str
    correlation: float
    weigh_all: bool = False
    _memo: dict[tuple[object, ...], Cost] = field(default_factory=dict)

    @cached_property
    def base(self) -> Cost:
        """What a step takes with shared draws."""
        return step_cost(self.graph, differentiated=self.training)

    @cached_property
    def sites(self) -> list[Site]:
        """The draws, but for those that each example has of its own anyway."""
        facts = facts_of_entry(self.graph.name, self.graph)
        draws = [(body, node) for body in graphs_in(self.graph) for node in body.of("random.draw")]
        found = [Site(replace(facts, graph=body), node) for body, node in draws]
        return [site for site in found if not site.local]

    def weighed(self) -> list[Weighed]:
        """All draws with their candidates."""
        return [self._weighed(site, asked_of(site)) for site in self.sites]

    def _weighed(self, site: Site, asked: Estimator) -> Weighed:
        found = Weighed(site, asked, [], {})
        for estimator in _estimators(site, asked):
            # Integrating out is asked for and not chosen, and judging it takes as long as doing it.
            if estimator.name == "deterministic" and asked.name != "deterministic" and not self.weigh_all:
                continue
            judged = self._judge(site, estimator)
            found.extra[estimator] = ZERO if judged.impossible else self._extra(site, estimator, judged)
            whole = self.base + found.extra[estimator]
            found.candidates.append(
                Candidate(
                    estimator,
                    () if judged.allows(estimator) else judged.reasons,
                    not judged.impossible,
                    whole.flops,
                    whole.bytes,
                    whole.randoms,
                    seconds(whole, self.target),
                    variance(estimator, _examples(site), self.correlation) if self.training else 1.0,
                )
            )
        return found

    def merged(self, rows: Sequence[Weighed]) -> dict[tuple[str, str], Cost]:
        """What pairs of draws save if both are made as noise of one layer, of which only the sum is drawn."""
        exact = (row.site for row in rows if any(c.estimator == LOCAL and c.exact for c in row.candidates))
        # The noise of a matrix-normal weight goes through a contraction of its own first.
        uses = {site.uses.linear[0].node: site for site in exact if site.posterior.gaussian}
        found: dict[tuple[str, str], Cost] = {}
        noise: dict[Value, str] = {}
        for node in (node for body in graphs_in(self.graph) for node in body.nodes):
            site = uses.get(node)
            parts = [noise[v] for v in node.inputs if v in noise and v.type == node.results[0].type]
            parts += [site.name] if site is not None else []
            if node.op.name in ("math.add", "math.sub") and len(parts) == 2:
                one = self._noise(node.results[0].tensor)
                found[parts[0], parts[1]] = nodes_cost(one, differentiated=self.training, needs=self._trained) * -1.0
                noise[node.results[0]] = parts[0]
            elif site is not None:
                noise[node.results[0]] = site.name
        return found

    def _noise(self, result: TensorType) -> list[Node]:
        """The draw of a noise, with as many elements as a value has."""
        builder = GraphBuilder(self.ops, "scratch")
        zero, one = (builder.full(x, result.dims, result.dtype) for x in (0.0, 1.0))
        builder.add("random.draw", builder.add("dist.Normal", zero, one), site="noise", estimator="shared")
        return builder.nodes[-1:]

    def _judge(self, site: Site, estimator: Estimator) -> Verdict:
        if estimator.name == "deterministic" and not self._marked:
            return self._integrals[site.name]
        return judge(site, estimator, self.ops)

    @cached_property
    def _marked(self) -> bool:
        return any(asked_of(site).name == "deterministic" for site in self.sites)

    @cached_property
    def _integrals(self) -> dict[str, Verdict]:
        """Verdicts on integrating out, with as many draws together as can be."""
        impossible, _ = self._integrable(self.sites, approximate=True)
        inexact, _ = self._integrable([s for s in self.sites if s.name not in impossible], approximate=False)
        return {s.name: Verdict(impossible.get(s.name, ()), inexact.get(s.name, ())) for s in self.sites}

    def _integrable(
        self, sites: Sequence[Site], *, approximate: bool
    ) -> tuple[dict[str, tuple[Reason, ...]], Graph | None]:
        """Why draws cannot be integrated out together with the others, and the graph without those that can."""
        chosen = {site.draw: site for site in sites}
        refused: dict[str, tuple[Reason, ...]] = {}
        while chosen:
            integral, reasons = integrated(self.graph, dict.fromkeys(chosen, approximate), self.ops)
            against = {node: tuple(reasons[node]) for node in chosen if reasons.get(node)}
            if not against:
                return refused, integral
            refused.update((chosen.pop(node).name, why) for node, why in against.items())
        return refused, None

    @cached_property
    def _integral(self) -> Cost:
        """What a step takes with every draw integrated out that can be: they go together."""
        exact = [site for site in self.sites if self._judge(site, _DETERMINISTIC).exact]
        _, integral = self._integrable(exact, approximate=False)
        return self.base if integral is None else step_cost(integral, differentiated=self.training)

    def _extra(self, site: Site, estimator: Estimator, judged: Verdict) -> Cost:
        """What the rewrite adds to the cost of a step; negative where it saves."""
        if estimator.name == "shared":
            return ZERO
        if estimator.name == "deterministic":
            return self._integral + self.base * -1.0 if self.weigh_all and judged.exact else ZERO
        plan = plan_of(site, estimator)
        # With what reads them: XLA makes elementwise results where they are read, and writes those of contractions.
        old, readers = touched_by(site, plan), readers_of(site, plan)
        law = site.posterior.family, tuple(v.type for v in site.posterior.params.values())
        key = estimator, law, site.uses.terms != [], *(self._likeness(node) for node in (*old, *readers))
        if key not in self._memo:
            new = scratch_of(plan, old, readers, self.ops)
            before = nodes_cost([*old, *readers], differentiated=self.training, needs=self._trained)
            after = nodes_cost(new, differentiated=self.training, needs=self._trained)
            self._memo[key] = after + before * -1.0
        return self._memo[key]

    def _likeness(self, node: Node) -> tuple[object, ...]:
        """What the cost of a node depends on: the layers of a deep network are alike, and costed once."""
        attrs = tuple((name, attr_key(value)) for name, value in node.attrs.items())
        return node.op.name, attrs, tuple((v.type, v in self._trained) for v in node.inputs)

    @cached_property
    def _trained(self) -> frozenset[Value]:
        """The values that depend on parameters, bodies of regions included."""
        found: set[Value] = set()
        for body in graphs_in(self.graph):
            found.update(body.args)
            for node in body.nodes:
                if node.op.name == "model.param" or any(v in found for v in node.inputs):
                    found.update(node.results)
        return frozenset(found)


def asked_of(site: Site) -> Estimator:
    """The estimator that a draw asks for."""
    return Estimator.parse(site.draw.attrs.text("estimator"))


def judge(site: Site, estimator: Estimator, ops: OpSet, together: Iterable[Node] | None = None) -> Verdict:
    """Whether any estimator but `auto` is exact at a draw.

    Args:
        site: The draw.
        estimator: The estimator.
        ops: The op set of its nodes.
        together: The draws that are integrated out with it where it is `deterministic`; None for those marked so.
    """
    if estimator.name != "deterministic":
        return verdict(site, estimator)
    if site.local:
        return Verdict(impossible=(Reason("each element of a plate has its own draw", site.draw.span),))
    root, draw = site.facts.root, site.draw
    impossible = deterministic_reasons(root, draw, ops, together=together, approximate=True)
    inexact = () if impossible else deterministic_reasons(root, draw, ops, together=together)
    return Verdict(impossible, inexact)


def _estimators(site: Site, asked: Estimator) -> list[Estimator]:
    found = [SHARED]
    count = _examples(site)
    groups = [g for g in (GROUPS,) if g < count and count % g == 0]
    # Where pre-activations can be drawn, a weight for each example is the same law at a higher price.
    groups += [count] if count > 1 and not verdict(site, LOCAL).exact else []
    found += [Estimator("grouped", groups=g) for g in groups]
    found += [Estimator("flipout"), LOCAL, _DETERMINISTIC]
    plain = replace(asked, approximate=False) if asked.name != "grouped" else asked
    if asked.approximate:
        found[found.index(plain)] = asked
    elif asked not in (AUTO, *found):
        found.insert(1, asked)
    return found


def _examples(site: Site) -> int:
    return prod(d.size if isinstance(d.size, int) else SYMBOLIC for d in site.examples)


def correlation_of(module: Module) -> float:
    """The correlation of the noise in the gradients of two examples that share a draw, as far as it is known.

    Args:
        module: It holds entry points, as derived.
    """
    bodies = graphs_in(module.functions["log_likelihood"]) if "log_likelihood" in module.functions else ()
    laws = [distribution(node.inputs[0].type) for body in bodies for node in body.of("prob.log_prob")]
    discrete = bool(laws) and not any(law.dtype.is_float for law in laws)
    return CORRELATION["discrete" if discrete else "continuous"]


def variance(estimator: Estimator, examples: int, correlation: float) -> float:
    """The predicted variance of the noise that a draw adds to a gradient, one shared draw having 1.

    The gradient is a mean over B examples whose parts have one variance, and the correlation c where two of them share
    a draw: `(1 + (B p - 1) c) / B` of it is left if a share p of the pairs does.

    Args:
        estimator: How the draw is made.
        examples: The number of examples it meets in a step.
        correlation: c, see `correlation_of`.
    """
    if estimator.name == "deterministic":
        return 0.0
    count = max(examples, 1)
    sharing = {"shared": 1.0, "grouped": 1.0 / max(estimator.groups, 1)}.get(estimator.name, 1.0 / count)
    left = (1.0 + (count * sharing - 1.0) * correlation) / one_draw(count, correlation)
    return min(1.0, left * _FLIPOUT_FACTOR) if estimator.name == "flipout" else left


def one_draw(examples: int, correlation: float) -> float:
    """The variance of a gradient with one shared draw, where independent draws for each example have 1."""
    return 1.0 + (max(examples, 1) - 1.0) * correlation
