"""A scalar as a sum of scaled terms: what stands behind `kl` once additions and scalings are read off.

Invariant: scales that are numbers are exact fractions. May import: floors 0-1, `plates_scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Literal

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.passes.plates_scale import Scale


@dataclass(frozen=True, slots=True)
class Term:
    """`sign · scale · value`; the ratio of the scale is positive."""

    sign: Literal[1, -1]
    scale: Scale
    value: Value


def linear_terms(graph: Graph, root: Value) -> list[Term]:
    """The terms whose sum a scalar is; the scalar itself where it is no sum.

    Seen through: `add`, `sub`, `neg`, and products and quotients with constants and plate sizes.
    """
    found: list[Term] = []
    pending = [Term(1, Scale(), root)]
    while pending:
        term = pending.pop()
        node = graph.producers.get(term.value)
        parts = None if node is None or term.value.tensor.rank else _parts(graph, node, term)
        if parts is None:
            found.append(term)
        else:
            pending += reversed(parts)
    return found


def _parts(graph: Graph, node: Node, term: Term) -> list[Term] | None:
    """The terms that a node adds up or scales; None for other nodes."""
    flipped: Literal[1, -1] = -1 if term.sign > 0 else 1
    match node.op.name.removeprefix("math."), node.inputs:
        case "add", (a, b):
            return [Term(term.sign, term.scale, a), Term(term.sign, term.scale, b)]
        case "sub", (a, b):
            return [Term(term.sign, term.scale, a), Term(flipped, term.scale, b)]
        case "neg", (a,):
            return [Term(flipped, term.scale, a)]
        case "mul", (a, b):
            return _scaled(graph, term, a, b) or _scaled(graph, term, b, a)
        case "div", (a, b):
            return _scaled(graph, term, a, b, inverse=True)
        case _:
            return None


def _scaled(graph: Graph, term: Term, x: Value, by: Value, *, inverse: bool = False) -> list[Term] | None:
    """The term `x` with the factor `by`, or one over it, in its scale; None unless `by` is a number or a plate size."""
    node, scale = graph.producers.get(by), term.scale
    if node is None:
        return None
    if node.op.name == "model.plate_size":
        plate = (node.attrs.text("plate"),)
        times, over = ((), plate) if inverse else (plate, ())
        return [Term(term.sign, Scale(scale.ratio, scale.times + times, scale.over + over), x)]
    number = node.attrs["value"] if node.op.name == "tensor.const" else None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not isfinite(number) or number <= 0:
        return None
    factor = 1 / Fraction(number) if inverse else Fraction(number)
    return [Term(term.sign, Scale(scale.ratio * factor, scale.times, scale.over), x)]
