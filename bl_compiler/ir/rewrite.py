"""New graphs from old ones: values mapped, spans kept, provenance merged.

A rewritten graph shares the values (and the nodes) it does not change with the graph it came from, so that a change
costs what it touches. Invariant: a value is only ever replaced by one of equal type. May import: the rest of `ir` but
the parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Module, Node, Output, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.text import type_text
from bl_compiler.ir.walk import with_attrs


def merge_made_by(*histories: Sequence[str]) -> tuple[str, ...]:
    """The rules of several histories, each named once, oldest first."""
    return tuple(dict.fromkeys(rule for history in histories for rule in history))


def with_inputs(node: Node, inputs: Sequence[Value]) -> Node:
    """The same node, results included, reading other values of the same types."""
    return Node(node.op, tuple(inputs), node.attrs, node.results, node.site, node.scope, node.span, node.made_by)


def with_results(node: Node, results: Sequence[Value]) -> Node:
    """The same node defining other values of the same types."""
    return Node(node.op, node.inputs, node.attrs, tuple(results), node.site, node.scope, node.span, node.made_by)


def with_made_by(node: Node, made_by: tuple[str, ...]) -> Node:
    """The same node with another history."""
    return Node(node.op, node.inputs, node.attrs, node.results, node.site, node.scope, node.span, made_by)


class Rewriter:
    """Copies a graph node by node, leaving out and replacing some.

    The caller passes the nodes of `graph` in order, each to `keep`, `drop` or `replace`, and may emit new ones through
    `builder` in between. `builder` yields values of the new graph; `value` translates old ones.

    Attributes:
        made_by: the rule that replaced nodes are ascribed to.

    Example:
        >>> def square_as_product(graph, ops):
        ...     rewriter = Rewriter(ops, graph, made_by="square-as-product")
        ...     for node in graph.nodes:
        ...         if node.op.name == "math.square":
        ...             x = rewriter.value(node.inputs[0])
        ...             rewriter.replace(node, lambda builder: [builder.binary("mul", x, x)])
        ...         else:
        ...             rewriter.keep(node)
        ...     return rewriter.finish()
    """

    def __init__(self, ops: OpSet, graph: Graph, *, made_by: str = "") -> None:
        self.graph = graph
        self.made_by = made_by
        self.builder = GraphBuilder(ops, graph.name, graph.args)
        self._values: dict[Value, Value] = {}

    def value(self, value: Value) -> Value:
        """What stands for an old value."""
        return self._values.get(value, value)

    def keep(self, node: Node) -> Node:
        """Append a node, reading the new values."""
        inputs = [self._values.get(value, value) for value in node.inputs]
        kept = node if all(a is b for a, b in zip(inputs, node.inputs, strict=True)) else with_inputs(node, inputs)
        self.builder.nodes.append(kept)
        return kept

    def keep_with(self, node: Node, attrs: Attrs) -> Node:
        """Append a node with other attributes, which must not change its types; a rewritten region, say."""
        return self.keep(with_attrs(node, attrs))

    def drop(self, node: Node) -> None:
        """Leave a node out; nothing that is kept may read its results, unless `substitute` replaces them."""

    def substitute(self, old: Value, new: Value) -> None:
        """Let `new` stand for `old` in all nodes to come.

        Raises:
            InternalError: if their types differ.
        """
        if old.type != new.type:
            raise InternalError(
                f"{self.made_by or 'a rewrite'} replaces a value of type {type_text(old.type)} "
                f"by one of type {type_text(new.type)}"
            )
        if old is not new:
            self._values[old] = new

    def replace(self, node: Node, make: Callable[[GraphBuilder], Sequence[Value]]) -> None:
        """Let the values that `make` gives stand for the node's results; new nodes get its span, scope and history.

        Raises:
            InternalError: if a type differs.
        """
        builder, before = self.builder, (self.builder.span, self.builder.scope, self.builder.made_by)
        rule = (self.made_by,) if self.made_by else ()
        builder.span, builder.scope, builder.made_by = node.span, node.scope, merge_made_by(node.made_by, rule)
        first = len(builder.nodes)
        try:
            values = make(builder)
        finally:
            builder.span, builder.scope, builder.made_by = before
        for old, new in zip(node.results, values, strict=True):
            self.substitute(old, new)
        if len(values) == 1 and len(builder.nodes) > first and builder.nodes[-1].results == tuple(values):
            # The last new node takes over the old value, and with it the name that readers know.
            builder.nodes[-1] = with_results(builder.nodes[-1], node.results)
            self._values.pop(node.results[0], None)

    def finish(self, outputs: Iterable[Output] | None = None) -> Graph:
        """The new graph; the old one itself if nothing changed."""
        given = self.graph.outputs if outputs is None else tuple(outputs)
        mapped = tuple(Output(o.name, self._values[o.value]) if o.value in self._values else o for o in given)
        return rebuilt(self.graph, self.builder.nodes, mapped)


def rebuilt(graph: Graph, nodes: Sequence[Node], outputs: Sequence[Output]) -> Graph:
    """The graph with these nodes and outputs; the graph itself if they are the same objects."""
    same_nodes = len(nodes) == len(graph.nodes) and all(a is b for a, b in zip(nodes, graph.nodes, strict=True))
    same_outputs = len(outputs) == len(graph.outputs) and all(
        a.name == b.name and a.value is b.value for a, b in zip(outputs, graph.outputs, strict=True)
    )
    return graph if same_nodes and same_outputs else graph.replace(nodes=nodes, outputs=outputs)


def map_regions(node: Node, change: Callable[[Graph], Graph]) -> Node:
    """The node with each region changed; the node itself if no region changes. Types of outputs must stay."""
    changed: dict[str, Graph] = {}
    for key, value in node.attrs.items():
        if isinstance(value, Graph):
            region = change(value)
            if region is not value:
                changed[key] = region
    return with_attrs(node, node.attrs.with_(**changed)) if changed else node


def map_graph(graph: Graph, ops: OpSet, change: Callable[[Node, Rewriter], bool], *, made_by: str = "") -> Graph:
    """A graph in which `change` replaced some nodes, inside regions first.

    Args:
        graph: a function or a region.
        ops: the ops that new nodes use.
        change: called for each node in order; returns whether it dealt with the node (by `keep`, `drop`, `replace`).
        made_by: the rule that replaced nodes are ascribed to.
    """
    rewriter = Rewriter(ops, graph, made_by=made_by)
    for node in graph.nodes:
        inside = map_regions(node, lambda region: map_graph(region, ops, change, made_by=made_by))
        if not change(inside, rewriter):
            rewriter.keep(inside)
    return rewriter.finish()


def map_functions(module: Module, change: Callable[[str, Graph], Graph]) -> Module:
    """The module with each function changed; the module itself if no function changes."""
    functions = {name: change(name, graph) for name, graph in module.functions.items()}
    unchanged = all(functions[name] is graph for name, graph in module.functions.items())
    return module if unchanged else module.with_functions(functions)
