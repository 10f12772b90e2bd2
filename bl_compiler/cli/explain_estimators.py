"""The choice of estimators as text: draws of one outcome together, reasons with their source lines.

May import: floor 0, `cli`; the data of the driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bl_compiler.cli.tables import size_text, table
from bl_compiler.render_snippet import clean
from bl_compiler.source import SourceFile, Span

if TYPE_CHECKING:
    from bl_compiler.driver.explain_estimators import Group
    from bl_compiler.passes.estimators.decisions import Candidate, Reason

_NOUNS = ("", "k", "M", "G", "T", "P")
_MOST_SITES = 8
_MOST_STEPS = 8


def estimators_text(groups: Sequence[Group], sources: Mapping[str, SourceFile], settings: str) -> str:
    """All groups, by entry point.

    Args:
        groups: They are in the order of their entry points.
        sources: The texts that reasons quote.
        settings: What the figures hold for, in words.
    """
    parts: list[str] = []
    entry = ""
    for group in groups:
        if group.first.entry != entry:
            entry = group.first.entry
            parts.append(f"{entry}: {_base(group)}\n")
        parts.append(_group(group, sources))
    return f"{settings}\n\n" + "\n".join(parts)


def _base(group: Group) -> str:
    """What a step takes with every draw shared, which all relative figures of an entry point refer to."""
    shared = next((c for c in group.first.candidates if str(c.estimator) == "shared"), None)
    if shared is None:
        return "predicted figures of a step"
    return (
        f"with shared draws a step is predicted to take {number_text(shared.flops)}FLOP, {size_text(shared.bytes)}, "
        f"{number_text(shared.randoms).rstrip()} random numbers, {seconds_text(shared.seconds)}"
    )


def _group(group: Group, sources: Mapping[str, SourceFile]) -> str:
    first = group.first
    shown = group.decisions[:_MOST_SITES]
    width = max(len(d.site) for d in shown)
    lines = [f"  {d.site:<{width}}  {_place(d.span)}".rstrip() for d in shown]
    more = len(group.decisions) - len(shown)
    if more:
        lines.append(f"  and {more} more: `--format json` lists all")
    lines.append(f"  -> {first.chosen}: {first.why}")
    rows = []
    for c in first.candidates:
        of_sites = group.figures(c.estimator)
        mark = "> " if c.estimator == first.chosen else "  "
        rows.append((f"{mark}{c.estimator}", "yes" if c.exact else "no", *_relative(group, of_sites)))
    header = ["  estimator", "exact", "FLOPs", "bytes", "random numbers", "time", "variance"]
    text = "\n".join(lines) + "\n" + table(header, rows, indent="    ", right="<<>>>>>")
    return text + "".join(_reason(names, r, sources) for r, names in _reasons(first.candidates))


def _reasons(candidates: Sequence[Candidate]) -> list[tuple[Reason, list[str]]]:
    """Each reason once, with the estimators that it rules out."""
    found: dict[object, tuple[Reason, list[str]]] = {}
    for c in candidates:
        for r in c.reasons:
            names = found.setdefault((r.text, r.span), (r, []))[1]
            if str(c.estimator) not in names:
                names.append(str(c.estimator))
    return list(found.values())


def _relative(group: Group, found: Sequence[Candidate]) -> tuple[str, ...]:
    """Figures over those with shared draws, a range where the sites of the group differ; variance as it is."""
    shared = group.figures(next((c.estimator for c in group.first.candidates if str(c.estimator) == "shared"), None))
    if not all(c.possible for c in found) or len(shared) != len(found):
        return ("-",) * 5
    cells = []
    for name in ("flops", "bytes", "randoms", "seconds"):
        ratios = [
            getattr(c, name) / base if (base := getattr(s, name)) else 1.0 for c, s in zip(found, shared, strict=True)
        ]
        cells.append(_range([f"{r:.2f}x" for r in (min(ratios), max(ratios))]))
    variances = [c.variance for c in found]
    return (*cells, _range([f"{v:.3g}" for v in (min(variances), max(variances))]))


def _range(ends: Sequence[str]) -> str:
    low, high = ends
    return low if low == high else f"{low}-{high}"


def _reason(estimators: Sequence[str], reason: Reason, sources: Mapping[str, SourceFile]) -> str:
    names = f"{', '.join(estimators)} {'is' if len(estimators) == 1 else 'are'}"
    lines = [f"    {names} not exact: {reason.text}", *_quoted(reason.span, sources)]
    for step in reason.chain[:_MOST_STEPS]:
        lines.append(f"       = via {step.text}" + (f" at {_place(step.span)}" if step.span.known else ""))
    if len(reason.chain) > _MOST_STEPS:
        lines.append(f"       = and more, {len(reason.chain)} steps in all: `--format json` shows them")
    return "\n".join(lines) + "\n"


def _quoted(span: Span, sources: Mapping[str, SourceFile]) -> list[str]:
    if not span.known:
        return []
    lines = [f"      --> {_place(span)}"]
    source = sources.get(span.file)
    if source is not None:
        lines.append(f"      {span.line:>4} | {clean(source.line(span.line)).strip()}")
    return lines


def _place(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}" if span.known else ""


def number_text(value: float) -> str:
    """A number with a decimal prefix and a space before it.

    >>> number_text(1234567)
    '1.23 M'
    """
    for prefix in _NOUNS:
        if abs(value) < 1000 or prefix == _NOUNS[-1]:
            return f"{value:.3g} {prefix}"
        value /= 1000
    raise AssertionError(value)


def seconds_text(value: float) -> str:
    """A time for people.

    >>> seconds_text(0.0021)
    '2.1 ms'
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
