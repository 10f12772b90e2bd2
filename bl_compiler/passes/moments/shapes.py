"""What is known of values whose elements are moved, left out or put together.

Invariant: the node itself, reading means, gives the mean of its result. May import: floors 0-1, `laws`, `linear`,
`products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import Dim, Dims
from bl_compiler.passes.moments.laws import (
    Axes,
    Emitter,
    Labelled,
    Law,
    Problem,
    Reading,
    Refusal,
    inner_axes,
    second_type,
)
from bl_compiler.passes.moments.linear import Rule, letters_for
from bl_compiler.passes.moments.products import require_independent

SHAPES: RuleTable[Rule] = RuleTable("moments, shapes")


def _first_problem(cx: Reading, node: Node) -> Problem | None:
    return next((law.spread for law in cx.known(node) if isinstance(law.spread, Problem)), None)


@SHAPES.rule("tensor.transpose")
def _transpose(cx: Reading, node: Node) -> Law:
    (x,) = node.inputs
    law, order = cx.laws[x], node.attrs.integers("permutation")
    if isinstance(law.spread, Problem):
        return Law(node, law.sources, law.spread)

    def second(em: Emitter, axes: Axes) -> Value:
        own = sorted(order[a] for a in axes)
        copies = [len(order) + own.index(order[a]) for a in sorted(axes)]
        return em.builder.transpose(em.second(x, frozenset(own)), [*order, *copies])

    dense = frozenset(i for i, axis in enumerate(order) if axis in law.dense)
    return Law(node, law.sources, second, dense, law.gaussian)


# --- reshape ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Group:
    """Axes that a reshape merges and splits: those of the argument and those of the result, without axes of size 1."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def groups_of(before: Dims, after: Dims) -> list[_Group] | None:
    """How a reshape groups axes; None if it mixes plate axes with others."""
    left = [i for i, d in enumerate(before) if d.size != 1 or d.is_plate]
    right = [j for j, d in enumerate(after) if d.size != 1 or d.is_plate]
    found: list[_Group] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i == len(left) or j == len(right):
            return None
        a, b = before[left[i]], after[right[j]]
        if a.is_plate or b.is_plate or isinstance(a.size, str) or isinstance(b.size, str):
            if a.is_plate != b.is_plate or a.name != b.name or a.size != b.size:
                return None
            found.append(_Group((left[i],), (right[j],)))
            i, j = i + 1, j + 1
            continue
        m, n, p, q = i + 1, j + 1, a.size, b.size
        while p != q:
            if p < q:
                more = before[left[m]] if m < len(left) else None
                if more is None or more.is_plate or isinstance(more.size, str):
                    return None
                m, p = m + 1, p * more.size
            else:
                more = after[right[n]] if n < len(right) else None
                if more is None or more.is_plate or isinstance(more.size, str):
                    return None
                n, q = n + 1, q * more.size
        found.append(_Group(tuple(left[i:m]), tuple(right[j:n])))
        i, j = m, n
    return found


@SHAPES.rule("tensor.reshape")
def _reshape(cx: Reading, node: Node) -> Law:
    (x,) = node.inputs
    law, before, after = cx.laws[x], x.tensor.dims, node.result.tensor.dims
    if isinstance(law.spread, Problem):
        return Law(node, law.sources, law.spread)
    groups = groups_of(before, after)
    if groups is None:
        return Law(node, law.sources, Problem("a reshape mixes examples"))
    joined = [g for g in groups if law.dense & frozenset(g.before)]
    dense = frozenset(a for g in joined for a in g.after)

    def second(em: Emitter, axes: Axes) -> Value:
        touched = [g for g in joined if axes & frozenset(g.after)]
        found = em.second(x, frozenset(a for g in touched for a in g.before))
        whole = sorted(a for g in touched for a in g.after)
        found = em.builder.reshape(found, (*after, *(Dim(after[a].size) for a in whole)))
        letters = letters_for(len(after))
        copies = "".join(letters[a].upper() if a in axes else letters[a] for a in whole)
        return em.einsum([Labelled(found, letters + copies)], letters + "".join(s for s in copies if s.isupper()))

    return Law(node, law.sources, second, dense, law.gaussian)


# --- parts ------------------------------------------------------------------------------------------------------------


@SHAPES.rule("tensor.slice")
def _slice(cx: Reading, node: Node) -> Law:
    (x,) = node.inputs
    law, dims = cx.laws[x], x.tensor.dims
    keys = ("starts", "limits", "strides")
    ranges = dict(
        zip(keys, (node.attrs.integers("starts"), node.attrs["limits"], node.attrs.integers("strides")), strict=True)
    )
    if isinstance(law.spread, Problem):
        return Law(node, law.sources, law.spread)
    if any(a.is_plate and not b.is_plate for a, b in zip(dims, node.result.tensor.dims, strict=True)):
        return Law(node, law.sources, Problem("a slice picks examples"))

    def second(em: Emitter, axes: Axes) -> Value:
        found = em.second(x, axes)
        more = {key: (*_tuple(r), *(_tuple(r)[a] for a in sorted(axes))) for key, r in ranges.items()}
        return em.builder.emit("tensor.slice", [found], dict(more)).result

    return Law(node, law.sources, second, law.dense & inner_axes(node.result.tensor.dims), law.gaussian)


