"""The pass `choose-estimators`: marks every draw with the estimator that the rewrites after it carry out.

Invariant: afterwards no draw of `train`, `predict` or `log_likelihood` says `auto`. May import: floors 0-1, `base`,
`choice`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions
from bl_compiler.ir.walk import with_attrs
from bl_compiler.passes.base import Fact, Pass, PassContext
from bl_compiler.passes.estimators.choice import ENTRIES, Options, entry_decisions

_RULE = "choose-estimators"


@dataclass(frozen=True)
class ChooseEstimators(Pass):
    """Choose among the exact estimators of each draw, for each entry point (see `choice`)."""

    name: ClassVar[str] = _RULE
    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module with its draws marked."""
        options = Options(ctx.estimators, ctx.target)

        def change(name: str, graph: Graph) -> Graph:
            if name not in ENTRIES:
                return graph
            ctx.journal.function = name
            chosen = {d.site: d for d in entry_decisions(module, name, ctx.ops, options)}
            marks = {site: str(d.chosen) for site, d in chosen.items()}
            for node in graph.of("random.draw"):
                if node.site in chosen:
                    ctx.journal.fired(_RULE, node, f"{chosen[node.site].chosen}: {chosen[node.site].why}")
            return _marked(graph, marks, ctx)

        return map_functions(module, change)


def _marked(graph: Graph, marks: dict[str, str], ctx: PassContext) -> Graph:
    rewriter = Rewriter(ctx.ops, graph, made_by=_RULE)
    for node in graph.nodes:
        if node.op.name == "random.draw" and node.site is not None:
            mark = marks.get(node.site, "shared")
            same = node.attrs["estimator"] == mark
            rewriter.keep(node if same else with_attrs(node, node.attrs.with_(estimator=mark)))
        else:
            rewriter.keep(map_regions(node, lambda body: _marked(body, marks, ctx)))
    return rewriter.finish()
