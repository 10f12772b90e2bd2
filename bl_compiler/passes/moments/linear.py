"""What is known of products, sums, differences and reductions.

Invariant: the node itself, reading means, gives the mean of its result. May import: floors 0-1, `laws`, `products`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import Dim, Dims
from bl_compiler.passes.moments.laws import (
    NO_AXES,
    Axes,
    Emitter,
    Law,
    Problem,
    Reading,
    Refusal,
    inner_axes,
)
from bl_compiler.passes.moments.products import UNIT, Factor, product_law, require_independent

Rule = Callable[[Reading, Node], Law]

LINEAR: RuleTable[Rule] = RuleTable("moments, linear")


def letters_for(count: int) -> str:
    """Letters for axes."""
    return "".join(chr(ord("a") + i) for i in range(count))


def aligned(dims: Sequence[Dim], result: Dims, letters: str) -> str:
    """The letters of an array that broadcasts to `result`."""
    first = len(result) - len(dims)
    return "".join(UNIT if d.size == 1 else letters[first + i] for i, d in enumerate(dims))


# --- broadcasting -----------------------------------------------------------------------------------------------------


def broadcast_axes(dims: Sequence[Dim], result: Dims) -> Axes:
    """The axes of the result along which an array that broadcasts to it does not vary."""
    first = len(result) - len(dims)
    return frozenset(a for a in inner_axes(result) if a < first or dims[a - first].size == 1)


def lifted_dense(law: Law, dims: Sequence[Dim], result: Dims) -> Axes:
    """The dense axes of a value broadcast to `result`: those it repeats along are."""
    first = len(result) - len(dims)
    return frozenset(a + first for a in law.dense) | broadcast_axes(dims, result)


def lifted(em: Emitter, value: Value, result: Dims, axes: Axes) -> Value:
    """The second of a value broadcast to `result`, with copies of axes of the result; it may still broadcast."""
    dims = value.tensor.dims
    first = len(result) - len(dims)
    repeated = broadcast_axes(dims, result)
    own = frozenset(a - first for a in axes - repeated)
    found = em.second(value, own)
    copies = [Dim(1) if a in repeated else Dim(result[a].size) for a in sorted(axes)]
    return em.builder.reshape(found, (*(Dim(1) for _ in range(first)), *dims, *copies))


def full_second(em: Emitter, x: Value, result: Dims, axes: Axes) -> Value:
    """An array that broadcasts to a second, broadcast."""
    return em.builder.broadcast(x, (*result, *(Dim(result[a].size) for a in sorted(axes))))


# --- sums -------------------------------------------------------------------------------------------------------------


@LINEAR.rule("math.add", "math.sub", "tensor.broadcast")
def _sum(cx: Reading, node: Node) -> Law:
    result = node.result.tensor.dims
    terms = [v for v in node.inputs if v in cx.laws]
    laws = [cx.laws[v] for v in terms]
    sources = cx.sources(node)
    for law in laws:
        if isinstance(law.spread, Problem):
            return Law(node, sources, law.spread)
    try:
        require_independent(laws, "the variance of a sum")
    except Refusal as refusal:
        return Law(node, sources, Problem(f"{refusal} is not worked out"))
    dense = frozenset[int]().union(*(lifted_dense(cx.laws[v], v.tensor.dims, result) for v in terms))

    def second(em: Emitter, axes: Axes) -> Value:
        total = lifted(em, terms[0], result, axes)
        for term in terms[1:]:
            total = em.builder.binary("add", total, lifted(em, term, result, axes))
        return full_second(em, total, result, axes)

    return Law(node, sources, second, dense, all(law.gaussian for law in laws))


@LINEAR.rule("math.neg", "math.cast", "math.stop_gradient")
def _same(cx: Reading, node: Node) -> Law:
    (x,) = node.inputs
    law, stopped = cx.laws[x], node.op.name == "math.stop_gradient"
    if not node.result.tensor.dtype.is_float:
        raise Refusal("an uncertain value rounded to integers has no moments in closed form")

    def second(em: Emitter, axes: Axes) -> Value:
        found = em.second(x, axes)
        return em.builder.unary("stop_gradient", found) if stopped else found

    spread = law.spread if isinstance(law.spread, Problem) else second
    return Law(node, law.sources, spread, law.dense, law.gaussian)


# --- products ---------------------------------------------------------------------------------------------------------


@LINEAR.rule("linear.einsum")
def _einsum(cx: Reading, node: Node) -> Law:
    parts, result = parse_einsum(node.attrs.text("spec"))
    names = dict(zip(dict.fromkeys("".join(parts)), letters_for(26), strict=False))
    factors = [Factor(v, "".join(names[s] for s in part)) for v, part in zip(node.inputs, parts, strict=True)]
    return product_law(cx, node, factors, "".join(names[s] for s in result))


@LINEAR.rule("math.mul", "math.div")
def _product(cx: Reading, node: Node) -> Law:
    dims = node.result.tensor.dims
    letters = letters_for(len(dims))
    a, b = (Factor(v, aligned(v.tensor.dims, dims, letters)) for v in node.inputs)
    if node.op.name == "math.div":
        if b.value in cx.laws:
            raise Refusal("a quotient by a value that is uncertain has no moments in closed form")
        b = Factor(b.value, b.letters, inverse=True)
    # Axes of size 1 vary in no factor.
    return product_law(
        cx, node, [a, b], "".join(UNIT if d.size == 1 else s for s, d in zip(letters, dims, strict=True))
    )


@LINEAR.rule("math.sum", "math.mean")
def _reduction(cx: Reading, node: Node) -> Law:
    (x,) = node.inputs
    dims, axes = x.tensor.dims, node.attrs.integers("axes")
    letters = letters_for(len(dims))
    result = "".join(UNIT if i in axes else s for i, s in enumerate(letters))
    if not node.attrs.flag("keepdims"):
        result = result.replace(UNIT, "")
    sizes = [dims[a].size for a in axes]
    count = prod(size for size in sizes if isinstance(size, int))
    scale = 1.0 / count if node.op.name == "math.mean" and count else 1.0
    return product_law(cx, node, [Factor(x, letters)], result, scale=scale)


@LINEAR.rule("linear.conv")
def _conv(cx: Reading, node: Node) -> Law:
    """A convolution of a value that depends on no draw, by independent weights.

    Positions share the weights, so they hang together: the covariance of two positions is the weights' variance summed
    against the product of their patches. Filters have weights of their own.
    """
    x, kernel = node.inputs
    sources = cx.sources(node)
    if x in cx.laws:
        require_independent(cx.known(node), "a product")
        return Law(node, sources, Problem("the covariance of a convolution of an uncertain value is not worked out"))
    law = cx.laws[kernel]
    if isinstance(law.spread, Problem):
        return Law(node, sources, law.spread)
    if law.dense:
        return Law(node, sources, Problem("the covariance of a convolution by correlated weights is not worked out"))
    if node.attrs.integer("groups") != 1:
        return Law(node, sources, Problem("the covariance of a convolution in groups is not worked out"))
    dims = node.result.tensor.dims
    dense = frozenset(range(1, len(dims) - 1)) & inner_axes(dims)

    def second(em: Emitter, axes: Axes) -> Value:
        variance, value = em.second(kernel), em.value(x)
        if not axes:
            return em.builder.emit("linear.conv", [em.squared(value), variance], dict(node.attrs)).result
        return _position_covariance(em, node, value, variance, axes)

    return Law(node, sources, second, dense, law.gaussian)


def _position_covariance(em: Emitter, node: Node, x: Value, variance: Value, axes: Axes) -> Value:
    """The covariance with copies of positions: patches against patches, weighted by the variances."""
    b, window = em.builder, node.inputs[1].tensor.dims[:-1]
    size = prod(d.size for d in window if isinstance(d.size, int))
    pick = b.reshape(em.eye(Dim(size), x.tensor.dtype), (*window, Dim(size)))
    patches = b.emit("linear.conv", [x, pick], dict(node.attrs)).result
    flat = b.reshape(variance, (Dim(size), variance.tensor.dims[-1]))
    letters = letters_for(patches.tensor.rank + 1)
    places, k, o = letters[:-2], letters[-2], letters[-1]
    moved = "".join(s.upper() if i in axes else s for i, s in enumerate(places))
    copies = "".join(places[a].upper() for a in sorted(axes))
    return b.einsum(f"{places}{k},{moved}{k},{k}{o}->{places}{o}{copies}", patches, patches, flat)


@LINEAR.rule("math.select")
def _select(cx: Reading, node: Node) -> Law:
    condition, a, b = node.inputs
    if condition in cx.laws:
        raise Refusal("a choice by a condition that is uncertain has no moments in closed form")
    sources, result = cx.sources(node), node.result.tensor.dims
    if a in cx.laws and b in cx.laws:
        return Law(node, sources, Problem("the covariance of a choice between two uncertain values is not worked out"))
    chosen, picked = (a, True) if a in cx.laws else (b, False)
    law = cx.laws[chosen]
    if isinstance(law.spread, Problem):
        return Law(node, sources, law.spread)
    dense = lifted_dense(law, chosen.tensor.dims, result)

    def second(em: Emitter, axes: Axes) -> Value:
        found = full_second(em, lifted(em, chosen, result, axes), result, axes)
        full = em.builder.broadcast(em.value(condition), result)
        full = full if picked else em.builder.unary("not", full)
        mask = em.builder.binary("and", *em.sides(full, axes)) if axes else full
        return em.builder.add("math.select", mask, found, em.builder.scalar(0.0, found))

    return Law(node, sources, second, dense, law.gaussian)


def linear_law(cx: Reading, node: Node) -> Law | None:
    """What the declared linearity of an op says: a mean, and no more. None where the op is not linear."""
    names = node.op.operands
    for i, value in enumerate(node.inputs):
        if value in cx.laws and names[min(i, len(names) - 1)] not in node.op.linear:
            return None
    require_independent(cx.known(node), "a product")
    problem = Problem(f"the covariance of `{node.op.name}` is not worked out")
    return Law(node, cx.sources(node), problem, NO_AXES)
