"""User layers of the Python builder, and values that stand in several places."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import bl_compiler as bl
from tests.support.lowering import body, built, lowered, params, same, sites


def belief() -> object:
    return bl.Normal(0, 1).by(bl.mean_field)


# --- layers ----------------------------------------------------------------------------------------------------------


@bl.layer
def block(x: bl.Expression, units: object, rate: float = 0.1, *, activation: object = bl.relu) -> bl.Expression:
    """A layer of the user's."""
    h = x | bl.dense(units) | activation
    return h | bl.dropout(rate)


def test_user_layer() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        h = x | block(4) | block(5, 0.2, activation=bl.tanh)
        k = block(h, 6)
        bl.predict("p", k)
    same(
        model,
        """layer block(x, units, rate=0.1, activation=relu) {
          let h = x |> dense(units) |> activation
          return h |> dropout(rate)
        }
        model m {
          input x: f32[3]
          let h = x |> block(4) |> block(5, 0.2, activation=tanh)
          let k = block(h, 6)
          predict p = k
        }""",
    )
    assert (block.__name__, block.__doc__) == ("block", "A layer of the user's.")


def test_user_layer_as_a_stage_and_as_an_argument() -> None:
    @bl.layer
    def twice(x: bl.Expression) -> bl.Expression:
        return x * 2

    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        a = x | twice | bl.dense(3, activation=twice)
        bl.predict("p", [a, x] | twice)
    assert body(model)[2:] == [
        "model m {",
        "input x: f32[3]",
        "let a = x |> twice |> dense(3, activation=twice)",
        "predict p = [a, x] |> twice",
    ]


def test_two_layers_of_one_name() -> None:
    def make(factor: int) -> Callable[..., bl.Expression]:
        @bl.layer
        def scale(x: bl.Expression) -> bl.Expression:
            return x * factor

        return scale

    two, three = make(2), make(3)
    with bl.Model("m") as model:
        bl.predict("p", bl.ones[2] | two | three | two)
    assert "predict p = ones[2] |> scale |> scale_1 |> scale" in model.to_blg()


def test_layer_defined_within_a_layer() -> None:
    @bl.layer
    def inner(x: bl.Expression) -> bl.Expression:
        return x | bl.dense(2)

    @bl.layer
    def outer(x: bl.Expression) -> bl.Expression:
        return x | inner | inner

    with bl.Model("m") as model:
        bl.predict("p", bl.ones[2] | outer)
    module, _ = built(model)
    assert module is not None
    assert params(module)[::2] == ["p/outer/inner/dense/kernel", "p/outer/inner_1/dense/kernel"]


def test_layer_that_uses_itself() -> None:
    @bl.layer
    def forever(x: bl.Expression) -> bl.Expression:
        return x | forever

    with bl.Model("m") as model:
        bl.predict("p", bl.ones[2] | forever)
    assert [e.code for e in built(model)[1].errors] == ["BLC0215"]


def test_layer_with_several_results() -> None:
    @bl.layer
    def halves(x: bl.Expression) -> tuple[bl.Expression, bl.Expression]:
        a, b = x | bl.split(2)
        return a, b

    with bl.Model("m") as model:
        left, right = halves(bl.ones[4])
        bl.predict("p", left + right)
    assert "let (left, right) = halves(ones[4])" in body(model)


def test_beliefs_of_the_model_are_not_taken_back_in_a_layer() -> None:
    @bl.layer
    def deep(x: bl.Expression) -> bl.Expression:
        h = x | bl.dense(3)
        return h | bl.dense(3)

    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief()):
            a = x | bl.dense(3)
        b = a | deep
        bl.predict("p", b)
    assert "believe" not in model.to_blg().partition("model")[0]
    module, _ = built(model)
    assert module is not None
    assert sites(module) == ["a/dense/kernel"]


def test_belief_in_a_layer_holds_to_its_end() -> None:
    @bl.layer
    def first(x: bl.Expression) -> bl.Expression:
        with bl.believe(kernel=belief()):
            h = x | bl.dense(3)
        return h * 2

    @bl.layer
    def second(x: bl.Expression) -> bl.Expression:
        with bl.believe(kernel=belief()):
            h = x | bl.dense(3)
        return h | bl.dense(3)

    with bl.Model("m") as model:
        bl.predict("p", bl.ones[3] | first)
        with pytest.raises(RuntimeError, match="a belief holds to the end"):
            bl.ones[3] | second
    module, _ = built(model)
    assert module is not None
    assert sites(module) == ["p/first/h/dense/kernel"]


def test_layer_in_layers() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief(), layers=block):
            bl.predict("p", x | bl.dense(3) | block(2))
    module, _ = built(model)
    assert module is not None
    assert sites(module) == ["p/block/h/dense/kernel"]


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_value_used_twice_is_one_value() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        encoders = [bl.dense(3), bl.dense(3)]
        bl.predict("a", x | encoders[0] | encoders[1])
        bl.predict("b", x | encoders[0])
    assert body(model)[1:] == [
        "let part = dense(3)",
        "predict a = x |> part |> dense(3)",
        "predict b = x |> part",
    ]
    module, _ = built(model)
    assert module is not None
    assert params(module)[::2] == ["part/dense/kernel", "a/dense/kernel"]


def test_word_used_twice_is_two_layers() -> None:
    norm = bl.layer_norm
    with bl.Model("m") as model:
        bl.predict("p", bl.ones[3] | norm | bl.dense(3) | norm)
    module, _ = built(model)
    assert module is not None
    assert [p for p in params(module) if "scale" in p] == ["p/layer_norm/scale", "p/layer_norm_1/scale"]


def test_sums_of_sums_do_not_double() -> None:
    with bl.Model("m") as model:
        values = [bl.input("x", bl.f32[3])]
        for _ in range(100):
            values.append(values[-1] + values[-1])
        bl.predict("p", values[-1])
    module, _ = built(model)
    assert module is not None
    assert len(module.functions["model"].nodes) == 102


def test_deep_trees_get_names() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        bl.predict("p", sum([x * i for i in range(300)]))
        total = [x]
        for _ in range(2000):
            total[0] = total[0] | bl.relu
        bl.predict("q", total[0])
    module, _ = built(model)
    assert module is not None
    assert lowered(model.to_blg()) == module


def test_names_of_parts_are_free() -> None:
    with bl.Model("m") as model:
        part = bl.ones[3] * 2
        shared = [part + 1]
        bl.predict("p", shared[0] * shared[0])
    assert body(model) == ["let part = ones[3] * 2", "let part_1 = part + 1", "predict p = part_1 * part_1"]


def test_small_trees_and_forms_are_written_twice() -> None:
    adam, field = bl.adam(learning_rate=0.1), bl.mean_field(init_scale=0.1)
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[2, 3])
        prior, q = bl.Normal(0, 1), bl.mean_field(init_scale=0.5)
        shape, numbers = [x.shape], [(1, [2, 3])]
        a = bl.sample("a", prior, by=q)
        b = bl.sample("b", prior, by=q)
        c = bl.sample("c", prior.by(field))
        bl.predict("p", [a, b, c, shape[0][0], shape[0][1], numbers[0], numbers[0]])
        bl.optimize(adam)
    assert body(model)[2:] == [
        "sample a ~ prior by mean_field(init_scale=0.5)",
        "sample b ~ prior by mean_field(init_scale=0.5)",
        "sample c ~ prior by mean_field(init_scale=0.1)",
        "predict p = [a, b, c, x.shape[0], x.shape[1], (1, [2, 3]), (1, [2, 3])]",
        "optimize adam(learning_rate=0.1)",
    ]
