"""Ops with a region: repeated draws, repeated layers, loops over a sequence.

Invariant: the body is closed; its arguments are, in order, what each op's doc says.
May import: floor 0, `types`, `attrs`, `opspec`, `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.graph import Graph
from bl_compiler.ir.opspec import REQUIRED, OpSpec
from bl_compiler.ir.types import Dim, TensorType, Type, TypeRuleError, tensor

Result = tuple[Type, ...]


def _check_args(body: Graph, types: Sequence[Type]) -> None:
    if tuple(v.type for v in body.args) != tuple(types):
        raise TypeRuleError(f"the region takes {len(body.args)} arguments of other types than the {len(types)} given")


def _stacked(body: Graph, types: Sequence[Type], size: int, name: str) -> Result:
    return tuple(_stack(tensor(t), size, name) for t in types)


def _stack(type_: TensorType, size: int, name: str) -> TensorType:
    return type_.with_dims((Dim(size, name), *type_.dims))


def _unstack(type_: Type, count: int) -> TensorType:
    x = tensor(type_)
    if not x.dims or x.dims[0].size != count:
        raise TypeRuleError(f"a stacked operand {x} for {count} rounds")
    return x.with_dims(x.dims[1:])


def _draws(types: Sequence[Type], attrs: Attrs) -> Result:
    body = attrs.graph("body")
    _check_args(body, types)
    return _stacked(body, [o.value.type for o in body.outputs], attrs.integer("count"), "draw")


def _carried(body: Graph, carries: int) -> None:
    if len(body.outputs) < carries or any(body.outputs[i].value.type != body.args[i].type for i in range(carries)):
        raise TypeRuleError("a carry changes its type from one round to the next")


def _repeat(types: Sequence[Type], attrs: Attrs) -> Result:
    body, count, carries, stacked = (
        attrs.graph("body"),
        attrs.integer("count"),
        attrs.integer("carries"),
        attrs.integer("stacked"),
    )
    inner = [
        *types[:carries],
        *(_unstack(t, count) for t in types[carries : carries + stacked]),
        *types[carries + stacked :],
    ]
    _check_args(body, inner)
    _carried(body, carries)
    rest = [o.value.type for o in body.outputs[carries:]]
    return (*types[:carries], *_stacked(body, rest, count, "round"))


def _scan(types: Sequence[Type], attrs: Attrs) -> Result:
    body, carries, walked = attrs.graph("body"), attrs.integer("carries"), attrs.integer("walked")
    length = attrs.integer("length")
    inner = [
        *types[:carries],
        *(_unstack(t, length) for t in types[carries : carries + walked]),
        *types[carries + walked :],
    ]
    _check_args(body, inner)
    _carried(body, carries)
    rest = [o.value.type for o in body.outputs[carries:]]
    return (*types[:carries], *_stacked(body, rest, length, attrs.text("axis")))


REGION_OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "region.draws",
        ("captured*",),
        _draws,
        "the body `count` times with independent draws; arguments: the captured values; "
        "results stacked on a new first axis",
        {"count": REQUIRED, "body": REQUIRED},
    ),
    OpSpec(
        "region.repeat",
        ("operands*",),
        _repeat,
        "the body `count` times; arguments: `carries` carried values, "
        "`stacked` values sliced along their first axis, captured values",
        {"count": REQUIRED, "carries": REQUIRED, "stacked": 0, "body": REQUIRED},
    ),
    OpSpec(
        "region.scan",
        ("operands*",),
        _scan,
        "the body once per step of a sequence; arguments: `carries` carried values, "
        "`walked` sequences (time first), captured values",
        {"length": REQUIRED, "carries": REQUIRED, "walked": 0, "axis": "time", "reverse": False, "body": REQUIRED},
    ),
)
