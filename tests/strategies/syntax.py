"""Hypothesis strategies for syntax trees, texts near the language, and comments put anywhere.

Invariant: every tree drawn is one that some text parses to. May import: hypothesis, the frontend's syntax files.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from bl_compiler.frontend import ast
from bl_compiler.frontend.format import format_source
from bl_compiler.frontend.literals import INT_MAX, INT_MIN
from bl_compiler.frontend.words import KEYWORDS, RESERVED

FILE_NAME = "test.blg"
CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "language").glob("*.blg"))

# Keywords are names wherever the parser does not accept them as keywords.
names = st.one_of(
    st.sampled_from(["x", "h", "_", "a1", "inner", "letter", "images", "Normal"]),
    st.sampled_from(sorted(KEYWORDS - RESERVED)),
)
numbers = st.one_of(
    st.integers(INT_MIN, INT_MAX),
    st.integers(0, 20_000),
    st.floats(allow_nan=False, allow_infinity=False),
)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def _spelled(draw: st.DrawFn) -> ast.Literal:
    """A number with a spelling of its own, as the parser keeps it."""
    value = draw(st.integers(1_000, 10**9))
    return ast.Literal(value, draw(st.sampled_from([f"{value}", f"{value:_}"])))


literals = st.one_of(
    st.builds(ast.Literal, st.one_of(numbers, strings, st.booleans(), st.none())),
    _spelled(),
)


def _tuples(items: st.SearchStrategy, **sizes: int) -> st.SearchStrategy:
    return st.lists(items, **sizes).map(tuple)


constants = st.recursive(
    literals,
    lambda inner: st.one_of(
        st.builds(ast.ListExpr, _tuples(inner, max_size=3)),
        st.builds(ast.TupleExpr, _tuples(inner, max_size=3)),
    ),
    max_leaves=5,
)


@cache
def exprs(depth: int = 3) -> st.SearchStrategy[ast.Expr]:
    """Expressions nested at most `depth` deep."""
    leaves = st.one_of(literals, st.builds(ast.Name, names))
    if depth == 0:
        return leaves
    inner = st.deferred(lambda: exprs(depth - 1))
    binary = ["+", "-", "*", "/", "//", "%", "@", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or"]
    return st.one_of(
        leaves,
        st.builds(ast.ListExpr, _tuples(inner, max_size=3)),
        st.builds(ast.TupleExpr, _tuples(inner, max_size=3)),
        st.builds(ast.Unary, st.sampled_from(["-", "not"]), inner),
        st.builds(ast.Binary, st.sampled_from(binary), inner, inner),
        st.builds(ast.Attribute, inner, st.one_of(names, st.sampled_from(sorted(RESERVED)))),
        st.builds(ast.Call, inner, _tuples(_arguments(depth - 1), max_size=3)),
        st.builds(ast.Index, inner, _tuples(_indices(depth - 1), max_size=3)),
        st.builds(ast.Pipe, inner, inner),
        loops(depth - 1),
    )


def _optional(depth: int) -> st.SearchStrategy:
    return st.one_of(st.none(), st.deferred(lambda: exprs(depth)))


def _arguments(depth: int) -> st.SearchStrategy:
    inner = exprs(depth)
    return st.one_of(
        st.builds(ast.Argument, inner),
        st.builds(ast.Argument, inner, st.one_of(names, st.sampled_from(["repeat", "scan"]))),
        st.builds(ast.BeliefArgument, names, inner, _optional(depth), _optional(depth)),
    )


def _indices(depth: int) -> st.SearchStrategy:
    inner = exprs(depth)
    return st.one_of(
        inner,
        st.builds(ast.Slice, _optional(depth), _optional(depth), _optional(depth)),
        st.builds(ast.Ellipsis),
        st.builds(ast.Named, names, inner),
    )


@st.composite
def loops(draw: st.DrawFn, depth: int) -> ast.Expr:
    """`repeat` and `scan`."""
    inner = exprs(depth)
    carries = draw(_tuples(st.builds(ast.Carry, names, inner), max_size=2))
    grouped = len(carries) > 1 or (len(carries) == 1 and draw(st.booleans()))
    body = draw(blocks(depth))
    if draw(st.booleans()):
        return ast.Repeat(draw(inner), carries, body, grouped)
    return ast.Scan(
        draw(_tuples(st.builds(ast.ScanInput, names, inner), min_size=1, max_size=2)),
        draw(names),
        carries,
        body,
        options=draw(_tuples(st.builds(ast.Argument, inner, st.sampled_from(["reverse", "unroll"])), max_size=1)),
        mask=draw(_optional(depth)),
        grouped=grouped,
    )


def types(depth: int) -> st.SearchStrategy[ast.TypeSyntax]:
    """Types."""
    dims = st.builds(ast.DimSyntax, exprs(depth), st.one_of(st.just(""), names))
    return st.builds(ast.TypeSyntax, st.sampled_from(["f32", "i32", "u8", "bool"]), _tuples(dims, max_size=3))


def blocks(depth: int) -> st.SearchStrategy[ast.Block]:
    """Blocks of at most three statements."""
    return st.builds(ast.Block, _tuples(st.deferred(lambda: statements(depth)), max_size=3))


@st.composite
def lets(draw: st.DrawFn, depth: int) -> ast.Let:
    """`let` of a name or of several."""
    targets = draw(_tuples(names, min_size=1, max_size=3))
    return ast.Let(targets, draw(exprs(depth)), len(targets) > 1 or draw(st.booleans()))


@st.composite
def believes(draw: st.DrawFn, depth: int) -> ast.Believe:
    """`believe`, with a prior or with a posterior alone."""
    prior = draw(_optional(depth))
    return ast.Believe(
        draw(_tuples(names, min_size=1, max_size=2)),
        draw(_tuples(names, max_size=2)),
        prior,
        draw(exprs(depth) if prior is None else _optional(depth)),
        draw(_optional(depth)),
        draw(_optional(depth)),
    )


@cache
def statements(depth: int = 2) -> st.SearchStrategy[ast.Stmt]:
    """Statements of a model or a layer."""
    inner = exprs(depth)
    simple: list[st.SearchStrategy[ast.Stmt]] = [
        st.builds(ast.Plate, names, inner, _optional(depth)),
        st.builds(ast.Input, names, types(depth)),
        st.builds(ast.Param, names, types(depth), inner, _optional(depth)),
        lets(depth),
        st.builds(ast.Sample, names, inner, st.one_of(st.none(), types(depth)), _optional(depth), _optional(depth)),
        st.builds(ast.Observe, inner, inner, _optional(depth)),
        believes(depth),
        st.builds(ast.Predict, names, inner),
        *(st.builds(kind, inner) for kind in (ast.Objective, ast.Optimize, ast.Next, ast.Emit, ast.Return)),
        st.builds(ast.Mesh, _tuples(st.builds(ast.Argument, inner, names), min_size=1, max_size=3)),
        st.builds(ast.Shard, names, names),
    ]
    if depth > 0:
        block = blocks(depth - 1)
        simple.append(st.builds(ast.If, inner, block, st.one_of(st.none(), block)))
        simple.append(st.builds(ast.ExprStmt, loops(depth - 1)))
    return st.one_of(simple)


items = st.one_of(
    st.builds(ast.Import, strings),
    st.builds(ast.Option, names, constants),
    st.builds(ast.LayerDef, names, _tuples(st.builds(ast.LayerParam, names, _optional(1)), max_size=3), blocks(2)),
    st.builds(ast.ModelDef, names, blocks(2)),
)
files = st.builds(ast.File, st.just(FILE_NAME), _tuples(items, max_size=3))


def shape(node: object) -> object:
    """A tree as nested tuples that also tell `1`, `1.0` and `true` apart, which `==` does not."""
    if isinstance(node, ast.Syntax):
        parts = [getattr(node, field.name) for field in dataclasses.fields(node) if field.compare]
        return (type(node).__name__, *map(shape, parts))
    if isinstance(node, tuple):
        return tuple(map(shape, node))
    return (type(node).__name__, repr(node))


# --- texts ---------------------------------------------------------------------------------------------------------

_WORDS = [*sorted(KEYWORDS), "x", "Normal", "f32", "1", "0.5", "1__0", '"s"', '"', "'s'", "#c\n", "\n", "é", "\x00"]
_SIGNS = [*"()[]{},.:;=~+-*/%@<>|&!^?$\\", "|>", "->", "...", "**", "//", "==", ":=", "+="]

_GAP = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*\n|[^\s"#]+(?=\s)|[(\[{,](?=\S)')

token_soup = st.lists(st.sampled_from(_WORDS + _SIGNS), max_size=40).map(" ".join)
corpus_texts = st.sampled_from([path.read_text(encoding="utf-8") for path in CORPUS])


@st.composite
def mutated_texts(draw: st.DrawFn) -> str:
    """A program of the corpus with pieces cut out, doubled or replaced."""
    text = draw(corpus_texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(st.just(""), st.just(text[start:end] * 2), st.sampled_from(_WORDS + _SIGNS), st.text(max_size=3))
        )
        text = text[:start] + piece + text[end:]
    return text


@st.composite
def commented_texts(draw: st.DrawFn) -> str:
    """A program, of the corpus or random, with comments put between any of its tokens."""
    text = draw(corpus_texts) if draw(st.booleans()) else format_source(draw(files))
    gaps = [m.end() for m in _GAP.finditer(text)] or [len(text)]
    chosen = draw(st.lists(st.sampled_from(gaps), min_size=1, max_size=5, unique=True))
    for number, place in enumerate(sorted(chosen, reverse=True)):
        before = draw(st.sampled_from([" ", "\n", "\n\n\n"]))
        text = f"{text[:place]}{before}# added {number}\n{text[place:]}"
    return text
