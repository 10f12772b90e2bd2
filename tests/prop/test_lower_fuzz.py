"""Whatever the text, lowering gives a verified module or errors that point into it, and comes to an end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import Sources
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.layers.registry import LAYERS
from bl_compiler.layers.spec import LayerSpec, ParamSpec
from tests.strategies.mutations import PROGRAMS, TEXTS, byte_swaps, line_swaps, literals, token_swaps
from tests.strategies.syntax import files
from tests.support.lowering import compiled, error, errors

SECONDS = 20
"""No program here takes a tenth of it."""

laws = settings(
    deadline=None,
    derandomize=True,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """A hang is a failure, with a traceback that shows where."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("lowering does not end")

    before = signal.signal(signal.SIGALRM, give_up)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def checked(text: str, **settings_: object) -> Module | None:
    """What a text lowers to, in time; `compiled` checks spans and verifies."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    module, sink = compiled(text, **settings_)  # type: ignore[arg-type]
    signal.setitimer(signal.ITIMER_REAL, 0)
    for found in sink.diagnostics:
        assert found.message
        assert found.message[-1] != "."
    if module is not None:
        assert parse_module(print_module(module), CORE_OPS) == module
    return module


# --- programs that are almost right ----------------------------------------------------------------------------------


@laws
@given(token_swaps())
def test_exchanged_tokens(text: str) -> None:
    checked(text)


@laws
@given(line_swaps())
def test_exchanged_lines(text: str) -> None:
    checked(text)


@laws
@given(byte_swaps())
def test_exchanged_bytes(text: str) -> None:
    checked(text)


@laws
@given(st.one_of(token_swaps(), line_swaps()), st.sampled_from([1, 3, "dynamic"]))
def test_exchanged_tokens_with_another_batch(text: str, batch: int | str) -> None:
    checked(text, batch=batch)


@settings(laws, max_examples=100)
@given(files)
def test_random_trees(file: ast.File) -> None:
    sink = Sink()
    module = lower(Sources(file), LowerSettings(), sink)
    assert (module is None) == bool(sink.errors)


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in PROGRAMS])
def test_every_beginning_of_a_program(text: str) -> None:
    lines = text.split("\n")
    for end in range(len(lines)):
        checked("\n".join(lines[:end]) + "\n}")


# --- extreme arguments -----------------------------------------------------------------------------------------------

EXTREMES = (
    *("0", "-1", "1000000000000", "9223372036854775807", "1e30", "true", "none", '"x"'),
    *("[1000000000000]", "[]", "[[1]]", "x", "dense(2)", "b"),
)


def written(spec: LayerSpec, odd: ParamSpec, value: str) -> str:
    """A call in which one argument is odd."""
    parts = ["[x, x]" if p.takes_values and not p.variadic else "x" for p in spec.inputs if p.required]
    parts += [value] if odd.variadic else [f"{odd.name}={value}"]
    others = (p for p in spec.params if p.required and not (p.takes_value or p.takes_values or p.variadic) and p != odd)
    return f"{spec.name}({', '.join([*parts, *(f'{p.name}=2' for p in others)])})"


@pytest.mark.parametrize("name", LAYERS)
def test_odd_arguments_of_every_layer(name: str) -> None:
    spec = LAYERS[name]
    shape = "f32[b, 8, 8, 3]" if "2d" in name else "f32[b, 8, 3]" if "1d" in name else "f32[b, 4]"
    for odd in spec.params:
        for value in EXTREMES:
            call = written(spec, odd, value)
            checked(f"model m {{ plate b[2] of 4\n input x: {shape}\n predict p = {call}\n}}")


@laws
@given(
    st.lists(literals, min_size=1, max_size=5), st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "==", "<", "and"])
)
def test_arithmetic_of_extreme_numbers(numbers: list[str], op: str) -> None:
    checked(f"model m {{ predict p = {f' {op} '.join(numbers)}\n predict q = zeros[2] {op} {numbers[0]} }}")


@pytest.mark.parametrize(
    "number", ["1e400", "99999999999999999999", "1" * 5000, "1e" + "9" * 100, "0x10", "1__0", "1.5.2"]
)
def test_numbers_out_of_range_are_malformed(number: str) -> None:
    assert error(f"model m {{ predict p = {number} }}").code == "BLC0104"


@pytest.mark.parametrize("size", ["0", "-1", "0.5", "1e3", "9223372036854775807", "n", "true"])
def test_odd_sizes(size: str) -> None:
    for text in (
        f"plate b[{size}]\n predict p = 1.0",
        f"plate b[2] of {size}\n predict p = 1.0",
        f"input x: f32[{size}, {size}]\n predict p = x |> flatten",
        f"predict p = zeros[{size}, 3]",
        f"param w: f32[{size}] = 0.0\n predict p = w",
        f"sample z: f32[{size}] ~ Normal(0, 1) by mean_field\n predict p = z",
        f"predict p = Normal(0, 1)[{size}].log_prob(1.0)",
    ):
        checked(f"model m {{ {text} }}")


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "\t\r\n", "#", "\ufeff", ";", "\\", "}", "model", "model m", "model m {"]
)
def test_texts_of_nothing(text: str) -> None:
    assert checked(text) is None


# --- depth and size --------------------------------------------------------------------------------------------------

DEEP = 2000


@pytest.mark.parametrize(
    "body",
    [
        "predict p = " + "(" * DEEP + "1" + ")" * DEEP,
        "predict p = " + "[" * DEEP + "]" * DEEP,
        "predict p = " + "-" * DEEP + "1",
        "predict p = " + "not " * DEEP + "true",
        "predict p = " + "relu(" * DEEP + "1.0" + ")" * DEEP,
        "predict p = " + "1 ** " * DEEP + "1",
        "if true { " * DEEP + "}" * DEEP,
        "predict p = x" + "[0]" * DEEP,
        "predict p = x" + ".T" * DEEP,
        "predict p = " + "1.0 + " * DEEP + "1.0",
        "predict p = 1.0" + " |> relu" * DEEP,
    ],
    ids=lambda body: body[:24].strip(),
)
def test_deep_nesting_is_an_error(body: str) -> None:
    assert "BLC0215" in [e.code for e in errors(f"model m {{ {body} }}")]


@pytest.mark.parametrize("depth", [30, 60, 100, 120])
def test_nesting_that_parses_comes_to_an_end(depth: int) -> None:
    for body in (
        "predict p = " + "relu(" * depth + "1.0" + ")" * depth,
        "predict p = " + "(1.0 + " * depth + "1.0" + ")" * depth,
        "predict p = zeros[2]" + "[:]" * depth,
    ):
        found = errors(f"model m {{ {body} }}")
        assert {e.code for e in found} <= {"BLC0215"}


@pytest.mark.parametrize("depth", [10, 40, 63])
def test_deep_expressions_in_deep_layers(depth: int) -> None:
    nested = "relu(" * 30 + "x |> f{}" + ")" * 30
    layers = [f"layer f{i}(x) {{ return {nested.format(i + 1)} }}" for i in range(depth)]
    text = "\n".join([*layers, f"layer f{depth}(x) {{ return x }}", "model m { predict p = zeros[2] |> f0 }"])
    assert {e.code for e in errors(text)} <= {"BLC0215"}


def chain(make: Callable[[int], str], count: int) -> str:
    return "\n".join(map(make, range(1, count)))


def test_long_programs() -> None:
    assert checked(
        f"model m {{ let h0 = zeros[2]\n {chain(lambda i: f'let h{i} = h{i - 1} + 1', 1500)}\n predict p = h1499 }}"
    )
    assert checked(f"model m {{ {chain(lambda i: f'predict p{i} = {i}', 2000)} }}")
    many = errors(f"model m {{ {chain(lambda i: f'let h{i} = nothing{i}', 500)} }}")
    assert len(many) == 499


def test_sharing_doubles_nothing() -> None:
    lets = chain(lambda i: f"let h{i} = h{i - 1} + h{i - 1}", 500)
    assert checked(f"model m {{ let h0 = zeros[2]\n {lets}\n predict p = h499 }}")
