"""Which values go through memory, and how many bytes that is.

The model of fusion: an elementwise value that a single elementwise node or reduction reads is computed where it is
read and never stored. What is stored is written once, and read once by each group of fused nodes that ends in another
stored value. Parameters, inputs and values from outside are stored. A contraction, a convolution or another kernel
reads its operands from memory.

Invariant: every node that is no view belongs to the group of at least one stored value, or is computed for nothing.
May import: floors 0-1, `work`, `table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bl_compiler.ir.graph import Node, Value
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
        self._readers = self._read_by()
        kept = {base for value in results for base in self.bases(value)}
        self.stored: Mapping[Value, Node] = {
            value: node for node in nodes for value in node.results if self._is_stored(value, node, kept)
        }

    def bases(self, value: Value) -> tuple[Value, ...]:
        """The arrays behind a value that views name otherwise."""
        node = self._producer.get(value)
        if node is None or self.work[node].role is not Role.VIEW or not node.inputs:
            return (value,)
        return tuple(base for operand in node.inputs for base in self.bases(operand))

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

    def forward(self) -> float:
        """Bytes read and written to compute all stored values; regions count for themselves."""
        total = 0.0
        for value, node in self.stored.items():
            if self.work[node].role is not Role.REGION:
                total += self._counting.bytes(value.type) + sum(self.group(value)[1].values())
        return total

    def backward(self, active: Callable[[Value], bool]) -> float:
        """Bytes that the gradient reads and writes besides.

        A group reads the gradient of its result and, unless it is linear, what it had read, and writes the gradients
        of what it had read. A contraction does so once for each operand that needs a gradient.
        """
        total = 0.0
        for value, node in self.stored.items():
            work = self.work[node]
            if work.role is Role.REGION or not active(value):
                continue
            whole = self._counting.bytes(value.type)
            nodes, leaves = self.group(value)
            written = {leaf: size for leaf, size in leaves.items() if active(leaf)}
            if work.role is Role.KERNEL:
                for size in written.values():
                    others = sum(leaves.values()) - (size if len(leaves) > 1 else 0)
                    total += whole + size + (0 if work.linear else others)
            else:
                linear = all(self.work[each].linear for each in nodes)
                total += whole + sum(written.values()) + (0 if linear else sum(leaves.values()))
        return total
