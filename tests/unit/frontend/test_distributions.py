"""Distributions as values: parameters, other parameterizations, combinators, attributes, methods.

Values are those of scipy, the programs' by the reference interpreter.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.types import DistType
from tests.support.lowering import error, errors, lowered, nodes, spelled
from tests.support.predicting import predicted, program, value_of

X = np.array([[0.3, -1.2, 2.0], [0.1, 0.7, -0.4]])
COVARIANCE = [[2.0, 0.6, 0.1], [0.6, 1.5, -0.3], [0.1, -0.3, 1.0]]


def log_prob(distribution: str, x: str) -> np.ndarray:
    return value_of(f"{distribution}.log_prob({x})")


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "x", "expected"),
    [
        ("Normal(1, 2)", "0.5", stats.norm(1, 2).logpdf(0.5)),
        ("Normal(scale=2, loc=1)", "0.5", stats.norm(1, 2).logpdf(0.5)),
        ("Normal(1)", "0.5", stats.norm(1, 1).logpdf(0.5)),
        ("Normal()", "0.5", stats.norm.logpdf(0.5)),
        ("StudentT(4, 1, 2)", "0.5", stats.t(4, 1, 2).logpdf(0.5)),
        ("Gamma(3, 2)", "0.5", stats.gamma(3, scale=1 / 2).logpdf(0.5)),
        ("Exponential(2)", "0.5", stats.expon(scale=1 / 2).logpdf(0.5)),
        ("Beta(3, 2)", "0.5", stats.beta(3, 2).logpdf(0.5)),
        ("Uniform(-1, 3)", "0.5", np.log(1 / 4)),
        ("HalfCauchy(2)", "0.5", stats.halfcauchy(scale=2).logpdf(0.5)),
        ("Bernoulli(probs=0.3)", "1", np.log(0.3)),
        ("Bernoulli(logits=0.3)", "1", -np.log1p(np.exp(-0.3))),
        ("Categorical(probs=[0.2, 0.5, 0.3])", "1", np.log(0.5)),
        ("Categorical(logits=[0.2, 0.5, 0.3])", "1", 0.5 - np.log(np.exp([0.2, 0.5, 0.3]).sum())),
        ("Binomial(probs=0.3, total_count=5)", "2", stats.binom(5, 0.3).logpmf(2)),
        ("Poisson(2.5)", "2", stats.poisson(2.5).logpmf(2)),
        ("NegativeBinomial(3, probs=0.3)", "2", stats.nbinom(3, 0.7).logpmf(2)),
    ],
)
def test_parameters(distribution: str, x: str, expected: float) -> None:
    np.testing.assert_allclose(log_prob(distribution, x), expected, rtol=1e-6)


def test_parameters_of_a_vector() -> None:
    found = value_of("Dirichlet([1.0, 2.0, 3.0]).log_prob(x)", "input x: f32[3]", {"x": [0.2, 0.3, 0.5]})
    np.testing.assert_allclose(found, stats.dirichlet([1, 2, 3]).logpdf([0.2, 0.3, 0.5]), rtol=1e-6)


@pytest.mark.parametrize("parameter", ["scale_tril", "covariance_matrix", "precision_matrix"])
def test_matrix_of_a_gaussian_vector(parameter: str) -> None:
    covariance = np.array(COVARIANCE)
    matrix = {
        "scale_tril": np.linalg.cholesky(covariance),
        "covariance_matrix": covariance,
        "precision_matrix": np.linalg.inv(covariance),
    }[parameter]
    text = f"""model m {{
      input x: f32[2, 3]
      input matrix: f32[3, 3]
      let d = MultivariateNormal(x[0], {parameter}=matrix)
      predict p = d.log_prob(x)
      predict mean = d.mean
      predict variance = d.variance
    }}"""
    found = predicted(text, {"x": X, "matrix": matrix})
    np.testing.assert_allclose(found["p"], stats.multivariate_normal(X[0], covariance).logpdf(X), rtol=1e-6)
    np.testing.assert_allclose(found["mean"], X[0])
    np.testing.assert_allclose(found["variance"], np.diag(covariance), rtol=1e-6)


def test_precisions_of_a_batch() -> None:
    covariances = np.stack([np.array(COVARIANCE), np.eye(3) * 2])
    text = """model m {
      input x: f32[2, 3]
      input p: f32[2, 3, 3]
      predict value = MultivariateNormal(0, precision_matrix=p).log_prob(x)
    }"""
    found = predicted(text, {"x": X, "p": np.linalg.inv(covariances)})["value"]
    expected = [stats.multivariate_normal(np.zeros(3), c).logpdf(x) for x, c in zip(X, covariances, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_large_precision_matrix_makes_no_large_constant() -> None:
    module = lowered(
        "model m { input p: f32[4000, 4000]\n predict q = MultivariateNormal(0, precision_matrix=p).mean }"
    )
    assert len(repr(module)) < 5000


@pytest.mark.parametrize("probs", [0.0, 1.0])
def test_certain_probabilities_have_finite_logits(probs: float) -> None:
    assert np.isfinite(log_prob(f"Bernoulli(probs={probs})", "1"))
    assert np.isfinite(log_prob(f"Categorical(probs=[{probs}, {1 - probs}])", "1"))


def test_probabilities_of_an_array() -> None:
    found = value_of("Bernoulli(probs=p).log_prob(p * 0)", "input p: f32[3]", {"p": [0.1, 0.5, 0.9]})
    np.testing.assert_allclose(found, np.log([0.9, 0.5, 0.1]), rtol=1e-6)


def test_integer_parameters_become_floats() -> None:
    found = value_of("Normal(n, 1).log_prob(0.0)", "input n: i32[2]", {"n": [1, 2]})
    np.testing.assert_allclose(found, stats.norm([1, 2], 1).logpdf(0))


def test_parameters_broadcast() -> None:
    found = value_of("Normal(x, s).log_prob(x * 0)", "input x: f32[2, 3]\n input s: f32[3]", {"x": X, "s": [1, 2, 3]})
    np.testing.assert_allclose(found, stats.norm(X, [1, 2, 3]).logpdf(0))


def test_value_broadcasts_against_the_distribution() -> None:
    found = value_of("Normal(0, s).log_prob(x)", "input x: f32[2, 3]\n input s: f32[3]", {"x": X, "s": [1, 2, 3]})
    np.testing.assert_allclose(found, stats.norm(0, [1, 2, 3]).logpdf(X))


# --- expansion, Independent, Mixture ---------------------------------------------------------------------------------


def dist_type(expression: str, inputs: str = "") -> DistType:
    module = lowered(f"model m {{ {inputs}\n sample e ~ {expression}\n predict p = e }}")
    (node,) = nodes(module, "model.noise")
    assert isinstance(node.inputs[0].type, DistType)
    return node.inputs[0].type


def test_brackets_expand_the_event() -> None:
    found = dist_type("Normal(0, 1)[3072]")
    assert ([d.size for d in found.batch], [d.size for d in found.event]) == ([], [3072])
    found = dist_type("Normal(0, 1)[time=5, 2]")
    assert ([str(d) for d in found.batch], [str(d) for d in found.event]) == ([], ["time~5", "2"])


def test_expanded_event_is_one_density() -> None:
    x = "input x: f32[2, 3]"
    np.testing.assert_allclose(
        value_of("Normal(0, 2)[3].log_prob(x)", x, {"x": X}), stats.norm(0, 2).logpdf(X).sum(-1), rtol=1e-6
    )
    np.testing.assert_allclose(
        value_of("Normal(0, 2)[2, 3].log_prob(x)", x, {"x": X}), stats.norm(0, 2).logpdf(X).sum(), rtol=1e-6
    )


def test_independent_makes_events_of_axes() -> None:
    x = "input x: f32[2, 3]"
    for expression in (
        "Independent(Normal(x, 2), 1)",
        "Independent(base=Normal(x, 2))",
        "(Normal(x, 2) |> Independent(ndims=1))",
    ):
        found = value_of(f"{expression}.log_prob(x)", x, {"x": X})
        np.testing.assert_allclose(found, stats.norm(X, 2).logpdf(X).sum(-1), rtol=1e-6)


def test_mixture() -> None:
    text = """model m {
      input x: f32[2, 3]
      let d = Mixture(Categorical(probs=[0.2, 0.8]), Normal([-1.0, 2.0], [1.0, 0.5]))
      predict p = d.log_prob(x)
      predict mean = d.mean
    }"""
    found = predicted(text, {"x": X})
    density = 0.2 * stats.norm(-1, 1).pdf(X) + 0.8 * stats.norm(2, 0.5).pdf(X)
    np.testing.assert_allclose(found["p"], np.log(density), rtol=1e-6)
    np.testing.assert_allclose(found["mean"], -0.2 + 1.6, rtol=1e-6)


@pytest.mark.parametrize(
    ("expression", "code", "pointed"),
    [
        ("Mixture(Normal(0, 1), Normal([0.0], 1))", "BLC0301", "Normal(0, 1)"),
        ("Mixture(3, Normal([0.0], 1))", "BLC0301", "3"),
        ("Mixture(Categorical(logits=[1.0]), 3)", "BLC0301", "3"),
        ("Mixture(Categorical(logits=[1.0, 2.0]), Normal([0.0, 0.0, 0.0], 1))", "BLC0206", None),
        ("Mixture(Categorical(logits=[1.0]))", "BLC0204", None),
        ("Mixture(mixin=3)", "BLC0204", "mixin"),
        ("Mixture(1, 2, 3)", "BLC0204", "3"),
        ("Independent(3)", "BLC0301", "3"),
        ("Independent(Normal(0, 1), true)", "BLC0205", "true"),
        ("Independent(Normal(0, 1), 4)", "BLC0206", None),
        ("Normal(zeros[2], 1)[3]", "BLC0206", None),
        ("Normal(0, 1)[0]", "BLC0203", "0"),
        ("Normal(0, 1)[x]", "BLC0214", "x"),
        ("Normal(0, 1)[1:2]", "BLC0209", "1:2"),
    ],
)
def test_wrong_combination(expression: str, code: str, pointed: str | None) -> None:
    text = f"model m {{ let x = 2.5\n let d = {expression}\n predict p = 1.0 }}"
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed or expression)


# --- attributes and methods ------------------------------------------------------------------------------------------


def test_attributes() -> None:
    text = """model m {
      plate b[2] of 2
      input x: f32[b, 3]
      let d = Normal(x, [1.0, 2.0, 3.0])
      predict mean = d.mean
      predict stddev = d.stddev
      predict variance = d.variance
      predict probs = Categorical(logits=x).probs
      predict chance = Bernoulli(logits=x).probs
      predict more = zeros[d.batch_shape[0], d.batch_shape[1]] + Normal(0, 1)[4].event_shape[0]
    }"""
    found = predicted(text, {"x": X})
    np.testing.assert_allclose(found["mean"], X)
    np.testing.assert_allclose(found["stddev"], np.broadcast_to([1, 2, 3], X.shape), rtol=1e-6)
    np.testing.assert_allclose(found["variance"], np.broadcast_to([1, 4, 9], X.shape), rtol=1e-6)
    np.testing.assert_allclose(found["probs"], np.exp(X) / np.exp(X).sum(-1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(found["chance"], 1 / (1 + np.exp(-X)), rtol=1e-6)
    np.testing.assert_allclose(found["more"], np.full((2, 3), 4.0))


def test_methods_are_values() -> None:
    np.testing.assert_allclose(value_of("[Normal(0, 1).log_prob][0](value=0.5)"), stats.norm.logpdf(0.5))


def test_draws_follow_the_distribution() -> None:
    text = "model m { let d = Normal(3, 2)[20000]\n predict a = d.sample() }"
    found = program(text)
    a = found.run("predict", seed=1)["value:a"]
    assert stats.kstest(a, stats.norm(3, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("expression", "code", "pointed"),
    [
        ("d.median", "BLC0204", "median"),
        ("d.sample(3)", "BLC0204", "3"),
        ("d.sample(shape=3)", "BLC0204", "shape"),
        ("d.log_prob()", "BLC0204", None),
        ("d.log_prob(1, 2)", "BLC0204", "2"),
        ("d.log_prob(d)", "BLC0205", "d"),
        ("d.probs", "BLC0205", None),
        ("d + 1", "BLC0205", None),
        ("-d", "BLC0205", None),
        ("d |> dense(3)", "BLC0308", "dense(3)"),
        ("d |> relu", "BLC0308", "relu"),
        ("d(1)", "BLC0205", None),
        ("d.mean(1)", "BLC0205", None),
    ],
)
def test_wrong_use_of_a_distribution(expression: str, code: str, pointed: str | None) -> None:
    text = f"model m {{ let d = Normal(0, 1)\n let e = {expression}\n predict p = 1.0 }}"
    found = error(text)
    # An unknown attribute is an unknown name.
    assert (found.code if found.code != "BLC0201" else "BLC0204", spelled(found, text)) == (code, pointed or expression)


# --- wrong parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "code", "pointed"),
    [
        ("Normal(0, 1, 2)", "BLC0204", None),
        ("Normal(0, loc=1)", "BLC0204", "loc=1"),
        ("Normal(mean=1)", "BLC0204", "mean"),
        ("Normal(0, 0)", "BLC0302", "0"),
        ("Normal(0, scale=-1)", "BLC0302", "scale=-1"),
        ("Normal(0, true)", "BLC0205", "true"),
        ('Normal("x", 1)', "BLC0205", '"x"'),
        ("Normal(none)", "BLC0205", "none"),
        ("Normal([1, [2]], 1)", "BLC0206", None),
        ("Normal([1, true], 1)", "BLC0205", "[1, true]"),
        ("Normal(0, 1e300)", "BLC0203", "1e300"),
        ("Normal([1e300], 1)", "BLC0203", "[1e300]"),
        ("Gamma(1, [1, -1])", "BLC0302", "[1, -1]"),
        ("Dirichlet([1, 0])", "BLC0302", "[1, 0]"),
        ("StudentT()", "BLC0204", None),
        ("Uniform(1, 0)", "BLC0302", None),
        ("Bernoulli(0.5)", "BLC0204", "0.5"),
        ("Bernoulli(probs=1.5)", "BLC0302", "probs=1.5"),
        ("Categorical(probs=[0.5, -0.5])", "BLC0302", "probs=[0.5, -0.5]"),
        ("Bernoulli()", "BLC0204", None),
        ("Bernoulli(probs=0.5, logits=1)", "BLC0204", "probs=0.5"),
        ("Binomial(logits=0.5, total_count=-1)", "BLC0302", "total_count=-1"),
        ("Binomial(logits=0.5, total_count=1.5)", "BLC0302", "total_count=1.5"),
        ("NegativeBinomial(3, 0.5)", "BLC0204", "0.5"),
        ("MultivariateNormal(zeros[2], ones[2, 2])", "BLC0204", "ones[2, 2]"),
        ("MultivariateNormal(0, covariance_matrix=zeros[2, 3])", "BLC0206", None),
        ("Categorical(logits=1.0)", "BLC0206", None),
    ],
)
def test_wrong_parameter(expression: str, code: str, pointed: str | None) -> None:
    text = f"model m {{ let d = {expression}\n predict p = 1.0 }}"
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed or expression)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_all_parameters_by_name(family: str) -> None:
    spec = FAMILIES[family]
    values = {0: "1.0", 1: "[0.5, 0.5]", 2: "[[1.0, 0.0], [0.5, 1.0]]"}
    given = ", ".join(
        f"{p.name}={values[p.event_ndim] if p.constraint != 'nonnegative_integer' else 3}" for p in spec.params
    )
    text = f"model m {{ sample e ~ {family}({given.replace('low=1.0', 'low=0.0')})\n predict p = e }}"
    assert not errors(text)
