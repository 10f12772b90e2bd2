"""Carries out the rewrites of marked draws: `local-reparameterize`, `flipout`, `group-draws`.

A pass looks at the draws that `choose-estimators` marked for it, in every entry point and in bodies of repeated draws,
asks once more whether the estimator may be used there, and carries out its plan. Draws whose plans touch the same nodes
are rewritten together or take turns, with the facts worked out anew in between. Invariant: a draw that cannot be
rewritten stays one shared draw, which is always exact. May import: floors 0-1, `base`, the rest of this package but
`choice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions
from bl_compiler.ir.walk import graphs_in, regions_of, walk
from bl_compiler.passes.base import Fact, Pass, PassContext
from bl_compiler.passes.estimators import flipout, group_draws, local_reparameterize
from bl_compiler.passes.estimators.legality import Site, verdict
from bl_compiler.passes.estimators.plan import Get, Make, Plan, as_shared
from bl_compiler.passes.estimators.plates import Plates, analyze

EXPECTATIONS: dict[str, tuple[str, ...]] = {"train": ("loss", "nll", "kl")}
"""For each entry point the outputs of which only the expectation matters."""


def facts_of_entry(name: str, graph: Graph) -> Plates:
    """The plate analysis of an entry point."""
    wanted = EXPECTATIONS.get(name, ())
    # The terms of the loss are told apart where it is explained; the loss stays the same.
    return analyze(graph, [o.name for o in graph.outputs if o.name in wanted or (wanted and _is_term(o.name))])


def _is_term(output: str) -> bool:
    return output == "bound" or output.startswith("term:")


def plan_of(site: Site, estimator: Estimator) -> Plan:
    """The rewrite to a sampling estimator that may be used at the site."""
    match estimator.name:
        case "local_reparameterization":
            return local_reparameterize.plan(site)
        case "flipout":
            return flipout.plan(site)
        case "grouped":
            return group_draws.plan([site], estimator.groups)
        case name:
            raise ValueError(f"no plan for `{name}`")


def touched_by(site: Site, plan: Plan) -> list[Node]:
    """The nodes that a plan takes out of the graph, in program order."""
    return sorted(plan.nodes, key=site.facts.graph.positions.__getitem__)


def readers_of(site: Site, plan: Plan) -> list[Node]:
    """The nodes that read what a plan replaces, and that it leaves as they are."""
    graph = site.facts.graph
    users = {user for node in plan.replaced for user in graph.users.get(node.results[0], ())}
    return sorted((u for u in users - plan.nodes if not regions_of(u)), key=graph.positions.__getitem__)


def scratch_of(plan: Plan, touched: list[Node], readers: list[Node], ops: OpSet) -> list[Node]:
    """The nodes that a plan puts in the place of those it takes out, and those that read them."""
    builder = GraphBuilder(ops, "scratch")
    made: dict[Value, Value] = {}
    for node in touched:
        if node not in plan.dropped:
            made[node.results[0]] = plan.replaced[node](builder, lambda value: value)
    for node in readers:
        builder.emit(node.op.name, [made.get(v, v) for v in node.inputs], {**node.attrs}, site=node.site)
    return builder.nodes


def _carried_out(graph: Graph, name: str, estimator: str, rule: str, ctx: PassContext) -> Graph:
    while any(_asks(node, estimator) for node in walk(graph)):
        graph = _rewritten(graph, _plans(facts_of_entry(name, graph), estimator, rule, ctx), rule, ctx)
    return graph


def _asks(node: Node, estimator: str) -> bool:
    return node.op.name == "random.draw" and Estimator.parse(node.attrs.text("estimator")).name == estimator


def _plans(facts: Plates, estimator: str, rule: str, ctx: PassContext) -> dict[Node, Plan]:
    """For each node that changes the plan it changes in; plans that meet wait for the next round."""
    found: dict[Node, Plan] = {}
    for graph in graphs_in(facts.graph):
        here = replace(facts, graph=graph)
        for node in filter(lambda n: _asks(n, estimator), graph.nodes):
            asked = Estimator.parse(node.attrs.text("estimator"))
            site = Site(here, node)
            judged = verdict(site, asked)
            if judged.allows(asked):
                plan = plan_of(site, asked)
            else:
                ctx.journal.refused(rule, "; ".join(reason.text for reason in judged.reasons), node)
                plan = Plan({node: partial(as_shared, draw=node)})
            meeting = {id(found[each]): found[each] for each in plan.nodes & found.keys()}
            together = plan.with_those_of(meeting.values()) if meeting else plan
            if together is None:
                continue
            if meeting:
                found = {each: other for each, other in found.items() if id(other) not in meeting}
            found.update((each, together) for each in together.nodes)
            ctx.journal.fired(rule, node)
    return found


def _made(b: GraphBuilder, make: Make, get: Get) -> Sequence[Value]:
    return [make(b, get)]


def _rewritten(graph: Graph, plans: dict[Node, Plan], rule: str, ctx: PassContext) -> Graph:
    rewriter = Rewriter(ctx.ops, graph, made_by=rule)
    for node in graph.nodes:
        plan = plans.get(node)
        if plan is None:
            rewriter.keep(map_regions(node, lambda body: _rewritten(body, plans, rule, ctx)))
        elif node in plan.dropped:
            rewriter.drop(node)
        else:
            rewriter.replace(node, partial(_made, make=plan.replaced[node], get=rewriter.value))
    return rewriter.finish()


@dataclass(frozen=True)
class _Rewrite(Pass):
    """Rewrites the draws marked with one estimator."""

    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})
    estimator: ClassVar[str]

    def run(self, module: Module, ctx: PassContext) -> Module:
        """See the class."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return self.finish(_carried_out(graph, name, self.estimator, self.name, ctx), ctx)

        return map_functions(module, change)

    def finish(self, graph: Graph, ctx: PassContext) -> Graph:
        """What follows the rewrites of a graph."""
        return graph


@dataclass(frozen=True)
class LocalReparameterize(_Rewrite):
    """Draws pre-activations in the place of weights, and sums of noise as one noise."""

    name: ClassVar[str] = local_reparameterize.RULE
    estimator: ClassVar[str] = "local_reparameterization"

    def finish(self, graph: Graph, ctx: PassContext) -> Graph:
        """Merge noise that is added to noise."""
        merged = graph
        regions = [map_regions(node, lambda body: self.finish(body, ctx)) for node in graph.nodes]
        if any(a is not b for a, b in zip(regions, graph.nodes, strict=True)):
            merged = graph.replace(nodes=regions)
        return local_reparameterize.merge_noise(merged, ctx.ops)


@dataclass(frozen=True)
class Flipout(_Rewrite):
    """Gives every example its own signs over one perturbation of the weight."""

    name: ClassVar[str] = flipout.RULE
    estimator: ClassVar[str] = "flipout"


@dataclass(frozen=True)
class GroupDraws(_Rewrite):
    """Gives each group of examples a draw of its own."""

    name: ClassVar[str] = group_draws.RULE
    estimator: ClassVar[str] = "grouped"
