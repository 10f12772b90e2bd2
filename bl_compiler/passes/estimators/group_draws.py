"""Grouped draws: G draws of the weight a step, each for its own part of the examples.

With as many groups as examples every example has its own draw. Every example still sees one draw at all its uses, so
its terms keep their law; examples of different groups become independent.
May import: floors 0-1, `plan`, `legality`, `lifting`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DType, distribution
from bl_compiler.passes.estimators.legality import Site
from bl_compiler.passes.estimators.lifting import lifted_map, lifted_use
from bl_compiler.passes.estimators.plan import Get, Plan, way_nodes
from bl_compiler.passes.estimators.uses import Use

RULE = "group-draws"


@dataclass
class _Copies:
    """The draws of one site, made when they are first needed."""

    site: Site
    groups: int
    value: Value | None = None

    def made(self, b: GraphBuilder, get: Get) -> Value:
        """Independent draws on a new first axis: the plate itself if each example has one."""
        if self.value is None:
            plate, draw = self.site.examples[0], self.site.draw
            first = plate if plate.size == self.groups else Dim(self.groups)
            law = get(draw.inputs[0])
            spread = b.add("dist.expand", law, dims=(first, *distribution(law.type).batch))
            name = draw.result.name
            self.value = b.add("random.draw", spread, site=draw.site, estimator="shared", name=name)
        return self.value


def plan(site: Site, groups: int) -> Plan:
    """The rewrite of a draw and of all its linear uses."""
    copies = _Copies(site, groups)
    found = Plan(dropped=way_nodes(site.copies))
    if site.copies.terms:
        found.replaced[site.draw] = partial(_first, copies=copies)
    else:
        found.dropped.add(site.draw)
    for use in site.copies.linear:
        found.replaced[use.node] = partial(_use, use=use, copies=copies)
    return found


def _first(b: GraphBuilder, get: Get, copies: _Copies) -> Value:
    """What a term of the objective on its own takes: the copy of the first group, whose law is that of any."""
    return b.add("tensor.take", copies.made(b, get), b.const(0, DType.I32), axis=0)


def _use(b: GraphBuilder, get: Get, use: Use, copies: _Copies) -> Value:
    weight = copies.made(b, get)
    for node, operand in use.path:
        weight = lifted_map(b, get, node, operand, weight)
    return lifted_use(b, get, use, weight, copies.groups)
