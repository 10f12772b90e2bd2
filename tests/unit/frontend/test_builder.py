"""The Python builder: its text, its beliefs and layers, what it refuses. Names: test_builder_names.py."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import pytest

import bl_compiler as bl
from bl_compiler.frontend.expression import OPEN
from tests.support.lowering import body, built, same, sites

# --- every statement -------------------------------------------------------------------------------------------------


def test_statements() -> None:
    with bl.Model("m") as model:
        depth = bl.option("depth", [3, 2])
        batch = bl.plate("batch", 4, of=16)
        other = bl.plate("other", 2)
        x = bl.input("x", bl.f32[batch, bl.dim(time=5), depth[0]])
        v = bl.input("v", bl.f32[()])
        u = bl.input("u", bl.f32)
        y = bl.input("y", bl.i32[other, depth[1] * 2])
        w = bl.param("w", bl.f32[3], 0.5, bl.interval(0, 1))
        z = bl.sample("z", bl.Normal(0, 1), by=bl.mean_field(init_scale=0.1), type=bl.f32[3], using=bl.shared)
        e = bl.sample("e", bl.Normal(0, 1))
        bl.observe(x, bl.Normal(w + z, 1), where=x > v + u)
        bl.observe(y, bl.Bernoulli(probs=0.5))
        bl.predict("p", e * 2)
        bl.objective(bl.elbo(samples=2, kl_weight=bl.anneal(0.0, 1.0, steps=10)))
        bl.optimize(bl.adam(learning_rate=bl.cosine_decay_schedule(0.001, 100)))
    same(
        model,
        """option depth = [3, 2]
        model m {
          plate batch[4] of 16
          plate other[2]
          input x: f32[batch, time=5, depth[0]]
          input v: f32[]
          input u: f32
          input y: i32[other, depth[1] * 2]
          param w: f32[3] = 0.5 in interval(0, 1)
          sample z: f32[3] ~ Normal(0, 1) by mean_field(init_scale=0.1) using shared
          sample e ~ Normal(0, 1)
          observe x ~ Normal(w + z, 1) where x > v + u
          observe y ~ Bernoulli(probs=0.5)
          predict p = e * 2
          objective elbo(samples=2, kl_weight=anneal(0.0, 1.0, steps=10))
          optimize adam(learning_rate=cosine_decay_schedule(0.001, 100))
        }""",
    )


def test_expressions() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[4, 6])
        a = -x + 1 - x * 2 / 3
        b = (x // 2 % 3) ** 2 @ bl.ones[6]
        c = 1 - a + 2 * a / (3 / a) // (4 // a) % (5 % a) ** (2**a)
        d = ~((x < 1) & (x <= 2) & (x > 3) & (x >= 4) & (x == 5) & (x != 6)) & True
        e = x[0, 1:, ..., None][::-1, :2]
        f = [x, x] | bl.concat(axis=-1) | bl.relu
        g = bl.where(d, x, -1.5).T
        bl.predict("p", bl.zeros[x.shape[0], bl.dim(time=2)] + x.ndim - e.size)
        bl.predict("q", (a, b, c, f, g)[0] | bl.cast(bl.f32))
    same(
        model,
        """model m {
          input x: f32[4, 6]
          let a = -x + 1 - x * 2 / 3
          let b = (x // 2 % 3) ** 2 @ ones[6]
          let c = 1 - a + 2 * a / (3 / a) // (4 // a) % (5 % a) ** 2 ** a
          let d = not (x < 1 and x <= 2 and x > 3 and x >= 4 and x == 5 and x != 6) and true
          let e = x[0, 1:, ..., none][::-1, :2]
          let f = [x, x] |> concat(axis=-1) |> relu
          let g = where(d, x, -1.5).T
          predict p = zeros[x.shape[0], time=2] + x.ndim - e.size
          predict q = a |> cast("f32")
        }""",
    )


def test_distributions() -> None:
    with bl.Model("m") as model:
        d = bl.Mixture(bl.Categorical(logits=[0.5, 1]), bl.Normal([0, 1.0], 1))
        m = d.mean
        n = d.sample() + bl.Independent(bl.Normal(bl.ones[3], 1), 1).log_prob(bl.zeros[3]) + m
        bl.predict("p", n + m)
    same(
        model,
        """model m {
          let d = Mixture(Categorical(logits=[0.5, 1]), Normal([0, 1.0], 1))
          let m = d.mean
          let n = d.sample() + Independent(Normal(ones[3], 1), 1).log_prob(zeros[3]) + m
          predict p = n + m
        }""",
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3, "3"),
        (-3, "-3"),
        (50_000, "50_000"),
        (0.5, "0.5"),
        (-1e-5, "-1e-05"),
        (True, "true"),
        (None, "none"),
        ("a\n", '"a\\n"'),
    ],
)
def test_literals(value: object, written: str) -> None:
    with bl.Model("m") as model:
        bl.predict("p", [value, (value,)])
    assert body(model) == [f"predict p = [{written}, ({written},)]"]


def test_literals_of_subclasses_are_plain() -> None:
    class Mode(StrEnum):
        SAME = "same"

    class Count(int):
        def __repr__(self) -> str:
            return "many"

    with bl.Model("m") as model:
        bl.predict("p", [Mode.SAME, Count(3)])
    assert body(model) == ['predict p = ["same", 3]']


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    with bl.Model("m") as model:
        bl.predict("p", [np.float64(0.5), np.float32(0.5), np.int64(3), np.array(2), np.bool_(True)])
        bl.predict("q", np.float64(2.0) * bl.input("x", bl.f32[np.int32(3)]))
    assert body(model) == ["predict p = [0.5, 0.5, 3, 2, true]", "input x: f32[3]", "predict q = 2.0 * x"]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**63, -(2**63) - 1])
def test_numbers_that_the_language_cannot_write(value: float) -> None:
    with bl.Model("m"), pytest.raises(ValueError, match="no number"):
        bl.Normal(value)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_arrays_have_no_place_in_a_model() -> None:
    np = pytest.importorskip("numpy")
    data = np.zeros(3)
    with bl.Model("m"):
        x = bl.input("x", bl.f32[3])
        for use in (lambda: x + data, lambda: data + x, lambda: bl.Normal(data), lambda: x | bl.where(data > 0, 1, 2)):
            with pytest.raises(TypeError, match=r"ndarray; data goes through `bl.input`"):
                use()


@pytest.mark.parametrize(
    "use",
    [
        lambda x: bool(x),
        lambda x: x and x,
        lambda x: 0 < x < 1,
        lambda x: x in [1, x],
        lambda x: max(x, x),
        lambda x: list(x),
        lambda x: [*x],
        lambda x: [v * 1 for v in x],
        lambda x: x + {},
        lambda x: x | (lambda v: v),
        lambda x: x | print,
        lambda x: bl.f32[object()],
        lambda x: bl.dim(a=1, b=2),
        lambda x: bl.option("o", [x]),
        lambda x: bl.option("o", bl.relu),
        lambda x: bl.layer(lambda *a: a),
        lambda x: bl.sample("z", bl.Normal(0, 1).by(bl.point), by=bl.point),
        lambda x: bl.believe(kernel=bl.Normal(0, 1), layers=x + 1).__enter__(),
    ],
)
def test_what_has_no_meaning_is_a_type_error(use: Callable[[object], object]) -> None:
    with bl.Model("m"):
        x = bl.input("x", bl.f32[3])
        with pytest.raises(TypeError):
            use(x)


def test_functions_that_are_no_layers_say_how_to_be_one() -> None:
    with bl.Model("m"):
        x = bl.input("x", bl.f32[3])
        with pytest.raises(TypeError, match=r"a Python function; decorate it with `@bl.layer`"):
            x | (lambda v: v)


@pytest.mark.parametrize("name", ["", "a b", "1a", "é", "none", "true", "repeat", "True", "a-b", 3, None])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        bl.Model(name)
    with bl.Model("m"):
        for use in (
            lambda: bl.input(name, bl.f32),
            lambda: bl.plate(name, 3),
            lambda: bl.param(name, bl.f32, 0.0),
            lambda: bl.option(name, 3),
            lambda: bl.let(name, 3),
            lambda: bl.sample(name, bl.Normal(0, 1)),
            lambda: bl.predict(name, 3),
        ):
            with pytest.raises(ValueError, match="no name"):
                use()


@pytest.mark.parametrize(
    "use",
    [
        lambda: bl.plate("p", 3),
        lambda: bl.input("x", bl.f32),
        lambda: bl.option("o", 3),
        lambda: bl.observe(1.0, bl.Normal(0, 1)),
        lambda: bl.believe(kernel=bl.Normal(0, 1)).__enter__(),
        lambda: bl.layer(lambda x: x)(3),
    ],
)
def test_statements_stand_inside_a_model(use: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match=r"inside `with bl\.Model"):
        use()
    with bl.Model("m"):
        pass
    with pytest.raises(RuntimeError, match=r"inside `with bl\.Model"):
        use()


def test_expressions_may_stand_outside_a_model() -> None:
    prior = bl.Normal(0, 2)
    stack = bl.dense(3) | bl.relu
    assert (repr(prior), repr(stack)) == ("<Normal(0, 2)>", "<dense(3) |> relu>")
    with bl.Model("m") as model:
        bl.predict("p", prior.sample())
    assert body(model) == ["predict p = Normal(0, 2).sample()"]


def test_model_is_closed_after_an_error() -> None:
    def fail() -> None:
        with bl.Model("m"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not OPEN


def test_models_may_nest() -> None:
    with bl.Model("outer") as outer:
        bl.input("x", bl.f32)
        with bl.Model("inner") as inner:
            bl.input("y", bl.f32)
        bl.input("z", bl.f32)
    assert body(outer) == ["input x: f32[]", "input z: f32[]"]
    assert body(inner) == ["input y: f32[]"]


def test_two_inputs_of_one_name_are_an_error_of_the_model() -> None:
    with bl.Model("m") as model:
        bl.input("x", bl.f32)
        bl.input("x", bl.f32)
    _, sink = built(model)
    assert [e.code for e in sink.errors] == ["BLC0202"]


# --- beliefs ---------------------------------------------------------------------------------------------------------

PRIOR = "Normal(0, 1) by mean_field"


def belief() -> object:
    return bl.Normal(0, 1).by(bl.mean_field)


def test_belief_ends_with_its_block() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief()):
            a = x | bl.dense(3)
        b = a | bl.dense(3)
        bl.predict("p", b)
    assert body(model)[1:] == [
        f"believe kernel ~ {PRIOR}",
        "let a = x |> dense(3)",
        "believe kernel = point",
        "let b = a |> dense(3)",
        "predict p = b",
    ]


def test_nothing_is_taken_back_at_the_end() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief()):
            a = x | bl.dense(3)
        bl.plate("b", 3)
        bl.param("w", bl.f32, 0.0)
        bl.predict("p", a)
    assert "believe kernel = point" not in body(model)


def test_belief_after_a_belief() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief()):
            a = x | bl.dense(3)
        with bl.believe(kernel=bl.Laplace(0, 1)):
            b = a | bl.dense(3)
        bl.predict("p", b)
    module, _ = built(model)
    assert module is not None
    assert sites(module) == ["a/dense/kernel", "b/dense/kernel"]
    assert "believe kernel = point" not in body(model)


def test_beliefs_nest() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        with bl.believe(("kernel", "bias"), belief()):
            with bl.believe(bias=bl.point):
                a = x | bl.dense(3)
            with bl.believe(kernel=bl.Laplace(0, 2), layers=bl.conv2d):
                b = a | bl.dense(3)
            c = b | bl.dense(3)
        bl.predict("p", c | bl.dense(3))
    module, sink = built(model)
    assert module is not None
    assert sites(module) == ["a/dense/kernel", *(f"{n}/dense/{r}" for n in "bc" for r in ("kernel", "bias"))]
    assert [w.code for w in sink.warnings] == ["BLC0358"]


def test_belief_with_layers_and_condition_is_stated_again_with_them() -> None:
    with bl.Model("m") as model:
        bayesian = bl.option("bayesian", True)
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=belief(), layers=(bl.dense, "conv2d"), when=bayesian):
            with bl.believe(kernel=bl.point):
                a = x | bl.dense(3)
            b = a | bl.dense(3)
        bl.predict("p", b)
    assert body(model)[-4:-2] == [
        "believe kernel = point",
        f"believe kernel in dense, conv2d ~ {PRIOR} when bayesian",
    ]
    for value in (True, False):
        module, _ = built(model, defines={"bayesian": value})
        assert module is not None
        assert sites(module) == ["b/dense/kernel"] * value


def test_conditional_belief_goes_on_top_of_what_holds() -> None:
    with bl.Model("m") as model:
        bayesian = bl.option("bayesian", False)
        x = bl.input("x", bl.f32[3])
        with bl.believe(kernel=bl.Laplace(0, 1)):
            a = x | bl.dense(3)
        with bl.believe(kernel=belief(), when=bayesian):
            b = a | bl.dense(3)
        bl.predict("p", b)
    module, _ = built(model)
    assert module is not None
    assert sites(module) == ["a/dense/kernel"]


def test_belief_arguments() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[3])
        bl.predict("p", x | bl.dense(3, kernel=bl.Laplace(0, 1).by(bl.mean_field(), using=bl.shared), bias=bl.point))
    assert body(model)[
        1
    ] == "predict p = x |> dense(3, kernel ~ Laplace(0, 1) by mean_field() using shared, bias = point)".replace(
        "bias = point", "bias=point"
    )
