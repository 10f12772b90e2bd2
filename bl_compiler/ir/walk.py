"""Ways through graphs: nested nodes, effects, slices, orders, free values; regions made of slices, and inlined.

Invariant: nothing here changes a graph; what is returned is in program order. May import: floor 0, the rest of `ir` but
the parser and the printer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.opspec import Effect


def regions_of(node: Node) -> tuple[Graph, ...]:
    """The regions among a node's attributes."""
    return tuple(value for value in node.attrs.values() if isinstance(value, Graph))


def walk(graph: Graph) -> Iterator[Node]:
    """All nodes, those of a region after the node that holds it."""
    for node in graph.nodes:
        yield node
        for region in regions_of(node):
            yield from walk(region)


def graphs_in(graph: Graph) -> Iterator[Graph]:
    """The graph and all regions in it."""
    yield graph
    for node in graph.nodes:
        for region in regions_of(node):
            yield from graphs_in(region)


def effects_of(node: Node) -> frozenset[Effect]:
    """The effects of a node and of what its regions hold, without PURE."""
    inner = {effect for region in regions_of(node) for each in region.nodes for effect in effects_of(each)}
    return frozenset(inner | {node.op.effect}) - {Effect.PURE}


def is_pure(node: Node) -> bool:
    """Whether evaluating the node twice, or not at all, changes nothing else: the node and its regions have no effect.

    Region ops themselves are declared pure, so `node.op.effect` alone does not tell.
    """
    return node.op.effect is Effect.PURE and all(is_pure(each) for region in regions_of(node) for each in region.nodes)


def sites(graph: Graph) -> dict[str, Node]:
    """The nodes that carry a site, by site, regions included."""
    return {node.site: node for node in walk(graph) if node.site is not None}


def backward_slice(graph: Graph, values: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes of `graph` that the values are computed from."""
    wanted = set(values)
    found: list[Node] = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.results):
            found.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(found))


def forward_slice(graph: Graph, values: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes of `graph` that are computed from the values."""
    reached = set(values)
    found: list[Node] = []
    for node in graph.nodes:
        if not reached.isdisjoint(node.inputs):
            found.append(node)
            reached.update(node.results)
    return tuple(found)


def topological(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes in an order in which values are defined before they are used; given orders are kept where they can be.

    Raises:
        InternalError: if nodes depend on each other in a circle.
    """
    listed = tuple(nodes)
    producer = {result: node for node in listed for result in node.results}
    done: set[Node] = set()
    open_: set[Node] = set()
    order: list[Node] = []
    for root in listed:
        stack = [] if root in done else [root]
        while stack:
            node = stack[-1]
            missing = [p for v in node.inputs if (p := producer.get(v)) is not None and p not in done]
            if not missing:
                stack.pop()
                open_.discard(node)
                if node not in done:
                    done.add(node)
                    order.append(node)
            elif any(p in open_ for p in missing) or node in missing:
                raise InternalError(f"`{node.op.name}` depends on its own results")
            else:
                open_.add(node)
                stack += reversed(missing)
    return tuple(order)


def free_values(nodes: Iterable[Node], outputs: Iterable[Value] = ()) -> tuple[Value, ...]:
    """The values that nodes (and outputs) read and none of the nodes defines, in the order of first use."""
    defined: set[Value] = set()
    free: dict[Value, None] = {}
    for node in nodes:
        free.update((value, None) for value in node.inputs if value not in defined)
        defined.update(node.results)
    free.update((value, None) for value in outputs if value not in defined)
    return tuple(free)


def extract_region(
    name: str, nodes: Sequence[Node], outputs: Sequence[tuple[str, Value]], *, first: Sequence[Value] = ()
) -> tuple[Graph, tuple[Value, ...]]:
    """A closed graph that computes `outputs` as the nodes do, and the values to pass as its arguments.

    Args:
        name: the graph's name.
        nodes: a slice in program order.
        outputs: names and values to yield.
        first: values to become the first arguments (carries, sliced operands), in this order.
    """
    rest = (value for value in free_values(nodes, [value for _, value in outputs]) if value not in set(first))
    captured = (*first, *rest)
    copies = {value: Value(value.type, value.name) for value in captured}
    inside = [copy_node(node, copies) for node in nodes]
    return (
        Graph(
            name,
            tuple(inside),
            tuple(Output(key, copies[value]) for key, value in outputs),
            tuple(copies[value] for value in captured),
        ),
        captured,
    )


def copy_node(node: Node, values: dict[Value, Value], *, site: str | None = None, scope: str | None = None) -> Node:
    """A node with fresh results that reads `values[v]` for v; the results are entered into `values`."""
    results = tuple(Value(value.type, value.name) for value in node.results)
    inputs = tuple([values[value] for value in node.inputs])
    values.update(zip(node.results, results, strict=True))
    return Node(
        node.op,
        inputs,
        node.attrs,
        results,
        node.site if site is None else site,
        node.scope if scope is None else scope,
        node.span,
        node.made_by,
    )


def inline(
    builder: GraphBuilder,
    graph: Graph,
    args: Sequence[Value],
    *,
    site: Callable[[str], str] | None = None,
    scope: Callable[[str], str] | None = None,
) -> dict[Value, Value]:
    """Append a copy of a graph's nodes; spans and provenance stay.

    Args:
        builder: where the copies go.
        graph: what is copied.
        args: values for the graph's arguments.
        site: the site of a copy from the site of its original; needed where one graph is copied twice.
        scope: the scope of a copy from the scope of its original.

    Returns:
        The value that stands for each of the graph's values; its outputs are among them.

    Raises:
        InternalError: if an argument has another type than the graph declares.
    """
    for wanted, given in zip(graph.args, args, strict=True):
        if wanted.type != given.type:
            raise InternalError(f"an argument of `{graph.name}` is {given.type}, not {wanted.type}")
    values = dict(zip(graph.args, args, strict=True))
    for node in graph.nodes:
        builder.nodes.append(_renamed_copy(node, values, site, scope))
    return values


_Rename = Callable[[str], str] | None


def _renamed_copy(node: Node, values: dict[Value, Value], site: _Rename, scope: _Rename) -> Node:
    if site is not None or scope is not None:
        node = _with_regions(node, lambda region: _renamed(region, site, scope))
    new_site = site(node.site) if site is not None and node.site is not None else None
    return copy_node(node, values, site=new_site, scope=None if scope is None else scope(node.scope))


def _renamed(region: Graph, site: _Rename, scope: _Rename) -> Graph:
    values = {value: value for value in region.args}
    nodes = [_renamed_copy(node, values, site, scope) for node in region.nodes]
    outputs = tuple(Output(output.name, values[output.value]) for output in region.outputs)
    return Graph(region.name, tuple(nodes), outputs, region.args)


def _with_regions(node: Node, change: Callable[[Graph], Graph]) -> Node:
    changed = {key: change(value) for key, value in node.attrs.items() if isinstance(value, Graph)}
    return with_attrs(node, node.attrs.with_(**changed)) if changed else node


def with_attrs(node: Node, attrs: Attrs) -> Node:
    """The same node, results included, with other attributes; the types must not depend on the difference."""
    return Node(node.op, node.inputs, attrs, node.results, node.site, node.scope, node.span, node.made_by)
