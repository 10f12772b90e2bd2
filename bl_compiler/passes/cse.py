"""The pass `cse`: equal pure nodes are computed once.

Two nodes are equal if op, operands and attributes are; draws never are, nor is a region that holds a draw. Invariant:
the first of equal nodes stays, with its span, and takes in the histories of the others. May import: floors 0-1, `base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.attrs import attr_key
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions, merge_made_by, with_made_by
from bl_compiler.ir.walk import is_pure
from bl_compiler.passes.base import Pass, PassContext

_RULE = "cse"


@dataclass(frozen=True)
class Cse(Pass):
    """Merge equal pure nodes, in every function and region on its own."""

    name: ClassVar[str] = "cse"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module without duplicates."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return _merged(graph, ctx)

        return map_functions(module, change)


def _merged(graph: Graph, ctx: PassContext) -> Graph:
    rewriter = Rewriter(ctx.ops, graph, made_by=_RULE)
    nodes = rewriter.builder.nodes
    first: dict[object, int] = {}
    for node in graph.nodes:
        kept = rewriter.keep(map_regions(node, lambda region: _merged(region, ctx)))
        if not is_pure(kept):
            continue
        ctx.journal.attempted(_RULE)
        place = first.setdefault(_key(kept), len(nodes) - 1)
        if nodes[place] is kept:
            continue
        nodes.pop()
        earlier = nodes[place]
        nodes[place] = with_made_by(earlier, merge_made_by(earlier.made_by, kept.made_by, (_RULE,)))
        for old, new in zip(kept.results, earlier.results, strict=True):
            rewriter.substitute(old, new)
        ctx.journal.fired(_RULE, kept, f"equal to the node at {earlier.span}" if earlier.span.known else "")
    return rewriter.finish()


def _key(node: Node) -> object:
    attrs = tuple(
        (key, value.structure if isinstance(value, Graph) else attr_key(value)) for key, value in node.attrs.items()
    )
    return node.op.name, node.inputs, attrs
