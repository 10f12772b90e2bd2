"""Elementwise ops and reductions: operations per element, forward and for the gradient.

The figures are those of the formulas that the JAX backend emits; XLA counts a transcendental function as one
transcendental and no operation. Invariant: every `math.*` op has a rule. May import: floors 0-1, `cost`, `work`.
"""

from __future__ import annotations

from typing import NamedTuple

from bl_compiler.ir.graph import Node
from bl_compiler.ir.ops_math import ANY_UNARY, BINARY, COMPARE, FLOAT_BINARY, FLOAT_UNARY, LOGICAL
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import TensorType, Type
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.work import Counting, Role, Rule, Work

MATH_COSTS: RuleTable[Rule] = RuleTable("COSTS, math")


class Each(NamedTuple):
    """Work per element: of the value, and of the gradient of one operand."""

    flops: float
    transcendentals: float = 0.0
    back_flops: float = 0.0
    back_transcendentals: float = 0.0

    def forward(self, count: float) -> Cost:
        """Of `count` values."""
        return Cost(flops=self.flops * count, transcendentals=self.transcendentals * count)

    def backward(self, count: float) -> Cost:
        """Of `count` gradients."""
        return Cost(flops=self.back_flops * count, transcendentals=self.back_transcendentals * count)


UNARY: dict[str, Each] = {
    "exp": Each(0, 1, 1),
    "expm1": Each(0, 1, 2),
    "log": Each(0, 1, 1),
    "log1p": Each(0, 1, 2),
    "sqrt": Each(0, 1, 2),
    "rsqrt": Each(0, 1, 3),
    "sin": Each(0, 1, 1, 1),
    "cos": Each(0, 1, 2, 1),
    "tan": Each(0, 1, 3, 1),
    "arcsin": Each(5, 2, 3, 1),
    "arccos": Each(3, 2, 4, 1),
    "arctan": Each(0, 1, 3),
    "sinh": Each(10, 3, 2),
    "cosh": Each(3, 2, 9, 1),
    "tanh": Each(0, 1, 4),
    "sigmoid": Each(3, 1, 3),
    "log_sigmoid": Each(8, 2, 14, 1),
    "softplus": Each(6, 2, 6, 1),
    "erf": Each(0, 1, 4, 1),
    "lgamma": Each(52, 4, 101, 2),
    "digamma": Each(73, 3, 72, 11),
    "gelu": Each(8, 1, 16),
    "silu": Each(4, 1, 6),
    "elu": Each(3, 1, 8),
    "selu": Each(5, 1, 10),
    "neg": Each(1, 0, 1),
    "abs": Each(1, 0, 5),
    "sign": Each(1),
    "floor": Each(1),
    "ceil": Each(1),
    "round": Each(1),
    "square": Each(1, 0, 2),
    "relu": Each(1, 0, 2),
    "leaky_relu": Each(3, 0, 5),
}
BINARY_WORK: dict[str, tuple[Each, Each]] = {
    "add": (Each(1), Each(1)),
    "sub": (Each(1), Each(1, 0, 1)),
    "mul": (Each(1, 0, 1), Each(1, 0, 1)),
    "max": (Each(1, 0, 6), Each(1, 0, 6)),
    "min": (Each(1, 0, 6), Each(1, 0, 6)),
    "mod": (Each(8, 0, 8), Each(8, 0, 16)),
    "floor_div": (Each(13), Each(13)),
    "div": (Each(1, 0, 1), Each(1, 0, 5)),
    "pow": (Each(0, 1, 3, 1), Each(0, 1, 4, 1)),
    "arctan2": (Each(0, 1, 5), Each(0, 1, 6)),
}
"""Work of an op, with the gradient of its first and of its second operand."""

_FLAT = ("sign", "floor", "ceil", "round")
"""Unary ops whose gradient is zero."""


def _differentiable(type_: Type) -> bool:
    return isinstance(type_, TensorType) and type_.dtype.is_float


