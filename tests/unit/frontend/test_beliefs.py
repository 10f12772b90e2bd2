"""Beliefs: their scope, what they are about, posteriors and estimators, the objectives that make points of them."""

from __future__ import annotations

import pytest

from bl_compiler.ir.graph import Module, Node
from bl_compiler.ir.types import DistType
from tests.support.lowering import error, lowered, nodes, params, sites, spelled, warnings

NORMAL = "~ Normal(0, 1) by mean_field"


def model(body: str) -> str:
    return f"""option bayesian = true  # blc: allow(unused-option)
layer block(x) {{ return x |> dense(3) |> layer_norm }}
model m {{
  plate batch[4] of 16
  input x: f32[batch, 3]
  input y: i32[batch]
  {body}
  observe y ~ Categorical(logits=x[:, :2])
}}"""


def uncertain(body: str, **settings: object) -> list[str]:
    return sites(lowered(model(body), **settings))


# --- scope -----------------------------------------------------------------------------------------------------------


def test_belief_holds_from_its_line_on() -> None:
    body = f"predict a = x |> dense(3)\n believe kernel {NORMAL}\n predict b = x |> dense(3)"
    assert uncertain(body) == ["b/dense/kernel"]


def test_belief_ends_with_its_block() -> None:
    body = f"if true {{ believe kernel {NORMAL} predict a = x |> dense(3) }} predict b = x |> dense(3)"
    assert uncertain(body) == ["a/dense/kernel"]


def test_inner_blocks_see_the_belief() -> None:
    assert uncertain(f"believe kernel {NORMAL}\n if true {{ predict a = x |> dense(3) }}") == ["a/dense/kernel"]


def test_later_belief_goes_before_earlier_one() -> None:
    module = lowered(
        model(f"believe kernel {NORMAL}\n believe kernel ~ Laplace(0, 1) by mean_field\n predict a = x |> dense(3)")
    )
    assert [family(n, 0) for n in nodes(module, "model.sample")] == ["Laplace"]


def test_point_takes_back() -> None:
    body = f"believe kernel, bias {NORMAL}\n believe kernel = point\n predict a = x |> dense(3)"
    assert uncertain(body) == ["a/dense/bias"]


def test_several_roles() -> None:
    body = f"believe kernel, bias {NORMAL}\n predict a = x |> dense(3)"
    assert uncertain(body) == ["a/dense/kernel", "a/dense/bias"]


def test_belief_in_layers() -> None:
    body = f"believe kernel, scale in dense, conv1d {NORMAL}\n predict a = x |> dense(3) |> layer_norm"
    assert uncertain(body) == ["a/dense/kernel"]
    body = f"believe scale in block {NORMAL}\n predict a = x |> block |> layer_norm"
    assert uncertain(body) == ["a/block/layer_norm/scale"]


@pytest.mark.parametrize(
    ("condition", "value", "found"),
    [("bayesian", None, 1), ("bayesian", False, 0), ("not bayesian", False, 1), ("1 > 2", None, 0)],
)
def test_belief_when(condition: str, value: bool | None, found: int) -> None:
    defines = {} if value is None else {"bayesian": value}
    body = f"believe kernel {NORMAL} when {condition}\n let used = bayesian\n predict a = x |> dense(3)"
    assert len(uncertain(body, defines=defines)) == found


def test_layer_argument_goes_before_beliefs() -> None:
    body = f"believe kernel {NORMAL}\n predict a = x |> dense(3, kernel = point, bias ~ Laplace(0, 2) by mean_field)"
    module = lowered(model(body))
    assert [(n.site, family(n, 0)) for n in nodes(module, "model.sample")] == [("a/dense/bias", "Laplace")]


def test_layer_argument_with_an_estimator() -> None:
    module = lowered(model("predict a = x |> dense(3, kernel ~ Normal(0, 1) by mean_field using shared)"))
    assert [n.attrs["estimator"] for n in nodes(module, "model.sample")] == ["shared"]


