"""Which draws can be integrated out in closed form, together, and why others cannot.

The analysis goes through a graph once and knows a law for every value that depends on the chosen draws. All other draws
count as known: what is integrated is the expectation given them (Rao-Blackwell), which is exact however they are
estimated. A reason is hard where there is no closed form, and soft where there is one for Gaussian values and the value
is not Gaussian: then the closed form is the approximation of Wu et al. 2019, which `deterministic(approximate)` takes.

Invariant: without reasons, every output of the graph that depends on the chosen draws has a law whose mean is what the
entry point means by it. May import: floors 0-1, `decisions`, `laws`, `linear`, `shapes`, `nonlinear`, `likelihood`,
`sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DistType
from bl_compiler.ir.walk import regions_of, walk
from bl_compiler.passes.estimators.decisions import Reason, Step
from bl_compiler.passes.moments.laws import Law, Problem, Reading, Refusal
from bl_compiler.passes.moments.likelihood import gaussian_of, log_density_law, mean_law
from bl_compiler.passes.moments.linear import LINEAR, Rule, linear_law
from bl_compiler.passes.moments.nonlinear import FUNCTIONS, function_law
from bl_compiler.passes.moments.shapes import SHAPES
from bl_compiler.passes.moments.sources import draw_law

MOMENT_RULES: RuleTable[Rule] = RuleTable("moments", LINEAR, SHAPES, dict.fromkeys(FUNCTIONS, function_law))
"""What is known of the results of ops whose operands are uncertain."""

ENTRIES = ("train", "predict")
"""The entry points that mean expectations over draws. `log_likelihood` does not: it tells a density for each draw."""

_WRAPPERS = ("dist.expand", "dist.independent")


@dataclass
class Analysis:
    """The laws of one graph, or of the body of a `region.draws`.

    Args:
        entry: the name of the entry point.
        graph: the graph.
        chosen: the draws to integrate out; for each, whether approximations are accepted.
        reasons: takes why they cannot be.
    """

    entry: str
    graph: Graph
    chosen: Mapping[Node, bool]
    reasons: dict[Node, list[Reason]]
    bodies: dict[Node, Analysis] = field(default_factory=dict)
    _uncertain: dict[Value, frozenset[Node]] = field(default_factory=dict)
    _lost: dict[Value, frozenset[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reading = Reading(self.graph.producers, self._soft)
        for node in self.graph.nodes:
            self._visit(node)

    @property
    def laws(self) -> Mapping[Value, Law]:
        """What is known of the values that depend on the chosen draws."""
        return self.reading.laws

    def sources(self, value: Value) -> frozenset[Node]:
        """The chosen draws that a value depends on."""
        law = self.laws.get(value)
        found = law.sources if law is not None else frozenset[Node]()
        return found | self._uncertain.get(value, frozenset()) | self._lost.get(value, frozenset())

    def _visit(self, node: Node) -> None:
        sources = frozenset[Node]().union(*(self.sources(v) for v in node.inputs))
        inside = regions_of(node) and any(each in self.chosen for body in regions_of(node) for each in walk(body))
        if node not in self.chosen and not sources and not inside:
            return
        if any(v in self._lost for v in node.inputs):
            self._lose(node, sources)
            return
        try:
            self._learn(node, sources)
        except Refusal as refusal:
            self.blame(node, sources or frozenset({node}), str(refusal))
            self._lose(node, sources or frozenset({node}))

    def _learn(self, node: Node, sources: frozenset[Node]) -> None:
        """Enter what is known of the results."""
        laws = self.reading.laws
        if regions_of(node):
            self._enter(node, sources)
        elif node in self.chosen:
            if sources:
                raise Refusal(f"the distribution of `{node.site}` depends on other draws that are integrated out")
            laws[node.result] = draw_law(self.reading, node)
        elif isinstance(node.results[0].type, DistType):
            if node.op.name not in ("dist.Normal", *_WRAPPERS):
                family = node.op.name.removeprefix("dist.")
                raise Refusal(f"the expected log density of {family} with uncertain parameters has no closed form")
            self._uncertain[node.result] = sources
            gaussian_of(self.reading, node.result, "the expected log density")
        else:
            found = self._law(node)
            if found is not None:
                laws[node.result] = found

    def _law(self, node: Node) -> Law | None:
        """The law of the result of an op between arrays; None if it depends on the chosen draws no more."""
        cx = self.reading
        match node.op.name:
            case "prob.log_prob":
                return log_density_law(cx, node)
            case "prob.mean":
                return mean_law(cx, node)
            case "prob.variance":
                gaussian_of(cx, node.inputs[0], "the variance")
                return None  # s², whatever the location
        if any(v in self._uncertain for v in node.inputs):
            raise Refusal(f"`{node.op.name}` of a distribution with uncertain parameters has no closed form here")
        if node.op.name in MOMENT_RULES:
            return MOMENT_RULES[node.op.name](cx, node)
        found = linear_law(cx, node)
        if found is None:
            raise Refusal(f"`{node.op.name}` of an uncertain value has no moments in closed form")
        return found

    def _enter(self, node: Node, sources: frozenset[Node]) -> None:
        """A region op: repeated draws have expectations, what else depends on chosen draws is refused."""
        if node.op.name != "region.draws":
            inside = {each for body in regions_of(node) for each in walk(body)} & set(self.chosen)
            self.blame(node, sources | inside, f"it reaches the body of `{node.op.name}`")
            self._lose(node, sources | inside)
            return
        if sources:
            raise Refusal("it reaches the body of `region.draws`, whose rounds share it")
        body = Analysis(self.entry, node.attrs.graph("body"), self.chosen, self.reasons)
        self.bodies[node] = body
        for output, result in zip(body.graph.outputs, node.results, strict=True):
            if output.value in body.laws:
                problem = Problem("rounds of draws are counted in an expectation")
                self.reading.laws[result] = Law(node, body.sources(output.value), problem)
            elif body.sources(output.value):
                self._lost[result] = body.sources(output.value)

    # --- reasons ------------------------------------------------------------------------------------------------------

    def blame(self, node: Node, sources: frozenset[Node], text: str) -> None:
        """Enter a hard reason for each of the draws."""
        for source in sorted(sources, key=lambda each: each.site or ""):
            chain = self._chain(node, source)
            # A node that no line of the program stands for: the last line on the way to it.
            places = [node.span, *(step.span for step in reversed(chain))]
            reason = Reason(text, next((place for place in places if place.known), node.span), chain)
            if reason not in self.reasons.setdefault(source, []):
                self.reasons[source].append(reason)

    def _soft(self, node: Node, sources: frozenset[Node], text: str) -> None:
        self.blame(node, frozenset(each for each in sources if not self.chosen[each]), text)

    def _lose(self, node: Node, sources: frozenset[Node]) -> None:
        self._lost.update((result, sources) for result in node.results)

    def _chain(self, node: Node, source: Node) -> tuple[Step, ...]:
        """How a draw comes to a node."""
        steps = [Step(_told(node), node.span)]
        producers = self.graph.producers
        while node is not source:
            step = next((v for v in node.inputs if source in self.sources(v)), None)
            if step is None or step not in producers:
                break
            node = producers[step]
            steps.append(Step(_told(node), node.span))
        return tuple(reversed(steps))


def _told(node: Node) -> str:
    if node.site is not None:
        return f"draw of `{node.site}`"
    name = node.results[0].name if node.results else ""
    return f"`{node.op.name}` gives `{name}`" if name else f"`{node.op.name}`"


def check_outputs(found: Analysis) -> None:
    """Enter reasons where an output of the entry point does not mean an expectation over the chosen draws."""
    graph, laws = found.graph, found.laws
    for output in graph.outputs:
        sources = found.sources(output.value)
        if not sources or output.value not in laws:
            continue
        law = laws[output.value]
        kind, _, name = output.name.partition(":")
        if kind == "state":
            found.blame(law.node, sources, f"the statistic `{name}` is updated with it")
        elif found.entry == "predict" and not law.is_spread:
            assert isinstance(law.spread, Problem)
            found.blame(law.node, sources, f"predictions of `{name}` need a variance, and {law.spread.text}")
        elif found.entry == "predict" and kind not in ("mean", "value"):
            found.blame(law.node, sources, f"`{output.name}` is no mean")