def _tuple(value: object) -> tuple[object, ...]:
    assert isinstance(value, tuple)
    return value


@SHAPES.rule("tensor.concat", "tensor.pad")
def _together(cx: Reading, node: Node) -> Law:
    """Pieces from different draws are uncorrelated; what depends on no draw has no covariance."""
    result = node.result.tensor.dims
    problem = _first_problem(cx, node)
    sources = cx.sources(node)
    if problem is not None:
        return Law(node, sources, problem)
    try:
        require_independent(cx.known(node), "the covariance of parts")
    except Refusal as refusal:
        return Law(node, sources, Problem(f"{refusal} is not worked out"))
    offsets = list(_offsets(node))
    if any(
        d.is_plate and (low, high) != (0, 0)
        for v, lows, highs in offsets
        for d, low, high in zip(v.tensor.dims, lows, highs, strict=True)
    ):
        return Law(node, sources, Problem("parts are put together along a plate"))
    pieces = [each for each in offsets if each[0] in cx.laws]

    def second(em: Emitter, axes: Axes) -> Value:
        total: Value | None = None
        for value, low, high in pieces:
            order = sorted(axes)
            known = frozenset(a for a in axes if value.tensor.dims[a].size != 1)
            found = em.second(value, known)
            copies = [Dim(value.tensor.dims[a].size) for a in order]
            found = em.builder.reshape(found, (*value.tensor.dims, *copies))
            lows, highs = ([*side, *(side[a] for a in order)] for side in (low, high))
            if any(lows) or any(highs):
                found = em.builder.add("tensor.pad", found, low=tuple(lows), high=tuple(highs))
            found = em.builder.cast(found, node.result.tensor.dtype)
            total = found if total is None else em.builder.binary("add", total, found)
        assert total is not None
        return em.builder.broadcast(total, second_type(node.result.tensor, axes).dims)

    dense = frozenset[int]().union(*(law.dense for law in cx.known(node))) & inner_axes(result)
    return Law(node, sources, second, dense, all(law.gaussian for law in cx.known(node)))


def _offsets(node: Node) -> Sequence[tuple[Value, Sequence[int], Sequence[int]]]:
    """Each piece with how many elements of the result lie before and after it along each axis."""
    if node.op.name == "tensor.pad":
        return [(node.inputs[0], node.attrs.integers("low"), node.attrs.integers("high"))]
    axis, found, before = node.attrs.integer("axis"), list[tuple[Value, Sequence[int], Sequence[int]]](), 0
    total = node.result.tensor.dims[axis].size
    for value in node.inputs:
        size = value.tensor.dims[axis].size
        if isinstance(size, str) or isinstance(total, str):
            raise Refusal("parts of a size that is not known are put together")
        low, high = [0] * value.tensor.rank, [0] * value.tensor.rank
        low[axis], high[axis] = before, total - before - size
        found.append((value, low, high))
        before += size
    return found


@SHAPES.rule("tensor.take")
def _take(cx: Reading, node: Node) -> Law:
    """Elements by index, of uncorrelated ones: two are correlated where their indices agree."""
    x, indices = node.inputs
    axis, law, rank = node.attrs.integer("axis"), cx.laws.get(x), indices.tensor.rank
    if indices in cx.laws or law is None:
        raise Refusal("indices that are uncertain have no moments")
    if isinstance(law.spread, Problem):
        return Law(node, law.sources, law.spread)
    if axis in law.dense:
        return Law(node, law.sources, Problem("the covariance of correlated elements by index is not worked out"))
    if x.tensor.dims[axis].is_plate:
        return Law(node, law.sources, Problem("an index picks examples"))
    result = node.result.tensor.dims
    places = frozenset(range(axis, axis + rank)) & inner_axes(result)
    moved = {a: a if a < axis else a + rank - 1 for a in law.dense}

    def second(em: Emitter, axes: Axes) -> Value:
        own = sorted(a for a, place in moved.items() if place in axes)
        found = em.builder.add("tensor.take", em.second(x, frozenset(own)), em.value(indices), axis=axis)
        order = sorted(axes)
        if not axes & places:
            return found
        # Copies of the places themselves: 1 where the indices agree.
        copies = [Dim(1) if a in places else Dim(result[a].size) for a in order]
        found = em.builder.reshape(found, (*result, *copies))
        first, other = em.sides(em.value(indices), frozenset(a - axis for a in axes & places))
        agree = em.builder.cast(em.builder.binary("eq", first, other), found.tensor.dtype)
        spots = agree.tensor.dims
        ahead, after = [Dim(1)] * axis, [Dim(1)] * (len(result) - axis - rank)
        extra = iter(spots[rank:])
        tail = [next(extra) if a in places else Dim(1) for a in order]
        agree = em.builder.reshape(agree, (*ahead, *spots[:rank], *after, *tail))
        return em.builder.broadcast(em.builder.binary("mul", found, agree), second_type(node.result.tensor, axes).dims)

    return Law(node, law.sources, second, frozenset(moved.values()) | places, law.gaussian)
