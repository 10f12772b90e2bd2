"""What a rule says about one node: its arithmetic, that of its gradient, and how it meets memory.

Invariant: rules count arithmetic only; bytes follow from the roles of nodes (`traffic`). May import: floors 0-1,
`cost`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.types import Dim, DistType, DType, TensorType, Type
from bl_compiler.passes.costs.cost import ZERO, Cost

SYMBOLIC = 1024
"""The size that a symbolic dimension counts as unless told otherwise."""

_BYTES = {DType.BOOL: 1, DType.U8: 1, DType.I64: 8, DType.F64: 8, DType.F16: 2, DType.BF16: 2}


class Role(StrEnum):
    """How a node meets memory.

    VIEW: it moves nothing: a name for its operands (a reshape, a distribution, a declaration).
    POINTWISE: it is computed where it is needed, together with its neighbours.
    REDUCTION: it is computed together with what it reads; its result goes to memory.
    KERNEL: it reads its operands from memory and writes its results.
    REGION: it evaluates a body.
    """

    VIEW = "view"
    POINTWISE = "pointwise"
    REDUCTION = "reduction"
    KERNEL = "kernel"
    REGION = "region"


@dataclass(frozen=True, slots=True)
class Work:
    """What a rule says about a node.

    Attributes:
        role: how it meets memory.
        forward: its arithmetic; for a region op, without the body's.
        backward: for each operand what its gradient takes besides; None where there is no gradient.
        linear: its gradient needs none of its operands.
        gathers: of its first operand it reads as much as it writes.
        times: how often a region op evaluates its body.
    """

    role: Role
    forward: Cost = ZERO
    backward: tuple[Cost | None, ...] = ()
    linear: bool = False
    gathers: bool = False
    times: int = 1


@dataclass(frozen=True)
class Counting:
    """What rules may ask besides the node.

    Attributes:
        symbolic: what a symbolic size counts as.
        producers: the nodes that define values, as far as they are known.
    """

    symbolic: int = SYMBOLIC
    producers: Mapping[Value, Node] = field(default_factory=dict)

    def size(self, dim: Dim) -> int:
        """The size of a dimension."""
        return dim.size if isinstance(dim.size, int) else self.symbolic

    def count(self, *dims: Dim) -> int:
        """The number of elements of an array with these dimensions."""
        return prod(map(self.size, dims))

    def elements(self, type_: Type) -> int:
        """The number of elements of an array, or of a draw from a distribution."""
        match type_:
            case TensorType():
                return self.count(*type_.dims)
            case DistType():
                return self.count(*type_.batch, *type_.event)
            case _:
                return 0

    def bytes(self, type_: Type) -> int:
        """The bytes of an array; a distribution has none."""
        return self.elements(type_) * _BYTES.get(type_.dtype, 4) if isinstance(type_, TensorType) else 0

    def chain(self, value: Value) -> Iterator[Node]:
        """The nodes behind a distribution, from the last one to the family's own."""
        node = self.producers.get(value)
        while node is not None:
            yield node
            inner = [v for v in node.inputs if isinstance(v.type, DistType)]
            node = self.producers.get(inner[0]) if inner else None


Rule = Callable[[Node, Counting], Work]


def body(node: Node) -> Graph:
    """The body of a region op."""
    return node.attrs.graph("body")
