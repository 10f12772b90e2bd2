"""A rewrite of one draw as data: which nodes go, and what takes the place of others.

The same plan is carried out on the graph, and on a scratch builder to predict its cost. Invariant: a plan is used once,
its nodes visited in program order. May import: floors 0-1, `uses`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.estimators import SHARED
from bl_compiler.ir.graph import Node, Value
from bl_compiler.passes.estimators.uses import Path, Uses

Get = Callable[[Value], Value]
"""The value of the new graph that stands for one of the old graph."""
Make = Callable[[GraphBuilder, Get], Value]
"""Emits what takes the place of a node's only result."""


@dataclass
class Plan:
    """What happens to the nodes around a draw; all others stay.

    Attributes:
        replaced: nodes with what takes the place of their results.
        dropped: nodes that go.
    """

    replaced: dict[Node, Make] = field(default_factory=dict)
    dropped: set[Node] = field(default_factory=set)

    @property
    def nodes(self) -> set[Node]:
        """All nodes that the plan touches."""
        return self.dropped | self.replaced.keys()

    def with_those_of(self, others: Iterable[Plan]) -> Plan | None:
        """One plan in the place of this and those that touch some of the same nodes; None if they must take turns."""
        return None


def way_nodes(uses: Uses) -> set[Node]:
    """The maps between a draw and its contractions that nothing else reads."""
    kept = {node for _, _, path in uses.terms for node, _ in path}
    return {node for use in uses.linear for node, _ in use.path} - kept


def re_emit(b: GraphBuilder, node: Node, inputs: Sequence[Value], **changes: object) -> Value:
    """A node like `node` on other operands."""
    return b.emit(node.op.name, inputs, {**node.attrs, **changes}, name=node.results[0].name).result


def as_shared(b: GraphBuilder, get: Get, draw: Node) -> Value:
    """The draw itself, made once for all that reads it."""
    attrs = {**draw.attrs, "estimator": str(SHARED)}
    return b.emit(draw.op.name, [get(v) for v in draw.inputs], attrs, site=draw.site, name=draw.result.name).result


def mapped(b: GraphBuilder, get: Get, path: Path, x: Value) -> Value:
    """`x` through the maps of a path."""
    for node, operand in path:
        x = re_emit(b, node, [x if i == operand else get(v) for i, v in enumerate(node.inputs)])
    return x


def mapped_variance(b: GraphBuilder, get: Get, path: Path, v: Value) -> Value:
    """The variance of independent elements with variance `v` through maps that keep them independent."""
    for node, operand in path:
        inputs = [v if i == operand else squared(b, b.cast(get(u), v.tensor.dtype)) for i, u in enumerate(node.inputs)]
        match node.op.name:
            case "math.neg":
                continue
            case "math.mean":
                axes = node.attrs.integers("axes")
                count = 1
                for axis in axes:
                    size = node.inputs[0].tensor.dims[axis].size
                    assert isinstance(size, int), "weights have sizes known at compile time"
                    count *= size
                v = b.binary("div", re_emit(b, node, inputs), float(count))
            case _:
                v = re_emit(b, node, inputs)
    return v


def named(b: GraphBuilder, value: Value, name: str) -> Value:
    """A value just made, under a name that tells a reader what it is."""
    b.hint(value, name, override=True)
    return value


def squared(b: GraphBuilder, x: Value) -> Value:
    """`x²`."""
    return b.unary("square", x)


def full(b: GraphBuilder, x: Value, like: Value) -> Value:
    """A parameter of a distribution with the dimensions and element type of a draw from it."""
    return b.broadcast(b.cast(x, like.tensor.dtype), like.tensor.dims)
