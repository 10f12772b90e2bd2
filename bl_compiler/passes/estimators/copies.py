"""Where the copies of a draw go: through what can be done to them one by one, linear or not, to uses with examples.

From a draw the search follows every op that can be applied to a copy by itself, until the value meets examples in a
`Contraction`, enters a term of the objective of its own, or does something that copies cannot do. Several operands of
an op may come from the draw. Invariant: where nothing is blocked, every value that depends on the draw and has no plate
is in the region or belongs to a term. May import: floors 0-1, `plates`, `uses`, `mixing`, `decisions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.walk import regions_of
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.estimators.mixing import plates_in
from bl_compiler.passes.estimators.plates import Plates, is_apart
from bl_compiler.passes.estimators.uses import REPEATED, Use, is_map, meeting_of, out_of_sight, shown


@dataclass
class Copies:
    """The region of a graph that copies of a draw go through.

    Attributes:
        facts: the plate analysis of the graph.
        draw: the draw.
        region: what is done to each copy, with the operands that come from the draw.
        linear: where it meets examples.
        terms: values of the region, or the draw's own, that terms of the objective of their own read.
        blocked: uses of another kind, as reasons.
    """

    facts: Plates
    draw: Node
    region: dict[Node, tuple[int, ...]] = field(default_factory=dict)
    linear: list[Use] = field(default_factory=list)
    terms: list[Value] = field(default_factory=list)
    blocked: list[Reason] = field(default_factory=list)

    @property
    def way(self) -> set[Node]:
        """The nodes between the draw and examples."""
        return self.upstream(use.node.inputs[use.contraction.operand] for use in self.linear)

    @property
    def factors(self) -> set[str]:
        """The sites of other draws that it is combined with before it meets examples."""
        sites = {site for node in self.way for v in node.inputs for site in self.facts.draws.get(v, ())}
        return sites - set(self.facts.draws.get(self.draw.result, ()))

    def upstream(self, values: Iterable[Value]) -> set[Node]:
        """The nodes of the region that values are computed through."""
        makers = {node.results[0]: node for node in self.region}
        stack, found = list(values), set[Node]()
        while stack:
            node = makers.get(stack.pop())
            if node is not None and node not in found:
                found.add(node)
                stack += [node.inputs[i] for i in self.region[node]]
        return found


def copies_of(facts: Plates, draw: Node) -> Copies:
    """Follow copies of the value of a draw; one with a draw for each element of a plate anyway has none.

    Args:
        facts: The plate analysis of its graph.
        draw: A `random.draw`.
    """
    found = Copies(facts, draw, blocked=out_of_sight(facts, draw))
    stack, seen = [] if found.blocked or plates_in(draw.result) else [draw.result], set[Node]()
    while stack:
        value = stack.pop()
        found.blocked += shown(facts, draw, value)
        for node in dict.fromkeys(facts.graph.users.get(value, ())):
            if is_apart(facts, node):
                found.terms.append(value)
            elif node not in seen:
                seen.add(node)
                stack += _enter(found, node)
    return found


def _enter(found: Copies, node: Node) -> list[Value]:
    """Enter a node that depends on the draw; what is to be followed from there."""
    site, draws = found.draw.site or "", found.facts.draws
    own = tuple(i for i, v in enumerate(node.inputs) if site in draws.get(v, ()) and not plates_in(v))
    if regions_of(node):
        found.blocked.append(Reason(REPEATED, node.span))
    elif not any(plates_in(result) for result in node.results):
        if all(is_liftable(node, i) for i in own):
            found.region[node] = own
            return [node.results[0]]
        found.blocked.append(Reason(f"`{node.op.name}` cannot be done to copies of it one by one", node.span))
    elif len(own) > 1:
        found.blocked.append(Reason(f"`{node.op.name}` combines it with a value that depends on it", node.span))
    else:
        met = meeting_of(node, own[0])
        if isinstance(met, Reason):
            found.blocked.append(met)
        else:
            found.linear.append(Use(met))
    return []


_ONE_BY_ONE = ("math.add", "math.sub", "math.mul", "math.div", "math.pow", "math.max", "math.min")
_NUMBERS = {"approximate", "alpha", "slope", "dtype"}
"""Attributes of elementwise ops that say nothing of axes."""


def is_liftable(node: Node, operand: int) -> bool:
    """Whether a node without plates can be applied to copies of an operand on a new first axis (see `lifting`)."""
    if node.op.name == "tensor.take":
        return operand == 1 and node.attrs.integer("axis") == 0 and node.inputs[1].tensor.rank == 0
    elementwise = node.op.name.startswith("math.") and len(node.op.operands) == 1 and not node.attrs.keys() - _NUMBERS
    return elementwise or node.op.name in _ONE_BY_ONE or is_map(node, operand)
