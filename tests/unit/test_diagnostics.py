"""Source positions, the sink that collects diagnostics, and the table of codes.

Invariant: what the front ends rely on when they report.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_compiler.codes import CODES
from bl_compiler.diagnostics import CompileError, Severity, Sink
from bl_compiler.explain_pages import find_code, page
from bl_compiler.options import OptionError
from bl_compiler.source import NO_SPAN, SourceFile, Span
from tests.unit.texts import position

HERE = Span("a.blg", 2, 3, 2, 6)


def test_spans_join_and_print() -> None:
    assert str(HERE.to(Span("a.blg", 4, 1, 4, 9))) == "a.blg:2:3"
    assert HERE.to(Span("a.blg", 4, 1, 4, 9)) == Span("a.blg", 2, 3, 4, 9)
    assert HERE.known
    assert not NO_SPAN.known


@given(st.text("ab\n"), st.data())
def test_offsets_invert_positions(text: str, data: st.DataObject) -> None:
    source = SourceFile("a.blg", text)
    offset = data.draw(st.integers(0, len(text)))
    assert source.offset(*position(source, offset)) == offset


def test_lines_have_no_ends() -> None:
    source = SourceFile("a.blg", "one\r\ntwo")
    assert [source.line(number) for number in (0, 1, 2, 3)] == ["", "one", "two", ""]


def test_chained_report() -> None:
    sink = Sink()
    fix = (HERE, "1")
    found = sink.error("BLC0203", "message", at=HERE, label="this").label(HERE, "in").help("way out", replace=fix)
    found.note("background")
    assert sink.errors == [found]
    assert found.span == HERE
    assert [label.primary for label in found.labels] == [True, False]
    assert (found.helps, found.notes) == (["way out"], ["background"])
    assert [(f.text, f.confidence) for f in found.fixes] == [("1", "maybe")]


def test_unknown_spans_leave_no_label() -> None:
    found = Sink().error("BLC0203", "message").label(NO_SPAN, "nowhere").help("help", replace=(NO_SPAN, "x"))
    assert (found.labels, found.fixes, found.span) == ([], [], NO_SPAN)


def test_one_message_per_cause() -> None:
    sink = Sink()
    for _ in range(2):
        sink.error("BLC0203", "message", at=HERE)
    assert len(sink.diagnostics) == 1


def test_unknown_codes_are_defects() -> None:
    with pytest.raises(KeyError):
        Sink().error("BLC9999", "message")


@pytest.mark.parametrize("name", ["unused-option", "default", "BLC0355"])
def test_lints_are_dropped_by_name_group_and_code(name: str) -> None:
    sink = Sink(allow=[name])
    sink.warning("BLC0355", "message", at=HERE)
    assert sink.diagnostics == []


@pytest.mark.parametrize("name", ["unused-option", "default", "BLC0355", "warnings"])
def test_lints_become_errors(name: str) -> None:
    sink = Sink(deny=[name])
    sink.warning("BLC0355", "message", at=HERE)
    assert [d.severity for d in sink.diagnostics] == [Severity.ERROR]
    with pytest.raises(CompileError):
        sink.raise_if_errors()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("# blc: allow(unused-option)\n  let h = 1", 0),
        ("\n  let h = 1  # blc: allow(unused-input, unused-option)", 0),
        ("let g = 1  # blc: allow(unused-option)\n  let h = 1", 1),
        ("# blc: allow(unused-input)\n  let h = 1", 1),
    ],
)
def test_lints_are_dropped_by_comments(text: str, kept: int) -> None:
    sink = Sink()
    sink.add_source(SourceFile("a.blg", text))
    sink.warning("BLC0355", "message", at=HERE)
    assert len(sink.diagnostics) == kept


def test_pedantic_lints_speak_when_asked_to() -> None:
    silent, asked = Sink(), Sink(warn=["pedantic"])
    for sink in (silent, asked):
        sink.warning("BLC0356", "message", at=HERE)
    assert (len(silent.warnings), len(asked.warnings)) == (0, 1)


def test_compile_errors_show_what_is_wrong() -> None:
    sink = Sink()
    sink.add_source(SourceFile("a.blg", "\nlet x = 1"))
    sink.error("BLC0203", "`x` is odd", at=Span("a.blg", 2, 5, 2, 6), label="this")
    with pytest.raises(CompileError) as caught:
        sink.raise_if_errors()
    assert "error[BLC0203]: `x` is odd\n --> a.blg:2:5\n" in str(caught.value)


def test_warnings_alone_raise_nothing() -> None:
    sink = Sink()
    sink.warning("BLC0355", "message", at=HERE)
    sink.raise_if_errors()
    assert len(sink.warnings) == 1


def test_lints_have_groups_and_errors_have_none() -> None:
    assert all(bool(entry.lint) == bool(entry.group) for entry in CODES.values())
    names = [entry.lint for entry in CODES.values() if entry.lint]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["BLC0203", "blc0203", "203", "0203"])
def test_codes_are_found_in_any_spelling(name: str) -> None:
    assert find_code(name) == "BLC0203"
    assert page(name).startswith("# BLC0203: argument out of range\n")


def test_lint_names_have_pages() -> None:
    assert page("unused-name").startswith("# BLC0356: unused name\n")


def test_unknown_codes_get_a_suggestion() -> None:
    with pytest.raises(OptionError) as caught:
        page("unused-nam")
    assert caught.value.help == "did you mean `unused-name`?"
