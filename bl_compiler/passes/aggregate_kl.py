"""The pass `aggregate-kl`: the divergences of the entry `train` as few sums over cheap terms, with constants merged.

* A divergence between Gaussians whose prior has a constant scale needs one constant factor and one constant less per
  element, whatever that scale is (`aggregate_kl_forms`).
* Log priors of trained points under one constant prior share one factor outside their sums, and their normalizers
  become one constant of the whole objective.
* All terms of one scale are added before they are scaled, so that on a mesh the objective is one reduction of scalars.

Terms are never stacked or added element by element: concatenation doubles the memory traffic, and both move data where
arrays are sharded differently; XLA joins the scalar reductions by itself. Monte Carlo terms keep their form. That every
site is counted once is the ledger's to check, where sites have names. Invariant: the value of every output stays up to
rounding, other outputs are untouched, a second run changes nothing. May import: floors 0-1, `base`, `engine`, the parts
of this pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Output, Value
from bl_compiler.ir.regions import layout
from bl_compiler.ir.rewrite import Rewriter, rebuilt
from bl_compiler.ir.walk import is_pure
from bl_compiler.passes.aggregate_kl_forms import DIVERGENCE_RULES, PRIOR_SUM, PriorSum, prior_sum
from bl_compiler.passes.aggregate_kl_linear import Term, linear_terms
from bl_compiler.passes.base import Pass, PassContext
from bl_compiler.passes.engine import apply_rules
from bl_compiler.passes.plates_scale import Scale, scaled

_ENTRY, _OUTPUT = "train", "kl"
_MEAN = "math.mean"


@dataclass(frozen=True)
class AggregateKl(Pass):
    """Merge the constants of divergences and log priors, and add up terms before they are scaled."""

    name: ClassVar[str] = "aggregate-kl"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module with another sum behind the output `kl` of `train`."""
        graph = module.functions.get(_ENTRY)
        roots = [o.value for o in graph.outputs if o.name == _OUTPUT] if graph is not None else []
        if graph is None or not roots:
            return module
        ctx.journal.function = _ENTRY
        after = apply_rules(graph, DIVERGENCE_RULES, ctx.ops, ctx.journal)
        after = _aggregated(after, [o.value for o in after.outputs if o.name == _OUTPUT], ctx)
        if after is graph:
            return module
        return module.with_functions({**module.functions, _ENTRY: _without_unused(after, graph)})


@dataclass(slots=True)
class _Plan:
    """What changes in one graph.

    Attributes:
        terms: the terms of each root that is written anew.
        sums: the sums of log priors that get another form.
        bodies: for a region, which of its outputs belong to the objective.
    """

    terms: dict[Value, list[Term]] = field(default_factory=dict)
    sums: dict[Value, PriorSum] = field(default_factory=dict)
    bodies: dict[Node, list[int]] = field(default_factory=dict)


def _aggregated(graph: Graph, roots: Sequence[Value], ctx: PassContext) -> Graph:
    """The graph with the sums behind `roots` written anew where constants can leave them."""
    plan = _planned(graph, roots, ctx)
    rewriter = Rewriter(ctx.ops, graph, made_by=AggregateKl.name)
    made: dict[Value, Value] = {}
    for node in graph.nodes:
        if node in plan.bodies:
            body = node.attrs.graph("body")
            inner = _aggregated(body, [body.outputs[i].value for i in plan.bodies[node]], ctx)
            if inner is not body:
                rewriter.keep_with(node, node.attrs.with_(body=_without_unused(inner, body)))
                continue
        rewriter.keep(node)
        for value in node.results:
            if value in plan.sums:
                with rewriter.builder.at(span=node.span, scope=node.scope):
                    rewriter.builder.made_by = (*node.made_by, AggregateKl.name)
                    made[value] = plan.sums[value].emit(rewriter.builder)
            if value in plan.terms:
                _replace_root(rewriter, node, plan, made)
    return rewriter.finish()


