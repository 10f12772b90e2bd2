"""Laws of the formatter on texts chosen for their layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.comments import comments_of
from bl_compiler.frontend.format import WIDTH, format_source, format_text
from bl_compiler.frontend.format_expr import format_expr
from bl_compiler.frontend.parser import parse
from bl_compiler.source import SourceFile
from tests.strategies.syntax import CORPUS, shape


def formatted(text: str) -> str:
    sink = Sink()
    result = format_text(SourceFile("t.blg", text), sink)
    assert result is not None, sink.diagnostics
    return result


def in_model(text: str) -> str:
    """The formatted statements of a model, without its frame and indentation."""
    lines = formatted(f"model m {{\n{text}\n}}\n").splitlines()
    return "\n".join(line.removeprefix("  ") for line in lines[1:-1])


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_round_trips(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    once = formatted(text)
    assert formatted(once) == once
    source, again = SourceFile(path.name, text), SourceFile(path.name, once)
    assert shape(parse(again, Sink())) == shape(parse(source, Sink()))
    assert [c.text for c in comments_of(again)] == [c.text for c in comments_of(source)]
    assert all(len(line.partition("  #")[0]) <= WIDTH for line in once.splitlines())


def test_syntax_errors_give_no_text() -> None:
    sink = Sink()
    assert format_text(SourceFile("t.blg", "model {"), sink) is None
    assert sink.errors


def test_empty_and_comments_alone() -> None:
    assert formatted("") == ""
    assert formatted("\n\n# a\n\n\n\n# b") == "# a\n\n# b\n"


def test_one_statement_a_line() -> None:
    assert in_model("let a=1 let b=a   next b") == "let a = 1\nlet b = a\nnext b"


def test_long_pipe_has_one_stage_a_line() -> None:
    stages = " |> ".join(f"conv2d({n}, kernel_size=5)" for n in range(4))
    lines = in_model(f"let h = images |> {stages}").splitlines()
    assert lines[0] == "let h = images"
    assert lines[1:] == [f"  |> conv2d({n}, kernel_size=5)" for n in range(4)]


def test_short_pipe_is_joined() -> None:
    assert in_model("let h = x\n |> f\n |> g") == "let h = x |> f |> g"


def test_long_call_has_one_argument_a_line() -> None:
    arguments = [f"argument_number_{n}=value_number_{n}" for n in range(4)]
    lines = in_model(f"let h = f({', '.join(arguments)})").splitlines()
    assert lines == ["let h = f(", *(f"  {argument}," for argument in arguments), ")"]


def test_blank_lines_are_kept_up_to_one() -> None:
    assert in_model("\n\nlet a = 1\n\n\n\nlet b = 2\nlet c = 3\n\n") == "let a = 1\n\nlet b = 2\nlet c = 3"


def test_definitions_stand_apart() -> None:
    text = "option a = 1\n# of m\nmodel m {}\nmodel n {} # end\nmodel o {}"
    assert formatted(text) == "option a = 1\n\n# of m\nmodel m {}\n\nmodel n {}  # end\n\nmodel o {}\n"


def test_comments_stay_where_they_are() -> None:
    text = """# first
model m {  # on the brace
  # before
  let a = 1  # behind

  # of b
  let b = x
    |> f  # behind f
    # before g
    |> g
  let c = f(
    # of 1
    1,
    2,  # behind 2
    # at the end
  )
  # at the end
}

# last
"""
    assert formatted(text) == text


def test_comment_within_an_operation_goes_above() -> None:
    assert in_model("let a = b  # why\n  + c") == "# why\nlet a = b + c"


@pytest.mark.parametrize(
    "text",
    [
        "(a |> b) + c",
        "a |> (b |> c)",
        "(a + b) * c",
        "a - (b - c)",
        "(a ** b) ** c",
        "(-a) ** b",
        "(-1) ** 2",
        "-(1)",
        "-(-1)",
        "--a",
        "not (a and b)",
        "(not a) == b",
        "(a < b) < c",
        "(a or b) and c",
        "(1).x",
        "(-a).x",
        "(a + b)[0]",
        "(a, b)[(c, d)]",
    ],
)
def test_needed_parentheses_stay(text: str) -> None:
    assert in_model(f"let it = {text}") == f"let it = {text}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("((a))", "a"),
        ("(a * b) + c", "a * b + c"),
        ("a ** (b ** c)", "a ** b ** c"),
        ("(a |> b) |> c", "a |> b |> c"),
        ("f((a |> b), c = d, e=(g |> h))", "f(a |> b, c=d, e = g |> h)"),
        ("x[ a : b ]", "x[a:b]"),
        ("- 1", "-1"),
    ],
)
def test_needless_signs_go(text: str, wanted: str) -> None:
    assert in_model(f"let it = {text}") == f"let it = {wanted}"


@pytest.mark.parametrize("number", ["50_000", "50000", "1e-3", "1E5", ".5", "1.", "1_0.0_1"])
def test_numbers_keep_their_spelling(number: str) -> None:
    assert in_model(f"let it = {number}") == f"let it = {number}"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (9_999, "9999"),
        (10_000, "10_000"),
        (-10_000, "-10_000"),
        (1e-3, "0.001"),
        (1e-5, "1e-05"),
        (True, "true"),
        ('"\x00é', '"\\"\\u0000é"'),
    ],
)
def test_values_without_spelling(value: int | float | str, wanted: str) -> None:
    file = ast.File("t.blg", (ast.Option("a", ast.Literal(value)),))
    assert format_source(file) == f"option a = {wanted}\n"
    assert shape(parse(SourceFile("t.blg", f"option a = {wanted}\n"), Sink())) == shape(file)


def test_clauses_that_do_not_fit_go_to_lines_of_their_own() -> None:
    text = (
        "believe kernel, bias in dense ~ Normal(0, 1) by mean_field(init_scale=1e-2) "
        "using flipout when bayesian and deep"
    )
    assert in_model(text).splitlines() == [
        "believe kernel, bias in dense ~ Normal(0, 1)",
        "  by mean_field(init_scale=1e-2)",
        "  using flipout",
        "  when bayesian and deep",
    ]


def test_expression_on_one_line() -> None:
    loop = ast.Repeat(ast.Literal(2), (ast.Carry("h", ast.Name("x")),), ast.Block((ast.Next(ast.Name("h")),)))
    assert format_expr(ast.Pipe(loop, ast.Name("f"))) == "repeat 2 from h = x { … } |> f"
    wide = ast.ListExpr(tuple(ast.Name(f"name_{n}") for n in range(50)))
    assert "\n" not in format_expr(wide)
