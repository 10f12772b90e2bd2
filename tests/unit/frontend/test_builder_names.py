"""Which names the Python builder gives to values, in every supported version of Python."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

import bl_compiler as bl
from tests.support.lowering import built, params

TEXT = "input x: f32[4]"


@pytest.fixture
def model() -> Iterator[bl.Model]:
    """An open model."""
    with bl.Model("m") as found:
        yield found


@pytest.fixture
def x(model: bl.Model) -> bl.Expression:
    """An input of it."""
    return bl.input("x", bl.f32[4])


def lets(model: bl.Model) -> list[str]:
    """The model's `let` statements, without the word."""
    stripped = (line.strip() for line in model.to_blg().splitlines())
    return [line.removeprefix("let ") for line in stripped if line.startswith("let ")]


def mlp(x: bl.Expression) -> bl.Expression:
    return x | bl.dense(4) | bl.relu


# --- variables -------------------------------------------------------------------------------------------------------


def test_variable(model: bl.Model, x: bl.Expression) -> None:
    h = x | bl.dense(4)
    k = h + 1
    assert lets(model) == ["h = x |> dense(4)", "k = h + 1"]
    assert repr(k) == "<k>"


def test_only_the_whole_is_named(model: bl.Model, x: bl.Expression) -> None:
    h = x | bl.dense(4) | bl.relu | bl.dense(2)
    bl.predict("p", (h + 1) * 2)
    assert lets(model) == ["h = x |> dense(4) |> relu |> dense(2)"]


def test_variable_given_twice(model: bl.Model, x: bl.Expression) -> None:
    h = x * 1
    h = h * 2
    h = h * 3
    bl.predict("p", h)
    assert lets(model) == ["h = x * 1", "h_1 = h * 2", "h_2 = h_1 * 3"]


def test_augmented_assignment(model: bl.Model, x: bl.Expression) -> None:
    h = x * 1
    h += x
    h |= bl.relu
    h **= 2
    assert lets(model) == ["h = x * 1", "h_1 = h + x", "h_2 = h_1 |> relu", "h_3 = h_2 ** 2"]


def test_loop(model: bl.Model, x: bl.Expression) -> None:
    h = x
    for units in (3, 2):
        h = h | bl.dense(units)
    bl.predict("p", h)
    assert lets(model) == ["h = x |> dense(3)", "h_1 = h |> dense(2)"]
    module, _ = built(model)
    assert module is not None
    assert params(module)[::2] == ["h/dense/kernel", "h_1/dense/kernel"]


def test_while_and_if(model: bl.Model, x: bl.Expression) -> None:
    h, count = x, 0
    while count < 2:
        if count:
            h = h * 2
        else:
            h = h * 3
        count += 1
    assert lets(model) == ["h = x * 3", "h_1 = h * 2"]


@pytest.mark.parametrize("condition", [True, False])
def test_conditional_expression(model: bl.Model, x: bl.Expression, condition: bool) -> None:
    h = x * 2 if condition else x * 3
    bl.predict("p", h)
    assert lets(model) == [f"h = x * {2 if condition else 3}"]


def test_attribute_is_named(model: bl.Model, x: bl.Expression) -> None:
    d = bl.Normal(x, 1)
    mean = d.mean
    first = x.shape[0]
    assert (lets(model), repr(mean), repr(first)) == (
        ["d = Normal(x, 1)", "mean = d.mean", "first = x.shape[0]"],
        "<mean>",
        "<first>",
    )


def test_annotated_and_chained_and_walrus(model: bl.Model, x: bl.Expression) -> None:
    a: bl.Expression = x * 1
    b = c = x * 2
    bl.predict("p", (d := x * 3) + d + a + b + c)
    assert lets(model) == ["a = x * 1", "b = x * 2", "d = x * 3"]


def test_several_values(model: bl.Model, x: bl.Expression) -> None:
    loc, scale = x | bl.dense(4), x | bl.dense(4) | bl.softplus
    a, b, c = x * 1, -x, bl.relu(x)
    d, e, f, g = x * 1, x * 2, x * 3, x * 4
    bl.predict("p", loc * scale * a * b * c * d * e * f * g)
    assert lets(model) == [
        *("loc = x |> dense(4)", "scale = x |> dense(4) |> softplus"),
        *("a = x * 1", "b = -x", "c = relu(x)"),
        *("d = x * 1", "e = x * 2", "f = x * 3", "g = x * 4"),
    ]


def test_parts_are_not_named(model: bl.Model, x: bl.Expression) -> None:
    a, b = (x * 2) + 1, x
    c, d = [x * 3][0], bl.relu(x * 4)
    bl.predict("p", a * b * c * d)
    assert lets(model) == ["a = x * 2 + 1", "d = relu(x * 4)"]


def test_unpacking(model: bl.Model, x: bl.Expression) -> None:
    a, b = x | bl.split(2)
    halves = x | bl.split(2)
    c, d = halves
    (size,) = x.shape
    bl.predict("p", a * b * c * d * size)
    assert lets(model) == [
        "(a, b) = x |> split(2)",
        "halves = x |> split(2)",
        "(c, d) = halves",
        "(size,) = x.shape",
    ]
    assert built(model)[0] is not None


