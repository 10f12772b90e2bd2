"""Vector families, and distributions made from others: independent axes, expanded batches, mixtures.

Invariant: expectations are sums over all outcomes where these are few, else compared with draws by z-scores.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bl_compiler.backends.reference.continuous import Gamma, HalfCauchy, Normal
from bl_compiler.backends.reference.discrete import Categorical, Poisson
from bl_compiler.backends.reference.distributions import Distribution, Independent, Mixture, draw_category
from bl_compiler.backends.reference.vectors import Dirichlet, Multinomial, MultivariateNormal, OneHotCategorical
from tests.unit.reference.quadrature import INF, integrate

DRAWS, LIMIT = 20_000, 4.5
LOGITS = np.array([0.3, -1.0, 0.8])
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum()
TRIL = np.array([[1.5, 0.0, 0.0], [-0.4, 0.6, 0.0], [0.3, 0.2, 2.0]])
LOC = np.array([0.5, -1.0, 2.0])


def assert_moments_of_draws(d: Distribution) -> None:
    """Means, variances and the shape of many draws, element by element."""
    draws = d.sample(np.random.default_rng(0), (DRAWS,)).astype(np.float64)
    assert draws.shape == (DRAWS, *d.shape)
    assert np.all(np.abs(draws.mean(0) - d.mean()) <= LIMIT * np.sqrt(d.variance() / DRAWS))
    squares = (draws - d.mean()) ** 2
    assert np.all(np.abs(squares.mean(0) - d.variance()) <= LIMIT * squares.std(0) / math.sqrt(DRAWS))


def assert_moments_of_mass(d: Distribution, outcomes: np.ndarray) -> None:
    """The masses of all outcomes sum to 1 and give the moments."""
    mass = np.exp(d.log_prob(outcomes))
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    np.testing.assert_allclose(mass @ outcomes, d.mean(), rtol=1e-9)
    np.testing.assert_allclose(mass @ (outcomes - d.mean()) ** 2, d.variance(), rtol=1e-9)


def test_gaussian_vectors() -> None:
    d = MultivariateNormal(LOC, TRIL)
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(d.log_prob(x), stats.multivariate_normal(LOC, TRIL @ TRIL.T).logpdf(x), rtol=1e-10)
    assert_moments_of_draws(d)
    draws = d.sample(np.random.default_rng(1), (DRAWS,))
    np.testing.assert_allclose(np.cov(draws.T), TRIL @ TRIL.T, atol=0.15)


def test_gaussian_vectors_in_batches() -> None:
    scale = np.stack([TRIL, 2 * TRIL])
    d = MultivariateNormal(np.zeros((4, 1, 1)), scale)
    assert (d.batch_shape, d.event_shape) == ((4, 2), (3,))
    x = np.random.default_rng(0).normal(size=(5, 1, 1, 3))
    found = d.log_prob(x)
    assert found.shape == (5, 4, 2)
    single = MultivariateNormal(np.zeros(3), 2 * TRIL).log_prob(x[2, 0, 0])
    np.testing.assert_allclose(found[2, 3, 1], single, rtol=1e-10)


def test_dirichlet() -> None:
    concentration = np.array([2.0, 0.7, 1.5])
    d = Dirichlet(concentration)
    x = np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    expected = [stats.dirichlet(concentration).logpdf(row) for row in x]
    np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-10)
    np.testing.assert_array_equal(d.log_prob(np.array([[1.2, -0.2, 0.0], [0.5, 0.5, 0.5]])), [-INF, -INF])
    assert_moments_of_draws(d)


def test_dirichlet_with_small_concentrations_stays_on_the_simplex() -> None:
    draws = Dirichlet(np.full(3, 1e-3)).sample(np.random.default_rng(0), (1000,))
    np.testing.assert_allclose(draws.sum(-1), 1)
    assert np.all(np.abs(draws.mean(0) - 1 / 3) < LIMIT * math.sqrt(2 / 9 / 1000))


def test_dirichlet_of_two_is_a_density() -> None:
    d = Dirichlet(np.array([2.0, 0.8]))
    total = integrate(lambda x: np.exp(d.log_prob(np.stack([x, 1 - x], axis=-1))), (0, 0.5, 1))
    assert total == pytest.approx(1, rel=1e-6)


def test_one_hot() -> None:
    d = OneHotCategorical(LOGITS)
    assert_moments_of_mass(d, np.eye(3))
    assert_moments_of_draws(d)
    np.testing.assert_allclose(np.exp(d.log_prob(np.eye(3))), PROBS, rtol=1e-12)
    assert float(d.log_prob(np.array([0.5, 0.5, 0.0]))) == pytest.approx(np.log(PROBS[:2]).mean())
    np.testing.assert_array_equal(d.log_prob(np.array([[1, 1, 0], [2, -1, 0], [0, 0, 0]])), [-INF] * 3)


def test_multinomial() -> None:
    d = Multinomial(LOGITS, 4)
    outcomes = np.array([k for k in itertools.product(range(5), repeat=3) if sum(k) == 4])
    assert_moments_of_mass(d, outcomes)
    np.testing.assert_allclose(np.exp(d.log_prob(outcomes)), stats.multinomial(4, PROBS).pmf(outcomes), rtol=1e-10)
    assert_moments_of_draws(d)
    np.testing.assert_array_equal(d.log_prob(np.array([[4, 1, 0], [5, -1, 0]])), [-INF, -INF])
    assert Multinomial(np.zeros((5, 1, 3)), np.array([2, 3])).sample(np.random.default_rng(0), (7,)).shape == (
        7,
        5,
        2,
        3,
    )


def test_categorical() -> None:
    d = Categorical(np.stack([LOGITS, np.array([0.0, -INF, 0.0])]))
    assert (d.batch_shape, d.event_shape) == ((2,), ())
    np.testing.assert_allclose(d.probs(), [PROBS, [0.5, 0, 0.5]], rtol=1e-12)
    expected = np.log([[PROBS[0], 0.5], [PROBS[1], 1], [PROBS[2], 0.5]])
    expected[1, 1] = -INF
    np.testing.assert_allclose(d.log_prob(np.array([[0], [1], [2]])), expected, rtol=1e-12)
    np.testing.assert_array_equal(d.log_prob(np.array([-1, 3])), [-INF, -INF])
    draws = d.sample(np.random.default_rng(0), (DRAWS,))
    frequency = np.stack([(draws == k).mean(0) for k in range(3)], axis=-1)
    assert np.all(np.abs(frequency - d.probs()) <= LIMIT * np.sqrt(d.probs() * (1 - d.probs()) / DRAWS))


def test_classes_without_probability_are_never_drawn() -> None:
    class Zero(np.random.Generator):
        """A generator whose uniforms are all 0, the end of the range."""

        def random(self, size: object = None, dtype: object = None, out: object = None) -> np.ndarray:
            return np.zeros(size)

    assert draw_category(Zero(np.random.PCG64(0)), np.array([-INF, -INF, 0.0]), ()) == 2


def test_independent_sums_log_densities() -> None:
    base = Normal(np.arange(6.0).reshape(2, 3), 2.0)
    d = Independent(base, 1)
    x = np.ones((4, 1, 3))
    assert (d.batch_shape, d.event_shape, d.discrete) == ((2,), (3,), False)
    np.testing.assert_allclose(d.log_prob(x), base.log_prob(x).sum(-1))
    assert_moments_of_draws(d)
    assert Independent(base, 0).batch_shape == (2, 3)


def test_expand_gives_independent_copies() -> None:
    d = Independent(Normal(np.arange(3.0), 2.0), 1).expand((2, 4))
    assert (d.batch_shape, d.event_shape) == ((2, 4), (3,))
    draws = d.sample(np.random.default_rng(0), (DRAWS,))
    correlation = np.corrcoef(draws[:, 0, 0, 0], draws[:, 1, 0, 0])[0, 1]
    assert abs(correlation) <= LIMIT / math.sqrt(DRAWS)
    assert_moments_of_draws(d)


def test_mixture_of_scalars() -> None:
    components = Normal(np.array([-2.0, 0.0, 3.0]), np.array([0.5, 1.0, 2.0]))
    d = Mixture(LOGITS, components)
    assert (d.batch_shape, d.event_shape) == ((), ())
    points = (-INF, -2, 0, 3, INF)
    density = lambda x: np.exp(d.log_prob(x))  # noqa: E731
    assert integrate(density, points) == pytest.approx(1, rel=1e-9)
    mean = integrate(lambda x: x * density(x), points)
    assert float(d.mean()) == pytest.approx(mean, rel=1e-9)
    assert float(d.variance()) == pytest.approx(integrate(lambda x: (x - mean) ** 2 * density(x), points), rel=1e-9)
    expected = sum(p * np.exp(components.log_prob(np.array(0.7)))[k] for k, p in enumerate(PROBS))
    assert float(density(np.array(0.7))) == pytest.approx(expected)
    assert_moments_of_draws(d)


def test_mixture_of_vectors_in_batches() -> None:
    rates = np.arange(1.0, 25.0).reshape(4, 2, 3)
    d = Mixture(np.zeros(2), Independent(Poisson(rates), 1))
    assert (d.batch_shape, d.event_shape, d.discrete) == ((4,), (3,), True)
    x = np.array([2, 0, 5])
    parts = Poisson(rates).log_prob(x).sum(-1)
    np.testing.assert_allclose(d.log_prob(x), np.log(np.exp(parts).mean(-1)), rtol=1e-10)
    assert d.sample(np.random.default_rng(0), (5,)).dtype == np.int64
    assert_moments_of_draws(d)
    wide = d.expand((3, 4))
    assert (wide.batch_shape, wide.event_shape) == ((3, 4), (3,))
    np.testing.assert_allclose(wide.log_prob(x)[1], d.log_prob(x))


def test_mixture_weights_and_components_broadcast() -> None:
    d = Mixture(np.zeros((5, 1)), Gamma(np.array([1.0, 2.0]), 1.0))
    assert (d.batch_shape, d.logits.shape, d.components.batch_shape) == ((5,), (5, 2), (5, 2))
    np.testing.assert_allclose(d.mean(), np.full(5, 1.5))


def test_infinite_moments_stay_so_in_mixtures() -> None:
    assert np.isinf(Mixture(np.zeros(2), HalfCauchy(np.array([1.0, 2.0]))).mean())
