"""The choice of estimators as plain data and in groups: what `blc explain MODEL` shows.

Decisions are the compiler's own (`passes.estimators.choice`); nothing is decided here. Invariant: every decision is in
exactly one group. May import: floors 0-3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.options import OptionError, Options
from bl_compiler.passes.estimators.choice import ENTRIES, decisions
from bl_compiler.passes.estimators.decisions import Candidate, Decision, Reason
from bl_compiler.source import Span
from bl_compiler.suggest import did_you_mean

Facts = dict[str, object]


@dataclass(frozen=True)
class Group:
    """Draws of one entry point with the same choice for the same reasons.

    Attributes:
        decisions: what was decided, in program order; the candidates of all are the same estimators.
    """

    decisions: tuple[Decision, ...]

    @property
    def first(self) -> Decision:
        """The decision that speaks for the group."""
        return self.decisions[0]

    def figures(self, estimator: object) -> list[Candidate]:
        """The candidates for one estimator, a site each."""
        return [c for d in self.decisions for c in d.candidates if c.estimator == estimator]


def decided(module: Module, options: Options, entry: str | None = None, sites: Sequence[str] = ()) -> list[Decision]:
    """What is decided about the draws of a module's entry points.

    Args:
        module: It holds entry points.
        options: The preference among estimators, and the target.
        entry: Only this entry point.
        sites: Only these; a name ending in `/*` stands for all under it.

    Raises:
        OptionError: There is no such entry point or site.
    """
    if entry is not None and entry not in ENTRIES:
        raise OptionError.unknown("entry point with a choice", entry, list(ENTRIES))
    found = decisions(module, CORE_OPS, options.estimators, str(options.target))
    found = [d for d in found if entry in (None, d.entry)]
    known = list(dict.fromkeys(d.site for d in found))
    for site in sites:
        if not any(_matches(site, name) for name in known):
            close = did_you_mean(site, known)
            help_text = f"did you mean `{close}`?" if close else "without `--site` all are shown"
            raise OptionError(f"no draw with a choice is at site `{site}`", help=help_text)
    return [d for d in found if not sites or any(_matches(site, d.site) for site in sites)]


def _matches(pattern: str, site: str) -> bool:
    return site.startswith(pattern[:-1]) if pattern.endswith("/*") else site == pattern


def groups_of(found: Iterable[Decision]) -> list[Group]:
    """Decisions of one entry point that differ in nothing but place and figures, together; in program order."""
    together: dict[object, list[Decision]] = {}
    for each in found:
        verdicts = tuple((str(c.estimator), c.possible, tuple(r.text for r in c.reasons)) for c in each.candidates)
        together.setdefault((each.entry, str(each.asked), str(each.chosen), each.why, verdicts), []).append(each)
    return [Group(tuple(members)) for members in together.values()]


# --- as plain data ---------------------------------------------------------------------------------------------------


def decision_facts(each: Decision) -> Facts:
    """A decision as JSON has it."""
    return {
        "entry": each.entry,
        "site": each.site,
        "at": _place(each.span),
        "asked": str(each.asked),
        "chosen": str(each.chosen),
        "why": each.why,
        "candidates": [_candidate(c) for c in each.candidates],
    }


def _candidate(c: Candidate) -> Facts:
    return {
        "estimator": str(c.estimator),
        "exact": c.exact,
        "possible": c.possible,
        "flops": c.flops,
        "bytes": c.bytes,
        "randoms": c.randoms,
        "seconds": c.seconds,
        "variance": c.variance,
        "reasons": [_reason(r) for r in c.reasons],
    }


def _reason(r: Reason) -> Facts:
    return {
        "text": r.text,
        "at": _place(r.span),
        "chain": [{"text": step.text, "at": _place(step.span)} for step in r.chain],
    }


def _place(span: Span) -> Facts | None:
    if not span.known:
        return None
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }
