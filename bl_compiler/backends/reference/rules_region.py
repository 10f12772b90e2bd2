"""NumPy rules of regions: independent draws, repeated layers, loops over a sequence.

Invariant: a round's draws are told apart by its position: the number of the draw or layer, or the place in the
sequence, which in a reversed scan falls from one round to the next. May import: floors 0-1, numpy, `frame`, `values`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bl_compiler.backends.reference.frame import Frame, Rule, Runtime, array
from bl_compiler.backends.reference.values import Array, kind_of
from bl_compiler.ir.graph import Node, Output
from bl_compiler.ir.tables import RuleTable

Operands = tuple[Runtime, ...]

REGION_RULES: RuleTable[Rule] = RuleTable("numpy regions")


@REGION_RULES.rule("region.draws")
def _draws(frame: Frame, node: Node, operands: Operands) -> Operands:
    body, count = node.attrs.graph("body"), node.attrs.integer("count")
    rounds = [frame.round(i).run(body, operands) for i in range(count)]
    return _stack(frame, body.outputs, rounds)


@REGION_RULES.rule("region.repeat")
def _repeat(frame: Frame, node: Node, operands: Operands) -> Operands:
    return _loop(frame, node, operands, range(node.attrs.integer("count")), node.attrs.integer("stacked"))


@REGION_RULES.rule("region.scan")
def _scan(frame: Frame, node: Node, operands: Operands) -> Operands:
    positions = range(node.attrs.integer("length"))
    if node.attrs.flag("reverse"):
        positions = positions[::-1]
    return _loop(frame, node, operands, positions, node.attrs.integer("walked"))


def _loop(frame: Frame, node: Node, operands: Operands, positions: range, sliced: int) -> Operands:
    """The body once per position, in this order; results: the last carries, then the others stacked by position."""
    body, carries = node.attrs.graph("body"), node.attrs.integer("carries")
    carried, captured = operands[:carries], operands[carries + sliced :]
    sequences = [array(x) for x in operands[carries : carries + sliced]]
    rounds: dict[int, Operands] = {}
    for i in positions:
        slices = [np.asarray(x[i]) for x in sequences]
        results = frame.round(i).run(body, [*carried, *slices, *captured])
        carried, rounds[i] = results[:carries], results[carries:]
    return (*carried, *_stack(frame, body.outputs[carries:], [rounds[i] for i in sorted(rounds)]))


def _stack(frame: Frame, outputs: Sequence[Output], rounds: Sequence[Operands]) -> tuple[Array, ...]:
    if not rounds:
        types = [o.value.tensor for o in outputs]
        return tuple(np.empty((0, *frame.shape(t.dims)), kind_of(t.dtype)) for t in types)
    return tuple(np.stack([array(x) for x in column]) for column in zip(*rounds, strict=True))
