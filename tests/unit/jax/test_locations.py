"""What goes wrong in an emitted program, and what it lowers to, names the lines of its source."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable

import jax
import pytest

from bl_compiler.backends.jax.located import compile_text
from bl_compiler.backends.jax.lower import lower
from bl_compiler.backends.jax.program import Program
from bl_compiler.source import Span
from tests.unit.jax.models import SOURCES, data, line, program, regression

TEXT = '''
from __future__ import annotations
import os

def helper(x):
    return x

OPTIMIZER = 3

def run(x):
    """Documentation."""
    a = helper(x)
    with scope("layer"):
        b = fail(a)
        c = a + 1
    def step(carry):
        d = fail(carry)
        return d
    return {
        "b": b,
        "d": step(c),
    }
'''


class _Scope:
    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def ran(spans: dict[int, Span], fail: Callable[[int], int]) -> object:
    """What `run(1)` gives, its lines placed as `spans` say."""
    namespace: dict[str, object] = {"helper": lambda x: x, "scope": _Scope, "fail": fail}
    exec(compile_text(TEXT, "m", spans, frozenset({"helper"})), namespace)
    return namespace["run"](1)  # type: ignore[operator]


def frames(spans: dict[int, Span], fail: Callable[[int], int]) -> list[tuple[str, int, str]]:
    """The frames of the failure of `run`, outermost first, those of this file left out."""
    try:
        ran(spans, fail)
    except ZeroDivisionError as error:
        found = [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(error.__traceback__)]
        return [frame for frame in found if not frame[0].endswith(".py")]
    raise AssertionError("nothing failed")


def test_statements_run_at_their_lines() -> None:
    spans = {12: line(10), 14: line(20), 15: line(21)}
    assert frames(spans, lambda x: 1 // 0) == [("model.blg", 20, "run")]


def test_statements_of_other_files_run_under_their_names() -> None:
    spans = {12: line(10), 14: line(3, "blocks.blg"), 15: line(21)}
    assert frames(spans, lambda x: 1 // 0) == [("model.blg", 10, "run"), ("blocks.blg", 3, "layer")]
    assert ran(spans, lambda x: 7 * x) == {"b": 7, "d": 14}


def test_region_functions_have_files_of_their_own() -> None:
    spans = {12: line(10), 16: line(2, "blocks.blg"), 17: line(3, "blocks.blg")}
    failing = iter([5, 0])
    found = frames(spans, lambda x: 1 // next(failing))
    assert found == [("model.blg", 10, "run"), ("blocks.blg", 3, "step")]


def test_lines_without_a_source_are_those_of_the_text() -> None:
    assert frames({}, lambda x: 1 // 0) == [("<blc m>", 14, "run")]


def test_failures_show_the_line_of_the_source() -> None:
    broken = {**data(), "x": data()["x"][:, :2]}
    with pytest.raises(TypeError) as caught:
        program().functions["loss"](program().init(0), broken, 0)
    lines = traceback.format_exception(caught.value)
    assert any('File "model.blg", line 2, in _train' in text and "statement 2" in text for text in lines)


def test_failures_of_methods_carry_a_note() -> None:
    fresh = Program(regression(), sources=SOURCES)
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="rank_promotion") as caught:
        fresh.loss(fresh.init(0), data(), 0)
    assert caught.value.__notes__[-1] == "raised by model.blg:2: statement 2"


def test_operations_of_stablehlo_name_lines_of_both_files() -> None:
    found = lower(program(), "train_step").text
    lines = {(file, int(number)) for file, number in re.findall(r'loc\("([\w.]+)":(\d+):', found)}
    assert {("model.blg", i) for i in (2, 3, 5)} | {("blocks.blg", 4)} <= lines
    assert {file for file, _ in lines} == {"model.blg", "blocks.blg"}
    product = re.search(r"stablehlo.dot_general.* loc\((#loc\d+)\)", found)
    assert product
    assert "blocks.blg" in _resolved(found, product[1])


def _resolved(text: str, name: str) -> str:
    """A location with the locations it refers to."""
    known = dict(re.findall(r"^(#loc\d+) = loc\((.*)\)$", text, re.MULTILINE))
    found = known[name]
    while match := re.search(r"#loc\d+", found):
        found = found.replace(match[0], known[match[0]])
    return found


def test_operations_of_hlo_carry_layers_and_lines() -> None:
    text = jax.jit(program().functions["loss"]).lower(program().init(0), data(), 0).compile().as_text()
    assert text is not None
    assert re.search(r'op_name="[^"]*dense/[^"]*"', text)
    assert 'source_file="model.blg"' in text or '"model.blg"' in text
