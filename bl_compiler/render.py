"""Diagnostics for people: message, source excerpt with marks, help and notes, in the shape rustc made familiar.

Invariant: the text depends on the arguments alone; color and width are decided by the caller.
May import: `source`, `diagnostics`, `codes`, `render_snippet`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from bl_compiler.codes import CODES
from bl_compiler.diagnostics import Diagnostic, Fix, Label, Severity
from bl_compiler.render_snippet import Paint, clean, last_line, snippet
from bl_compiler.source import SourceFile, Span

_RESET = "\x1b[0m"
_STYLES = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "secondary": "\x1b[1;34m",
    "gutter": "\x1b[1;34m",
    "message": "\x1b[1m",
    "help": "\x1b[1;36m",
    "note": "\x1b[1;32m",
}


def painter(severity: Severity, *, color: bool) -> Paint:
    """A function that gives a text a style; without color it returns the text as it is."""
    if not color:
        return lambda text, _style: text
    codes = {**_STYLES, "primary": _STYLES[severity.value]}
    return lambda text, style: f"{codes[style]}{text}{_RESET}" if style in codes and text.strip() else text


def render_human(
    diagnostic: Diagnostic, sources: Mapping[str, SourceFile], *, color: bool = False, width: int = 100
) -> str:
    """One diagnostic as text, without a final newline.

    Args:
        diagnostic: What to show.
        sources: The texts by file name; the excerpt of a file that is missing here is left out.
        color: Whether to use ANSI colors.
        width: The width that notes are wrapped to and long source lines are cut to.

    >>> print(render_human(Diagnostic("BLC0001", Severity.ERROR, "`a.blg` cannot be read"), {}))
    error[BLC0001]: `a.blg` cannot be read
      = note: `blc explain BLC0001` has the full rule
    """
    paint = painter(diagnostic.severity, color=color)
    labels = [label for label in diagnostic.labels if label.span.known]
    digits = len(str(last_line(label for label in labels if label.span.file in sources)))
    level = diagnostic.severity.value
    head, *more = clean(diagnostic.message).split("\n")
    lines = [paint(f"{level}[{diagnostic.code}]", level) + paint(f": {head}", "message")]
    lines += [f"  {line}" for line in more]
    lines += _excerpts(labels, sources, digits=digits, width=width, paint=paint)
    for kind, text in _remarks(diagnostic, labels, sources):
        lines += _remark(kind, clean(text), digits=digits, width=width, paint=paint)
    return "\n".join(lines)


def lead_span(labels: Sequence[Label]) -> Span | None:
    """The span a diagnostic is reported at: the primary one, else the first, else none."""
    known = [label for label in labels if label.span.known]
    return next((label.span for label in known if label.primary), known[0].span if known else None)


def _excerpts(
    labels: list[Label], sources: Mapping[str, SourceFile], *, digits: int, width: int, paint: Paint
) -> Iterator[str]:
    """One excerpt a file, that of the lead span first."""
    lead = lead_span(labels)
    if lead is None:
        return
    files = dict.fromkeys((lead.file, *(label.span.file for label in labels)))
    for file in files:
        here = [label for label in labels if label.span.file == file]
        at = lead if file == lead.file else here[0].span
        if file != lead.file:
            yield paint(" " * digits + " |", "gutter")
        yield paint(" " * digits + ("-->" if file == lead.file else ":::"), "gutter") + " " + clean(str(at))
        if file in sources:
            yield from snippet(sources[file], here, digits=digits, width=width, paint=paint)


def _remarks(
    diagnostic: Diagnostic, labels: list[Label], sources: Mapping[str, SourceFile]
) -> Iterator[tuple[str, str]]:
    for label in labels:
        if label.text and label.span.file not in sources:
            yield "note", f"{label.span}: {label.text}"
    for text in diagnostic.helps:
        yield "help", text
    for fix in diagnostic.fixes:
        # A help that already quotes the new text ("did you mean `relu`?") says what the fix would say.
        if not any(f"`{fix.text}`" in text for text in diagnostic.helps):
            yield "help", describe_fix(fix, sources)
    for text in diagnostic.notes:
        yield "note", text
    lead = lead_span(labels)
    for file, importer in import_chain(lead.file if lead else "", sources):
        yield "note", f"`{file}` is imported at {importer}"
    code = CODES[diagnostic.code]
    if code.lint:
        yield "note", f"lint `{code.lint}` of the group `{code.group}`"
    yield "note", f"`blc explain {diagnostic.code}` has the full rule"


def _remark(kind: str, text: str, *, digits: int, width: int, paint: Paint) -> Iterator[str]:
    """A help or note; one paragraph is wrapped, several lines (a table) keep their form."""
    head = " " * digits + " = "
    indent = " " * (len(head) + len(kind) + 2)
    lines = text.split("\n")
    if len(lines) == 1:
        room = max(width - len(indent), 30)
        lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield (paint(head, "gutter") + paint(kind, kind) + f": {lines[0]}").rstrip()
    for line in lines[1:]:
        yield (indent + line).rstrip()


def import_chain(file: str, sources: Mapping[str, SourceFile]) -> Iterator[tuple[str, Span]]:
    """The files from `file` up to the one given on the command line, each with the place that imports it."""
    seen: set[str] = set()
    while file in sources and file not in seen:
        seen.add(file)
        importer = sources[file].included_from
        if importer is None or not importer.known:
            return
        yield file, importer
        file = importer.file


def describe_fix(fix: Fix, sources: Mapping[str, SourceFile]) -> str:
    """A fix in words, such as "replace `dens` with `dense`"."""
    source = sources.get(fix.span.file)
    old = source_text(source, fix.span) if source else None
    new = fix.text
    if old is None:
        what = f"write `{new}` at {fix.span}" if new else f"remove the text at {fix.span}"
    elif not old:
        what = f"insert `{new.strip() or new}` at {fix.span}"
    elif not new:
        what = f"remove `{old.strip() or old}`"
    else:
        what = f"replace `{old}` with `{new}`"
    return what if fix.confidence == "sure" else f"perhaps {what}"


def source_text(source: SourceFile, span: Span) -> str:
    """The text a span covers."""
    return source.text[source.offset(span.line, span.column) : source.offset(span.end_line, span.end_column)]
