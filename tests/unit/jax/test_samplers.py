"""Draws have the law they claim, and reparameterized draws the gradients of their moments.

Thresholds are in standard errors of the estimate, computed from the draws themselves; seeds are fixed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from bl_compiler.backends.jax.laws import UNDEFINED_MOMENTS, snake
from bl_compiler.backends.jax.link import load, runtime
from bl_compiler.ir.families import FAMILIES
from tests.unit.jax.families import FAMILY_CASES

RUNTIME = load(runtime().definitions.values())
DRAWS = 8000
MOST_ERRORS = 5.0
CONTINUOUS = [f for f, case in FAMILY_CASES.items() if case.frozen is not None and not FAMILIES[f].discrete]
DISCRETE = [f for f, case in FAMILY_CASES.items() if case.frozen is not None and FAMILIES[f].discrete]
VECTORS = [f for f in FAMILIES if FAMILIES[f].event_ndim and f != "Multinomial"] + ["Multinomial"]
_HEAVY = ("StudentT", "Cauchy", "HalfCauchy", "InverseGamma")


def draw(family: str, params: tuple[object, ...], shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    """`DRAWS` draws of this shape."""
    arrays = [jnp.asarray(p, jnp.float32) for p in params]
    # Not under `jit`: families share JAX's own compiled samplers, which take seconds to compile.
    return np.asarray(RUNTIME[f"{snake(family)}_sample"](jax.random.key(seed), *arrays, (DRAWS, *shape)))


def assert_close_in_errors(values: np.ndarray, expected: object, spread: object = 0.0) -> None:
    """The mean over the first axis is `expected` up to so many standard errors.

    `spread` is the true standard deviation where that of the draws may miss rare ones.
    """
    mean = values.mean(axis=0, dtype=np.float64)
    error = np.maximum(values.std(axis=0, dtype=np.float64), spread) / np.sqrt(len(values)) + 1e-6 * (1 + np.abs(mean))
    assert np.all(np.abs(mean - np.asarray(expected)) < MOST_ERRORS * error), (mean, expected, error)


@pytest.mark.parametrize("family", CONTINUOUS)
def test_continuous_draws_have_the_distribution_function(family: str) -> None:
    """Kolmogorov and Smirnov's test of the probability transform, element by element."""
    case = FAMILY_CASES[family]
    found = draw(family, case.params, (4,))
    assert found.dtype == np.float32
    uniforms = case.frozen.cdf(found.astype(np.float64))
    for column in uniforms.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("family", DISCRETE)
def test_discrete_draws_have_the_moments(family: str) -> None:
    case = FAMILY_CASES[family]
    found = draw(family, case.params, (4,))
    assert found.dtype == np.int32
    fourth = case.frozen.var() ** 2 * (case.frozen.stats("k") + 3)
    assert_close_in_errors(found, case.frozen.mean(), case.frozen.std())
    assert_close_in_errors((found - case.frozen.mean()) ** 2, case.frozen.var(), np.sqrt(fourth))


@pytest.mark.parametrize("family", VECTORS)
def test_vector_draws_have_the_moments(family: str) -> None:
    case = FAMILY_CASES[family]
    params = tuple(np.asarray(p, np.float64) for p in case.params)
    found = draw(family, params, np.shape(case.values)).astype(np.float64)
    arrays = [jnp.asarray(p, jnp.float32) for p in params]
    moments = jax.jit(lambda ps: [RUNTIME[f"{snake(family)}_{what}"](*ps) for what in ("mean", "variance")])
    mean, variance = (np.asarray(m, np.float64) for m in moments(arrays))
    assert_close_in_errors(found, mean)
    assert_close_in_errors((found - mean) ** 2, variance)


def test_gaussian_vectors_are_correlated_as_they_should() -> None:
    loc, tril = FAMILY_CASES["MultivariateNormal"].params
    for tail in (0, 1):
        found = draw("MultivariateNormal", (loc[tail], tril[tail]), (3,)) - loc[tail]
        assert_close_in_errors(found[:, :, None] * found[:, None, :], tril[tail] @ tril[tail].T)


def test_categorical_draws_have_the_probabilities() -> None:
    (logits,) = FAMILY_CASES["Categorical"].params
    found = draw("Categorical", (logits,), (4,))
    assert_close_in_errors(found[..., None] == np.arange(3), special.softmax(logits, axis=-1))


@pytest.mark.parametrize(
    "family", [f for f in CONTINUOUS if f not in _HEAVY and (f, "mean") not in UNDEFINED_MOMENTS and f != "LogNormal"]
)
def test_gradients_of_draws_are_those_of_the_mean(family: str) -> None:
    """The derivative of E[x], estimated by the draws' derivatives, against that of the formula for the mean."""
    # Parameters of their own for every draw: the gradient of the sum is then the draws' derivatives.
    params = [jnp.asarray(p, jnp.float32) for p in FAMILY_CASES[family].params]
    many = [jnp.broadcast_to(p, (DRAWS, 4)) for p in params]
    sample, mean = (RUNTIME[f"{snake(family)}_{what}"] for what in ("sample", "mean"))
    found = jax.grad(lambda ps: jnp.sum(sample(jax.random.key(5), *ps, (DRAWS, 4))))(many)
    wanted = jax.grad(lambda ps: jnp.sum(jnp.broadcast_to(mean(*ps), (4,))))(params)
    for derivative, expected in zip(found, wanted, strict=True):
        assert_close_in_errors(np.asarray(derivative), np.asarray(expected))


def test_gradients_reach_the_degrees_of_freedom() -> None:
    """E[x^2] of Student's t is df / (df - 2), whose derivative is -2 / (df - 2)^2."""
    df, sample = jnp.full((DRAWS, 4), 9.0), RUNTIME["student_t_sample"]
    found = jax.grad(lambda df: jnp.sum(sample(jax.random.key(0), df, 0.0, 1.0, (DRAWS, 4)) ** 2))(df)
    assert_close_in_errors(np.asarray(found), -2 / 49)


def test_gradients_reach_dirichlet_concentrations() -> None:
    """The mean of the first component of Dirichlet(a) is a_1 / sum(a)."""
    concentration, sample = jnp.array([0.7, 1.5, 3.0, 2.0]), RUNTIME["dirichlet_sample"]
    many = jnp.broadcast_to(concentration, (DRAWS, 4))
    found = jax.grad(lambda a: jnp.sum(sample(jax.random.key(1), a, (DRAWS, 4))[:, 0]))(many)
    assert_close_in_errors(np.asarray(found), jax.grad(lambda a: a[0] / a.sum())(concentration))


@pytest.mark.parametrize("family", ["Gamma", "Beta", "Dirichlet"])
def test_extreme_draws_stay_inside_the_support(family: str) -> None:
    tiny = jnp.full(4, 1e-4) if family == "Dirichlet" else jnp.float32(1e-4)
    params = (tiny,) if family == "Dirichlet" else (tiny, tiny)
    found = draw(family, params, (4,))
    assert np.all(found > 0)
    assert np.all(np.isfinite(found))
    assert np.all(np.isfinite(jax.jit(RUNTIME[f"{snake(family)}_log_prob"])(found, *params)))
