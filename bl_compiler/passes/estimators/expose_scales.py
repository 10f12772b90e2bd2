"""The pass `expose-scales`: random scales of a weight's rows or columns move to the inputs and outputs of its use.

    x · (W ∘ r) = (x ∘ r) · W  for r over the rows,      x · (W ∘ s) = (x · W) ∘ s  for s over the columns

A scale that is a draw (a rank-1 factor, a dropped unit, the scale of a horseshoe) then meets examples by itself: every
example can have its own, and the weight under it keeps the form that its own estimators know. The product itself stays
for whatever else reads it. Values are the same up to rounding, on the same draws.

May import: floors 0-1, `base`, `contraction`, `plates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions
from bl_compiler.ir.types import Dim
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import Fact, Pass, PassContext
from bl_compiler.passes.entry_frame import prune
from bl_compiler.passes.estimators.contraction import Contraction, Place, contraction_of
from bl_compiler.passes.estimators.mixing import plates_in
from bl_compiler.passes.estimators.plan import re_emit
from bl_compiler.passes.estimators.plates import Plates, analyze

_RULE = "expose-scales"
_CONTRACTIONS = ("linear.einsum", "linear.conv")
_PRODUCTS = ("math.mul", "linear.einsum")


@dataclass(frozen=True, slots=True)
class _Scale:
    """One thin factor of a weight.

    Attributes:
        product: the node that multiplies it with the rest.
        operand: which operand of the product it is.
        axis: the axis of the product along which it varies; None for a number.
    """

    product: Node
    operand: int
    axis: int | None


@dataclass(frozen=True)
class ExposeScales(Pass):
    """Move random scales of weights to the values that the weights meet."""

    name: ClassVar[str] = _RULE
    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module with scales exposed."""

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return _exposed(graph, ctx)

        return map_functions(module, change)


def _exposed(graph: Graph, ctx: PassContext) -> Graph:
    while any(node.op.name == "random.draw" for node in walk(graph)):
        changed = _once(analyze(graph), graph, ctx)
        if changed is graph:
            return graph
        graph = changed
    return graph


def _once(facts: Plates, graph: Graph, ctx: PassContext) -> Graph:
    rewriter = Rewriter(ctx.ops, graph, made_by=_RULE)
    for node in graph.nodes:
        found = _find(facts, graph, node)
        if found is None:
            rewriter.keep(map_regions(node, lambda body: _exposed(body, ctx)))
            continue
        contraction, scale, place = found
        rewriter.replace(node, partial(_moved, rewriter=rewriter, c=contraction, scale=scale, place=place))
        ctx.journal.fired(_RULE, scale.product, f"axis {place.axis} of `{contraction.node.op.name}`" if place else "")
    changed = rewriter.finish()
    return changed if changed is graph else prune(changed)


def _find(facts: Plates, graph: Graph, node: Node) -> tuple[Contraction, _Scale, Place | None] | None:
    """A weight of a contraction with a scale that can be moved."""
    if node.op.name not in _CONTRACTIONS:
        return None
    for operand, value in enumerate(node.inputs):
        product = graph.producers.get(value)
        if product is None or product.op.name not in _PRODUCTS or plates_in(value) or not facts.draws.get(value):
            continue
        contraction = contraction_of(node, operand)
        if contraction is None or not contraction.plates:
            continue
        for scale in _scales(facts, product):
            place = None if scale.axis is None else contraction.axes[scale.axis]
            if scale.axis is None or place is not None:
                return contraction, scale, place
    return None


def _scales(facts: Plates, product: Node) -> list[_Scale]:
    """The random factors of a product that vary along one axis of it at most, the rest varying along all."""
    found: list[_Scale] = []
    dims = product.results[0].tensor.dims
    several = {i for i, d in enumerate(dims) if d.size != 1}
    for operand, value in enumerate(product.inputs):
        axes = _axes(product, operand)
        rest = [_axes(product, i) for i in range(len(product.inputs)) if i != operand]
        if axes is None or any(r is None for r in rest) or not facts.draws.get(value):
            continue
        covered = set().union(*(r for r in rest if r is not None)) & several
        varying = axes & several
        if len(varying) <= 1 and covered == several and len(several) > len(varying):
            found.append(_Scale(product, operand, next(iter(varying), None)))
    return found


def _axes(product: Node, operand: int) -> set[int] | None:
    """The axes of an elementwise product along which an operand varies; None if the node is no such product."""
    own, whole = product.inputs[operand].tensor, product.results[0].tensor
    if product.op.name == "math.mul":
        return {i + whole.rank - own.rank for i, d in enumerate(own.dims) if d.size != 1}
    if product.op.name == "linear.einsum":
        parts, right = parse_einsum(product.attrs.text("spec"))
        letters = set("".join(parts))
        if letters == set(right) and all(len(set(part)) == len(part) for part in parts):
            return {right.index(letter) for i, letter in enumerate(parts[operand]) if own.dims[i].size != 1}
    return None


def _moved(b: GraphBuilder, rewriter: Rewriter, c: Contraction, scale: _Scale, place: Place | None) -> Sequence[Value]:
    node, product = c.node, scale.product
    factor = rewriter.value(product.inputs[scale.operand])
    weight = _without(b, rewriter, scale)
    inputs = [weight if i == c.operand else rewriter.value(v) for i, v in enumerate(node.inputs)]
    if place is not None and place.operand is not None:
        x = inputs[place.operand]
        inputs[place.operand] = b.binary("mul", x, _laid(b, factor, place.axis, x.tensor.rank))
        return [re_emit(b, node, inputs)]
    y = re_emit(b, node, inputs)
    return [b.binary("mul", y, _laid(b, factor, None if place is None else place.axis, y.tensor.rank))]


def _without(b: GraphBuilder, rewriter: Rewriter, scale: _Scale) -> Value:
    """The product without the scale."""
    product = scale.product
    rest = [rewriter.value(v) for i, v in enumerate(product.inputs) if i != scale.operand]
    wanted = product.results[0].tensor
    if product.op.name == "math.mul":
        (other,) = rest
        return b.broadcast(b.cast(other, wanted.dtype), wanted.dims)
    parts, right = parse_einsum(product.attrs.text("spec"))
    kept = [part for i, part in enumerate(parts) if i != scale.operand]
    if kept == [right]:
        return b.broadcast(b.cast(rest[0], wanted.dtype), wanted.dims)
    return b.broadcast(b.einsum(f"{','.join(kept)}->{right}", *rest), wanted.dims)


def _laid(b: GraphBuilder, factor: Value, axis: int | None, rank: int) -> Value:
    """A factor laid along one axis of an array."""
    size = next((d for d in factor.tensor.dims if d.size != 1), Dim(1))
    return b.reshape(factor, [size if i == axis else Dim(1) for i in range(rank)])
