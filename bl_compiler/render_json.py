"""Diagnostics for programs: JSON Lines, one-line text, SARIF 2.1.0, GitHub annotations; `render_all` for every format.

Invariant: lines and columns are 1-based and count characters, ends are exclusive, offsets are 0-based; machine formats
are complete and never colored. May import: `source`, `diagnostics`, `codes`, `render`, `render_snippet`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias
from urllib.parse import quote

from bl_compiler.codes import CODES
from bl_compiler.diagnostics import Diagnostic, Label, Severity
from bl_compiler.render import lead_span, render_human
from bl_compiler.render_snippet import clean
from bl_compiler.source import SourceFile, Span

Format: TypeAlias = Literal["human", "short", "json", "sarif", "github"]
FORMATS: tuple[Format, ...] = ("human", "short", "json", "sarif", "github")

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Sources: TypeAlias = Mapping[str, SourceFile]

ERROR_LIMIT = 20
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_all(
    diagnostics: Sequence[Diagnostic],
    sources: Sources,
    format: Format,
    *,
    color: bool = False,
    width: int = 100,
    exit_code: int | None = None,
    version: str | None = None,
) -> str:
    """All diagnostics in one format, ending in a newline unless there is nothing to say.

    The formats for people show at most 20 errors and 20 warnings, then a line with the counts; the others are complete.

    Args:
        diagnostics: What to show, in this order.
        sources: The texts by file name.
        format: One of `FORMATS`.
        color: Whether the human format uses colors.
        width: The width of the human format.
        exit_code: The exit code to state in the JSON summary; by default 1 if there are errors, else 0.
        version: The version of blc to state in SARIF.
    """
    match format:
        case "human":
            return _listing(
                [render_human(d, sources, color=color, width=width) for d in shown(diagnostics)], diagnostics
            )
        case "short":
            return _listing([render_short(d) for d in shown(diagnostics)], diagnostics, gap="\n")
        case "json":
            lines = [
                *(diagnostic_json(d, sources) for d in diagnostics),
                summary_json(diagnostics, exit_code=exit_code),
            ]
            return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        case "sarif":
            log = sarif_json(diagnostics, sources, version=version)
            return json.dumps(log, ensure_ascii=False, indent=2) + "\n"
        case "github":
            return "".join(render_github(d) + "\n" for d in diagnostics)


# --- for people ------------------------------------------------------------------------------------------------------


def shown(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics without those past the first 20 errors and the first 20 warnings."""
    room = dict.fromkeys(Severity, ERROR_LIMIT)
    kept = []
    for diagnostic in diagnostics:
        room[diagnostic.severity] -= 1
        if room[diagnostic.severity] >= 0:
            kept.append(diagnostic)
    return kept


def count_line(diagnostics: Sequence[Diagnostic]) -> str:
    """The closing line: how many errors and warnings there are, and how many of them are not shown.

    >>> count_line([Diagnostic("BLC0001", Severity.ERROR, "one"), Diagnostic("BLC0356", Severity.WARNING, "two")])
    'error: 1 error and 1 warning'
    """
    errors, warnings = _counts(diagnostics)
    counts = [_plural(errors, "error")] if errors else []
    counts += [_plural(warnings, "warning")] if warnings else []
    level = "error" if errors else "warning"
    hidden = len(diagnostics) - len(shown(diagnostics))
    return f"{level}: {' and '.join(counts)}" + (f" ({hidden} not shown)" if hidden else "")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counts(diagnostics: Sequence[Diagnostic]) -> tuple[int, int]:
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    return errors, len(diagnostics) - errors


def _listing(texts: list[str], diagnostics: Sequence[Diagnostic], *, gap: str = "\n\n") -> str:
    """The texts and, after more than one, the count line."""
    if len(diagnostics) > 1:
        texts = [*texts, count_line(diagnostics)]
    return gap.join(texts) + "\n" if texts else ""


def render_short(diagnostic: Diagnostic) -> str:
    """One line: `vae.blg:3:24: error[BLC0203]: message`."""
    span = lead_span(diagnostic.labels)
    where = f"{span}: " if span else ""
    return clean(f"{where}{diagnostic.severity.value}[{diagnostic.code}]: " + _one_line(diagnostic.message))


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))


# --- JSON Lines ------------------------------------------------------------------------------------------------------


def diagnostic_json(diagnostic: Diagnostic, sources: Sources) -> dict[str, Json]:
    """The object of one line of `--message-format json`; helps and notes are both in `notes`, told apart by `level`."""
    return {
        "type": "diagnostic",
        "code": diagnostic.code,
        "level": diagnostic.severity.value,
        "message": diagnostic.message,
        "spans": [
            {**_span_json(label.span, sources), "label": label.text, "primary": label.primary}
            for label in diagnostic.labels
            if label.span.known
        ],
        "notes": [
            *({"level": "help", "message": text} for text in diagnostic.helps),
            *({"level": "note", "message": text} for text in diagnostic.notes),
        ],
        "fixes": [
            {"span": _span_json(fix.span, sources), "text": fix.text, "confidence": fix.confidence}
            for fix in diagnostic.fixes
        ],
        "rendered": render_human(diagnostic, sources),
    }


