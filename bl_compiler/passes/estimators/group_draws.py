"""Grouped draws: G draws of the weight a step, each for its own part of the examples.

With as many groups as examples every example has its own draw. Every example still sees one draw at all its uses, so
its terms keep their law; examples of different groups become independent.
May import: floors 0-1, `plan`, `legality`, `lifting`.
"""

from __future__ import annotations

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DType, distribution
from bl_compiler.passes.estimators.legality import Site
from bl_compiler.passes.estimators.lifting import lifted_map, lifted_use
from bl_compiler.passes.estimators.plan import Get, Plan, way_nodes
from bl_compiler.passes.estimators.uses import Use

RULE = "group-draws"


def plan(site: Site, groups: int) -> Plan:
    """The rewrite of a draw and of all its linear uses."""
    copies: list[Value] = []
    found = Plan(dropped=way_nodes(site.copies))

    def made(b: GraphBuilder, get: Get) -> Value:
        if not copies:
            copies.append(_copies(b, get, site, groups))
        return copies[0]

    if site.copies.terms:
        # A term of the objective on its own takes the copy of the first group: its law is that of any.
        found.replaced[site.draw] = lambda b, get: b.add("tensor.take", made(b, get), b.const(0, DType.I32), axis=0)
    else:
        found.dropped.add(site.draw)
    for use in site.copies.linear:
        found.replaced[use.node] = lambda b, get, use=use: _use(b, get, use, made(b, get), groups)  # type: ignore[misc]
    return found


def _copies(b: GraphBuilder, get: Get, site: Site, groups: int) -> Value:
    """Independent draws on a new first axis: the plate itself if each example has one."""
    plate = site.examples[0]
    first = plate if plate.size == groups else Dim(groups)
    law = get(site.draw.inputs[0])
    spread = b.add("dist.expand", law, dims=(first, *distribution(law.type).batch))
    name = site.draw.result.name
    return b.add("random.draw", spread, site=site.draw.site, estimator="shared", name=name)


def _use(b: GraphBuilder, get: Get, use: Use, copies: Value, groups: int) -> Value:
    for node, operand in use.path:
        copies = lifted_map(b, get, node, operand, copies)
    return lifted_use(b, get, use, copies, groups)
