"""Sums of terms: which terms add up under one factor, and how those of repeated draws join the others.

Terms are added one by one to a frame or to the region of repeated draws inside it. `close` emits the region and carries
its sums over; after that every sum is a value of the outer frame. What was added can be read as data (`items`).

Invariant: an entry of a term is summed once, a site enters a part once, and a group of terms is scaled once.
May import: floors 0-1, `entry_frame`, `densities`, `plates_scale`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import log
from typing import Literal

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
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
class Item:
    """One term as it was added.

    Attributes:
        part: what it is a part of.
        node: the site's node in `model`.
        sign: with which it is added.
        scale: the factor of its total; None for a part of log weights, which are scaled together.
        repeated: whether each of the repeated draws has its own.
    """

    part: Part
    node: Node
    sign: Literal[1, -1]
    scale: Scale | None
    repeated: bool


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
        self._items: list[tuple[Item, Value]] = []

    def place(self, *values: Value) -> Frame:
        """The frame in which something made of these values of the model is computed."""
        return self.outer if self._repeated.isdisjoint(values) else self._inner

    def is_repeated(self, frame: Frame) -> bool:
        """Whether this is the frame of what is computed for each draw."""
        return frame is not self.outer

    def add(self, part: Part, frame: Frame, term: Signed, node: Node) -> None:
        """Add a term of a site to a part of the objective.

        Raises:
            InternalError: the site has entered this part already.
        """
        sign, x = term
        key = term_scale(self.module, site_dims(node), x.tensor.dims, self.per, node.span)
        with frame.builder.at(span=node.span, scope=node.scope):
            summed = total(frame.builder, x)
        self._enter(Item(part, node, sign, key, self.is_repeated(frame)), summed)
        self._put(_Group(part, key), frame, (sign, summed))

    def add_weight(self, frame: Frame, term: Signed, node: Node) -> None:
        """Add a term to the log weight of each element of the primary plate."""
        sign, x = term
        others = [i for i, d in enumerate(x.tensor.dims) if d.name != self.per or not d.is_plate]
        with frame.builder.at(span=node.span, scope=node.scope):
            summed = frame.builder.reduce("sum", widened(frame.builder, x), others)
            item = Item(Part.WEIGHT, node, sign, None, self.is_repeated(frame))
            self._enter(item, total(frame.builder, summed))
        self._put(_Group(Part.WEIGHT, ""), frame, (sign, summed))

    def add_state(self, node: Node) -> None:
        """Add the new value that a `model.update` gives a statistic."""
        frame = self.place(*node.inputs)
        self._put(_Group(Part.STATE, node.attrs.text("path")), frame, (1, frame.value(node.inputs[0])))

    def _enter(self, item: Item, summed: Value) -> None:
        """Write a term down. A Monte Carlo divergence may have two terms, of opposite signs."""
        if any((item.part, item.node, item.sign) == (old.part, old.node, old.sign) for old, _ in self._items):
            raise InternalError(f"`{item.node.site}` enters the objective twice")
        self._items.append((item, summed))

    def _put(self, group: _Group, frame: Frame, term: Signed) -> None:
        groups = self._inside if self.is_repeated(frame) else self._outside
        groups.setdefault(group, []).append(term)

    def close(self, count: int, *, itemized: bool = False) -> None:
        """Emit the region of repeated draws, if there is anything in it, and take its sums over.

        Args:
            count: the number of draws.
            itemized: whether to take over each term's total as well, for `items`.
        """
        if not self._inside:
            return
        sums: list[tuple[str, Value]] = []
        for group, terms in self._inside.items():
            sums.append((f"{group.part}:{len(sums)}", signed_sum(self._inner, terms)))
        shown = [i for i, (item, _) in enumerate(self._items) if itemized and item.repeated]
        body, captured = self._inner.finish_region([*sums, *((f"item:{i}", self._items[i][1]) for i in shown)])
        b = self.outer.builder
        results = b.emit("region.draws", captured, {"count": count, "body": body}).results
        for i, stacked in zip(shown, results[len(sums) :], strict=True):
            self._items[i] = (self._items[i][0], b.reduce("mean", stacked, (0,)))
        for group, stacked, (_, one) in zip(self._inside, results[: len(sums)], sums, strict=True):
            if group.part is Part.WEIGHT:
                joined = b.binary("sub", b.reduce("logsumexp", stacked, (0,)), log(count))
            else:
                joined = b.cast(b.reduce("mean", stacked, (0,)), one.tensor.dtype)
            self._outside.setdefault(group, []).append((1, joined))
        self._inside.clear()

    def items(self) -> list[tuple[Item, Value]]:
        """Every term in order with its total, without sign and scale: the mean over the draws of repeated terms.

        Values of repeated terms are those of the outer frame only once `close` has taken them over, `itemized`.
        """
        return list(self._items)

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
        if part is Part.NLL and (bound := self.bound()) is not None:
            found.append((-1, bound))
        if not found:
            return b.const(0.0, DType.F32)
        return signed_sum(self.outer, found)

    def bound(self) -> Value | None:
        """The mean of the log weights over the primary plate, if there are any."""
        weights = self._outside.get(_Group(Part.WEIGHT, ""))
        return _mean(self.outer.builder, signed_sum(self.outer, weights)) if weights else None

    def states(self) -> dict[str, Value]:
        """The new statistics by path."""
        return {
            group.key: signed_sum(self.outer, terms)
            for group, terms in self._outside.items()
            if group.part is Part.STATE and isinstance(group.key, str)
        }


def _mean(b: GraphBuilder, x: Value) -> Value:
    return b.reduce("mean", x, range(x.tensor.rank))
