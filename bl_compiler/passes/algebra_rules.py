"""Rules of `canonicalize` about numbers: neutral elements, involutions, idempotent ops, constant conditions.

Invariant: exact in the sense of `canonicalize`. May import: floors 0-1, `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import DType
from bl_compiler.passes.rules import Match, Rule, View, made_by, same_value

_COMMUTATIVE = ("math.add", "math.mul", "math.max", "math.min", "math.eq", "math.ne", "math.and", "math.or")
_IDEMPOTENT = (
    "math.relu",
    "math.abs",
    "math.floor",
    "math.ceil",
    "math.round",
    "math.sign",
    "math.stop_gradient",
)
_INVOLUTIONS = ("math.neg", "math.not")
_CONSTANTS = ("tensor.const", "tensor.full")

_EXACT_IN: dict[DType, tuple[DType, ...]] = {
    DType.BOOL: tuple(DType),
    DType.U8: (DType.U8, DType.I32, DType.I64, DType.F16, DType.BF16, DType.F32, DType.F64),
    DType.I32: (DType.I32, DType.I64, DType.F64),
    DType.I64: (DType.I64,),
    DType.F16: (DType.F16, DType.F32, DType.F64),
    DType.BF16: (DType.BF16, DType.F32, DType.F64),
    DType.F32: (DType.F32, DType.F64),
    DType.F64: (DType.F64,),
}
"""The element types that hold every number of the key exactly."""


def _is_number(view: View, value: Value, number: int) -> bool:
    found = view.uniform(value)
    return found is not None and not isinstance(found, bool) and found == number


def _beside(node: Node, view: View, number: int) -> Value | None:
    """The other operand, if one operand is this number everywhere."""
    a, b = node.inputs
    if _is_number(view, b, number):
        return a
    return b if _is_number(view, a, number) else None


def _left_of(node: Node, view: View, number: int) -> Value | None:
    a, b = node.inputs
    return a if _is_number(view, b, number) else None


def _undone(node: Node, view: View) -> Value | None:
    inner = made_by(view, node.inputs[0], node.op.name)
    return None if inner is None else inner.inputs[0]


def _done_already(node: Node, view: View) -> Value | None:
    return node.inputs[0] if made_by(view, node.inputs[0], node.op.name) else None


def _chosen(node: Node, view: View) -> Value | None:
    condition, a, b = node.inputs
    if a is b:
        return a
    found = view.uniform(condition)
    return None if found is None else (a if found else b)


def _cast_to_same(node: Node, view: View) -> Value | None:
    x = node.inputs[0]
    return x if x.tensor.dtype is node.attrs.dtype("dtype") else None


def _over_nothing(node: Node, view: View) -> Value | None:
    return node.inputs[0] if not node.attrs.integers("axes") else None


def _unconstrained(node: Node, view: View) -> Value | None:
    return node.inputs[0] if node.attrs.text("constraint") == "real" else None


def _same_in_both(node: Node, view: View) -> Value | None:
    train, predict = node.inputs
    return train if train is predict else None


# --- rules that make nodes -------------------------------------------------------------------------------------------


def _match_constant_left(node: Node, view: View) -> Match | None:
    a, b = node.inputs
    if made_by(view, a, *_CONSTANTS) and not made_by(view, b, *_CONSTANTS):
        return Match(node, {"a": a, "b": b})
    return None


def _swap(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    return [builder.add(match.root.op.name, match["b"], match["a"])]


def _match_negated_right(node: Node, view: View) -> Match | None:
    a, b = node.inputs
    negated = made_by(view, b, "math.neg")
    return None if negated is None else Match(node, {"a": a, "b": negated.inputs[0]}, (negated,))


def _match_negated_left(node: Node, view: View) -> Match | None:
    a, b = node.inputs
    negated = made_by(view, a, "math.neg")
    return None if negated is None else Match(node, {"a": b, "b": negated.inputs[0]}, (negated,))


def _subtract(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    return [builder.binary("sub", match["a"], match["b"])]


def _add(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    return [builder.binary("add", match["a"], match["b"])]


def _match_cast_of_cast(node: Node, view: View) -> Match | None:
    inner = made_by(view, node.inputs[0], "math.cast")
    return None if inner is None else Match(node, {"x": inner.inputs[0]}, (inner,))


def _loses_by_inner_cast(match: Match, view: View) -> str | None:
    inner, source = match.nodes[0].attrs.dtype("dtype"), match["x"].tensor.dtype
    outer = match.root.attrs.dtype("dtype")
    if inner not in _EXACT_IN[source]:
        return f"{source} does not fit into {inner} exactly"
    if inner.is_float and outer.is_integer and outer not in _EXACT_IN[source]:
        return f"{inner} to {outer} saturates where {source} to {outer} wraps"
    return None


def _cast_once(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    return [builder.cast(match["x"], match.root.attrs.dtype("dtype"))]


ALGEBRA_RULES: tuple[Rule, ...] = (
    same_value("AddZero", ("math.add",), lambda node, view: _beside(node, view, 0)),
    same_value("SubZero", ("math.sub",), lambda node, view: _left_of(node, view, 0)),
    same_value("MulOne", ("math.mul",), lambda node, view: _beside(node, view, 1)),
    same_value("DivOne", ("math.div", "math.pow"), lambda node, view: _left_of(node, view, 1)),
    same_value("Involution", _INVOLUTIONS, _undone),
    same_value("Idempotent", _IDEMPOTENT, _done_already),
    same_value("SelectConstant", ("math.select",), _chosen),
    same_value("CastSame", ("math.cast",), _cast_to_same),
    same_value(
        "ReduceNothing",
        ("math.sum", "math.mean", "math.prod", "math.reduce_max", "math.reduce_min", "math.any", "math.all"),
        _over_nothing,
    ),
    same_value("ConstrainReal", ("param.constrain", "param.unconstrain"), _unconstrained),
    same_value("PhaseSame", ("model.phase",), _same_in_both),
    Rule("ConstantRight", _COMMUTATIVE, _match_constant_left, _swap),
    Rule("AddNegToSub", ("math.add",), _match_negated_right, _subtract),
    Rule("NegAddToSub", ("math.add",), _match_negated_left, _subtract),
    Rule("SubNegToAdd", ("math.sub",), _match_negated_right, _add),
    Rule("CastOfCast", ("math.cast",), _match_cast_of_cast, _cast_once, _loses_by_inner_cast),
)
