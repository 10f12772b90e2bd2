"""Which values go through memory, and how many bytes that is.

The model of fusion: an elementwise value that a single elementwise node or reduction reads is computed where it is
read and never stored. What is stored is written once, and read once by each group of fused nodes that ends in another
stored value. Parameters, inputs and values from outside are stored. A contraction, a convolution or another kernel
reads its operands from memory.

Invariant: every node that is no view belongs to the group of at least one stored value, or is computed for nothing.
May import: floors 0-1, `cost`, `work`, `table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bl_compiler.ir.graph import Node, Value
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.table import COSTS
from bl_compiler.passes.costs.work import Counting, Role, Work

_FUSED = (Role.POINTWISE, Role.REDUCTION)


class Traffic:
    """The stored values of a sequence of nodes.

    Args:
        nodes: in program order.
        results: values that are read from outside, besides those that no node reads.
        counting: the sizes.
    """

    def __init__(self, nodes: Sequence[Node], results: Iterable[Value], counting: Counting) -> None:
        self._counting = counting
        self.nodes = tuple(nodes)
        self.work: Mapping[Node, Work] = {node: COSTS[node.op.name](node, counting) for node in nodes}
        self._producer = {value: node for node in nodes for value in node.results}
        self._bases = self._named()
        self._readers = self._read_by()
        kept = {base for value in results for base in self.bases(value)}
        self.stored: Mapping[Value, Node] = {
            value: node for node in nodes for value in node.results if self._is_stored(value, node, kept)
        }

    def bases(self, value: Value) -> tuple[Value, ...]:
        """The arrays behind a value that views name otherwise."""
        return self._bases.get(value, (value,))

    def _named(self) -> Mapping[Value, tuple[Value, ...]]:
        """What views name, by the values that they define."""
        found: dict[Value, tuple[Value, ...]] = {}
        for node in self.nodes:
            if self.work[node].role is Role.VIEW and node.inputs:
                bases = dict.fromkeys(base for value in node.inputs for base in found.get(value, (value,)))
                found.update((value, tuple(bases)) for value in node.results)
        return found

    def _read_by(self) -> Mapping[Value, tuple[Node, ...]]:
        readers: dict[Value, dict[Node, None]] = {}
        for node in self.nodes:
            if self.work[node].role is not Role.VIEW:
                for operand in node.inputs:
                    for base in self.bases(operand):
                        readers.setdefault(base, {})[node] = None
        return {value: tuple(nodes) for value, nodes in readers.items()}

    def _is_stored(self, value: Value, node: Node, kept: set[Value]) -> bool:
        role, readers = self.work[node].role, self._readers.get(value, ())
        if role is Role.VIEW:
            return False
        if role is not Role.POINTWISE or value in kept or len(readers) != 1:
            return True
        return self.work[readers[0]].role not in _FUSED

    def group(self, value: Value) -> tuple[tuple[Node, ...], Mapping[Value, float]]:
        """The nodes that are fused to compute a stored value, and the stored values they read with bytes read."""
        nodes: dict[Node, None] = {}
        leaves: dict[Value, float] = {}
        pending = [self.stored[value]]
        while pending:
            node = pending.pop()
            if node in nodes:
                continue
            nodes[node] = None
            for i, operand in enumerate(node.inputs):
                for base in self.bases(operand):
                    producer = self._producer.get(base)
                    if producer is not None and base not in self.stored and self.work[producer].role is not Role.VIEW:
                        pending.append(producer)
                    else:
                        leaves[base] = max(leaves.get(base, 0), self._read(node, i, base))
        return tuple(nodes), leaves

    def _read(self, node: Node, operand: int, base: Value) -> float:
        producer = self._producer.get(base)
        if producer is not None and producer.op.name in ("tensor.const", "tensor.full", "tensor.iota"):
            return 0.0
        whole = self._counting.bytes(base.type)
        if self.work[node].gathers and operand == 0:
            return min(whole, self._counting.bytes(node.result.type))
        return whole

    def forward(self) -> Cost:
        """Bytes read and written, and kernels started, to compute all stored values; regions count for themselves."""
        total = ZERO
        for value, node in self.stored.items():
            if self.work[node].role is not Role.REGION:
                read = sum(self.group(value)[1].values())
                total += Cost(bytes=self._counting.bytes(value.type) + read, kernels=1)
        return total

    def backward(self, active: Callable[[Value], bool]) -> Cost:
        """Bytes that the gradient reads and writes besides, and the kernels it starts.

        A group reads the gradient of its result and, unless it is linear, what it had read, and writes the gradients
        of what it had read. A contraction does so once for each operand that needs a gradient. The gradients
        of operands that were broadcast are sums, each of which reads the gradient of what they were broadcast to.
        """
        total = ZERO
        for value, node in self.stored.items():
            work = self.work[node]
            if work.role is Role.REGION or not active(value):
                continue
            whole = self._counting.bytes(value.type)
            nodes, leaves = self.group(value)
            written = {leaf: self._counting.bytes(leaf.type) for leaf in leaves if active(leaf)}
            read = sum(leaves.values())
            if work.role is Role.KERNEL:
                for leaf, size in written.items():
                    others = 0 if work.linear else read - (leaves[leaf] if len(leaves) > 1 else 0)
                    total += Cost(bytes=whole + size + others, kernels=1)
            else:
                linear = all(self.work[each].linear for each in nodes)
                total += Cost(bytes=whole + sum(written.values()) + (0 if linear else read), kernels=1)
                total += self._sums(nodes, leaves, written)
        return total

    def _sums(self, nodes: Sequence[Node], leaves: Iterable[Value], written: Mapping[Value, int]) -> Cost:
        """What summing the gradients of broadcast operands reads: each sum the gradient of what was broadcast."""
        arrays = [*leaves, *(result for node in nodes for result in node.results)]
        widest = max(self._counting.bytes(value.type) for value in arrays)
        sums = sum(size < widest for size in written.values())
        return Cost(bytes=sums * widest, kernels=sums)
