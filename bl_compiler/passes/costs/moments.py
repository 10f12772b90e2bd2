"""Moments of nonlinear functions. The figures are those that XLA counts for the JAX backend's formulas.

Invariant: every `moment.*` op has a rule. May import: floors 0-1, `cost`, `work`.
"""

from __future__ import annotations

from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable
from bl_compiler.passes.costs.cost import Cost
from bl_compiler.passes.costs.work import Counting, Role, Rule, Work

MOMENT_COSTS: RuleTable[Rule] = RuleTable("COSTS, moments")


@MOMENT_COSTS.rule("moment.relu_covariance")
def _relu_covariance(node: Node, counting: Counting) -> Work:
    """Twelve nodes of a quadrature; the gradients share what they take, so each counts a fifth."""
    count = counting.elements(node.result.type)
    forward = Cost(flops=157 * count, transcendentals=42 * count)
    each = Cost(flops=53 * count, transcendentals=4 * count)
    return Work(Role.POINTWISE, forward, (each,) * len(node.inputs))
