"""Observations with a mask: what is left out counts exactly 0, and so does its gradient.

Selecting 0 over a density that is NaN gives the right value and a wrong gradient: reverse mode multiplies the zero
cotangent with the density's infinite or undefined derivative. So the density's operands are replaced before as well,
by constants at which it is finite, wherever they vary along every axis of the mask: the value always, and the
distribution's parameters in entries that are differentiated. A parameter that a left-out entry shares with one that
counts is not replaced; it must be valid anyway. What cannot be done here: a *layer* that turned a NaN feature into a
parameter multiplies its own derivative with our zero, so features that are left out must still be finite.

Invariant: entries that count are unchanged. May import: floors 0-1, `entry_frame`.
"""

from __future__ import annotations

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import FAMILIES, FamilyParam
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import Dim, Dims, DistType, DType
from bl_compiler.passes.entry_frame import Frame

_SAFE_VALUE = {"positive": 1.0, "nonnegative": 1.0, "positive_vector": 1.0, "unit_interval": 0.5, "interval": 0.5}
"""By support; 0 elsewhere, `1 / K` for a simplex. Every density with valid parameters is finite there, or constant."""

_SAFE_PARAM = {"positive": 1.0, "positive_vector": 1.0, "nonnegative_integer": 1.0}
"""By constraint; 0 elsewhere, the identity for a Cholesky factor."""


def safe_value(frame: Frame, mask: Value, x: Value, d: DistType) -> Value:
    """The value with constants in the support where the mask is false.

    Args:
        frame: Where to put nodes.
        mask: A value of the frame that broadcasts to the density's entries.
        x: A value of the frame.
        d: The type of the distribution.
    """
    b, number = frame.builder, _SAFE_VALUE.get(d.support, 0.0)
    if d.support == "simplex" and isinstance(d.event[-1].size, int):
        number = 1.0 / d.event[-1].size
    return b.add("math.select", _trailing(b, mask, len(d.event)), x, _like(b, number, x))


def safe_distribution(frame: Frame, mask: Value, d: Value, inner: int = 0) -> Value:
    """The copy of a distribution of the model with constant parameters where the mask is false.

    Args:
        frame: Where to put nodes.
        mask: A value of the frame that broadcasts to the density's entries.
        d: A value of the model.
        inner: How many batch axes of `d` are no axes of the density's entries.
    """
    node = frame.model.producers.get(d)
    b = frame.builder
    match node.op.name if node is not None else "":
        case "dist.expand" | "dist.independent" as op:
            assert node is not None
            more = node.attrs.integer("ndims") if op == "dist.independent" else 0
            base = safe_distribution(frame, mask, node.inputs[0], inner + more)
            return b.emit(op, [base], dict(node.attrs)).result
        case "dist.reshape_event":
            assert node is not None
            return b.emit(
                node.op.name, [safe_distribution(frame, mask, node.inputs[0], inner)], dict(node.attrs)
            ).result
        case "dist.mixture":
            assert node is not None
            weights = _safe_param(frame, mask, node.inputs[0], FamilyParam("logits"), inner + 1)
            return b.add("dist.mixture", weights, safe_distribution(frame, mask, node.inputs[1], inner + 1))
        case op if node is not None and op.removeprefix("dist.") in FAMILIES:
            return _safe_family(frame, mask, node, inner)
        case _:
            return frame.value(d)


def _safe_family(frame: Frame, mask: Value, node: Node, inner: int) -> Value:
    params = FAMILIES[node.op.name.removeprefix("dist.")].params
    operands = [_safe_param(frame, mask, x, p, inner) for p, x in zip(params, node.inputs, strict=True)]
    return frame.builder.add(node.op.name, *operands)


def _safe_param(frame: Frame, mask: Value, param: Value, declared: FamilyParam, inner: int) -> Value:
    b, x = frame.builder, frame.value(param)
    after = inner + declared.event_ndim
    dims = (*mask.tensor.dims, *(Dim(1) for _ in range(after)))
    if not _spans(x.tensor.dims, dims):
        return x
    return b.add("math.select", _trailing(b, mask, after), x, _safe_constant(b, x, declared))


def _spans(dims: Dims, mask: Dims) -> bool:
    """Whether an array varies along every axis of the mask."""
    missing = len(mask) - len(dims)
    return all(m.size == 1 or (i >= missing and dims[i - missing].size == m.size) for i, m in enumerate(mask))


def _safe_constant(b: GraphBuilder, x: Value, declared: FamilyParam) -> Value:
    if declared.constraint == "lower_cholesky":
        index = b.add("tensor.iota", dtype=DType.I32, dims=(x.tensor.dims[-1],))
        size = x.tensor.dims[-1].size
        assert isinstance(size, int), "matrices have sizes known at compile time"
        return b.add("tensor.one_hot", index, classes=size, dtype=x.tensor.dtype)
    return _like(b, _SAFE_PARAM.get(declared.constraint, 0.0), x)


def _like(b: GraphBuilder, number: float, x: Value) -> Value:
    dtype = x.tensor.dtype
    if dtype.is_float:
        return b.const(number, dtype)
    return b.const(bool(number) if dtype is DType.BOOL else int(number), dtype)


def _trailing(b: GraphBuilder, mask: Value, count: int) -> Value:
    return b.reshape(mask, (*mask.tensor.dims, *(Dim(1) for _ in range(count))))
