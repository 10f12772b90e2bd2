"""Rules of `canonicalize` about what regions capture: constants move inside, a value is captured once.

Invariant: carries and sliced operands stay; results keep their order. May import: floors 0-1, `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.regions import layout
from bl_compiler.ir.rewrite import with_inputs, with_results
from bl_compiler.passes.rules import Match, Rule, View, made_by

_REGION_OPS = ("region.draws", "region.repeat", "region.scan")


def _captured(node: Node) -> range:
    """The indices of the captured operands."""
    parts = layout(node)
    first = parts.carries + parts.sliced if parts is not None else len(node.inputs)
    return range(first, len(node.inputs))


def _match_constant(node: Node, view: View) -> Match | None:
    """Scalars and uniform arrays; a large table stays outside, where it is made once."""
    found: dict[str, Value] = {}
    producers: list[Node] = []
    for i in _captured(node):
        producer = made_by(view, node.inputs[i], "tensor.const", "tensor.full")
        if producer is not None and not isinstance(producer.attrs["value"], tuple):
            found[str(i)] = node.inputs[i]
            producers.append(producer)
    return Match(node, found, tuple(producers)) if found else None


def _move_inside(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    node, body = match.root, match.root.attrs.graph("body")
    moved = [int(key) for key in match.values]
    inside = [with_results(made, [body.args[i]]) for i, made in zip(moved, match.nodes, strict=True)]
    return _with_body(node, builder, moved, lambda args: Graph(body.name, (*inside, *body.nodes), body.outputs, args))


def _match_repeated(node: Node, view: View) -> Match | None:
    captured = [node.inputs[i] for i in _captured(node)]
    return Match(node) if len(set(captured)) < len(captured) else None


def _capture_once(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    node, body = match.root, match.root.attrs.graph("body")
    first: dict[Value, Value] = {}
    stands_for: dict[Value, Value] = {}
    again: list[int] = []
    for i in _captured(node):
        known = first.setdefault(node.inputs[i], body.args[i])
        if known is not body.args[i]:
            stands_for[body.args[i]] = known
            again.append(i)
    nodes = [with_inputs(each, [stands_for.get(value, value) for value in each.inputs]) for each in body.nodes]
    outputs = tuple(Output(o.name, stands_for.get(o.value, o.value)) for o in body.outputs)
    return _with_body(node, builder, again, lambda args: Graph(body.name, tuple(nodes), outputs, args))


def _with_body(
    node: Node, builder: GraphBuilder, without: Collection[int], make: Callable[[tuple[Value, ...]], Graph]
) -> Sequence[Value]:
    """The op without some captured operands; `make` gives the body for the arguments that are left."""
    left = [i for i in range(len(node.inputs)) if i not in without]
    body = make(tuple(node.attrs.graph("body").args[i] for i in left))
    return builder.emit(node.op.name, [node.inputs[i] for i in left], {**node.attrs, "body": body}).results


REGION_RULES: tuple[Rule, ...] = (
    Rule("ConstantIntoRegion", _REGION_OPS, _match_constant, _move_inside),
    Rule("CaptureOnce", _REGION_OPS, _match_repeated, _capture_once),
)