def test_unpacking_elsewhere_is_an_error(model: bl.Model, x: bl.Expression) -> None:
    def star() -> None:
        _a, *_b = x | bl.split(2)

    def nested() -> None:
        (_a, _b), _c = x | bl.split(2)

    def loop() -> None:
        for _ in x:
            pass

    for use in (star, nested, loop, lambda: tuple(x), lambda: max(*x), lambda: {**dict.fromkeys(x)}):
        with pytest.raises(TypeError, match="how many values"):
            use()


def test_containers_are_not_named(model: bl.Model, x: bl.Expression) -> None:
    class Holder:
        value: object = None

    holder, table = Holder(), {}
    holder.value = x * 1
    table["a"] = x * 2
    listed = [x * 3, x * 4]
    made = [x * i for i in (5, 6)]
    assert lets(model) == []
    bl.predict("p", [holder.value, table["a"], *listed, *made])


# --- functions -------------------------------------------------------------------------------------------------------


def test_result_of_a_function(model: bl.Model, x: bl.Expression) -> None:
    h = mlp(x)
    k = mlp(mlp(h))
    a, b = mlp(x), mlp(k)
    square = lambda v: v * v  # noqa: E731 - its result is named, too
    c = square(a)
    bl.predict("p", b * c)
    assert lets(model) == [
        "h = x |> dense(4) |> relu",
        "k = h |> dense(4) |> relu |> dense(4) |> relu",
        "a = x |> dense(4) |> relu",
        "b = k |> dense(4) |> relu",
        "c = a * a",
    ]


def test_variables_of_a_function(model: bl.Model, x: bl.Expression) -> None:
    def network(v: bl.Expression) -> bl.Expression:
        h = v | bl.dense(4)
        return h | bl.relu

    a = network(x)
    b = network(a)
    bl.predict("p", b)
    assert lets(model) == ["h = x |> dense(4)", "a = h |> relu", "h_1 = a |> dense(4)", "b = h_1 |> relu"]


def test_closures_and_globals(model: bl.Model, x: bl.Expression) -> None:
    h = x

    def deeper() -> bl.Expression:
        nonlocal h
        h = h * 2
        return h * 3

    k = deeper()
    bl.predict("p", h * k)
    assert lets(model) == ["h = x * 2", "k = h * 3"]


def test_functions_called_by_others(model: bl.Model, x: bl.Expression) -> None:
    h = functools.reduce(lambda v, units: v | bl.dense(units), [3, 2], x)
    total = sum([h, h])
    bl.predict("p", total)
    assert lets(model) == ["h = x |> dense(3)", "h_1 = h |> dense(2)", "total = 0 + h_1", "total_1 = total + h_1"]
    assert built(model)[0] is not None


def test_class_body_and_with_and_try(model: bl.Model, x: bl.Expression) -> None:
    class Net:
        h = x * 1

    with bl.believe(kernel=bl.point):
        k = Net.h * 2
    try:
        m = k * 3
    finally:
        pass
    bl.predict("p", m)
    assert lets(model) == ["h = x * 1", "k = h * 2", "m = k * 3"]


def test_many_names(model: bl.Model, x: bl.Expression) -> None:
    lines = [*(f"    v{i} = {i}" for i in range(300)), "    result = x * v299", "    return result + 1"]
    space: dict[str, object] = {}
    exec("def big(x):\n" + "\n".join(lines), space)
    big = space["big"]
    assert callable(big)
    found = big(x)
    assert (lets(model), repr(found)) == (["result = x * 299", "found = result + 1"], "<found>")


# --- which names -----------------------------------------------------------------------------------------------------


def test_names_that_the_language_has_no_letters_for(model: bl.Model, x: bl.Expression) -> None:
    μ = x * 1
    repeat = μ * 2
    none = repeat * 3
    bl.predict("p", none)
    assert lets(model) == ["_ = x * 1", "repeat_ = _ * 2", "none_ = repeat_ * 3"]
    assert built(model)[0] is not None


def test_keywords_are_names(model: bl.Model, x: bl.Expression) -> None:
    model_ = x * 1
    let = model_ * 2
    sample = let * 3
    bl.predict("p", sample)
    assert lets(model) == ["model_ = x * 1", "let = model_ * 2", "sample = let * 3"]
    assert built(model)[0] is not None


def test_names_of_options_and_layers_are_left_to_them(model: bl.Model, x: bl.Expression) -> None:
    width = bl.option("width", 4)
    block = bl.layer(mlp)
    h = x | block
    mlp_ = h | bl.dense(width)
    width = mlp_ * width
    bl.predict("p", width)
    assert lets(model) == ["h = x |> mlp", "mlp_ = h |> dense(width)", "width_1 = mlp_ * width"]
    for use in (lambda: bl.input("width", bl.f32), lambda: bl.option("h", 1), lambda: bl.option("width", 1)):
        with pytest.raises(ValueError, match=r"width|taken"):
            use()


def test_layer_of_a_taken_name(model: bl.Model, x: bl.Expression) -> None:
    block = x * 2

    @bl.layer
    def block(v: bl.Expression) -> bl.Expression:  # noqa: F811
        return v * 3

    bl.predict("p", x | block)
    assert "layer block_1(v)" in model.to_blg()


def test_variable_that_hides_a_word(model: bl.Model, x: bl.Expression) -> None:
    mean = x | bl.mean(axis=-1)
    bl.predict("p", mean)
    with pytest.raises(ValueError, match=r"named `mean`, which hides `bl.mean`"):
        x | bl.mean(axis=-1)
    positive = x > 0
    bl.param("w", bl.f32, 1.0, bl.positive)
    bl.predict("q", positive)
    assert built(model)[0] is not None
