"""Posteriors made of simpler ones: their parameters and sites, what they refuse, and that both front ends agree."""

from __future__ import annotations

import pytest

import bl_compiler as bl
from bl_compiler.frontend.library import POSTERIORS
from bl_compiler.frontend.posteriors import documentation
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.types import DistType
from tests.support.lowering import error, lowered, nodes, params, same, sites, spelled, warnings

LAYER = "x |> dense(4)"


def text(posterior: str, prior: str = "Normal(0, 1)", layer: str = LAYER, roles: str = "kernel", more: str = "") -> str:
    return f"model m {{ {more}\n input x: f32[6, 3]\n believe {roles} ~ {prior} by {posterior}\n predict p = {layer} }}"


def shapes(source: str) -> dict[str, str]:
    """Types of parameters by path below the layer."""
    found = nodes(lowered(source), "model.param")
    return {n.attrs.text("path").removeprefix("p/dense/"): str(n.attrs.array_type("type")) for n in found}


def found_sites(source: str) -> dict[str, list[str]]:
    """Sites below the layer, by op."""
    module = lowered(source)
    kinds = ("model.sample", "model.point", "model.noise")
    return {op[6:]: [s.removeprefix("p/dense/") for s in sites(module, op)] for op in kinds if sites(module, op)}


# --- what a kernel becomes -------------------------------------------------------------------------------------------

_PAIR = ("kernel/loc", "kernel/scale")
_FACTORED = ("kernel", "kernel/r", "kernel/s")
_LOCAL, _GLOBAL = (tuple(f"kernel/{name}_scale/{p}" for p in ("loc", "scale")) for name in ("local", "global"))


@pytest.mark.parametrize(
    ("posterior", "parameters", "kinds"),
    [
        ("dropout(0.1)", ["kernel"], {"noise": ["kernel/mask"], "point": ["kernel"]}),
        ("variational_dropout", _PAIR, {"sample": ["kernel"]}),
        ("hierarchical", [*_PAIR, *_GLOBAL], {"sample": ["kernel", "kernel/global_scale"]}),
        (
            "horseshoe",
            [*_PAIR, *_LOCAL, *_GLOBAL],
            {"sample": ["kernel", "kernel/local_scale", "kernel/global_scale"]},
        ),
        (
            "rank1",
            ["kernel", *(f"kernel/{f}/{p}" for f in "rs" for p in ("loc", "scale"))],
            {"sample": ["kernel/r", "kernel/s"], "point": ["kernel"]},
        ),
        ("batch_ensemble(2)", ["kernel", "kernel/r", "kernel/s"], {"point": ["kernel"], "noise": ["member_2"]}),
        ("batch_ensemble(1)", ["kernel"], {"point": ["kernel"]}),
        (
            "hyper_batch_ensemble(2)",
            [*_FACTORED, *(path.replace("kernel", "kernel/response", 1) for path in _FACTORED)],
            {"point": ["kernel"], "noise": ["member_2", "strength_2"]},
        ),
        (
            "hyper_batch_ensemble(1)",
            ["kernel", "kernel/response"],
            {"point": ["kernel"], "noise": ["strength_1"]},
        ),
    ],
)
def test_parameters_and_sites(posterior: str, parameters: list[str], kinds: dict[str, list[str]]) -> None:
    source = text(posterior)
    assert list(shapes(source)) == [*parameters, "bias"]
    assert found_sites(source) == kinds


def test_factors_are_of_inputs_and_outputs() -> None:
    found = shapes(text("rank1(components=5)"))
    assert (found["kernel"], found["kernel/r/loc"], found["kernel/s/scale"]) == ("f32[3, 4]", "f32[5, 3]", "f32[5, 4]")


@pytest.mark.parametrize("posterior", ["rank1(components=5)", "batch_ensemble(5)", "hyper_batch_ensemble(5)"])
def test_vectors_are_trained_for_each_member(posterior: str) -> None:
    assert shapes(text(posterior, roles="bias"))["bias"] == "f32[5, 4]"


def test_vectors_are_not_dropped_out() -> None:
    assert found_sites(text("dropout(0.5)", roles="bias")) == {"point": ["bias"]}


