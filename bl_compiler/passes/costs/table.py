"""The table of all ops: what each takes, declarations and regions included.

Invariant: no op of the core set is missing. May import: floors 0-1, the rest of the package but `traffic` and `totals`.
"""

from __future__ import annotations

from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.elementwise import MATH_COSTS, Each
from bl_compiler.passes.costs.families import DIST_COSTS
from bl_compiler.passes.costs.moments import MOMENT_COSTS
from bl_compiler.passes.costs.tensors import TENSOR_COSTS
from bl_compiler.passes.costs.work import Counting, Role, Rule, Work

_MODEL_COSTS: RuleTable[Rule] = RuleTable("COSTS, model")

_CONSTRAIN = {"positive": Each(6, 2, 6, 1), "simplex": Each(4, 1, 6), "lower_cholesky": Each(9, 2, 8, 1)}
_BOUNDED = Each(3, 1, 3)


@_MODEL_COSTS.rule("model.input", "model.param", "model.state", "model.plate_size", "model.step")
def _declared(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW)


@_MODEL_COSTS.rule("model.sample", "model.point", "model.noise", "model.observe", "model.predict", "model.update")
def _declaration(node: Node, counting: Counting) -> Work:
    """Of the function `model`, which is never evaluated: entry points are derived from it."""
    return Work(Role.VIEW, ZERO, (ZERO,) * len(node.inputs), linear=True)


@_MODEL_COSTS.rule("model.phase")
def _phase(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW, ZERO, (ZERO,) * len(node.inputs), linear=True)


@_MODEL_COSTS.rule("param.constrain", "param.unconstrain")
def _constrain(node: Node, counting: Counting) -> Work:
    each, count = _CONSTRAIN.get(node.attrs.text("constraint"), _BOUNDED), counting.elements(node.result.type)
    if node.attrs.text("constraint") == "real":
        return Work(Role.VIEW, ZERO, (ZERO,), linear=True)
    return Work(Role.POINTWISE, each.forward(count), (each.backward(count),))


@_MODEL_COSTS.rule("param.initialize")
def _initialize(node: Node, counting: Counting) -> Work:
    init, count = node.attrs["init"], counting.elements(node.result.type)
    assert isinstance(init, tuple)
    drawn = 0 if init[0] in ("constant", "identity") else count
    return Work(Role.POINTWISE, Cost(flops=4 * drawn, transcendentals=2 * drawn, randoms=drawn))


@_MODEL_COSTS.rule("region.draws")
def _draws(node: Node, counting: Counting) -> Work:
    return Work(Role.REGION, times=node.attrs.integer("count"), backward=(ZERO,) * len(node.inputs))


@_MODEL_COSTS.rule("region.repeat")
def _repeat(node: Node, counting: Counting) -> Work:
    return Work(Role.REGION, times=node.attrs.integer("count"), backward=(ZERO,) * len(node.inputs))


@_MODEL_COSTS.rule("region.scan")
def _scan(node: Node, counting: Counting) -> Work:
    return Work(Role.REGION, times=node.attrs.integer("length"), backward=(ZERO,) * len(node.inputs))


COSTS: RuleTable[Rule] = RuleTable("COSTS", MATH_COSTS, TENSOR_COSTS, DIST_COSTS, MOMENT_COSTS, _MODEL_COSTS)
"""The work of a node, by op."""
