"""Sums of terms: which terms add up under one factor, and how those of repeated draws join the others.

Terms are added one by one to a frame or to the region of repeated draws inside it. `close` emits the region and carries
its sums over; after that every sum is a value of the outer frame.

Invariant: an entry of a term is summed once, and a group of terms is scaled once. May import: floors 0-1,
`entry_frame`, `densities`, `plates_scale`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import log

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Module, Node, Value
from bl_compiler.ir.types import DType
from bl_compiler.passes.densities import Signed, signed_sum
from bl_compiler.passes.entry_frame import Frame
from bl_compiler.passes.plates_scale import Scale, scaled, site_dims, term_scale, total, widened


class Part(StrEnum):
    """What a sum is for. WEIGHT: log importance weights per element of the primary plate. STATE: a new statistic."""

    NLL = "nll"
    KL = "kl"
    LOG_JOINT = "log_joint"
    WEIGHT = "log_weight"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class _Group:
    part: Part
    key: Scale | str


class Ledger:
    """The terms of one entry.

    Args:
        module: Gives the sizes of plates.
        per: The primary plate if sums are per example, else None.
        outer: The frame of the entry.
        inner: The frame of what is computed for each draw.
        repeated: The values of the model that live in `inner`.
    """

    def __init__(
        self, module: Module, per: str | None, outer: Frame, inner: Frame | None = None, repeated: Iterable[Value] = ()
    ) -> None:
        self.module = module
        self.per = per
        self.outer = outer
        self._inner = inner or outer
        self._repeated = frozenset(repeated)
        self._outside: dict[_Group, list[Signed]] = {}
        self._inside: dict[_Group, list[Signed]] = {}

    def place(self, *values: Value) -> Frame:
        """The frame in which something made of these values of the model is computed."""
        return self.outer if self._repeated.isdisjoint(values) else self._inner

    def is_repeated(self, frame: Frame) -> bool:
        """Whether this is the frame of what is computed for each draw."""
        return frame is not self.outer

    def add(self, part: Part, frame: Frame, term: Signed, node: Node) -> None:
        """Add a term of a site to a part of the objective."""
        sign, x = term
        key = term_scale(self.module, site_dims(node), x.tensor.dims, self.per, node.span)
        with frame.builder.at(span=node.span, scope=node.scope):
            self._put(_Group(part, key), frame, (sign, total(frame.builder, x)))

    def add_weight(self, frame: Frame, term: Signed, node: Node) -> None:
        """Add a term to the log weight of each element of the primary plate."""
        sign, x = term
        others = [i for i, d in enumerate(x.tensor.dims) if d.name != self.per or not d.is_plate]
        with frame.builder.at(span=node.span, scope=node.scope):
            summed = frame.builder.reduce("sum", widened(frame.builder, x), others)
        self._put(_Group(Part.WEIGHT, ""), frame, (sign, summed))

    def add_state(self, node: Node) -> None:
        """Add the new value that a `model.update` gives a statistic."""
        frame = self.place(*node.inputs)
        self._put(_Group(Part.STATE, node.attrs.text("path")), frame, (1, frame.value(node.inputs[0])))

    def _put(self, group: _Group, frame: Frame, term: Signed) -> None:
        groups = self._inside if self.is_repeated(frame) else self._outside
        groups.setdefault(group, []).append(term)

    def close(self, count: int) -> None:
        """Emit the region of repeated draws, if there is anything in it, and take its sums over."""
        if not self._inside:
            return
        sums: list[tuple[str, Value]] = []
        for group, terms in self._inside.items():
            sums.append((f"{group.part}:{len(sums)}", signed_sum(self._inner, terms)))
        body, captured = self._inner.finish_region(sums)
        b = self.outer.builder
        results = b.emit("region.draws", captured, {"count": count, "body": body}).results
        for group, stacked, (_, one) in zip(self._inside, results, sums, strict=True):
            if group.part is Part.WEIGHT:
                joined = b.binary("sub", b.reduce("logsumexp", stacked, (0,)), log(count))
            else:
                joined = b.cast(b.reduce("mean", stacked, (0,)), one.tensor.dtype)
            self._outside.setdefault(group, []).append((1, joined))
        self._inside.clear()

    def has(self, part: Part) -> bool:
        """Whether anything belongs to a part."""
        return any(group.part is part for group in (*self._outside, *self._inside))

    def sum(self, part: Part) -> Value:
        """The scaled sum of a part of the objective; 0 if nothing belongs to it."""
        b = self.outer.builder
        found: list[Signed] = []
        for group, terms in self._outside.items():
            if group.part is part and isinstance(group.key, Scale):
                found.append((1, scaled(b, signed_sum(self.outer, terms), group.key)))
        if part is Part.NLL and (weights := self._outside.get(_Group(Part.WEIGHT, ""))):
            found.append((-1, _mean(b, signed_sum(self.outer, weights))))
        if not found:
            return b.const(0.0, DType.F32)
        return signed_sum(self.outer, found)

    def states(self) -> dict[str, Value]:
        """The new statistics by path."""
        return {
            group.key: signed_sum(self.outer, terms)
            for group, terms in self._outside.items()
            if group.part is Part.STATE and isinstance(group.key, str)
        }


def _mean(b: GraphBuilder, x: Value) -> Value:
    return b.reduce("mean", x, range(x.tensor.rank))
