"""The human form of diagnostics, as golden texts and as laws over arbitrary spans.

Invariant: marks stand under what they mean.
"""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_compiler.diagnostics import Diagnostic, Fix, Label, Severity
from bl_compiler.render import describe_fix, render_human, source_text
from bl_compiler.source import SourceFile, Span
from tests.unit.texts import block, position, span_of

VAE = SourceFile("vae.blg", "model vae {\n\n  h1 = dense(x, units=0, prior=normal(0, 1));\n}\n")
SOURCES = {"vae.blg": VAE}
SCAN = SourceFile(
    "scan.blg",
    "let a = 1\nlet out = scan x in xs over time\n  from s = 0 {\n  let a = x\n  let b = a\n  let c = b\n  let d = c\n"
    "  next s\n}\n",
)


def error(*labels: Label, message: str = "message") -> Diagnostic:
    return Diagnostic("BLC0203", Severity.ERROR, message, list(labels))


def excerpt(source: SourceFile, *labels: Label, width: int = 100) -> str:
    """The part of the human form between the location and the notes."""
    lines = render_human(error(*labels), {source.name: source}, width=width).split("\n")
    return "\n".join(lines[2:-1])


def test_shape_of_the_design() -> None:
    found = error(Label(span_of(VAE, "0"), "this is 0", primary=True), message="`units` must be at least 1")
    found.label(span_of(VAE, "dense"), "in this layer").help("write a positive integer")
    assert render_human(found, SOURCES) == block("""
error[BLC0203]: `units` must be at least 1
 --> vae.blg:3:23
  |
3 |   h1 = dense(x, units=0, prior=normal(0, 1));
  |        -----          ^ this is 0
  |        in this layer
  = help: write a positive integer
  = note: `blc explain BLC0203` has the full rule
""")


def test_labels_hang_below_the_rightmost_one() -> None:
    labels = [
        Label(span_of(VAE, "dense"), "in this layer"),
        Label(span_of(VAE, "0"), "this is 0", primary=True),
        Label(span_of(VAE, "prior"), "the prior"),
    ]
    assert excerpt(VAE, *labels) == block("""
  |
3 |   h1 = dense(x, units=0, prior=normal(0, 1));
  |        -----          ^  ----- the prior
  |        |              this is 0
  |        in this layer
""")


def test_a_mark_within_another_hangs() -> None:
    labels = [Label(span_of(VAE, "0"), "this", primary=True), Label(span_of(VAE, "dense(x, units=0"), "here")]
    assert excerpt(VAE, *labels) == block("""
  |
3 |   h1 = dense(x, units=0, prior=normal(0, 1));
  |        ---------------^
  |        |              this
  |        here
""")


def test_labels_on_several_lines_elide_what_lies_between() -> None:
    labels = [Label(span_of(SCAN, "a = 1"), "first"), Label(span_of(SCAN, "next"), "then", primary=True)]
    assert excerpt(SCAN, *labels) == block("""
  |
1 | let a = 1
  |     ----- first
...
8 |   next s
  |   ^^^^ then
""")


def test_a_gap_of_one_line_is_filled() -> None:
    labels = [Label(span_of(SCAN, "from"), ""), Label(span_of(SCAN, "let b"), "", primary=True)]
    assert excerpt(SCAN, *labels) == block("""
  |
3 |   from s = 0 {
  |   ----
4 |   let a = x
5 |   let b = a
  |   ^^^^^
""")


def test_multi_line_span() -> None:
    whole = SCAN.text[SCAN.text.index("scan") : SCAN.text.rindex("}") + 1]
    assert excerpt(SCAN, Label(span_of(SCAN, whole), "this scan", primary=True)) == block("""
  |
2 |   let out = scan x in xs over time
  |  ___________^
3 | |   from s = 0 {
... |
9 | | }
  | |_^ this scan
""")


def test_multi_line_span_from_the_start_of_a_line() -> None:
    span = span_of(SCAN, "let a = x\n  let b = a")
    assert excerpt(SCAN, Label(span, "both", primary=True)) == block("""
  |
4 | /   let a = x
5 | |   let b = a
  | |___________^ both
""")