def test_prior_may_be_a_name() -> None:
    assert uncertain("let prior = Normal(0, 2)\n believe kernel ~ prior by mean_field\n predict a = x |> dense(3)")


def test_without_by_the_posterior_is_mean_field() -> None:
    assert uncertain("believe kernel ~ Normal(0, 1)\n predict a = x |> dense(3)") == ["a/dense/kernel"]


def test_false_belief_is_not_read() -> None:
    assert uncertain("believe kernel ~ Normal(0, 1) by mean_field when false\n predict a = x |> dense(3)") == []


# --- posteriors ------------------------------------------------------------------------------------------------------


def family(node: Node, operand: int) -> str:
    type_ = node.inputs[operand].type
    assert isinstance(type_, DistType)
    return type_.family


def sample(prior: str, posterior: str, objective: str = "elbo", type_: str = "") -> Module:
    return lowered(f"model m {{ objective {objective}\n sample z{type_} ~ {prior} by {posterior}\n predict p = z }}")


@pytest.mark.parametrize(
    ("prior", "posterior", "expected"),
    [
        ("Normal(0, 1)", "mean_field", "Normal"),
        ("Laplace(0, 1)", "mean_field", "Normal"),
        ("Gamma(2, 1)", "mean_field", "LogNormal"),
        ("HalfNormal(1)", "mean_field", "LogNormal"),
        ("Normal(0, 1)", "mean_field(family=Laplace)", "Laplace"),
        ("Normal(0, 1)", "mean_field(StudentT(df=4))", "StudentT"),
        ("Gamma(2, 1)", "Gamma(3, 1)", "Gamma"),
        ("Dirichlet([1.0, 2.0])", "Dirichlet([2.0, 2.0])", "Dirichlet"),
    ],
)
def test_posterior_family(prior: str, posterior: str, expected: str) -> None:
    (node,) = nodes(sample(prior, posterior), "model.sample")
    assert family(node, 1) == expected


def test_init_scale_is_where_the_posterior_starts() -> None:
    module = sample("Normal(0, 1)", "mean_field(init_scale=0.25)", type_=": f32[3]")
    (scale,) = [n for n in nodes(module, "model.param") if n.attrs["path"] == "z/scale"]
    assert (scale.attrs["init"], scale.attrs["constraint"]) == (("constant", 0.25), "positive")


def test_type_gives_the_dimensions() -> None:
    module = sample("Normal(0, 1)", "mean_field", type_=": f32[3, time=2]")
    assert str(nodes(module, "model.sample")[0].result.type) == "f32[3, time~2]"


def test_dimensions_are_those_of_prior_and_posterior() -> None:
    text = "model m { plate b[4] of 8\n input x: f32[b, 2]\n sample z ~ Normal(0, 1) by Normal(x, 1)\n predict p = z }"
    assert str(nodes(lowered(text), "model.sample")[0].result.type) == "f32[b@4, 2]"


@pytest.mark.parametrize(
    ("prior", "constraint"),
    [
        ("Normal(0, 1)", "real"),
        ("Gamma(2, 1)", "positive"),
        ("HalfCauchy(1)", "positive"),
        ("Beta(2, 2)", "unit_interval"),
        ("Dirichlet([1.0, 2.0])", "simplex"),
        ("Uniform(-2, 5)", "interval"),
        ("Uniform(-2, 5)[3]", "interval"),
    ],
)
def test_point_stays_in_the_support_of_its_prior(prior: str, constraint: str) -> None:
    module = sample(prior, "point")
    (node,) = nodes(module, "model.param")
    assert node.attrs["constraint"] == constraint
    assert len(nodes(module, "model.point")) == 1
    if constraint == "interval":
        assert (node.attrs["low"], node.attrs["high"], node.attrs["init"]) == (-2.0, 5.0, ("constant", 0.0))


