"""The pass `canonicalize`: local algebra that is exact, constants to the right, one spelling for shape changes.

Exact means: equal for every number, infinities and NaN included, but for the sign of a zero; so `exp(log(x))` stays
(its domain is smaller than x's), and so does `0 * x`. Invariant: a second run changes nothing. May import: floors 0-1,
the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.rewrite import map_functions
from bl_compiler.passes.algebra_rules import ALGEBRA_RULES
from bl_compiler.passes.base import Pass, PassContext
from bl_compiler.passes.engine import RuleSet, apply_rules
from bl_compiler.passes.region_rules import REGION_RULES
from bl_compiler.passes.shape_rules import SHAPE_RULES

CANONICALIZE_RULES = RuleSet((*ALGEBRA_RULES, *SHAPE_RULES, *REGION_RULES))


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Apply the local rules to every function and region."""

    name: ClassVar[str] = "canonicalize"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module in canonical form."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return apply_rules(graph, CANONICALIZE_RULES, ctx.ops, ctx.journal)

        return map_functions(module, change)