def test_nested_multi_line_spans_have_their_own_margins() -> None:
    outer = span_of(SCAN, "scan x in xs over time\n  from s = 0 {\n  let a")
    inner = span_of(SCAN, "xs over time\n  from")
    assert excerpt(SCAN, Label(outer, "outer", primary=True), Label(inner, "inner")) == block("""
  |
2 |    let out = scan x in xs over time
  |  ____________^
  | | _____________________-
3 | ||   from s = 0 {
  | ||______- inner
4 | |    let a = x
  | |________^ outer
""")


@pytest.mark.parametrize(
    ("line", "marked", "shown", "marks"),
    [
        ("\tlet x = yy", "yy", "    let x = yy", "            ^^"),
        ("a\tb", "b", "a   b", "    ^"),
        ("let 幅 = y", "y", "let 幅 = y", "         ^"),
        ("let 幅 = y", "幅", "let 幅 = y", "    ^^"),
        ("e\u0301 = y", "y", "e\u0301 = y", "    ^"),
        ("a\x1b[31m = y", "y", "a\ufffd[31m = y", "         ^"),
        ("a\u202e = y", "y", "a\ufffd = y", "     ^"),
    ],
)
def test_marks_stay_aligned(line: str, marked: str, shown: str, marks: str) -> None:
    source = SourceFile("a.blg", line)
    rows = excerpt(source, Label(span_of(source, marked), "here", primary=True)).split("\n")
    assert rows[1:] == [f"1 | {shown}", f"  | {marks} here"]


def test_past_the_end_of_the_file() -> None:
    rows = excerpt(VAE, Label(Span("vae.blg", 5, 1, 5, 1), "the file ends here", primary=True)).split("\n")
    assert rows == ["  |", "5 |", "  | ^ the file ends here"]


def test_long_lines_are_cut_around_their_marks() -> None:
    source = SourceFile("long.blg", "x" * 100 + " foo " + "y" * 100)
    rows = excerpt(source, Label(span_of(source, "foo"), "here", primary=True), width=80).split("\n")
    assert rows[1].startswith("1 | ...xxx")
    assert rows[1].endswith("yyy...")
    assert len(rows[1]) == 80
    assert rows[1].index("foo") == rows[2].index("^^^")


def test_without_source_the_location_remains() -> None:
    found = error(Label(Span("gone.blg", 3, 24, 3, 25), "", primary=True))
    assert render_human(found, {}) == block("""
error[BLC0203]: message
 --> gone.blg:3:24
  = note: `blc explain BLC0203` has the full rule
""")


def test_without_source_labels_become_notes() -> None:
    found = error(Label(Span("gone.blg", 3, 24, 3, 25), "this is 0", primary=True))
    assert "  = note: gone.blg:3:24: this is 0\n" in render_human(found, {})


def test_other_files_have_their_own_excerpt() -> None:
    main = SourceFile("main.blg", 'import "blocks.blg"\nlet h = block(x)\n')
    blocks = SourceFile("blocks.blg", "layer block(q) { }\n", included_from=span_of(main, '"blocks.blg"'))
    found = error(Label(span_of(blocks, "q"), "this", primary=True), Label(span_of(main, "block(x)"), "called here"))
    assert render_human(found, {"main.blg": main, "blocks.blg": blocks}) == block("""
error[BLC0203]: message
 --> blocks.blg:1:13
  |
1 | layer block(q) { }
  |             ^ this
  |
 ::: main.blg:2:9
  |
2 | let h = block(x)
  |         -------- called here
  = note: `blocks.blg` is imported at main.blg:1:8
  = note: `blc explain BLC0203` has the full rule
""")


def test_an_import_cycle_does_not_hang() -> None:
    a = SourceFile("a.blg", 'import "b.blg"', included_from=Span("b.blg", 1, 8, 1, 15))
    b = SourceFile("b.blg", 'import "a.blg"', included_from=Span("a.blg", 1, 8, 1, 15))
    text = render_human(error(Label(Span("a.blg", 1, 8, 1, 15), "", primary=True)), {"a.blg": a, "b.blg": b})
    assert text.count("is imported at") == 2