def test_vectors_have_a_scale_per_element() -> None:
    assert shapes(text("horseshoe", roles="bias"))["bias/local_scale/loc"] == "f32[4]"


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        ("conv1d(5, kernel_size=2)", 3),  # channels in
        ("depthwise_conv1d(kernel_size=2)", 3),  # a kernel has one input, so its units are its channels
        ("conv1d(6, kernel_size=2, groups=3)", 6),
        ("embedding(7, 2)", 7),  # words
    ],
)
def test_units_of_other_layers(layer: str, units: int) -> None:
    x = 'x |> cast("i32")' if layer.startswith("embedding") else "x"
    role = layer.partition("(")[0] if layer.startswith("embedding") else "kernel"
    (mask,) = nodes(lowered(text("dropout(0.5)", layer=f"{x} |> {layer}", roles=role)), "model.noise")
    assert mask.result.tensor.shape == (units,)


def test_layers_share_the_member_of_equal_size() -> None:
    twice = f"{LAYER} |> dense(2)"
    assert sites(lowered(text("rank1(3)", layer=twice)), "model.noise") == ["member_3"]
    mixed = f"{LAYER} |> dense(2, kernel ~ Normal(0, 1) by batch_ensemble(2))"
    assert sites(lowered(text("rank1(3)", layer=mixed)), "model.noise") == ["member_3", "member_2"]
    hyper = f"{LAYER} |> dense(2, kernel ~ Normal(0, 1) by hyper_batch_ensemble(3))"
    assert sites(lowered(text("hyper_batch_ensemble(3)", layer=hyper)), "model.noise") == ["member_3", "strength_3"]


def test_latent_variables_may_have_them_too() -> None:
    module = lowered("model m { sample z: f32[2, 3] ~ Normal(0, 1) by horseshoe(global_scale=0.1)\n predict p = z }")
    assert sites(module) == ["z", "z/local_scale", "z/global_scale"]


@pytest.mark.parametrize("objective", ["map", "mle"])
@pytest.mark.parametrize(
    "posterior",
    ["dropout(0.1)", "horseshoe", "rank1(4)", "batch_ensemble(4)", "hyper_batch_ensemble(4)", "hierarchical"],
)
def test_trained_values_under_map_and_mle(posterior: str, objective: str) -> None:
    module = lowered(text(posterior, more=f"objective {objective}"))
    assert params(module) == ["p/dense/kernel", "p/dense/bias"]
    assert sites(module, "model.point") == (["p/dense/kernel"] if objective == "map" else [])
    assert not nodes(module, "model.sample", "model.noise")


def test_an_estimator_is_for_the_weight_and_not_for_its_scales() -> None:
    def asked(posterior: str, estimator: str, op: str = "model.sample") -> list[object]:
        module = lowered(text(f"{posterior} using {estimator}", roles="kernel, bias"))
        return [n.attrs["estimator"] for n in nodes(module, op)]

    assert asked("horseshoe", "flipout") == ["flipout", "auto", "auto"] * 2
    assert asked("horseshoe", "shared") == ["shared"] * 6
    assert asked("rank1(2)", "flipout") == ["flipout"] * 2
    assert asked("rank1(2)", "flipout", "model.noise") == ["auto"]
    assert asked("dropout(0.1)", "grouped(2)", "model.noise") == ["grouped(2)"]


@pytest.mark.parametrize(("posterior", "draws"), [("batch_ensemble(2)", 1), ("hyper_batch_ensemble(2)", 2)])
def test_an_estimator_of_a_batch_ensemble_is_that_of_its_member(posterior: str, draws: int) -> None:
    def asked(kernel: str, bias: str) -> list[object]:
        more = f"believe bias ~ Normal(0, 1) by {posterior} {bias}"
        module = lowered(text(f"{posterior} {kernel}", more=more))
        return [n.attrs["estimator"] for n in nodes(module, "model.noise")]

    assert asked("using grouped(2)", "") == asked("using grouped(2)", "using grouped(2)") == ["grouped(2)"] * draws
    assert asked("", "") == ["auto"] * draws
    source = text(posterior, more=f"believe bias ~ Normal(0, 1) by {posterior} using shared")
    found = error(source)
    assert found.code == "BLC0304"
    assert found.message == "`member_2` is one draw for all weights, `auto` for some and `shared` for others"


# --- priors that follow the posterior --------------------------------------------------------------------------------


def test_tied_mean() -> None:
    module = lowered(text("mean_field(tied_mean=true)", "Normal(0, 0.5)"))
    by_path = {n.attrs.text("path"): n.result for n in nodes(module, "model.param")}
    laws = [n for n in nodes(module, "dist.Normal") if n.inputs[0] is by_path["p/dense/kernel/loc"]]
    assert len(laws) == 2


