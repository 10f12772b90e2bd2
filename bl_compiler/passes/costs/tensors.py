"""Constants, shape changes, indexing, contractions, convolutions, poolings and small linear algebra.

Invariant: a product is counted as a multiplication and an addition, and a convolution only where its window lies on
elements, not on padding or holes (as XLA counts). May import: floors 0-1, `cost`, `work`.
"""

from __future__ import annotations

from math import prod

from bl_compiler.ir.graph import Node
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import Dim
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.work import Counting, Role, Rule, Work

TENSOR_COSTS: RuleTable[Rule] = RuleTable("COSTS, tensor")


@TENSOR_COSTS.rule("tensor.const", "tensor.full", "tensor.iota")
def _constant(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW)


@TENSOR_COSTS.rule("tensor.reshape")
def _view(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW, ZERO, (ZERO,), linear=True)


@TENSOR_COSTS.rule("tensor.transpose", "tensor.reverse")
def _moved(node: Node, counting: Counting) -> Work:
    return Work(Role.POINTWISE, ZERO, (ZERO,), linear=True)


@TENSOR_COSTS.rule("tensor.broadcast")
def _broadcast(node: Node, counting: Counting) -> Work:
    gradient = Cost(flops=counting.elements(node.result.type) - counting.elements(node.inputs[0].type))
    return Work(Role.POINTWISE, ZERO, (gradient,), linear=True)


@TENSOR_COSTS.rule("tensor.concat")
def _concat(node: Node, counting: Counting) -> Work:
    return Work(Role.POINTWISE, ZERO, (ZERO,) * len(node.inputs), linear=True)


@TENSOR_COSTS.rule("tensor.slice", "tensor.pad")
def _cut(node: Node, counting: Counting) -> Work:
    return Work(Role.POINTWISE, ZERO, (ZERO,), linear=True, gathers=node.op.name == "tensor.slice")


@TENSOR_COSTS.rule("tensor.take", "tensor.take_along")
def _take(node: Node, counting: Counting) -> Work:
    # The gradient adds each element where it was taken from.
    gradient = Cost(flops=counting.elements(node.result.type))
    return Work(Role.POINTWISE, ZERO, (gradient, None), linear=True, gathers=True)


@TENSOR_COSTS.rule("tensor.one_hot")
def _one_hot(node: Node, counting: Counting) -> Work:
    return Work(Role.POINTWISE, Cost(flops=2 * counting.elements(node.result.type)), (None,))


@TENSOR_COSTS.rule("linear.einsum")
def _einsum(node: Node, counting: Counting) -> Work:
    """Operands are multiplied in order, what no later part needs being summed at once."""
    parts, right = parse_einsum(node.attrs.text("spec"))
    sizes: dict[str, int] = {}
    for part, value in zip(parts, node.inputs, strict=True):
        sizes.update(zip(part, map(counting.size, value.tensor.dims), strict=True))
    if len(parts) == 1:
        summed = len(set(parts[0])) > len(right)
        count = prod(sizes[letter] for letter in set(parts[0]))
        role = Role.REDUCTION if summed else Role.POINTWISE
        return Work(role, Cost(flops=count if summed else 0), (ZERO,), linear=True)
    flops, have = 0.0, set(parts[0])
    summed = False
    for i, part in enumerate(parts[1:], start=2):
        together = have | set(part)
        have = together & {*right, *"".join(parts[i:])}
        summed |= have != together
        flops += (2 if have != together else 1) * prod(sizes[letter] for letter in together)
    cost = Cost(flops=flops)
    return Work(Role.KERNEL if summed else Role.POINTWISE, cost, (cost,) * len(parts))


@TENSOR_COSTS.rule("linear.conv")
def _conv(node: Node, counting: Counting) -> Work:
    x, kernel = (value.tensor for value in node.inputs)
    padding, strides = node.attrs["padding"], node.attrs.integers("strides")
    assert isinstance(padding, tuple)
    hits = 1
    for axis, (low, _) in enumerate(padding):
        hits *= _hits(
            counting.size(x.dims[axis + 1]),
            counting.size(kernel.dims[axis]),
            counting.size(node.result.tensor.dims[axis + 1]),
            strides[axis],
            low,
            node.attrs.integers("lhs_dilation")[axis],
            node.attrs.integers("rhs_dilation")[axis],
        )
    products = counting.size(x.dims[0]) * hits * counting.count(*kernel.dims[-2:])
    flops, groups = 2 * products, node.attrs.integer("groups")
    if groups == 1:
        return Work(Role.KERNEL, Cost(flops=flops), (Cost(flops=flops),) * 2)
    # The gradient in the kernel is a convolution of all channels with all, of which the groups are a part; where every
    # channel is a group, XLA says so in its count.
    alone = Cost(flops=flops, naive=flops)
    every = Cost(flops=flops * (groups if counting.size(kernel.dims[-2]) == 1 else 1), naive=flops * groups)
    return Work(Role.KERNEL, alone, (alone, every))


def _hits(size: int, window: int, windows: int, stride: int, low: int, base_dilation: int, dilation: int) -> int:
    """How many pairs of a window and a position in it lie on an element along one axis."""
    found = 0
    for offset in range(window):
        places = range(offset * dilation - low, offset * dilation - low + windows * stride, stride)
        found += sum(0 <= at < size * base_dilation and at % base_dilation == 0 for at in places)
    return found


@TENSOR_COSTS.rule("nn.max_pool", "nn.avg_pool")
def _pool(node: Node, counting: Counting) -> Work:
    cost = Cost(flops=counting.elements(node.result.type) * prod(node.attrs.integers("window")))
    average = node.op.name == "nn.avg_pool"
    # The gradient of a maximum looks for it again.
    return Work(Role.KERNEL, cost, (cost if average else 2 * cost,), linear=average)


@TENSOR_COSTS.rule("linalg.cholesky")
def _cholesky(node: Node, counting: Counting) -> Work:
    *batch, n = node.result.tensor.dims
    cost, roots = _matrices(batch[:-1], n, 1 / 3, counting), counting.count(*batch)
    # Two triangular solves and a product of triangular matrices (Murray 2016, arXiv:1602.07527).
    return Work(Role.KERNEL, cost + Cost(transcendentals=roots), (_matrices(batch[:-1], n, 3, counting),))


@TENSOR_COSTS.rule("linalg.triangular_solve")
def _triangular_solve(node: Node, counting: Counting) -> Work:
    n = node.result.tensor.dims[-2]
    cost = Cost(flops=counting.elements(node.result.type) * counting.size(n))
    outer = Cost(flops=2 * counting.elements(node.result.type) * counting.size(n))
    # The gradient in b solves with the transpose, and that in a is the outer product of it with the solution.
    return Work(Role.KERNEL, cost, (cost + outer, cost))


def _matrices(batch: list[Dim], n: Dim, factor: float, counting: Counting) -> Cost:
    return Cost(flops=factor * counting.count(*batch) * counting.size(n) ** 3)
