"""The pass `dce`: what nothing depends on goes.

In the function `model` every node with an effect stays: the objective and the entry points are made of them. Elsewhere
a draw is a value like any other, since streams derive from sites and leaving one out changes no other; parameters that
are not read go, inputs stay, for they are the interface. Invariant: what stays is unchanged but for operands, arguments
and results of region ops that only the rest needed. May import: floors 0-1, `base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.liveness import Liveness, liveness
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.regions import layout, narrowed
from bl_compiler.ir.rewrite import map_functions, rebuilt
from bl_compiler.passes.base import Pass, PassContext

_RULE = "dce"
_INTERFACE = ("model.input", "model.sample")


@dataclass(frozen=True)
class Dce(Pass):
    """Remove unused nodes, unused results of region ops, and what regions capture in vain."""

    name: ClassVar[str] = "dce"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module without what is unused."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            root = _root_of_model if name == "model" else _root_of_entry
            return _pruned(graph, liveness(graph, root), ctx)

        return map_functions(module, change)


def _root_of_model(node: Node) -> bool:
    return node.op.effect is not Effect.PURE


def _root_of_entry(node: Node) -> bool:
    return node.op.effect in (Effect.OBSERVES, Effect.UPDATES) or node.op.name in _INTERFACE


def _pruned(graph: Graph, live: Liveness, ctx: PassContext) -> Graph:
    nodes: list[Node] = []
    ctx.journal.attempted(_RULE, len(graph.nodes))
    for node in graph.nodes:
        if node in live.nodes:
            nodes.append(_narrow(node, live.regions[node], ctx) if node in live.regions else node)
        else:
            ctx.journal.fired(_RULE, node)
    return rebuilt(graph, nodes, graph.outputs)


def _narrow(node: Node, live: Liveness, ctx: PassContext) -> Node:
    """A region op with what is live of its body."""
    parts = layout(node)
    assert parts is not None
    body = parts.body
    outputs = sorted(live.outputs)
    args = [i for i, arg in enumerate(body.args) if arg in live.values or (i < parts.carries and i in live.outputs)]
    inner = _pruned(body, live, ctx)
    if len(outputs) == len(body.outputs) and len(args) == len(body.args):
        return node if inner is body else narrowed(node, inner, outputs, args)
    cut = Graph(body.name, inner.nodes, tuple(body.outputs[i] for i in outputs), tuple(body.args[i] for i in args))
    ctx.journal.fired(_RULE, node, "results or captured values that nothing needs")
    return narrowed(node, cut, set(outputs), set(args))