def test_point_of_a_uniform_prior_with_computed_bounds_is_an_error() -> None:
    text = "model m { param h: f32[] = 1.0 in positive\n sample z ~ Uniform(0, h) by point\n predict p = z }"
    assert error(text).code == "BLC0303"


# --- objectives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("objective", "points"), [("map", 2), ("mle", 0)])
def test_objective_without_posteriors_makes_points_of_beliefs(objective: str, points: int) -> None:
    body = f"believe kernel, bias {NORMAL}\n objective {objective}\n predict a = x |> dense(3)"
    module = lowered(model(body))
    assert sites(module) == []
    assert params(module) == ["a/dense/kernel", "a/dense/bias"]
    assert len(nodes(module, "model.point")) == points


def test_objective_holds_wherever_it_stands() -> None:
    body = f"believe kernel {NORMAL}\n predict a = x |> dense(3)\n "
    assert uncertain(body + "objective map") == []
    assert lowered(model(body + "objective iwae(samples=5)")).objective.samples == 5


@pytest.mark.parametrize("objective", ["elbo", "map", "mle"])
def test_trained_value_per_example_is_an_error(objective: str) -> None:
    for posterior in ("mean_field", "point"):
        found = error(
            model(f"sample z: f32[batch] ~ Normal(0, 1) by {posterior}\n predict p = z\n objective {objective}")
        )
        assert (
            found.code,
            spelled(
                found,
                model(f"sample z: f32[batch] ~ Normal(0, 1) by {posterior}\n predict p = z\n objective {objective}"),
            ),
        ) == ("BLC0303", posterior)


def test_trained_value_per_example_of_a_whole_plate() -> None:
    text = "model m { plate b[4] of 4\n sample z: f32[b] ~ Normal(0, 1) by mean_field\n predict p = z }"
    assert params(lowered(text)) == ["z/loc", "z/scale"]
    assert error(text, batch=2).code == "BLC0303"
    assert error(text, batch="dynamic").code == "BLC0303"


# --- noise -----------------------------------------------------------------------------------------------------------


def test_sample_without_posterior_is_noise() -> None:
    module = lowered("model m { sample e: f32[3] ~ Normal(0, 1)\n predict p = e }")
    (node,) = nodes(module, "model.noise")
    assert (node.site, str(node.result.type), sites(module)) == ("e", "f32[3]", [])


def test_noise_has_no_estimator() -> None:
    text = "model m { sample e ~ Normal(0, 1) using shared\n predict p = e }"
    assert (error(text).code, spelled(error(text), text)) == ("BLC0304", "shared")


def test_noise_may_be_discrete() -> None:
    module = lowered("model m { sample e: i32[3] ~ Bernoulli(probs=0.5)\n predict p = e }")
    assert str(nodes(module, "model.noise")[0].result.type) == "i32[3]"