def test_empirical_bayes() -> None:
    source = text("mean_field(empirical_bayes=true)", "Normal(0)")
    assert found_sites(source) == {"sample": ["kernel"], "point": ["kernel/prior_variance"]}
    (point,) = nodes(lowered(source), "model.point")
    assert isinstance(point.inputs[0].type, DistType)
    assert point.inputs[0].type.family == "InverseGamma"


def test_a_prior_may_have_a_trained_scale() -> None:
    module = lowered(text("horseshoe", "Normal(0, width)", more="param width: f32[] = 1.0 in positive"))
    assert "width" in params(module)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "posterior", "code", "pointed"),
    [
        ("Normal(0, 1)", "dropout", "BLC0204", "dropout"),
        ("Normal(0, 1)", "dropout(0)", "BLC0203", "dropout(0)"),
        ("Normal(0, 1)", "dropout(1.0)", "BLC0203", "dropout(1.0)"),
        ("Normal(0, 1)", "dropout(-0.1)", "BLC0203", "dropout(-0.1)"),
        ("Normal(0, 1)", "dropout(true)", "BLC0203", "dropout(true)"),
        ("Normal(0, 1)", "rank1(0)", "BLC0203", "rank1(0)"),
        ("Normal(0, 1)", "rank1(2.5)", "BLC0203", "rank1(2.5)"),
        ("Normal(0, 1)", "rank1(prior_scale=0)", "BLC0203", "rank1(prior_scale=0)"),
        ("Normal(0, 1)", "batch_ensemble", "BLC0204", "batch_ensemble"),
        ("Normal(0, 1)", "batch_ensemble(100_000)", "BLC0203", "batch_ensemble(100_000)"),
        ("Normal(0, 1)", "horseshoe(global_scale=-1)", "BLC0203", "horseshoe(global_scale=-1)"),
        ("Normal(0, 1)", "hierarchical(2, 0)", "BLC0203", "hierarchical(2, 0)"),
        ("Normal(0, 1)", "variational_dropout(init_scale=x)", "BLC0203", "variational_dropout(init_scale=x)"),
        ("Normal(0, 1)", "horseshoe(1, 2, 3)", "BLC0204", "3"),
        ("HalfNormal(1)", "dropout(0.1)", "BLC0303", "dropout(0.1)"),
        ("Gamma(2, 1)", "rank1", "BLC0303", "rank1"),
        ("Uniform(0, 1)", "batch_ensemble(2)", "BLC0303", "batch_ensemble(2)"),
        ("HalfNormal(1)", "variational_dropout", "BLC0303", "variational_dropout"),
        ("Beta(2, 2)", "horseshoe", "BLC0303", "horseshoe"),
        ("LogUniform()", "dropout(0.1)", "BLC0303", "dropout(0.1)"),
        ("LogUniform()", "batch_ensemble(2)", "BLC0303", "batch_ensemble(2)"),
        ("LogUniform()", "point", "BLC0303", "dense(4)"),
        ("LogUniform(0, 1)", "mean_field", "BLC0204", "LogUniform(0, 1)"),
        ("Normal(0, 1)", "LogUniform()", "BLC0301", "LogUniform()"),
        ("Poisson(2)", "dropout(0.1)", "BLC0303", "Poisson(2)"),
        ("Normal(1, 1)", "mean_field(tied_mean=true)", "BLC0204", "mean_field(tied_mean=true)"),
        ("Normal(0, 2)", "mean_field(empirical_bayes=true)", "BLC0204", "mean_field(empirical_bayes=true)"),
        ("Laplace(0, 1)", "mean_field(empirical_bayes=true)", "BLC0303", "mean_field(empirical_bayes=true)"),
        ("Normal(0)", "mean_field(Laplace, empirical_bayes=true)", "BLC0303", None),
        ("HalfNormal(1)", "mean_field(tied_mean=true)", "BLC0303", "mean_field(tied_mean=true)"),
        ("Normal(0, 1)", "mean_field(tied_mean=1)", "BLC0205", "mean_field(tied_mean=1)"),
        ("Normal(0, 1)", "hyper_batch_ensemble(low=0.1)", "BLC0204", "hyper_batch_ensemble(low=0.1)"),
        ("Normal(0, 1)", "hyper_batch_ensemble(2, low=0)", "BLC0203", "hyper_batch_ensemble(2, low=0)"),
        ("Normal(0, 1)", "hyper_batch_ensemble(2, high=0.1)", "BLC0203", "hyper_batch_ensemble(2, high=0.1)"),
        ("StudentT(3, 0, 1)", "hyper_batch_ensemble(2)", "BLC0303", "hyper_batch_ensemble(2)"),
        ("HalfNormal(1)", "hyper_batch_ensemble(2)", "BLC0303", "hyper_batch_ensemble(2)"),
        ("Normal(0, 1)", "flow(2)", "BLC0210", "flow(2)"),
    ],
)
def test_refusals(prior: str, posterior: str, code: str, pointed: str | None) -> None:
    source = text(posterior, prior)
    found = error(source)
    assert (found.code, spelled(found, source)) == (code, pointed or posterior)


