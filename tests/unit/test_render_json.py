"""The machine-readable forms of diagnostics.

Invariant: the fields are those that the command-line reference lists.
"""

from __future__ import annotations

import json

import pytest

from bl_compiler.diagnostics import Diagnostic, Label, Severity
from bl_compiler.render_json import ERROR_LIMIT, FORMATS, Format, count_line, render_all, render_github, render_short
from bl_compiler.source import SourceFile, Span
from tests.unit.texts import block, span_of

SOURCE = SourceFile("vae.blg", "model vae {\n  h1 = dense(x, units=0)\n}\n")
SOURCES = {"vae.blg": SOURCE}


def finding(severity: Severity = Severity.ERROR) -> Diagnostic:
    code = "BLC0203" if severity is Severity.ERROR else "BLC0356"
    found = Diagnostic(code, severity, "`units` must be at least 1")
    found.labels.append(Label(span_of(SOURCE, "0"), "this is 0", primary=True))
    found.label(span_of(SOURCE, "dense"), "in this layer").note("a note")
    return found.help("write a positive integer", replace=(span_of(SOURCE, "0"), "1"))


def many(count: int, severity: Severity = Severity.ERROR) -> list[Diagnostic]:
    return [Diagnostic("BLC0203", severity, f"number {n}") for n in range(count)]


def test_json_lines() -> None:
    lines = render_all([finding()], SOURCES, "json").splitlines()
    diagnostic, summary = (json.loads(line) for line in lines)
    rendered = diagnostic.pop("rendered")
    assert rendered.startswith("error[BLC0203]: `units` must be at least 1\n --> vae.blg:2:23\n")
    assert diagnostic == {
        "type": "diagnostic",
        "code": "BLC0203",
        "level": "error",
        "message": "`units` must be at least 1",
        "spans": [
            {
                "file": "vae.blg",
                "line": 2,
                "column": 23,
                "end_line": 2,
                "end_column": 24,
                "offset": 34,
                "end_offset": 35,
                "label": "this is 0",
                "primary": True,
            },
            {
                "file": "vae.blg",
                "line": 2,
                "column": 8,
                "end_line": 2,
                "end_column": 13,
                "offset": 19,
                "end_offset": 24,
                "label": "in this layer",
                "primary": False,
            },
        ],
        "notes": [
            {"level": "help", "message": "write a positive integer"},
            {"level": "note", "message": "a note"},
        ],
        "fixes": [
            {
                "span": {
                    "file": "vae.blg",
                    "line": 2,
                    "column": 23,
                    "end_line": 2,
                    "end_column": 24,
                    "offset": 34,
                    "end_offset": 35,
                },
                "text": "1",
                "confidence": "maybe",
            }
        ],
    }
    assert summary == {"type": "summary", "errors": 1, "warnings": 0, "exit": 1}


def test_offsets_select_the_marked_text() -> None:
    line = render_all([finding()], SOURCES, "json").splitlines()[0]
    texts = [SOURCE.text[span["offset"] : span["end_offset"]] for span in json.loads(line)["spans"]]
    assert texts == ["0", "dense"]


def test_offsets_are_null_without_the_text() -> None:
    span = json.loads(render_all([finding()], {}, "json").splitlines()[0])["spans"][0]
    assert span["offset"] is None
    assert span["end_offset"] is None


def test_the_summary_comes_even_when_all_is_well() -> None:
    assert json.loads(render_all([], {}, "json")) == {"type": "summary", "errors": 0, "warnings": 0, "exit": 0}


def test_the_summary_counts_warnings_and_states_the_given_exit_code() -> None:
    lines = render_all([finding(Severity.WARNING)], SOURCES, "json", exit_code=3).splitlines()
    assert json.loads(lines[-1]) == {"type": "summary", "errors": 0, "warnings": 1, "exit": 3}


@pytest.mark.parametrize("format", FORMATS)
def test_only_the_human_form_is_colored(format: Format) -> None:
    assert ("\x1b" in render_all([finding()], SOURCES, format, color=True)) == (format == "human")


@pytest.mark.parametrize("format", ["human", "short", "github"])
def test_nothing_to_say_is_no_output(format: Format) -> None:
    assert render_all([], {}, format) == ""


