"""The pass `moments`: draws that are estimated deterministically are integrated out in closed form.

Values downstream of such a draw are replaced by their means, their variances are worked out where a likelihood or an
activation needs them, and expected log densities take the place of log densities (Wu et al. 2019). What cannot be
integrated stays a draw, which is exact as well; the journal says why.

| entry | output | becomes |
|---|---|---|
| `train` | `loss`, `nll`, `kl` | its expectation |
| `predict` | `mean:SITE`, `value:KEY` | its expectation |
| `predict` | `variance:SITE` | the predictive variance: that expected, and that of the mean |

The other entry points ask for draws: `log_likelihood`, too, tells the density of the data under each draw.
An output `value:KEY` gets a companion `variance:KEY`, as draws no longer tell how uncertain it is.
Invariant: outputs that were there keep names and types; without marked draws a graph stays the same object.
May import: floors 0-1, `base`, `decisions`, `analysis`, `laws`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Graph, Module, Node, Output, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.rewrite import map_functions
from bl_compiler.ir.walk import backward_slice, walk
from bl_compiler.passes.base import Fact, Pass, PassContext
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.moments.analysis import ENTRIES, Analysis, check_outputs
from bl_compiler.passes.moments.laws import RULE, Emitter, TooLargeError


@dataclass(frozen=True)
class Moments(Pass):
    """Integrate out the draws marked `deterministic`."""

    name: ClassVar[str] = "moments"
    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module with moments in the place of draws."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return _without_draws(graph, ctx) if name in ENTRIES else graph

        return map_functions(module, change)


def estimator_of(node: Node) -> Estimator:
    """The estimator that a draw carries."""
    return Estimator.parse(node.attrs.text("estimator"))


def marked(graph: Graph) -> dict[Node, bool]:
    """The draws marked `deterministic`, those of regions included; for each, whether approximations are accepted."""
    found = [(node, estimator_of(node)) for node in walk(graph) if node.op.name == "random.draw"]
    return {node: asked.approximate for node, asked in found if asked.name == "deterministic"}


def _without_draws(graph: Graph, ctx: PassContext) -> Graph:
    chosen = marked(graph)
    ctx.journal.attempted(RULE, len(chosen))
    while chosen:
        changed, reasons = integrated(graph, chosen, ctx.ops)
        if changed is not None:
            for node in chosen:
                ctx.journal.fired(RULE, node)
            return changed
        # The first goes; those after it may be exact given a draw of it.
        first = next(node for node in chosen if reasons.get(node))
        del chosen[first]
        ctx.journal.refused(RULE, reasons[first][0].text, first)
    return graph


def integrated(graph: Graph, chosen: Mapping[Node, bool], ops: OpSet) -> tuple[Graph | None, dict[Node, list[Reason]]]:
    """The graph without some draws, or why that is impossible.

    Args:
        graph: an entry point.
        chosen: the draws to integrate out together; for each, whether approximations are accepted.
        ops: the ops that new nodes use.
    """
    reasons: dict[Node, list[Reason]] = {}
    found = Analysis(graph.name, graph, chosen, reasons)
    check_outputs(found)
    if any(reasons.values()):
        return None, reasons
    try:
        return _emitted(found, ops), reasons
    except TooLargeError as fault:
        found.blame(fault.law.node, fault.law.sources, str(fault))
        return None, reasons


def deterministic_reasons(
    graph: Graph,
    node: Node,
    ops: OpSet,
    *,
    together: Iterable[Node] | None = None,
    approximate: bool = False,
) -> tuple[Reason, ...]:
    """Why a draw cannot be integrated out exactly; nothing if it can.

    Args:
        graph: the entry point it stands in.
        node: the draw, in the graph or in a region of it.
        ops: the ops of the graph.
        together: the draws that are integrated out with it, by default those marked; all others count as known there.
        approximate: whether values that are not Gaussian may be taken for Gaussian.
    """
    if graph.name not in ENTRIES:
        return (Reason(f"`{graph.name}` asks for the draws themselves", node.span),)
    others = marked(graph) if together is None else {each: estimator_of(each).approximate for each in together}
    chosen = {**dict.fromkeys(others, True), node: approximate}
    _, reasons = integrated(graph, chosen, ops)
    return tuple(reasons.get(node, ()))


def _emitted(found: Analysis, ops: OpSet) -> Graph:
    """The graph with means in place of values that depend on the chosen draws."""
    graph, em = found.graph, Emitter(ops, found.graph, found.laws)
    for node in graph.nodes:
        law = found.laws.get(node.results[0]) if node.results else None
        if node in found.bodies:
            body = _emitted(found.bodies[node], ops)
            em.keep_with(node, node.attrs.with_(body=body))
        elif law is not None and law.mean is not None:
            em.replace(node, partial(_mean, em=em, make=law.mean))
        else:
            em.keep(node)
    whole = em.finish(_outputs(found, em))
    return whole.replace(nodes=backward_slice(whole, (o.value for o in whole.outputs)))


def _mean(_: GraphBuilder, em: Emitter, make: Callable[[Emitter], Value]) -> Sequence[Value]:
    return [make(em)]


def _outputs(found: Analysis, em: Emitter) -> list[Output]:
    """The outputs, where predictive variances take in the variance of what they are a prediction of."""
    outputs = {o.name: o.value for o in found.graph.outputs}
    made = dict(outputs)
    for name, value in outputs.items():
        kind, _, key = name.partition(":")
        if found.entry != "predict" or value not in found.laws or kind not in ("mean", "value"):
            continue
        if kind == "value" and f"variance:{key}" in outputs:
            continue
        variance = em.second(value)
        if kind == "mean" and f"variance:{key}" in outputs:
            known = em.value(outputs[f"variance:{key}"])
            variance = em.builder.binary("add", known, variance)
        made[f"variance:{key}"] = variance
    return [Output(name, em.value(value)) for name, value in made.items()]