def summary_json(diagnostics: Sequence[Diagnostic], *, exit_code: int | None = None) -> dict[str, Json]:
    """The object of the last line of `--message-format json`."""
    errors, warnings = _counts(diagnostics)
    code = int(errors > 0) if exit_code is None else exit_code
    return {"type": "summary", "errors": errors, "warnings": warnings, "exit": code}


def _span_json(span: Span, sources: Sources) -> dict[str, Json]:
    """A span with its offsets, which are null where the text is not at hand."""
    offsets = _offsets(span, sources)
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "offset": offsets[0] if offsets else None,
        "end_offset": offsets[1] if offsets else None,
    }


def _offsets(span: Span, sources: Sources) -> tuple[int, int] | None:
    source = sources.get(span.file)
    if source is None:
        return None
    return source.offset(span.line, span.column), source.offset(span.end_line, span.end_column)


# --- SARIF -----------------------------------------------------------------------------------------------------------


def sarif_json(diagnostics: Sequence[Diagnostic], sources: Sources, *, version: str | None = None) -> dict[str, Json]:
    """A SARIF 2.1.0 log with one run."""
    codes = sorted({d.code for d in diagnostics})
    driver: dict[str, Json] = {"name": "blc", "rules": [_rule(code) for code in codes]}
    if version:
        driver["semanticVersion"] = version
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code), sources) for d in diagnostics],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Json]:
    entry = CODES[code]
    rule: dict[str, Json] = {
        "id": code,
        "shortDescription": {"text": entry.title},
        "help": {"text": f"`blc explain {code}` has the full rule"},
        "defaultConfiguration": {"level": "warning" if entry.lint else "error"},
    }
    if entry.lint:
        rule["name"] = entry.lint
        rule["properties"] = {"tags": [entry.group]}
    return rule


def _result(diagnostic: Diagnostic, index: int, sources: Sources) -> dict[str, Json]:
    lead = lead_span(diagnostic.labels)
    primary = [label for label in diagnostic.labels if label.span.known and label.span == lead][:1]
    related = [label for label in diagnostic.labels if label.span.known and label not in primary]
    result: dict[str, Json] = {
        "ruleId": diagnostic.code,
        "ruleIndex": index,
        "level": diagnostic.severity.value,
        "message": {"text": _full_message(diagnostic, primary)},
        "locations": [{"physicalLocation": _location(label.span, sources)} for label in primary],
    }
    if related:
        result["relatedLocations"] = [
            {"id": number, "physicalLocation": _location(label.span, sources), "message": {"text": label.text}}
            for number, label in enumerate(related)
        ]
    if diagnostic.fixes:
        result["fixes"] = [
            {
                "artifactChanges": [
                    {
                        "artifactLocation": {"uri": _uri(fix.span.file)},
                        "replacements": [
                            {"deletedRegion": _region(fix.span, sources), "insertedContent": {"text": fix.text}}
                        ],
                    }
                ]
            }
            for fix in diagnostic.fixes
        ]
    return result


def _full_message(diagnostic: Diagnostic, primary: Sequence[Label]) -> str:
    """The message with all that the human form would add, for readers that show one text a finding."""
    labels = [label.text for label in primary if label.text]
    helps = [f"help: {text}" for text in diagnostic.helps]
    notes = [f"note: {text}" for text in diagnostic.notes]
    return "\n".join([diagnostic.message, *labels, *helps, *notes])


def _location(span: Span, sources: Sources) -> dict[str, Json]:
    return {"artifactLocation": {"uri": _uri(span.file)}, "region": _region(span, sources)}


def _region(span: Span, sources: Sources) -> dict[str, Json]:
    region: dict[str, Json] = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    offsets = _offsets(span, sources)
    if offsets:
        region["charOffset"] = offsets[0]
        region["charLength"] = offsets[1] - offsets[0]
    return region


def _uri(file: str) -> str:
    """A file name as a URI reference: relative names stay relative, absolute ones get a scheme."""
    path = quote(file.replace("\\", "/"))
    return f"file://{path}" if path.startswith("/") else path


# --- GitHub ----------------------------------------------------------------------------------------------------------


def render_github(diagnostic: Diagnostic) -> str:
    """A workflow command that GitHub shows beside the changed lines."""
    properties: dict[str, str | int] = {}
    lead = lead_span(diagnostic.labels)
    if lead is not None:
        properties["file"] = lead.file
        properties["line"] = lead.line
        # GitHub rejects columns on annotations of several lines.
        if lead.line == lead.end_line:
            properties["col"] = lead.column
        properties["endLine"] = lead.end_line
        if lead.line == lead.end_line:
            properties["endColumn"] = lead.end_column
    properties["title"] = f"{diagnostic.code}: {CODES[diagnostic.code].title}"
    given = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in properties.items())
    primary = [label for label in diagnostic.labels if label.span == lead]
    return f"::{diagnostic.severity.value} {given}::{_escaped(_full_message(diagnostic, primary))}"


def _escaped(text: str, more: str = "") -> str:
    """Percent-encode what would end a workflow command or one of its properties."""
    for char in "%\r\n" + more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text
