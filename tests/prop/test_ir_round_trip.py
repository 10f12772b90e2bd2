"""Text and JSON say all there is to say about a module, and malformed text ends in diagnostics.

Invariant: the parser written by hand and `grammar/blir.lark` accept the same texts.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark, LarkError

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.serde import from_json, to_json
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from tests.strategies.graphs import ALL_OPS, RECIPES, graphs, modules

GRAMMAR = Path(__file__).parents[2] / "grammar" / "blir.lark"


@cache
def grammar() -> Lark:
    return Lark(GRAMMAR.read_text(encoding="utf-8"), parser="lalr", lexer="contextual")


@settings(max_examples=150)
@given(modules())
def test_text_round_trip(module: Module) -> None:
    text = print_module(module)
    again = parse_module(text, CORE_OPS)
    assert again == module
    assert print_module(again) == text
    assert again.options == module.options


@settings(max_examples=50)
@given(modules())
def test_text_without_spans_is_the_same_module(module: Module) -> None:
    text = print_module(module, spans=False)
    assert "loc(" not in text
    assert parse_module(text, CORE_OPS) == module


@settings(max_examples=75)
@given(modules())
def test_json_round_trip(module: Module) -> None:
    data = json.loads(json.dumps(to_json(module), allow_nan=False))
    again = from_json(data, CORE_OPS)
    assert again == module
    assert print_module(again) == print_module(module)
    assert to_json(again) == data


@settings(max_examples=40)
@given(modules())
def test_the_grammar_accepts_what_is_printed(module: Module) -> None:
    grammar().parse(print_module(module))


@settings(max_examples=100)
@given(modules())
def test_what_is_drawn_verifies(module: Module) -> None:
    verify(module)


@pytest.mark.parametrize("op", [op for op in ALL_OPS if op in RECIPES])
def test_every_recipe_makes_its_op(op: str) -> None:
    assert op in CORE_OPS
    made: list[bool] = []

    @settings(max_examples=10)
    @given(graphs(ops=[op], size=3))
    def draw(graph: Module) -> None:
        made.append(any(node.op.name == op for node in walk(graph)))

    draw()
    assert any(made)


def test_every_op_has_a_recipe() -> None:
    assert set(CORE_OPS) - set(ALL_OPS) == set()


# --- text that is at fault -------------------------------------------------------------------------------------------

PIECES = (
    "{",
    "}",
    "(",
    ")",
    "%x",
    "%h_1",
    ":",
    ",",
    "=",
    "@",
    "^body",
    '"',
    "loc",
    "\n",
    "f32[3]",
    "<",
    "-",
    "//",
    "return",
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A module's text with a few pieces cut out or put in."""
    text = print_module(draw(modules(size=6)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from(("", *PIECES))) + text[end:]
    return text


@settings(max_examples=300)
@given(damaged())
def test_damaged_text_ends_in_diagnostics(text: str) -> None:
    sink = Sink()
    lines = text.split("\n")
    with suppress(CompileError):
        parse_module(text, CORE_OPS, file="bad.blir", sink=sink)
        assert sink.errors == []
    for found in sink.errors:
        assert found.code == "BLC0105"
        assert found.span.file == "bad.blir"
        assert 1 <= found.span.line <= len(lines)
        assert 1 <= found.span.column <= len(lines[found.span.line - 1]) + 1


@settings(max_examples=150)
@given(damaged())
def test_the_grammar_accepts_what_the_parser_accepts(text: str) -> None:
    try:
        parse_module(text, CORE_OPS)
    except CompileError:
        return
    try:
        grammar().parse(text)
    except LarkError as error:
        pytest.fail(f"the parser accepts what the grammar refuses: {error}\n{text}")