@MATH_COSTS.rule(*(f"math.{name}" for name in (*FLOAT_UNARY, *ANY_UNARY)), "math.leaky_relu")
def _unary(node: Node, counting: Counting) -> Work:
    name = node.op.name.removeprefix("math.")
    each, count = UNARY[name], counting.elements(node.result.type)
    gradient = None if name in _FLAT else each.backward(count)
    return Work(Role.POINTWISE, each.forward(count), (gradient,), linear=name == "neg")


@MATH_COSTS.rule(*(f"math.{name}" for name in (*BINARY, *FLOAT_BINARY)))
def _binary(node: Node, counting: Counting) -> Work:
    name = node.op.name.removeprefix("math.")
    count = counting.elements(node.result.type)
    back = tuple(
        each.backward(count) + _summed(value.type, count, counting)
        for each, value in zip(BINARY_WORK[name], node.inputs, strict=True)
    )
    linear = name in ("add", "sub")
    return Work(Role.POINTWISE, BINARY_WORK[name][0].forward(count), back, linear=linear)


def _summed(operand: Type, count: int, counting: Counting) -> Cost:
    """What the gradient of a broadcast operand takes: a sum over what it was broadcast to."""
    return Cost(flops=max(count - counting.elements(operand), 0))


@MATH_COSTS.rule(*(f"math.{name}" for name in (*COMPARE, *LOGICAL)), "math.not")
def _compare(node: Node, counting: Counting) -> Work:
    count = counting.elements(node.result.type)
    return Work(Role.POINTWISE, Cost(flops=count), (None,) * len(node.inputs))


@MATH_COSTS.rule("math.select")
def _select(node: Node, counting: Counting) -> Work:
    count = counting.elements(node.result.type)
    back = [Cost(flops=count) + _summed(value.type, count, counting) for value in node.inputs[1:]]
    return Work(Role.POINTWISE, Cost(flops=count), (None, *back))


@MATH_COSTS.rule("math.cast")
def _cast(node: Node, counting: Counting) -> Work:
    cost = Cost(flops=counting.elements(node.result.type))
    both = _differentiable(node.inputs[0].type) and _differentiable(node.result.type)
    return Work(Role.POINTWISE, cost, (cost if both else None,), linear=True)


@MATH_COSTS.rule("math.stop_gradient")
def _stopped(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW, ZERO, (None,))


REDUCTIONS: dict[str, Each] = {
    "sum": Each(1),
    "mean": Each(1),
    "prod": Each(1, 0, 13),
    "reduce_max": Each(1, 0, 5),
    "reduce_min": Each(1, 0, 5),
    "logsumexp": Each(3, 1, 1),
    "softmax": Each(4, 1, 6),
    "log_softmax": Each(4, 1, 3),
    "cumsum": Each(1, 0, 1),
}
"""Work per element of the operand."""


@MATH_COSTS.rule("math.sum", "math.mean", "math.prod", "math.reduce_max", "math.reduce_min", "math.logsumexp")
def _reduction(node: Node, counting: Counting) -> Work:
    name = node.op.name.removeprefix("math.")
    each, count = REDUCTIONS[name], counting.elements(node.inputs[0].type)
    # A mean divides its results, and a logsumexp takes their logarithms.
    results = counting.elements(node.result.type)
    last = {"mean": Cost(flops=results), "logsumexp": Cost(flops=results, transcendentals=results)}.get(name, ZERO)
    linear = name in ("sum", "mean")
    return Work(Role.REDUCTION, each.forward(count) + last, (each.backward(count),), linear=linear)


@MATH_COSTS.rule("math.softmax", "math.log_softmax", "math.cumsum")
def _along(node: Node, counting: Counting) -> Work:
    each = REDUCTIONS[node.op.name.removeprefix("math.")]
    count = counting.elements(node.result.type)
    return Work(Role.KERNEL, each.forward(count), (each.backward(count),))


@MATH_COSTS.rule("math.any", "math.all")
def _logical_reduction(node: Node, counting: Counting) -> Work:
    return Work(Role.REDUCTION, Cost(flops=counting.elements(node.inputs[0].type)), (None,))


@MATH_COSTS.rule("math.argmax", "math.argmin")
def _arg_reduction(node: Node, counting: Counting) -> Work:
    return Work(Role.REDUCTION, Cost(flops=9 * counting.elements(node.inputs[0].type)), (None,))
