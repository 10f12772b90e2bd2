"""Laws of syntax errors: what is said, where, with which fix, and how many in one run."""

from __future__ import annotations

import pytest

from bl_compiler.diagnostics import Diagnostic, Sink
from bl_compiler.frontend.parser import MAX_ERRORS, parse
from bl_compiler.source import SourceFile


def errors(text: str) -> list[Diagnostic]:
    sink = Sink()
    assert parse(SourceFile("t.blg", text), sink) is None
    return sink.errors


def error(text: str) -> Diagnostic:
    (only,) = errors(text)
    return only


def in_model(text: str) -> str:
    return f"model m {{\n  {text}\n}}\n"


def at(text: str, found: Diagnostic) -> str:
    """The text that an error points at."""
    source = SourceFile("t.blg", text)
    span = found.span
    return text[source.offset(span.line, span.column) : source.offset(span.end_line, span.end_column)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("let x 3", "expected `=`, found number `3`"),
        ("let x = ", "expected an expression, found `}`"),
        ("input x f32[3]", "expected `:`, found name `f32`"),
        ("let x = a b", "expected an operator, a statement or `}`, found name `b`"),
        ("plate batch 256", "expected `[`, found number `256`"),
        ("observe x ~ d when y", "expected `where`, an operator, a statement or `}`, found keyword `when`"),
        ("let x = a < b < c", "chained comparison"),
        ("let x = 1)", "unmatched `)`"),
        ("else { }", "`else` without `if`"),
        ("let true = 1", "`true` is a reserved word"),
        ("let x = and", "expected an expression, found keyword `and`"),
    ],
)
def test_message_says_what_was_expected_and_found(text: str, message: str) -> None:
    assert error(in_model(text)).message == message


@pytest.mark.parametrize(
    ("text", "pointed", "fixed"),
    [
        ("sample z = Normal(0, 1)", "=", "~"),
        ("observe x = Normal(0, 1)", "=", "~"),
        ("let x == 1", "==", "="),
        ("if x = 1 { }", "=", "=="),
        ("let x := 1", ":=", "="),
        ("let x <- 1", "<-", "="),
        ("let x = a dense(10)", "dense", "|> "),
        ("let x = 1;", ";", ""),
        ("let x = 'a'", "'a'", '"a"'),
        ("let x = True", "True", "true"),
        ("let x = f(a=None)", "None", "none"),
        ("let a, b = f(x)", ",", "(a, b)"),
        ("obsreve x ~ d", "obsreve", "observe"),
        ("Let x = 1", "Let", "let"),
        ("sample z ~ p bye q", "bye", "by"),
        ("x = 3", "x", "let x"),
        ("if x: let y = 1", ":", "{"),
        ("// note", "//", "#"),
        ("let x = a // a note here\n", "note", "#"),
        ("let \u03c3 = 1", "\u03c3", "sigma"),
    ],
)
def test_common_mistake_has_a_fix(text: str, pointed: str, fixed: str) -> None:
    text = in_model(text)
    found = error(text)
    assert at(text, found) == pointed
    assert [fix.text for fix in found.fixes] == [fixed]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("let x ~ Normal(0, 1)", "sample z ~"),
        ("y ~ Normal(0, 1)", "observe y ~"),
        ("x += 1", "not reassigned"),
        ("let x += 1", "not reassigned"),
        ("let x: f32 = 1", "no type"),
        ("let x = a | f", "|>"),
        ("let x = a && b", "`and`"),
        ("let x = !a", "`not`"),
        ("let x = a ^ 2", "`**`"),
        ("let x = {a: 1}", "keyword arguments"),
        ("for i in x { let a = 1 }", "repeat N"),
        ("elif x { }", "else if"),
        ('"""text"""', "start with `#`"),
        ("dense(10)", "starts with a keyword"),
        ("let naïve = 1", "a to z"),
        ("let x = “a”", "LEFT DOUBLE QUOTATION MARK"),
    ],
)
def test_common_mistake_has_help(text: str, word: str) -> None:
    assert any(word in way_out for way_out in errors(in_model(text))[0].helps)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("let x = 1", "inside `model"),
        ("def f(x): x", "layer name"),
        ("class M {}", "model name"),
        ("modle m {}", "`model`"),
        ("import blocks", "double quotes"),
        ("from blocks import x", "double quotes"),
        ("n = 3", "option"),
        ("option a = True", "`true`"),
        ("model m { model n { } }", "top level"),
    ],
)
def test_mistake_at_the_top_level_has_help(text: str, word: str) -> None:
    assert any(word in way_out for way_out in errors(text)[0].helps)