# --- wrong beliefs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "code", "pointed"),
    [
        ("believe kernal ~ Normal(0, 1)", "BLC0201", "kernal"),
        ("believe kernel in densee ~ Normal(0, 1)", "BLC0201", "densee"),
        ("believe kernel in x ~ Normal(0, 1)", "BLC0205", "x"),
        ("believe kernel ~ 3", "BLC0301", "3"),
        ("believe kernel ~ Normal", "BLC0301", "Normal"),
        ("believe kernel ~ Poisson(3.0)", "BLC0303", "Poisson(3.0)"),
        ("believe kernel = mean_field", "BLC0204", "mean_field"),
        ("believe kernel = Normal(0, 1)", "BLC0204", "Normal(0, 1)"),
        ("believe kernel = point using shared", "BLC0304", "shared"),
        ("believe kernel ~ Normal(0, 1) by point using shared", "BLC0304", "shared"),
        ("believe kernel ~ Normal(0, 1) by meen_field", "BLC0201", "meen_field"),
        ("believe kernel ~ Normal(0, 1) by mean_field(scale=1)", "BLC0204", "scale"),
        ("believe kernel ~ Normal(0, 1) by mean_field(init_scale=1, init_scale=2)", "BLC0204", "init_scale=2"),
        ("believe kernel ~ Normal(0, 1) by mean_field(family=Normal, 1)", "BLC0204", "1"),
        ("believe kernel ~ Normal(0, 1) by mean_field(Normal, 1, true, true, 2)", "BLC0204", "2"),
        ("believe kernel ~ Normal(0, 1) by mean_field(kernel ~ 1)", "BLC0204", "kernel ~ 1"),
        ("believe kernel ~ Normal(0, 1) by point(1)", "BLC0204", "1"),
        ("believe kernel ~ Normal(0, 1) by 3", "BLC0301", "3"),
        ("believe kernel ~ Normal(0, 1) by flow(3)", "BLC0210", "flow(3)"),
        ("believe kernel ~ Normal(0, 1) using flipout(2)", "BLC0204", "flipout(2)"),
        ("believe kernel ~ Normal(0, 1) using grouped", "BLC0204", "grouped"),
        ("believe kernel ~ Normal(0, 1) using grouped(0)", "BLC0204", "0"),
        ("believe kernel ~ Normal(0, 1) using grouped(groups=2.5)", "BLC0204", "groups=2.5"),
        ("believe kernel ~ Normal(0, 1) using deterministic(approximate=1)", "BLC0205", "approximate=1"),
        ("believe kernel ~ Normal(0, 1) using flip", "BLC0201", "flip"),
        ("believe kernel ~ Normal(0, 1) using shared(2)", "BLC0204", "shared(2)"),
        ("believe kernel ~ Normal(0, 1) using 3", "BLC0304", "3"),
        ("believe kernel ~ Normal(0, 1) when 3", "BLC0205", "3"),
        ("believe kernel ~ Normal(0, 1) when x[0, 0] > 0", "BLC0208", "x[0, 0] > 0"),
    ],
)
def test_wrong_belief(statement: str, code: str, pointed: str) -> None:
    text = model(statement)
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


def test_what_is_no_name_of_an_estimator_gets_the_names() -> None:
    found = error(model('believe kernel ~ Normal(0, 1) using "flipout"'))
    assert "`flipout`" in " ".join(found.helps)


@pytest.mark.parametrize(
    ("posterior", "code"),
    [
        ("mean_field(init_scale=0)", "BLC0203"),
        ('mean_field(init_scale="x")', "BLC0203"),
        ("mean_field(family=3)", "BLC0205"),
        ("mean_field(family=Gamma)", "BLC0303"),
        ("mean_field(family=StudentT)", "BLC0204"),
        ("Bernoulli(logits=zeros[3, 2])", "BLC0303"),
        ("Normal(zeros[7], 1)", "BLC0206"),
    ],
)
def test_wrong_posterior_of_a_weight(posterior: str, code: str) -> None:
    assert error(model(f"believe kernel ~ Normal(0, 1) by {posterior}\n predict a = x |> dense(2)")).code == code


@pytest.mark.parametrize(
    ("argument", "code", "pointed"),
    [
        ("kernel = mean_field", "BLC0204", "kernel = mean_field"),
        ("kernel = 3", "BLC0204", "kernel = 3"),
        ("scale ~ Normal(0, 1)", "BLC0204", "scale"),
        ("kernel ~ 3", "BLC0301", "3"),
    ],
)
def test_wrong_belief_argument(argument: str, code: str, pointed: str) -> None:
    text = model(f"predict a = x |> dense(2, {argument})")
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


@pytest.mark.parametrize("callee", ["relu", "Normal", "Independent", "Normal(0, 1).sample", "f"])
def test_beliefs_are_for_layers(callee: str) -> None:
    assert error(model(f"let f = dense(2)\n let a = {callee}(x, kernel ~ Normal(0, 1))")).code == "BLC0204"


def test_warning_of_a_belief_about_nothing() -> None:
    body = f"believe kernel {NORMAL}\n predict a = x |> layer_norm"
    assert [w.code for w in warnings(model(body))] == ["BLC0358"]
