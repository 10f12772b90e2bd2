"""What rules did and why they did not: entries for the trace, counts for the statistics.

Invariant: a rule whose pattern matched leaves one entry per match, fired or with a reason; patterns that did not match
are only counted. May import: floors 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bl_compiler.ir.graph import Node
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One match of a rule. `reason` says why it did not fire."""

    pass_name: str
    rule: str
    fired: bool
    reason: str = ""
    function: str = ""
    op: str = ""
    site: str | None = None
    scope: str = ""
    span: Span = NO_SPAN

    def to_json(self) -> dict[str, object]:
        """One line of `trace.jsonl`."""
        found: dict[str, object] = {
            "pass": self.pass_name,
            "rule": self.rule,
            "site": self.site,
            "fired": self.fired,
            "reason": self.reason,
            "span": str(self.span) if self.span.known else None,
            "function": self.function,
            "op": self.op,
            "scope": self.scope,
        }
        return found


@dataclass(slots=True)
class Count:
    """How often a rule was tried and how often it fired."""

    attempts: int = 0
    hits: int = 0


@dataclass(slots=True)
class Journal:
    """Collects entries while passes run; the manager and the passes say who is writing.

    Attributes:
        pass_name: the pass that is running.
        function: the function that it works on.
        counts: by pass and rule.
    """

    entries: list[Entry] = field(default_factory=list)
    counts: dict[tuple[str, str], Count] = field(default_factory=dict)
    pass_name: str = ""
    function: str = ""

    def attempted(self, rule: str, times: int = 1) -> None:
        """Count tries of a rule."""
        self._count(rule).attempts += times

    def fired(self, rule: str, node: Node | None = None, reason: str = "") -> None:
        """A rule rewrote a node."""
        self._count(rule).hits += 1
        self._add(rule, node, reason, fired=True)

    def refused(self, rule: str, reason: str, node: Node | None = None) -> None:
        """A rule's pattern matched and its check refused."""
        self._add(rule, node, reason, fired=False)

    def hits(self) -> int:
        """How often any rule fired so far."""
        return sum(count.hits for count in self.counts.values())

    def about(self, site: str) -> list[Entry]:
        """The entries at a site, or at a node of a scope of that name."""
        return [entry for entry in self.entries if site in (entry.site, entry.scope)]

    def _count(self, rule: str) -> Count:
        return self.counts.setdefault((self.pass_name, rule), Count())

    def _add(self, rule: str, node: Node | None, reason: str, *, fired: bool) -> None:
        if node is None:
            self.entries.append(Entry(self.pass_name, rule, fired, reason, self.function))
            return
        place = (self.function, node.op.name, node.site, node.scope, node.span)
        self.entries.append(Entry(self.pass_name, rule, fired, reason, *place))