@pytest.mark.parametrize(
    ("text", "closer", "opener"),
    [
        ("model m {\n  let x = f(1,\n  observe y ~ d\n}", "`)`", "("),
        ("model m {\n  let x = f(1\n  let y = 2\n}", "`)`", "("),
        ("model m {\n  let x = [1, 2\n}", "`]`", "["),
        ("model m {\n  let x = (1]\n}", "`)`", "("),
        ("model m {\n  let x = 1\n", "`}`", "{"),
        ("model m {\n  let x = 1\nmodel n {\n}", "`}`", "{"),
    ],
)
def test_unclosed_bracket_points_at_its_opener(text: str, closer: str, opener: str) -> None:
    found = errors(text)[0]
    assert found.message.startswith(f"expected {closer}, found ")
    (label,) = [label for label in found.labels if not label.primary]
    source = SourceFile("t.blg", text)
    assert text[source.offset(label.span.line, label.span.column)] == opener
    assert label.text == f"this `{opener}` is not closed"


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ("1__0", "malformed number"),
        ("1_", "malformed number"),
        ("1.5.2", "malformed number"),
        ("0x1F", "malformed number"),
        ("012", "malformed number"),
        ("1e", "malformed number"),
        ("3x", "malformed number"),
        ("1e999", "does not fit a 64-bit float"),
        ("9" * 20, "does not fit 64 bits"),
        ("9" * 10_000, "does not fit 64 bits"),
        ('"\\q"', "unknown escape"),
        ('"\\ud800"', "not a character"),
        ('"abc', "unterminated string"),
    ],
)
def test_malformed_literal(literal: str, message: str) -> None:
    found = error(in_model(f"let x = {literal}"))
    assert found.code == "BLC0104"
    assert message in found.message


def test_every_malformed_literal_is_reported() -> None:
    assert len(errors("model m { let a = 1__0 let b = 1.5.2 let c = True }")) == 3


@pytest.mark.parametrize("code", [0x00, 0x1B, 0xD800, 0xDFFF])
@pytest.mark.parametrize("text", ["model m {{ let x = {} }}", 'option x = "{}"', "# {}"])
def test_forbidden_character(text: str, code: int) -> None:
    found = error(text.format(chr(code)))
    assert found.code == "BLC0102"
    assert f"U+{code:04X}" in found.message


@pytest.mark.parametrize(
    ("text", "code"),
    [("model", "BLC0103"), ("model m {", "BLC0103"), ("model m }", "BLC0101"), ("model m { let x = $ }", "BLC0102")],
)
def test_code(text: str, code: str) -> None:
    assert error(text).code == code


def test_statement_after_a_dangling_operator_is_blamed_itself() -> None:
    text = "model m {\n  let a = b +\n  let c = d\n  let e =\n  let (f, g) = h\n  next c\n}"
    first, second = errors(text)
    assert (first.span.line, second.span.line) == (3, 5)
    assert first.message == "expected an expression, found keyword `let`"
    assert second.message == "expected an expression, found keyword `let`"


def test_several_errors_in_one_run() -> None:
    text = """model m {
  let a = = 1
  let b = 2
  observe x = Normal(0, 1)
  repeat 3 frm h = x { let y = 1 next h }
  if a { let = 1 let ok = 2 }
  let c = f(1
  let d = 4
}
model n {
  sample z Normal(0, 1)
}
let stray = 1
"""
    assert [found.span.line for found in errors(text)] == [2, 4, 5, 6, 8, 11, 13]


def test_a_broken_header_hides_only_its_own_block() -> None:
    text = "model m {\n  scan x of xs over t { let a = 1 next a }\n  let b = = 1\n}\nmodel n { let c = 1 }"
    assert [found.span.line for found in errors(text)] == [2, 3]


def test_errors_are_capped() -> None:
    assert len(errors("model m {" + "\nlet 1" * 500 + "}")) == MAX_ERRORS


def test_error_lines_never_suggest() -> None:
    for text in ("let x = a dense(10)", "x = 3", "let x := 1", "obsreve x ~ d", "let x = 1;"):
        message = error(in_model(text)).message
        assert message[0].islower() or message[0] == "`"
        assert not message.endswith(".")
