"""Predictions and samples of a linear Gaussian model against its closed forms.

y = w x + b + noise, q(w) and q(b) Gaussian: draws of anything are Gaussian with known moments. Thresholds are standard
scores: 5 for each of a few dozen comparisons, whose least probable one is then expected once in ten thousand files.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.jax.program import Program
from tests.support.compiling import program

Array = npt.NDArray[Any]

DRAWS, LIMIT = 20_000, 5.0
LOC, SPREAD, NOISE, PRIOR = np.array([0.7, -0.4]), np.array([0.5, 0.3]), 0.6, (0.3, 1.7)
"""Of the posteriors of `w` and `b`, of the likelihood, and of both priors (location and scale)."""

LINE = f"""
model line {{
  plate batch[3] of 30
  input x: f32[batch]
  input y: f32[batch]
  believe kernel, bias ~ Normal{PRIOR} by mean_field
  let mean = x |> expand_dims(axis=-1) |> dense(1, name="line") |> squeeze
  sample z: f32[batch] ~ Normal(0.2, 0.4) by Normal(y, 0.1)
  observe y ~ Normal(mean + z, {NOISE})
  predict slope = mean
}}
"""
X = np.array([-1.0, 0.5, 2.0])


@cache
def line() -> Program:
    return program(
        LINE.replace("  sample z: f32[batch] ~ Normal(0.2, 0.4) by Normal(y, 0.1)\n", "").replace(" + z", "")
    )


@cache
def latent() -> Program:
    return program(LINE)


def softplus_inverse(y: float) -> float:
    return float(y + np.log(-np.expm1(-y)))


def params() -> dict[str, Array]:
    found = {}
    for name, loc, spread, shape in zip(("kernel", "bias"), LOC, SPREAD, ((1, 1), (1,)), strict=True):
        found[f"line/{name}/loc"] = np.full(shape, loc, np.float32)
        found[f"line/{name}/scale"] = np.full(shape, softplus_inverse(spread), np.float32)
    return found


def covariance(weights: Array, noise: float) -> Array:
    """Of outputs at X whose slope and offset have these standard deviations."""
    design = np.stack([X, np.ones_like(X)], axis=-1) * weights
    return design @ design.T + noise**2 * np.eye(len(X))


def check_mean(draws: Array, mean: Array, variance: Array) -> None:
    score = (draws.mean(axis=0) - mean) / np.sqrt(variance / len(draws))
    assert np.abs(score).max() < LIMIT, score


def check_covariance(draws: Array, expected: Array) -> None:
    """The standard error of a sample covariance of Gaussians: Var s_ij = (c_ii c_jj + c_ij²) / (n - 1)."""
    diagonal = np.diag(expected)
    error = np.sqrt((np.outer(diagonal, diagonal) + expected**2) / (len(draws) - 1))
    score = (np.cov(draws.T) - expected) / error
    assert np.abs(score).max() < LIMIT, score


def check_stddev(found: Array, variance: Array, effective: Array) -> None:
    """A standard deviation over draws, of which the part `effective` of the variance is random."""
    error = effective / np.sqrt(2 * DRAWS) / np.sqrt(variance)
    assert np.abs((found - np.sqrt(variance)) / error).max() < LIMIT


def test_predictive_mean_and_standard_deviation_are_analytic() -> None:
    found = line().predict(params(), {"x": X.astype(np.float32)}, 3, draws=DRAWS)
    mean, of_weights = LOC[0] * X + LOC[1], np.diag(covariance(SPREAD, 0.0))
    for name, noise in (("slope", 0.0), ("y", NOISE)):
        score = (np.asarray(found[name]["mean"]) - mean) / np.sqrt(of_weights / DRAWS)
        assert np.abs(score).max() < LIMIT
        # The likelihood's variance is added in closed form, so only that of the mean is estimated.
        check_stddev(np.asarray(found[name]["stddev"]), of_weights + noise**2, of_weights)
    assert np.asarray(found["y"]["stddev"] > found["slope"]["stddev"]).all()


def test_samples_share_their_weights_within_a_draw_and_only_there() -> None:
    found = line().sample(params(), 4, {"x": X.astype(np.float32)}, draws=DRAWS)
    y = np.asarray(found["y"], np.float64)
    expected = covariance(SPREAD, NOISE)
    check_mean(y, LOC[0] * X + LOC[1], np.diag(expected))
    check_covariance(y, expected)
    # Two examples at positive x hang together through the slope; noise of their own would give zero.
    assert expected[1, 2] > 20 * np.sqrt(expected[1, 1] * expected[2, 2] / DRAWS)
    weights = np.stack([np.asarray(found[f"line/{name}"], np.float64).ravel() for name in ("kernel", "bias")], axis=-1)
    check_mean(weights, LOC, SPREAD**2)
    check_covariance(weights, np.diag(SPREAD**2))
    residual = y - weights @ np.stack([X, np.ones_like(X)])
    check_covariance(residual, NOISE**2 * np.eye(len(X)))
    # Draws follow each other independently: the lag-one correlation of n of them has standard error 1/sqrt(n).
    centered = y[:, 0] - y[:, 0].mean()
    assert abs(np.mean(centered[1:] * centered[:-1]) / y[:, 0].var()) < LIMIT / np.sqrt(DRAWS)


def test_samples_from_the_prior_have_its_moments() -> None:
    found = line().sample(params(), 5, {"x": X.astype(np.float32)}, draws=DRAWS, weights="prior")
    y, (loc, scale) = np.asarray(found["y"], np.float64), PRIOR
    expected = covariance(np.full(2, scale), NOISE)
    check_mean(y, loc * X + loc, np.diag(expected))
    check_covariance(y, expected)


def test_latent_variables_of_examples_are_drawn_from_the_prior_for_new_data() -> None:
    for weights, spread, loc in (("posterior", SPREAD, LOC), ("prior", np.full(2, PRIOR[1]), np.full(2, PRIOR[0]))):
        found = latent().sample(params(), 6, {"x": X.astype(np.float32)}, draws=DRAWS, weights=weights)
        z, y = np.asarray(found["z"], np.float64), np.asarray(found["y"], np.float64)
        check_mean(z, np.full(3, 0.2), np.full(3, 0.16))
        check_covariance(z, 0.16 * np.eye(3))
        expected = covariance(spread, np.hypot(NOISE, 0.4))
        check_mean(y, loc[0] * X + loc[1] + 0.2, np.diag(expected))
        check_covariance(y, expected)


def test_class_probabilities_average_the_draws_and_sum_to_one() -> None:
    found = program("""
    model classes {
      plate batch[4] of 40
      input x: f32[batch, 2]
      input y: i32[batch]
      believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.5)
      let logits = x |> dense(3, name="line")
      observe y ~ Categorical(logits=logits)
      predict p = logits |> softmax
    }""")
    weights, x = found.init(0), np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    predicted = found.predict(weights, {"x": x}, 1, draws=500)
    probs = np.asarray(predicted["y"]["probs"])
    assert probs.shape == (4, 3)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(probs, predicted["p"]["mean"], rtol=1e-5)
    # Averaged over draws, not computed from the average weights.
    mean_logits = x @ np.asarray(weights["line/kernel/loc"]) + np.asarray(weights["line/bias"])
    plug_in = np.exp(mean_logits) / np.exp(mean_logits).sum(-1, keepdims=True)
    assert np.abs(probs - plug_in).max() > 0.01
    # The frequencies of sampled classes are those probabilities.
    y = np.asarray(found.sample(weights, 2, {"x": x}, draws=DRAWS)["y"])
    frequency = np.stack([(y == k).mean(axis=0) for k in range(3)], axis=-1)
    many = np.asarray(found.predict(weights, {"x": x}, 2, draws=DRAWS)["y"]["probs"])
    score = (frequency - many) / np.sqrt(many * (1 - many) / DRAWS)
    assert np.abs(score).max() < LIMIT


def test_the_log_likelihood_of_draws_averages_to_the_predictive_density() -> None:
    y = np.array([0.0, 0.5, 1.0], np.float32)
    feeds = {"x": X.astype(np.float32), "y": y}
    found = np.asarray(line().log_likelihood(params(), feeds, 7, draws=DRAWS)["y"], np.float64)
    assert found.shape == (DRAWS, 3)
    density = np.exp(found)
    variance = np.diag(covariance(SPREAD, NOISE))
    expected = np.exp(-0.5 * (y - LOC[0] * X - LOC[1]) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    check_mean(density, expected, density.var(axis=0, ddof=1))