def _planned(graph: Graph, roots: Sequence[Value], ctx: PassContext) -> _Plan:
    plan = _Plan()
    for root in roots:
        terms = linear_terms(graph, root)
        found = {t.value: s for t in terms if (s := prior_sum(graph, t.value, ctx.journal)) is not None}
        if found:
            plan.terms[root] = terms
            plan.sums.update(found)
            for value in found:
                ctx.journal.fired(PRIOR_SUM, graph.producers[value])
        for term in terms:
            _enter_region(graph, term.value, plan)
    return plan


def _enter_region(graph: Graph, value: Value, plan: _Plan) -> None:
    """Note the output of a region of repeated draws that a term averages."""
    mean = graph.producers.get(value)
    if mean is None or mean.op.name != _MEAN:
        return
    region = graph.producers.get(mean.inputs[0])
    if region is not None and region.op.name == "region.draws" and layout(region) is not None:
        plan.bodies.setdefault(region, []).append(region.results.index(mean.inputs[0]))


def _replace_root(rewriter: Rewriter, node: Node, plan: _Plan, made: dict[Value, Value]) -> None:
    """Put the new sum in the place of a root, whose node has just been kept."""
    rewriter.builder.nodes.pop()

    def make(builder: GraphBuilder) -> list[Value]:
        return [_sum(builder, plan.terms[value], plan.sums, made) for value in node.results]

    rewriter.replace(node, make)


def _sum(b: GraphBuilder, terms: Sequence[Term], sums: dict[Value, PriorSum], made: dict[Value, Value]) -> Value:
    """The sum of terms: those of one factor together, then those of one scale, then everything and one constant."""
    factored: dict[tuple[Scale, float], list[tuple[int, Value]]] = {}
    scales: dict[Scale, list[tuple[int, Value]]] = {}
    constants: dict[Scale, float] = {}
    for term in terms:
        scales.setdefault(term.scale, [])
        if term.value in sums:
            form = sums[term.value]
            sign = term.sign if form.factor > 0 else -term.sign
            factored.setdefault((term.scale, abs(form.factor)), []).append((sign, made[term.value]))
            constants[term.scale] = constants.get(term.scale, 0.0) + term.sign * form.constant
        else:
            scales[term.scale].append((term.sign, term.value))
    for (scale, factor), group in factored.items():
        total = _signed(b, group)
        scales[scale].append((1, total if factor == 1 else b.binary("mul", total, factor)))
    found: list[tuple[int, Value]] = []
    constant = 0.0
    for scale, group in scales.items():
        total = _signed(b, group)
        if scale.times or scale.over:
            total = _plus(b, total, constants.get(scale, 0.0))
        else:
            constant += constants.get(scale, 0.0) * float(scale.ratio)
        found.append((1, scaled(b, total, scale)))
    return _plus(b, _signed(b, found), constant)


def _signed(b: GraphBuilder, terms: Sequence[tuple[int, Value]]) -> Value:
    """The sum of terms with signs; positive ones first."""
    first, *rest = sorted(terms, key=lambda term: -term[0])
    total = first[1] if first[0] > 0 else b.unary("neg", first[1])
    for sign, value in rest:
        total = b.binary("add" if sign > 0 else "sub", total, value)
    return total


def _plus(b: GraphBuilder, x: Value, constant: float) -> Value:
    return x if constant == 0 else b.binary("add", x, constant)


def _without_unused(graph: Graph, before: Graph) -> Graph:
    """The graph without the pure nodes that the rewriting left without a use; what had none before stays."""
    idle = set(before.producers) - _used(before.nodes, before.outputs)
    needed = {o.value for o in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        unused = needed.isdisjoint(node.results) and idle.isdisjoint(node.results)
        if unused and is_pure(node):
            continue
        needed.update(node.inputs)
        kept.append(node)
    return rebuilt(graph, kept[::-1], graph.outputs)


def _used(nodes: Sequence[Node], outputs: Sequence[Output]) -> set[Value]:
    return {v for node in nodes for v in node.inputs} | {o.value for o in outputs}