@pytest.mark.parametrize(
    "statement",
    [
        "sample e ~ LogUniform()",
        "let e = LogUniform().sample()",
        "observe x ~ LogUniform()",
        "let e = Mixture(Categorical(logits=[0.0, 0.0]), LogUniform()[2]).mean",
        "sample e: f32[2] ~ LogUniform() by point",
    ],
)
def test_an_improper_prior_is_only_a_prior(statement: str) -> None:
    found = error(f"model m {{ input x: f32[3]\n {statement}\n predict p = x }}")
    assert found.code == ("BLC0303" if "by" in statement else "BLC0301")
    assert "LogUniform" in found.message


def test_an_improper_prior_is_told() -> None:
    (found,) = warnings(text("variational_dropout", "LogUniform()"), warn=("pedantic",))
    assert (found.code, found.message) == ("BLC0360", "the prior of `p/dense/kernel` is improper")


def test_a_prior_is_left_out_under_mle() -> None:
    assert params(lowered(text("point", "LogUniform()", more="objective mle")))[0] == "p/dense/kernel"


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_posterior_is_explained(name: str) -> None:
    assert documentation(name).endswith((".", ". ", "\n    "))


# --- both front ends, and text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "language"),
    [
        (lambda: bl.dropout(0.25), "dropout(0.25)"),
        (lambda: bl.variational_dropout, "variational_dropout"),
        (lambda: bl.hierarchical(global_scale=0.5), "hierarchical(global_scale=0.5)"),
        (lambda: bl.horseshoe(), "horseshoe()"),
        (lambda: bl.rank1(components=4), "rank1(components=4)"),
        (lambda: bl.batch_ensemble(4), "batch_ensemble(4)"),
        (lambda: bl.hyper_batch_ensemble(4, low=0.01, high=100), "hyper_batch_ensemble(4, low=0.01, high=100)"),
        (lambda: bl.mean_field(tied_mean=True), "mean_field(tied_mean=true)"),
        (lambda: bl.mean_field(empirical_bayes=True), "mean_field(empirical_bayes=true)"),
    ],
)
def test_python_says_the_same(python: object, language: str) -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[6, 3])
        with bl.believe(kernel=bl.Normal(0).by(python())):  # type: ignore[operator]
            bl.predict("p", x | bl.dense(4) | bl.dropout(0.5))
    same(
        model,
        f"model m {{ input x: f32[6, 3]\n believe kernel ~ Normal(0) by {language}\n"
        " predict p = x |> dense(4) |> dropout(0.5) }",
    )


def test_python_has_the_improper_prior() -> None:
    with bl.Model("m") as model:
        x = bl.input("x", bl.f32[6, 3])
        with bl.believe(kernel=bl.LogUniform().by(bl.variational_dropout)):
            bl.predict("p", x | bl.dense(4))
    same(model, text("variational_dropout", "LogUniform()"))


def test_dropout_that_a_variable_holds_is_a_layer_and_a_posterior() -> None:
    source = "model m { input x: f32[6, 3]\n let half = dropout(0.5)\n"
    held = lowered(f"{source} believe kernel ~ Normal(0, 1) by half\n predict p = x |> dense(4) |> half }}")
    assert sites(held, "model.noise") == ["p/dense/kernel/mask", "half/dropout/mask"]


@pytest.mark.parametrize(
    "posterior", ["dropout(0.1)", "horseshoe", "rank1(2)", "batch_ensemble(2)", "hyper_batch_ensemble(2)"]
)
def test_the_text_parses_back(posterior: str) -> None:
    module = lowered(text(posterior))
    assert parse_module(print_module(module), CORE_OPS) == module


def test_the_text_of_an_improper_prior_parses_back() -> None:
    module = lowered(text("mean_field", "LogUniform()"))
    assert parse_module(print_module(module), CORE_OPS) == module
