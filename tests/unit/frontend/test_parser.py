"""Laws of the parser: what parses, to which tree, with which spans, and what loading it costs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.convert import MAX_DEPTH
from bl_compiler.frontend.parser import parse
from bl_compiler.source import SourceFile
from tests.strategies.syntax import CORPUS, shape


def read(text: str) -> ast.File:
    sink = Sink()
    file = parse(SourceFile("t.blg", text), sink)
    assert file is not None, [(str(d.span), d.message) for d in sink.diagnostics]
    return file


def statement(text: str) -> ast.Stmt:
    (model,) = read(f"model m {{ {text} }}").items
    assert isinstance(model, ast.ModelDef)
    (only,) = model.body.statements
    return only


def expr(text: str) -> ast.Expr:
    let = statement(f"let it = {text}")
    assert isinstance(let, ast.Let)
    return let.value


def nodes(node: object, parent: ast.Syntax | None = None) -> Iterator[tuple[ast.Syntax, ast.Syntax | None]]:
    """Every node of a tree with its parent."""
    if isinstance(node, ast.Syntax):
        yield node, parent
        for field in dataclasses.fields(node):
            yield from nodes(getattr(node, field.name), node)
    elif type(node) is tuple:
        for item in node:
            yield from nodes(item, parent)


def name(text: str) -> ast.Name:
    return ast.Name(text)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_language_page_parses(path: Path) -> None:
    assert read(path.read_text(encoding="utf-8")).items


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a |> b |> c", ast.Pipe(ast.Pipe(name("a"), name("b")), name("c"))),
        ("a |> b + c", ast.Pipe(name("a"), ast.Binary("+", name("b"), name("c")))),
        ("a + b * c", ast.Binary("+", name("a"), ast.Binary("*", name("b"), name("c")))),
        ("a - b - c", ast.Binary("-", ast.Binary("-", name("a"), name("b")), name("c"))),
        ("a ** b ** c", ast.Binary("**", name("a"), ast.Binary("**", name("b"), name("c")))),
        ("-a ** b", ast.Unary("-", ast.Binary("**", name("a"), name("b")))),
        ("a ** -b", ast.Binary("**", name("a"), ast.Unary("-", name("b")))),
        ("-a.b", ast.Unary("-", ast.Attribute(name("a"), "b"))),
        ("not a == b", ast.Unary("not", ast.Binary("==", name("a"), name("b")))),
        ("a or b and c", ast.Binary("or", name("a"), ast.Binary("and", name("b"), name("c")))),
        ("a < b + c", ast.Binary("<", name("a"), ast.Binary("+", name("b"), name("c")))),
        ("a // b @ c", ast.Binary("@", ast.Binary("//", name("a"), name("b")), name("c"))),
        ("-1", ast.Literal(-1)),
        ("-(1)", ast.Unary("-", ast.Literal(1))),
        ("-1 ** 2", ast.Unary("-", ast.Binary("**", ast.Literal(1), ast.Literal(2)))),
        ("x.shape[-1]", ast.Index(ast.Attribute(name("x"), "shape"), (ast.Literal(-1),))),
        (
            "x[1:, ::2, ...]",
            ast.Index(name("x"), (ast.Slice(ast.Literal(1)), ast.Slice(None, None, ast.Literal(2)), ast.Ellipsis())),
        ),
        ("zeros[batch, time=50]", ast.Index(name("zeros"), (name("batch"), ast.Named("time", ast.Literal(50))))),
        ("zeros[]", ast.Index(name("zeros"), ())),
        ("()", ast.TupleExpr(())),
        ("(a)", name("a")),
        ("(a,)", ast.TupleExpr((name("a"),))),
        ("[a, b,]", ast.ListExpr((name("a"), name("b")))),
        ("f(a, b=1,)", ast.Call(name("f"), (ast.Argument(name("a")), ast.Argument(ast.Literal(1), "b")))),
        ("d.sample()", ast.Call(ast.Attribute(name("d"), "sample"))),
        (
            "f(in=1, by=2, scan=3)",
            ast.Call(name("f"), tuple(ast.Argument(ast.Literal(n), k) for n, k in enumerate(("in", "by", "scan"), 1))),
        ),
        (
            "dense(10, kernel ~ p by q using r, bias = point)",
            ast.Call(
                name("dense"),
                (
                    ast.Argument(ast.Literal(10)),
                    ast.BeliefArgument("kernel", name("p"), name("q"), name("r")),
                    ast.Argument(name("point"), "bias"),
                ),
            ),
        ),
        ('"a\\"\\n\\u00e9"', ast.Literal('a"\né')),
        ("50_000", ast.Literal(50_000)),
        (".5", ast.Literal(0.5)),
        ("1.", ast.Literal(1.0)),
        ("1_0e-0_3", ast.Literal(0.01)),
        ("none", ast.Literal(None)),
        ("inner", name("inner")),
        ("letter + notary", ast.Binary("+", name("letter"), name("notary"))),
    ],
)
def test_expression(text: str, wanted: ast.Expr) -> None:
    assert shape(expr(text)) == shape(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plate batch[256] of 50_000", ast.Plate("batch", ast.Literal(256), ast.Literal(50_000))),
        ("plate batch[B]", ast.Plate("batch", name("B"))),
        ("param n: f32 = 1.0 in positive", ast.Param("n", ast.TypeSyntax("f32"), ast.Literal(1.0), name("positive"))),
        ("let (a, b) = c", ast.Let(("a", "b"), name("c"), True)),
        ("sample z ~ p", ast.Sample("z", name("p"))),
        ("sample z ~ p |> f by q using r", ast.Sample("z", ast.Pipe(name("p"), name("f")), None, name("q"), name("r"))),
        ("observe x |> f ~ d where m", ast.Observe(ast.Pipe(name("x"), name("f")), name("d"), name("m"))),
        (
            "believe a, b in c, d ~ p by q using r when s",
            ast.Believe(("a", "b"), ("c", "d"), name("p"), name("q"), name("r"), name("s")),
        ),
        ("believe a = point", ast.Believe(("a",), posterior=name("point"))),
        (
            "mesh data=32, model=16",
            ast.Mesh((ast.Argument(ast.Literal(32), "data"), ast.Argument(ast.Literal(16), "model"))),
        ),
        ("shard batch -> data", ast.Shard("batch", "data")),
        (
            "input x: f32[batch, time=50, n * 2]",
            ast.Input(
                "x",
                ast.TypeSyntax(
                    "f32",
                    (
                        ast.DimSyntax(name("batch")),
                        ast.DimSyntax(ast.Literal(50), "time"),
                        ast.DimSyntax(ast.Binary("*", name("n"), ast.Literal(2))),
                    ),
                ),
            ),
        ),
        (
            "if a {} else if b {}",
            ast.If(name("a"), ast.Block(), ast.Block((ast.If(name("b"), ast.Block()),))),
        ),
        (
            "scan x in xs over time from (h = a, z = b) reverse=true where m { emit x next (h, z) }",
            ast.ExprStmt(
                ast.Scan(
                    (ast.ScanInput("x", name("xs")),),
                    "time",
                    (ast.Carry("h", name("a")), ast.Carry("z", name("b"))),
                    ast.Block((ast.Emit(name("x")), ast.Next(ast.TupleExpr((name("h"), name("z")))))),
                    (ast.Argument(ast.Literal(True), "reverse"),),
                    name("m"),
                    True,
                )
            ),
        ),
        (
            "repeat n from h = x { next h }",
            ast.ExprStmt(ast.Repeat(name("n"), (ast.Carry("h", name("x")),), ast.Block((ast.Next(name("h")),)))),
        ),
        ("input input: i32[input]", ast.Input("input", ast.TypeSyntax("i32", (ast.DimSyntax(name("input")),)))),
        ("predict predict = let", ast.Predict("predict", name("let"))),
    ],
)
def test_statement(text: str, wanted: ast.Stmt) -> None:
    assert shape(statement(text)) == shape(wanted)


def test_loops_can_be_piped_on() -> None:
    value = expr("repeat 2 from h = x { next h } |> f")
    assert isinstance(value, ast.Pipe)
    assert isinstance(value.value, ast.Repeat)


def test_newlines_carry_no_meaning() -> None:
    text = "model m { let a = f(1) |> g let b = a sample z ~ a by b }"
    assert read(text).items == read(text.replace(" ", "\n\t")).items


def test_byte_order_mark_and_carriage_returns_are_blanks() -> None:
    assert read("\ufeffmodel m {\r\n  let a = 1 # c\r\n}\r\n").items == read("model m { let a = 1 }").items


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_spans_cover_their_text(path: Path) -> None:
    source = SourceFile(path.name, path.read_text(encoding="utf-8"))
    file = parse(source, Sink())
    for node, parent in nodes(file):
        span = node.span
        start, end = source.offset(span.line, span.column), source.offset(span.end_line, span.end_column)
        text = source.text[start:end]
        assert text == text.strip()
        assert text
        match node:
            case ast.Name(identifier):
                assert text == identifier
            case ast.Literal(_, spelled) if spelled:
                assert text == spelled
            case ast.Call() | ast.TupleExpr():
                assert text.endswith(")")
            case ast.Index() | ast.ListExpr():
                assert text.endswith("]")
            case ast.Block() if text.startswith("{"):
                assert text.endswith("}")
            case ast.Let() | ast.Sample() | ast.Observe() | ast.Believe():
                assert text.startswith(type(node).__name__.lower())
        if parent is not None and not isinstance(node, ast.Block):
            assert (parent.span.line, parent.span.column) <= (span.line, span.column)
            assert (span.end_line, span.end_column) <= (parent.span.end_line, parent.span.end_column)


def test_parentheses_belong_to_what_contains_them() -> None:
    value = expr("(a + b) * c")
    assert isinstance(value, ast.Binary)
    assert value.left.span.column == value.span.column + 1


def test_depth_is_capped() -> None:
    def nested(depth: int) -> str:
        return "model m { let x = " + "-" * depth + "a }"

    assert parse(SourceFile("t.blg", nested(MAX_DEPTH - 10)), Sink()) is not None
    sink = Sink()
    assert parse(SourceFile("t.blg", nested(MAX_DEPTH + 1)), sink) is None
    assert [error.code for error in sink.errors] == ["BLC0215"]


def test_long_pipes_and_blocks_are_not_deep() -> None:
    read("model m { let x = a" + " |> f" * 100 + " " + "let y = x " * 2_000 + "}")


def test_a_source_parsed_twice_fails_twice() -> None:
    source, sink = SourceFile("t.blg", "model m { let x = 1__0 }"), Sink()
    assert parse(source, sink) is None
    assert parse(source, sink) is None
    assert len(sink.errors) == 1


def test_importing_the_parser_imports_nothing_heavy() -> None:
    code = "import sys, bl_compiler.frontend.parser; print({'lark', 'numpy', 'jax', 'networkx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