def test_short_form() -> None:
    assert render_short(finding()) == "vae.blg:2:23: error[BLC0203]: `units` must be at least 1"
    assert render_short(Diagnostic("BLC0307", Severity.ERROR, "nothing\nto do")) == "error[BLC0307]: nothing to do"


def test_several_findings_end_in_a_count() -> None:
    text = render_all([finding(), finding(Severity.WARNING)], SOURCES, "short")
    assert text == block("""
vae.blg:2:23: error[BLC0203]: `units` must be at least 1
vae.blg:2:23: warning[BLC0356]: `units` must be at least 1
error: 1 error and 1 warning

""")


def test_human_findings_are_set_apart() -> None:
    assert "full rule\n\nerror[BLC0203]: number 1\n" in render_all(many(2), {}, "human")


@pytest.mark.parametrize("format", ["human", "short"])
def test_at_most_twenty_errors_are_shown(format: Format) -> None:
    text = render_all([*many(ERROR_LIMIT + 3), finding(Severity.WARNING)], SOURCES, format)
    assert f"number {ERROR_LIMIT - 1}\n" in text
    assert f"number {ERROR_LIMIT}\n" not in text
    assert "warning[BLC0356]" in text
    assert text.endswith("\nerror: 23 errors and 1 warning (3 not shown)\n")


def test_machine_forms_are_complete() -> None:
    errors = many(ERROR_LIMIT + 3)
    assert render_all(errors, {}, "json").count("\n") == len(errors) + 1
    assert len(json.loads(render_all(errors, {}, "sarif"))["runs"][0]["results"]) == len(errors)
    assert render_all(errors, {}, "github").count("\n") == len(errors)


def test_count_line_of_warnings() -> None:
    assert count_line(many(2, Severity.WARNING)) == "warning: 2 warnings"


def test_sarif() -> None:
    log = json.loads(render_all([finding(), finding(Severity.WARNING)], SOURCES, "sarif", version="0.1.0"))
    assert log["version"] == "2.1.0"
    run = log["runs"][0]
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["tool"]["driver"]["semanticVersion"] == "0.1.0"
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["BLC0203", "BLC0356"]
    assert [rule["defaultConfiguration"]["level"] for rule in rules] == ["error", "warning"]
    assert rules[1]["name"] == "unused-name"
    first, second = run["results"]
    assert (first["ruleIndex"], first["level"], second["ruleIndex"], second["level"]) == (0, "error", 1, "warning")
    assert first["message"]["text"] == block("""
`units` must be at least 1
this is 0
help: write a positive integer
note: a note
""")
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "vae.blg"}
    assert location["region"] == {
        "startLine": 2,
        "startColumn": 23,
        "endLine": 2,
        "endColumn": 24,
        "charOffset": 34,
        "charLength": 1,
    }
    assert first["relatedLocations"][0]["message"] == {"text": "in this layer"}
    replacement = first["fixes"][0]["artifactChanges"][0]["replacements"][0]
    assert replacement["insertedContent"] == {"text": "1"}


@pytest.mark.parametrize(
    ("file", "uri"), [("a b.blg", "a%20b.blg"), ("/tmp/a.blg", "file:///tmp/a.blg"), ("<stdin>", "%3Cstdin%3E")]
)
def test_sarif_locations_are_uris(file: str, uri: str) -> None:
    found = Diagnostic("BLC0203", Severity.ERROR, "m", [Label(Span(file, 1, 1, 1, 2), "", primary=True)])
    result = json.loads(render_all([found], {}, "sarif"))["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_github_annotation() -> None:
    assert render_github(finding()) == (
        "::error file=vae.blg,line=2,col=23,endLine=2,endColumn=24,title=BLC0203%3A argument out of range::"
        "`units` must be at least 1%0Athis is 0%0Ahelp: write a positive integer%0Anote: a note"
    )


def test_github_annotation_of_several_lines_has_no_columns() -> None:
    found = Diagnostic("BLC0203", Severity.ERROR, "100%", [Label(Span("a,b.blg", 1, 2, 3, 4), "", primary=True)])
    title = "title=BLC0203%3A argument out of range"
    assert render_github(found) == f"::error file=a%2Cb.blg,line=1,endLine=3,{title}::100%25"
