"""Applies a set of rules to a graph and its regions.

One sweep in program order: nodes that a rewrite makes are tried in turn before anything reads them, so no rule is left
that would fire. Invariant: every value keeps its type, the sweep is linear in the nodes kept and the rewrites done, and
rules that undo each other end in an `InternalError` that names them. May import: floors 0-1, `journal`, `rules`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.rewrite import map_regions, merge_made_by, rebuilt, with_inputs, with_results
from bl_compiler.ir.text import type_text
from bl_compiler.ir.types import TypeRuleError
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.rules import Match, Rule

_CONSTANTS = ("tensor.const", "tensor.full")
_LOOK_THROUGH = ("tensor.broadcast", "tensor.reshape", "tensor.transpose")
_BUDGET_BASE, _BUDGET_PER_NODE = 1000, 50
_RECENT = 6


class RuleSet:
    """Rules by the ops at which they start, in order of precedence."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules have one name")
        self._by_op: dict[str, tuple[Rule, ...]] = {}
        for rule in rules:
            for root in rule.roots:
                self._by_op[root] = (*self._by_op.get(root, ()), rule)

    def at(self, op: str) -> tuple[Rule, ...]:
        """The rules that start at an op."""
        return self._by_op.get(op, ())


def apply_rules(graph: Graph, rules: RuleSet, ops: OpSet, journal: Journal) -> Graph:
    """The graph, and its regions, with rules applied until none fires; the graph itself if none did."""
    return _Sweep(graph, rules, ops, journal).run()


@dataclass(slots=True)
class _Sweep:
    """One graph on its way. Implements `rules.View` over the nodes that are done."""

    graph: Graph
    rules: RuleSet
    ops: OpSet
    journal: Journal
    nodes: list[Node] = field(default_factory=list)
    producers: dict[Value, Node] = field(default_factory=dict)
    values: dict[Value, Value] = field(default_factory=dict)
    uniforms: dict[Value, float | int | bool | None] = field(default_factory=dict)
    fired: int = 0
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def run(self) -> Graph:
        """Sweep over the nodes."""
        budget = _BUDGET_BASE + _BUDGET_PER_NODE * len(self.graph.nodes)
        for node in self.graph.nodes:
            pending = [node]
            while pending:
                current = self._reading_new_values(map_regions(pending.pop(), self._region))
                made = self._rewritten(current)
                if made is None:
                    self._keep(current)
                    continue
                pending += reversed(made)
                if self.fired > budget:
                    raise InternalError(f"no fixpoint after {budget} rewrites; last: {' -> '.join(self.recent)}")
        outputs = [Output(o.name, self._current(o.value)) for o in self.graph.outputs]
        return rebuilt(self.graph, self.nodes, outputs)

    def _region(self, region: Graph) -> Graph:
        return apply_rules(region, self.rules, self.ops, self.journal)

    def _current(self, value: Value) -> Value:
        while value in self.values:
            value = self.values[value]
        return value

    def _reading_new_values(self, node: Node) -> Node:
        if not any(value in self.values for value in node.inputs):
            return node
        return with_inputs(node, [self._current(value) for value in node.inputs])

    def _keep(self, node: Node) -> None:
        self.nodes.append(node)
        for value in node.results:
            self.producers[value] = node
        if node.op.name in _CONSTANTS:
            self.uniforms[node.result] = _only_element(node.attrs["value"])
        elif node.op.name in _LOOK_THROUGH:
            self.uniforms[node.result] = self.uniforms.get(node.inputs[0])

    def _rewritten(self, node: Node) -> list[Node] | None:
        """The nodes that take the place of `node`, its results replaced; None if no rule fires."""
        for rule in self.rules.at(node.op.name):
            self.journal.attempted(rule.name)
            match = rule.match(node, self)
            if match is None:
                continue
            reason = rule.check(match, self)
            if reason is None:
                builder = self._builder(rule, match)
                try:
                    new = list(rule.rewrite(match, builder))
                    reason = _type_change(node.results, new)
                except TypeRuleError as refusal:
                    reason = str(refusal)
            if reason is not None:
                self.journal.refused(rule.name, reason, node)
                continue
            self.journal.fired(rule.name, node)
            self.fired += 1
            self.recent.append(rule.name)
            return self._replace(node.results, new, builder.nodes)
        return None

    def _builder(self, rule: Rule, match: Match) -> GraphBuilder:
        builder = GraphBuilder(self.ops, self.graph.name)
        builder.span, builder.scope = match.root.span, match.root.scope
        histories = [node.made_by for node in (*match.nodes, match.root)]
        builder.made_by = merge_made_by(*histories, (rule.name,))
        return builder

    def _replace(self, old: Sequence[Value], new: Sequence[Value], made: list[Node]) -> list[Node]:
        if made and made[-1].results == tuple(new):
            # The last new node defines the old values themselves: readers and the names they know stay.
            return [*made[:-1], with_results(made[-1], old)]
        self.values.update((a, b) for a, b in zip(old, new, strict=True) if a is not b)
        return made

    # --- what rules see ----------------------------------------------------------------------------------------------

    def producer(self, value: Value) -> Node | None:
        """The node that defines a value; None for arguments."""
        return self.producers.get(value)

    def uniform(self, value: Value) -> float | int | bool | None:
        """The number that all elements of a constant are, if they are."""
        return self.uniforms.get(value)


def _only_element(value: object) -> float | int | bool | None:
    if isinstance(value, tuple):
        first = _only_element(value[0]) if value else None
        return first if first is not None and all(_only_element(v) == first for v in value[1:]) else None
    return value if isinstance(value, (bool, int, float)) else None


def _type_change(old: Sequence[Value], new: Sequence[Value]) -> str | None:
    """Why the new values cannot stand for the old ones, if they cannot."""
    if len(old) != len(new):
        raise InternalError(f"a rule gives {len(new)} values for {len(old)}")
    for a, b in zip(old, new, strict=True):
        if a.type != b.type:
            return f"the type would change from {type_text(a.type)} to {type_text(b.type)}"
    return None
