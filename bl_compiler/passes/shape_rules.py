"""Rules of `canonicalize` about shapes: changes that change nothing, and two changes that are one.

Invariant: exact in the sense of `canonicalize`; names, kinds and plates of dimensions stay. May import: floors 0-1,
`rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.types import DistType
from bl_compiler.passes.rules import Match, Rule, View, made_by, same_value


def _has_dims(node: Node, view: View) -> Value | None:
    x = node.inputs[0]
    return x if x.tensor.dims == node.attrs.dims("dims") else None


def _in_order(node: Node, view: View) -> Value | None:
    order = node.attrs.integers("permutation")
    return node.inputs[0] if order == tuple(range(len(order))) else None


def _no_axes(node: Node, view: View) -> Value | None:
    return node.inputs[0] if not node.attrs.integers("axes") else None


def _reversed_back(node: Node, view: View) -> Value | None:
    inner = made_by(view, node.inputs[0], "tensor.reverse")
    same = inner is not None and set(inner.attrs.integers("axes")) == set(node.attrs.integers("axes"))
    return inner.inputs[0] if inner is not None and same else None


def _no_padding(node: Node, view: View) -> Value | None:
    return node.inputs[0] if not any((*node.attrs.integers("low"), *node.attrs.integers("high"))) else None


def _all_of_it(node: Node, view: View) -> Value | None:
    x = node.inputs[0]
    whole = (
        not any(node.attrs.integers("starts"))
        and all(stride == 1 for stride in node.attrs.integers("strides"))
        and node.attrs["limits"] == x.tensor.shape
    )
    return x if whole else None


def _only_one(node: Node, view: View) -> Value | None:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _same_letters(node: Node, view: View) -> Value | None:
    parts, result = parse_einsum(node.attrs.text("spec"))
    return node.inputs[0] if parts == [result] else None


def _expanded_to_same(node: Node, view: View) -> Value | None:
    d = node.inputs[0].type
    return node.inputs[0] if isinstance(d, DistType) and d.batch == node.attrs.dims("dims") else None


def _no_event_axes(node: Node, view: View) -> Value | None:
    return node.inputs[0] if node.attrs.integer("ndims") == 0 else None


# --- two changes that are one ----------------------------------------------------------------------------------------


def _match_twice(node: Node, view: View) -> Match | None:
    inner = made_by(view, node.inputs[0], node.op.name)
    return None if inner is None else Match(node, {"x": inner.inputs[0]}, (inner,))


def _with_outer_dims(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    return [builder.add(match.root.op.name, match["x"], dims=match.root.attrs.dims("dims"))]


def _composed(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    inner = match.nodes[0].attrs.integers("permutation")
    return [builder.transpose(match["x"], [inner[i] for i in match.root.attrs.integers("permutation")])]


def _event_axes_of_both(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    count = match.nodes[0].attrs.integer("ndims") + match.root.attrs.integer("ndims")
    return [builder.add("dist.independent", match["x"], ndims=count)]


def _twice(name: str, op: str, rewrite: Callable[[Match, GraphBuilder], Sequence[Value]]) -> Rule:
    return Rule(name, (op,), _match_twice, rewrite)


SHAPE_RULES: tuple[Rule, ...] = (
    same_value("TransposeSame", ("tensor.transpose",), _in_order),
    same_value("ShapeSame", ("tensor.reshape", "tensor.broadcast"), _has_dims),
    same_value("ReverseNothing", ("tensor.reverse",), _no_axes),
    same_value("ReverseOfReverse", ("tensor.reverse",), _reversed_back),
    same_value("PadNothing", ("tensor.pad",), _no_padding),
    same_value("SliceAll", ("tensor.slice",), _all_of_it),
    same_value("ConcatOne", ("tensor.concat",), _only_one),
    same_value("EinsumSame", ("linear.einsum",), _same_letters),
    same_value("ExpandSame", ("dist.expand",), _expanded_to_same),
    same_value("IndependentNothing", ("dist.independent",), _no_event_axes),
    _twice("TransposeOfTranspose", "tensor.transpose", _composed),
    _twice("ReshapeOfReshape", "tensor.reshape", _with_outer_dims),
    _twice("BroadcastOfBroadcast", "tensor.broadcast", _with_outer_dims),
    _twice("ExpandOfExpand", "dist.expand", _with_outer_dims),
    _twice("IndependentOfIndependent", "dist.independent", _event_axes_of_both),
)
