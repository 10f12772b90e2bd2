"""Grouped draws: G draws of the weight a step, each for its own part of the examples.

With as many groups as examples every example has its own draw. Every example still sees one draw at all its uses, so
its terms keep their law; examples of different groups become independent. Draws that meet before they meet examples are
grouped together: a group has its own draw of each.
May import: floors 0-1, `plan`, `legality`, `lifting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import Dim, DType, distribution
from bl_compiler.passes.estimators.legality import Site
from bl_compiler.passes.estimators.lifting import lifted_map, lifted_use
from bl_compiler.passes.estimators.plan import Get, Plan
from bl_compiler.passes.estimators.uses import Use

RULE = "group-draws"


@dataclass
class _Copies:
    """The copies of the values of some draws, each made when it is first needed."""

    sites: Sequence[Site]
    groups: int
    made: dict[Value, Value] = field(default_factory=dict)

    def of(self, b: GraphBuilder, get: Get, value: Value) -> Value:
        """The copies of a draw or of a value computed from draws, on a new first axis."""
        region: dict[Node, set[int]] = {}
        for site in self.sites:
            for node in site.copies.upstream([value]):
                region.setdefault(node, set()).update(site.copies.region[node])
        wanted = {value, *(node.inputs[i] for node, operands in region.items() for i in operands)}
        for site in self.sites:
            if site.draw.result in wanted and site.draw.result not in self.made:
                self.made[site.draw.result] = self.draw(b, get, site)
        positions = self.sites[0].facts.graph.positions
        for node in sorted(region, key=positions.__getitem__):
            if node.results[0] not in self.made:
                copies = {i: self.made[node.inputs[i]] for i in sorted(region[node])}
                self.made[node.results[0]] = lifted_map(b, get, node, copies)
        return self.made[value]

    def draw(self, b: GraphBuilder, get: Get, site: Site) -> Value:
        """Independent draws on a new first axis: the plate itself if each example has one."""
        plate, draw = site.examples[0], site.draw
        first = plate if plate.size == self.groups else Dim(self.groups)
        law = get(draw.inputs[0])
        spread = b.add("dist.expand", law, dims=(first, *distribution(law.type).batch))
        return b.add("random.draw", spread, site=draw.site, estimator="shared", name=draw.result.name)


@dataclass
class Grouped(Plan):
    """The plan of draws that are grouped together."""

    sites: Sequence[Site] = ()
    groups: int = 1

    def with_those_of(self, others: Iterable[Plan]) -> Plan | None:
        """The plan of its draws and those of others together; None if they are not grouped in the same way."""
        sites = list(self.sites)
        for other in others:
            if not isinstance(other, Grouped) or (other.groups, other.examples) != (self.groups, self.examples):
                return None
            sites += other.sites
        return plan(sites, self.groups)

    @property
    def examples(self) -> tuple[Dim, ...]:
        """The plate of the groups."""
        return self.sites[0].examples


def plan(sites: Sequence[Site], groups: int) -> Grouped:
    """The rewrite of draws and of all their uses."""
    copies = _Copies(sites, groups)
    found, kept = Grouped(sites=sites, groups=groups), set[Node]()
    for site in sites:
        found.dropped |= site.copies.way
        kept |= site.copies.upstream(site.copies.terms)
        if site.copies.terms:
            found.replaced[site.draw] = partial(_first, copies=copies, draw=site.draw)
        else:
            found.dropped.add(site.draw)
        for use in site.copies.linear:
            found.replaced[use.node] = partial(_use, use=use, copies=copies)
    found.dropped -= kept
    return found


def _first(b: GraphBuilder, get: Get, copies: _Copies, draw: Node) -> Value:
    """What a term of the objective on its own takes: the copy of the first group, whose law is that of any."""
    return b.add("tensor.take", copies.of(b, get, draw.result), b.const(0, DType.I32), axis=0)


def _use(b: GraphBuilder, get: Get, use: Use, copies: _Copies) -> Value:
    return lifted_use(b, get, use, copies.of(b, get, use.node.inputs[use.contraction.operand]), copies.groups)
