"""Gaussians with structure in the reference interpreter: densities, divergences and draws against SciPy's dense ones.

Invariant: expected values come from SciPy's densities and entropies, not from formulas of this package.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bl_compiler.backends.reference.continuous import Normal
from bl_compiler.backends.reference.distributions import Distribution, Independent, Reshaped
from bl_compiler.backends.reference.gaussians import LowRankMultivariateNormal, MatrixNormal
from bl_compiler.backends.reference.kl import kl
from bl_compiler.backends.reference.vectors import MultivariateNormal

Array = npt.NDArray[np.float64]
Gaussian = MultivariateNormal | LowRankMultivariateNormal | MatrixNormal

DRAWS, LIMIT = 40_000, 4.5
FAMILIES = ("MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal")
seeds = st.integers(0, 2**32 - 1)


def tril(rng: np.random.Generator, size: int) -> Array:
    """A Cholesky factor far from a multiple of the identity."""
    return np.tril(rng.normal(size=(size, size)), -1) + np.diag(rng.uniform(0.3, 2.0, size))


def made(family: str, rng: np.random.Generator, rows: int, columns: int) -> Gaussian:
    """A Gaussian over rows x columns elements."""
    size = rows * columns
    match family:
        case "MultivariateNormal":
            return MultivariateNormal(rng.normal(size=size), tril(rng, size))
        case "LowRankMultivariateNormal":
            rank = int(rng.integers(1, 4))
            factor, diagonal = rng.normal(size=(size, rank)), rng.uniform(0.1, 2.0, size)
            return LowRankMultivariateNormal(rng.normal(size=size), factor, diagonal)
        case _:
            return MatrixNormal(rng.normal(size=(rows, columns)), tril(rng, rows), tril(rng, columns))


def dense(d: Gaussian) -> tuple[Array, Array]:
    """Mean and covariance of the elements in order, written here anew."""
    match d:
        case MatrixNormal():
            u, v = (t @ t.T for t in (d.scale_tril_row, d.scale_tril_column))
            return d.loc.ravel(), np.kron(u, v)
        case LowRankMultivariateNormal():
            return d.loc, d.cov_factor @ d.cov_factor.T + np.diag(d.cov_diag)
        case _:
            return d.loc, d.scale_tril @ d.scale_tril.T


def expected_kl(q: tuple[Array, Array], p: tuple[Array, Array]) -> float:
    """Cross entropy less entropy; the expectation of a quadratic is its value at the mean and a trace."""
    density = stats.multivariate_normal(*p)
    cross = -density.logpdf(q[0]) + np.trace(np.linalg.inv(p[1]) @ q[1]) / 2
    return float(cross - stats.multivariate_normal(*q).entropy())


@given(st.sampled_from(FAMILIES), st.integers(1, 3), st.integers(1, 3), seeds)
def test_densities_and_moments_are_those_of_the_dense_gaussian(family: str, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = made(family, rng, rows, columns)
    mean, covariance = dense(d)
    x = rng.normal(size=(5, *d.event_shape))
    expected = stats.multivariate_normal(mean, covariance).logpdf(x.reshape(5, -1))
    np.testing.assert_allclose(d.log_prob(x), np.reshape(expected, 5), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(d.covariance(), covariance, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(d.mean().ravel(), mean)
    np.testing.assert_allclose(d.variance().ravel(), np.diag(covariance), rtol=1e-10)


def test_matrices_against_scipy() -> None:
    d = made("MatrixNormal", np.random.default_rng(0), 3, 2)
    assert isinstance(d, MatrixNormal)
    u, v = (t @ t.T for t in (d.scale_tril_row, d.scale_tril_column))
    x = np.random.default_rng(1).normal(size=(4, 3, 2))
    np.testing.assert_allclose(d.log_prob(x), stats.matrix_normal(d.loc, u, v).logpdf(x), rtol=1e-10)


@given(st.sampled_from(FAMILIES), st.integers(1, 3), st.integers(1, 3), seeds, st.booleans())
def test_divergence_from_independent_elements(family: str, rows: int, columns: int, seed: int, shaped: bool) -> None:
    """Every element has a prior of its own; reshaped events keep their elements in order."""
    rng = np.random.default_rng(seed)
    q: Distribution = made(family, rng, rows, columns)
    moments = dense(q)  # type: ignore[arg-type]
    loc, scale = rng.normal(size=rows * columns), rng.uniform(0.3, 3.0, rows * columns)
    event = (columns, 1, rows) if shaped else q.event_shape
    q = Reshaped(q, event) if shaped else q
    p = Independent(Normal(loc.reshape(event), scale.reshape(event)), len(event))
    expected = expected_kl(moments, (loc, np.diag(scale**2)))
    assert float(kl(q, p)) == pytest.approx(expected, rel=1e-7, abs=1e-7)


@given(
    st.sampled_from([(a, b) for a in FAMILIES[:2] for b in FAMILIES[:2]] + [("MatrixNormal",) * 2]),
    st.integers(1, 3),
    st.integers(1, 3),
    seeds,
)
def test_divergence_between_joint_laws(pair: tuple[str, str], rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, p = (made(family, rng, rows, columns) for family in pair)
    expected = expected_kl(dense(q), dense(p))
    assert float(kl(q, p)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_the_covariance(family: str) -> None:
    d = Reshaped(made(family, np.random.default_rng(3), 2, 2), (1, 4))
    mean, covariance = dense(d.base)  # type: ignore[arg-type]
    draws = d.sample(np.random.default_rng(4), (DRAWS,))
    assert draws.shape == (DRAWS, 1, 4)
    offsets = draws.reshape(DRAWS, 4) - mean
    assert np.all(np.abs(offsets.mean(0)) <= LIMIT * np.sqrt(np.diag(covariance) / DRAWS))
    products = offsets[:, :, None] * offsets[:, None, :]
    assert np.all(np.abs(products.mean(0) - covariance) <= LIMIT * products.std(0) / math.sqrt(DRAWS))


def test_batches_and_expansions_of_reshaped_events() -> None:
    rng = np.random.default_rng(5)
    single = [made("MatrixNormal", rng, 2, 3) for _ in range(4)]
    fields = ("loc", "scale_tril_row", "scale_tril_column")
    whole = MatrixNormal(*(np.stack([getattr(d, f) for d in single]) for f in fields))
    d = Reshaped(whole, (3, 2)).expand((5, 4))
    assert (d.batch_shape, d.event_shape, d.shape) == ((5, 4), (3, 2), (5, 4, 3, 2))
    x = rng.normal(size=(3, 2))
    expected = [one.log_prob(x.reshape(2, 3)) for one in single]
    np.testing.assert_allclose(d.log_prob(x), np.broadcast_to(expected, (5, 4)))
    assert d.sample(rng, (7,)).shape == (7, 5, 4, 3, 2)
    np.testing.assert_array_equal(d.mean()[0, 1], single[1].loc.reshape(3, 2))
    np.testing.assert_allclose(d.variance()[2, 3], single[3].variance().reshape(3, 2))
    p = Independent(Normal(np.zeros((4, 3, 2)), 2.0), 2)
    many = kl(Reshaped(whole, (3, 2)), p)
    one = kl(single[2], Independent(Normal(np.zeros((2, 3)), 2.0), 2))
    assert many.shape == (4,)
    assert float(many[2]) == pytest.approx(float(one))
