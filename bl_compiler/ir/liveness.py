"""Which nodes, values and parts of regions something depends on.

Invariant: an answer is a superset of what is needed, and exact for the region ops that `regions.layout` knows: an
unused result of a loop does not keep what only it needs. May import: `graph`, `regions`, `walk`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.regions import layout
from bl_compiler.ir.walk import regions_of


@dataclass(slots=True)
class Liveness:
    """What of a graph is needed.

    Attributes:
        outputs: the indices of the needed outputs, those that carries need included.
        rooted: whether a needed node is there for its own sake, not only for an output.
        regions: what of the body of each needed region op is needed.
    """

    nodes: set[Node] = field(default_factory=set)
    values: set[Value] = field(default_factory=set)
    outputs: set[int] = field(default_factory=set)
    rooted: bool = False
    regions: dict[Node, Liveness] = field(default_factory=dict)


def liveness(graph: Graph, root: Callable[[Node], bool], outputs: Collection[int] | None = None) -> Liveness:
    """What the outputs and the roots depend on.

    Args:
        graph: a function or a region.
        root: whether a node is needed whatever reads its results; asked for nodes in regions, too.
        outputs: the indices of the outputs that are needed; all without it.
    """
    wanted = set(range(len(graph.outputs))) if outputs is None else set(outputs)
    found = Liveness(values={graph.outputs[i].value for i in wanted}, outputs=wanted)
    for node in reversed(graph.nodes):
        if regions_of(node):
            _region_op(node, root, found)
        elif root(node):
            found.rooted = True
            _need(node, found)
        elif not found.values.isdisjoint(node.results):
            _need(node, found)
    return found


def _need(node: Node, found: Liveness) -> None:
    found.nodes.add(node)
    found.values.update(node.inputs)


def _region_op(node: Node, root: Callable[[Node], bool], found: Liveness) -> None:
    parts = layout(node)
    used = {i for i, value in enumerate(node.results) if value in found.values}
    if parts is None:
        inner = [liveness(region, root) for region in regions_of(node)]
        rooted = any(each.rooted for each in inner) or root(node)
        if used or rooted:
            _need(node, found)
            found.rooted |= rooted
        return
    body = liveness(parts.body, root, used)
    while True:
        carried = {i for i in range(parts.carries) if parts.body.args[i] in body.values}
        if carried <= body.outputs:
            break
        body = liveness(parts.body, root, body.outputs | carried)
    rooted = body.rooted or root(node)
    if not (used or rooted):
        return
    found.rooted |= rooted
    found.nodes.add(node)
    found.regions[node] = body
    for i, (value, arg) in enumerate(zip(node.inputs, parts.body.args, strict=True)):
        if arg in body.values or (i < parts.carries and i in body.outputs):
            found.values.add(value)
