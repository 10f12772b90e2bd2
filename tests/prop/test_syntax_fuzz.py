"""Laws of the parser and the formatter over random trees and random texts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.comments import comments_of
from bl_compiler.frontend.format import format_source, format_text
from bl_compiler.frontend.parser import MAX_ERRORS, parse
from bl_compiler.source import SourceFile
from tests.strategies.syntax import FILE_NAME, commented_texts, files, mutated_texts, shape, token_soup

laws = settings(
    deadline=None,
    derandomize=True,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def read(text: str) -> ast.File:
    sink = Sink()
    file = parse(SourceFile(FILE_NAME, text), sink)
    assert file is not None, sink.diagnostics
    return file


@laws
@given(files)
def test_formatted_tree_parses_back(file: ast.File) -> None:
    assert shape(read(format_source(file))) == shape(file)


@laws
@given(files)
def test_formatting_is_idempotent(file: ast.File) -> None:
    text = format_source(file)
    assert format_text(SourceFile(FILE_NAME, text), Sink()) == text


@laws
@given(commented_texts())
def test_comments_are_kept(text: str) -> None:
    source = SourceFile(FILE_NAME, text)
    formatted = format_text(source, Sink())
    assert formatted is not None
    again = SourceFile(FILE_NAME, formatted)
    assert sorted(c.text for c in comments_of(again)) == sorted(c.text for c in comments_of(source))
    assert shape(read(formatted)) == shape(read(text))
    assert format_text(again, Sink()) == formatted


@laws
@given(st.one_of(st.text(max_size=60), token_soup, mutated_texts()))
def test_any_text_gives_a_tree_or_errors(text: str) -> None:
    sink = Sink()
    file = parse(SourceFile(FILE_NAME, text), sink)
    assert (file is None) == bool(sink.errors)
    assert len(sink.errors) <= MAX_ERRORS
    for error in sink.errors:
        assert error.span.known
        assert error.message
        assert error.span.line <= text.count("\n") + 1


@laws
@given(st.binary(max_size=40))
def test_any_bytes_give_a_tree_or_errors(data: bytes) -> None:
    parse(SourceFile(FILE_NAME, data.decode("utf-8", "surrogateescape")), Sink())


@laws
@given(mutated_texts())
def test_whatever_parses_formats_to_the_same_tree(text: str) -> None:
    file = parse(SourceFile(FILE_NAME, text), Sink())
    if file is None:
        return
    formatted = format_source(file, comments_of(SourceFile(FILE_NAME, text)))
    assert shape(read(formatted)) == shape(file)


@pytest.mark.parametrize(
    "text", ["(", "[", "{", "f(", "-", "not ", "model m {", "if x {", "a ** ", "x |> ", "x[", ")", "a."]
)
def test_deep_nesting_is_an_error(text: str) -> None:
    sink = Sink()
    assert parse(SourceFile(FILE_NAME, "model m { let x = " + text * 20_000 + " 1 }"), sink) is None
    assert sink.errors
