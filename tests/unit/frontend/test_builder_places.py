"""Where diagnostics about models of the Python builder point."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path

import pytest

import bl_compiler as bl
from bl_compiler.diagnostics import Diagnostic
from bl_compiler.render import render_human
from tests.support.lowering import built


@pytest.fixture
def model() -> Iterator[bl.Model]:
    """An open model."""
    with bl.Model("m") as found:
        yield found


@pytest.fixture
def x(model: bl.Model) -> bl.Expression:
    """An input of it."""
    return bl.input("x", bl.f32[4])


def only_error(model: bl.Model) -> tuple[Diagnostic, str]:
    _, sink = built(model)
    (found,) = sink.errors
    return found, render_human(found, sink.sources)


def marked(found: Diagnostic) -> str:
    """The text that a diagnostic points at."""
    line = linecache.getline(str(Path(__file__).parent / Path(found.span.file).name), found.span.line)
    assert found.span.line == found.span.end_line
    return line[found.span.column - 1 : found.span.end_column - 1]


def test_error_points_at_the_python_expression(model: bl.Model, x: bl.Expression) -> None:
    bl.predict("p", (x | bl.dense(3)) + x)
    found, text = only_error(model)
    assert (found.code, marked(found)) == ("BLC0206", "(x | bl.dense(3)) + x")
    assert "test_builder_places.py" in text
    assert "^^^" in text


@pytest.mark.parametrize("case", ["call", "word", "statement", "belief", "type"])
def test_error_points_at_its_part(model: bl.Model, x: bl.Expression, case: str) -> None:
    if case == "call":
        bl.predict("p", x | bl.relu | bl.dense(0) | bl.relu)
    elif case == "word":
        bl.predict("p", x | bl.conv2d | bl.relu)
    elif case == "statement":
        bl.observe(x, bl.Normal(bl.ones[7], 1))
    elif case == "belief":
        with bl.believe(kernal=bl.Normal(0, 1)):
            pass
    else:
        bl.input("y", bl.f32[0])
    found, _ = only_error(model)
    assert (
        marked(found)
        == {
            "call": "bl.dense(0)",
            "word": "x | bl.conv2d",
            "statement": "bl.observe(x, bl.Normal(bl.ones[7], 1))",
            "belief": "kernal",
            "type": "bl.f32[0]",
        }[case]
    )


def test_columns_count_characters(model: bl.Model, x: bl.Expression) -> None:
    bl.predict("p", [("é→🙂", x | bl.dense(0))][0][1])
    found, _ = only_error(model)
    assert marked(found) == "bl.dense(0)"


def test_spans_over_several_lines(model: bl.Model, x: bl.Expression) -> None:
    bl.predict(
        "p",
        x
        | bl.relu
        | bl.dense(
            0,
        ),
    )
    found, text = only_error(model)
    assert found.span.end_line - found.span.line == 2
    assert "bl.dense(" in text


def test_all_files_are_shown(model: bl.Model, x: bl.Expression, tmp_path: Path) -> None:
    path = tmp_path / "helper.py"
    path.write_text("def broken(x, bl):\n    return x | bl.dense(0)\n")
    space: dict[str, object] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    broken = space["broken"]
    assert callable(broken)
    bl.predict("p", broken(x, bl))
    found, text = only_error(model)
    assert (found.span.file, found.span.line) == ("helper.py", 2)
    assert "return x | bl.dense(0)" in text
    assert [s.name for s in model.sources][1:] == ["helper.py"]


def test_code_without_a_file() -> None:
    space: dict[str, object] = {}
    exec(
        "import bl_compiler as bl\n"
        "with bl.Model('m') as model:\n    h = bl.ones[3] | bl.dense(0)\n    bl.predict('p', h)\n",
        space,
    )
    model = space["model"]
    assert isinstance(model, bl.Model)
    found, text = only_error(model)
    assert (found.code, found.span.file, found.span.line) == ("BLC0203", "<string>", 3)
    assert "<string>:3" in text
