"""The plate analysis: what each value of a graph depends on, and where elements of a plate come to meet.

Four facts, from one pass down and one pass up over the nodes:

* `draws`: the sites whose draws a value depends on.
* `additive`: whether a value reaches the outputs only as a term of a sum whose expectation alone matters (the loss and
  its parts), with coefficients free of draws. How such terms of different examples are correlated changes no
  expectation.
* `apart`: whether a value without plates is used for nothing but such terms, never together with values of examples: a
  log density in a Monte Carlo divergence, say.
* `meeting`: for a value with an axis for a plate, the first node on a way down from it that mixes the plate's elements
  and gives something that is not additive, with the way to it. None means that element b of everything computed from
  the value depends on element b of the value alone.

A law of draws may be changed across the elements of a plate exactly where nothing below meets ("What exact means" in
docs/estimators.md). Invariant: facts are conservative: an op that is not known to keep elements apart mixes them.
May import: floors 0-1, `mixing`, `decisions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.walk import regions_of, walk
from bl_compiler.passes.estimators.decisions import Step
from bl_compiler.passes.estimators.mixing import mixed_plates, plates_in

Sites = frozenset[str]
_NOTHING: Sites = frozenset()
_AFFINE = ("math.add", "math.sub", "tensor.concat")
_DRAWS = ("random.draw", "random.sign")


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where elements of a plate meet below a value.

    Attributes:
        node: the node that mixes them.
        plate: the plate.
        through: the node that leads on from the value, and the value after it; None at `node` itself.
    """

    node: Node
    plate: str
    through: tuple[Node, Value] | None = None


@dataclass
class Plates:
    """The facts of one graph.

    Attributes:
        graph: the graph, or the body of a region of `root`, that is looked at.
        root: the entry point.
    """

    graph: Graph
    root: Graph
    draws: dict[Value, Sites] = field(default_factory=dict)
    additive: set[Value] = field(default_factory=set)
    apart: set[Value] = field(default_factory=set)
    meetings: dict[Value, dict[str, Meeting]] = field(default_factory=dict)

    def meeting(self, value: Value, plates: Iterable[str]) -> Meeting | None:
        """Where elements of one of the plates meet below a value."""
        found = self.meetings.get(value, {})
        return next((found[plate] for plate in plates if plate in found), None)

    def chain(self, value: Value, plate: str) -> tuple[Step, ...]:
        """The nodes from a value to where elements of the plate meet."""
        steps: list[Step] = []
        here = self.meetings.get(value, {}).get(plate)
        while here is not None:
            node = here.node if here.through is None else here.through[0]
            steps.append(step_of(node))
            here = None if here.through is None else self.meetings.get(here.through[1], {}).get(plate)
        return tuple(steps)


def step_of(node: Node) -> Step:
    """A node as a link of a chain."""
    name = next((f"`{value.name}` = " for value in node.results if value.name), "")
    return Step(f"{name}`{node.op.name}`" + (f" in {node.scope}" if node.scope else ""), node.span)


def analyze(graph: Graph, expectations: Iterable[str] = ()) -> Plates:
    """The facts of a graph and, in the same tables, of the bodies of its `region.draws`.

    Args:
        graph: An entry point.
        expectations: Its outputs of which only the expectation matters.
    """
    wanted = set(expectations)
    facts = Plates(graph, graph)
    _depend(facts, graph, {})
    outputs: dict[Value, bool] = {}
    for output in graph.outputs:
        outputs[output.value] = outputs.get(output.value, True) and output.name in wanted
    _descend(facts, graph, outputs, {})
    return facts


def _depend(facts: Plates, graph: Graph, arguments: Mapping[Value, Sites]) -> None:
    """Enter the sites each value depends on, downwards."""
    draws = facts.draws
    draws.update(arguments)
    for node in graph.nodes:
        above = _NOTHING.union(*(draws.get(value, _NOTHING) for value in node.inputs)) if node.inputs else _NOTHING
        if node.op.name in _DRAWS and node.site is not None:
            above |= {node.site}
        for body in regions_of(node):
            inside = {each.site for each in walk(body) if each.site is not None}
            if node.op.name == "region.draws":
                operands = (draws.get(value, _NOTHING) for value in node.inputs)
                _depend(facts, body, dict(zip(body.args, operands, strict=True)))
            above |= inside
        if above:
            draws.update((result, above) for result in node.results)