def test_the_gutter_is_as_wide_as_the_largest_line_number() -> None:
    source = SourceFile("a.blg", "\n" * 99 + "let x = 1")
    assert render_human(error(Label(span_of(source, "x"), "", primary=True)), {"a.blg": source}) == block("""
error[BLC0203]: message
   --> a.blg:100:5
    |
100 | let x = 1
    |     ^
    = note: `blc explain BLC0203` has the full rule
""")


def test_notes_wrap_and_tables_keep_their_form() -> None:
    found = error().note("word " * 10 + "end").note("site  shape\nw     [8, 1]")
    assert render_human(found, {}, width=60) == block("""
error[BLC0203]: message
  = note: word word word word word word word word word word
          end
  = note: site  shape
          w     [8, 1]
  = note: `blc explain BLC0203` has the full rule
""")


def test_lints_say_how_they_are_called() -> None:
    found = Diagnostic("BLC0356", Severity.WARNING, "`h` is never used")
    assert "  = note: lint `unused-name` of the group `pedantic`\n" in render_human(found, {})


def test_color_changes_nothing_but_color() -> None:
    found = error(Label(span_of(VAE, "0"), "this", primary=True)).help("help").note("note")
    plain = render_human(found, SOURCES)
    colored = render_human(found, SOURCES, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain
    assert "\x1b[1;31merror[BLC0203]\x1b[0m" in colored
    assert "\x1b" not in plain


@pytest.mark.parametrize(
    ("old", "new", "confidence", "words"),
    [
        ("dense", "conv", "sure", "replace `dense` with `conv`"),
        ("dense", "conv", "maybe", "perhaps replace `dense` with `conv`"),
        ("dense", "", "sure", "remove `dense`"),
        ("", ";", "sure", "insert `;` at vae.blg:1:1"),
    ],
)
def test_fixes_in_words(old: str, new: str, confidence: str, words: str) -> None:
    span = span_of(VAE, old) if old else Span("vae.blg", 1, 1, 1, 1)
    assert describe_fix(Fix(span, new, confidence), SOURCES) == words  # type: ignore[arg-type]


def test_a_fix_that_a_help_already_quotes_is_not_repeated() -> None:
    span = span_of(VAE, "dense")
    said = error().help("did you mean `conv`?", replace=(span, "conv"))
    unsaid = error().help("use a convolution", replace=(span, "conv"))
    assert render_human(said, SOURCES).count("= help") == 1
    assert "  = help: perhaps replace `dense` with `conv`" in render_human(unsaid, SOURCES)


def display_width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text)


@given(st.lists(st.text("ab \t幅"), min_size=1, max_size=6), st.data())
def test_a_primary_mark_covers_its_text(lines: list[str], data: st.DataObject) -> None:
    source = SourceFile("a.blg", "\n".join(lines))
    start = data.draw(st.integers(0, len(source.text)))
    end = data.draw(st.integers(start, len(source.text)))
    span = Span("a.blg", *position(source, start), *position(source, end))
    rows = excerpt(source, Label(span, "", primary=True), width=10_000).split("\n")
    if span.line == span.end_line:
        covered = re.sub("\t", "", source_text(source, span))
        marks = rows[2].removeprefix("  | ")
        assert marks.count("^") >= max(display_width(covered), 1)
        assert marks.strip() == "^" * marks.count("^")
    else:
        assert sum(row.count("^") for row in rows) in (1, 2, len(rows))


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 12), st.integers(1, 7), st.integers(1, 12)), max_size=5))
def test_any_labels_render_with_all_their_texts(places: list[tuple[int, int, int, int]]) -> None:
    labels = [Label(Span("scan.blg", *place), f"text{n}", n == 0) for n, place in enumerate(places)]
    text = render_human(error(*labels), {"scan.blg": SCAN}, width=60)
    assert all(label.text in text for label in labels)