def _descend(
    facts: Plates, graph: Graph, outputs: Mapping[Value, bool], meetings: Mapping[Value, Mapping[str, Meeting]]
) -> None:
    """Enter what is additive and where elements meet, upwards.

    Args:
        facts: Takes them.
        graph: The graph or the body of a region.
        outputs: For its outputs, whether they are additive outside.
        meetings: For its outputs, where elements meet outside.
    """
    users: dict[Value, list[tuple[Node, int]]] = {}
    for node in graph.nodes:
        for operand, value in enumerate(node.inputs):
            users.setdefault(value, []).append((node, operand))
    entered: dict[Node, Mapping[int, Value]] = {}
    for value in reversed([*graph.args, *(result for node in graph.nodes for result in node.results)]):
        additive = outputs.get(value, True)
        below = dict(meetings.get(value, {}))
        if not plates_in(value) and value not in outputs and all(is_apart(facts, u) for u, _ in users.get(value, ())):
            facts.apart.add(value)
        for user, operand in users.get(value, ()):
            if user not in entered:
                entered[user] = _enter(facts, user)
            additive = additive and _keeps_additive(facts, user, operand, entered[user])
            _collect(facts, user, operand, entered[user], below)
        if additive:
            facts.additive.add(value)
        if below:
            facts.meetings[value] = below


def is_apart(facts: Plates, node: Node) -> bool:
    """Whether a node reads no examples and gives nothing but terms of the objective, or what only they are made of."""
    if regions_of(node) or not node.results or any(plates_in(value) for value in (*node.inputs, *node.results)):
        return False
    return all(result in facts.additive or result in facts.apart for result in node.results)


def _enter(facts: Plates, node: Node) -> Mapping[int, Value]:
    """Work out the body of a `region.draws`, whose results are known by now; operand to argument of the body."""
    if node.op.name != "region.draws":
        return {}
    body = node.attrs.graph("body")
    outputs: dict[Value, bool] = {}
    meetings: dict[Value, dict[str, Meeting]] = {}
    for output, result in zip(body.outputs, node.results, strict=True):
        outputs[output.value] = outputs.get(output.value, True) and result in facts.additive
        meetings.setdefault(output.value, {}).update(facts.meetings.get(result, {}))
    _descend(facts, body, outputs, meetings)
    return dict(enumerate(body.args))


def _keeps_additive(facts: Plates, node: Node, operand: int, inside: Mapping[int, Value]) -> bool:
    if inside:
        return inside[operand] in facts.additive
    if not node.results or any(result not in facts.additive for result in node.results):
        return False
    if node.op.name in _AFFINE:
        return True
    others = [value for i, value in enumerate(node.inputs) if i != operand]
    if node.op.name == "math.select":
        return operand > 0 and not facts.draws.get(node.inputs[0])
    return is_linear(node, operand) and not any(facts.draws.get(value) for value in others)


def is_linear(node: Node, operand: int) -> bool:
    """Whether the node is linear in the operand, the others held fixed."""
    if node.op.name == "math.cast" and not node.results[0].tensor.dtype.is_float:
        return False
    names = node.op.operands
    name = names[operand] if operand < len(names) and not names[operand].endswith("*") else names[-1]
    return name in node.op.linear or name.rstrip("?") in node.op.linear


def _collect(facts: Plates, node: Node, operand: int, inside: Mapping[int, Value], below: dict[str, Meeting]) -> None:
    """Enter where elements of plates meet at a use of a value or below it."""
    value = node.inputs[operand]
    if inside:
        for plate, meeting in facts.meetings.get(inside[operand], {}).items():
            below.setdefault(plate, Meeting(meeting.node, plate, (node, inside[operand])))
        return
    carried = plates_in(value)
    opaque = bool(regions_of(node))
    mixed = carried if opaque else mixed_plates(node, operand)
    if mixed and not all(result in facts.additive for result in node.results):
        for plate in sorted(mixed):
            below[plate] = Meeting(node, plate)
    for result in node.results:
        for plate, meeting in facts.meetings.get(result, {}).items():
            if plate in carried and result not in facts.additive:
                below.setdefault(plate, Meeting(meeting.node, plate, (node, result)))
