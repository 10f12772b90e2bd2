"""Scalar families: densities are the textbook's and sum to 1, moments are their integrals, draws follow them.

Invariant: draws are compared by z-scores from their own standard errors, at fixed seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bl_compiler.backends.reference.distributions import Parametric
from bl_compiler.backends.reference.vectors import RUNTIME_FAMILIES
from bl_compiler.ir.families import FAMILIES
from tests.unit.reference.quadrature import CONTINUOUS, DISCRETE, INF, Law, integrate

DRAWS = 20_000
LIMIT = 4.5
"""In standard errors: one false alarm in 150 000 comparisons, which fixed seeds make reproducible."""
COUNTS = np.arange(401)


def made(family: str, law: Law) -> Parametric:
    return RUNTIME_FAMILIES[family](*law.parameters)


def cases(table: dict[str, list[Law]]) -> list[object]:
    return [pytest.param(f, law, id=f"{f}{law.parameters}") for f, laws in table.items() for law in laws]


continuous = pytest.mark.parametrize(("family", "law"), cases(CONTINUOUS))
discrete = pytest.mark.parametrize(("family", "law"), cases(DISCRETE))


def test_all_families_are_here() -> None:
    vectors = {f.name for f in FAMILIES.values() if any(p.event_ndim for p in f.params)}
    assert set(RUNTIME_FAMILIES) == set(FAMILIES)
    assert {*CONTINUOUS, *DISCRETE, *vectors} == set(FAMILIES)


@continuous
def test_density_is_the_textbooks(family: str, law: Law) -> None:
    inside = [x for x in np.linspace(-3.05, 6.1, 38).tolist() if law.points[0] < x < law.points[-1]]
    found = made(family, law).log_prob(np.array(inside))
    np.testing.assert_allclose(found, [law.log_density(x) for x in inside], rtol=1e-9, atol=1e-10)


@continuous
def test_density_is_the_textbooks_far_out(family: str, law: Law) -> None:
    far = [x for x in (-1e6, -3e3, 1e-9, 3e3, 1e6) if law.points[0] < x < law.points[-1]]
    with np.errstate(over="ignore"):
        found = made(family, law).log_prob(np.array(far))
    expected = np.array([law.log_density(x) for x in far])
    expected[expected < -1e300] = -INF
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@continuous
def test_density_is_zero_outside(family: str, law: Law) -> None:
    outside = [x for x in (law.points[0] - 0.5, law.points[-1] + 0.5) if math.isfinite(x)]
    assert np.all(made(family, law).log_prob(np.array(outside)) == -INF)


@continuous
def test_density_integrates_to_one(family: str, law: Law) -> None:
    d = made(family, law)
    assert integrate(lambda x: np.exp(d.log_prob(x)), law.points) == pytest.approx(1, rel=1e-8)


def _is_finite(x: np.ndarray) -> bool:
    return bool(np.isfinite(x))


@continuous
def test_moments_are_integrals(family: str, law: Law) -> None:
    d = made(family, law)
    mean, variance = d.mean(), d.variance()
    assert mean.shape == variance.shape == ()
    if _is_finite(mean):
        assert integrate(lambda x: x * np.exp(d.log_prob(x)), law.points) == pytest.approx(float(mean), rel=1e-7)
    if _is_finite(variance):
        spread = integrate(lambda x: (x - mean) ** 2 * np.exp(d.log_prob(x)), law.points)
        assert spread == pytest.approx(float(variance), rel=1e-7)


@pytest.mark.parametrize(
    ("family", "parameters", "mean", "variance"),
    [
        ("Cauchy", (0.0, 1.0), math.nan, math.nan),
        ("StudentT", (1.0, 0.0, 1.0), math.nan, math.nan),
        ("StudentT", (1.5, 3.0, 1.0), 3.0, INF),
        ("HalfCauchy", (1.0,), INF, INF),
        ("InverseGamma", (0.5, 1.0), INF, INF),
        ("InverseGamma", (1.5, 1.0), 2.0, INF),
    ],
)
def test_moments_that_do_not_exist(family: str, parameters: tuple[float, ...], mean: float, variance: float) -> None:
    d = RUNTIME_FAMILIES[family](*parameters)
    np.testing.assert_array_equal(d.mean(), mean)
    np.testing.assert_array_equal(d.variance(), variance)


@continuous
def test_draws_follow_the_density(family: str, law: Law) -> None:
    """The empirical distribution function at 30 quantiles against integrals of the density."""
    d = made(family, law)
    draws = np.sort(d.sample(np.random.default_rng(0), (DRAWS,)))
    assert draws.shape == (DRAWS,)
    cuts = [float(draws[i]) for i in np.linspace(20, DRAWS - 20, 30).astype(int)]
    low, *kinks, high = law.points
    points = sorted({low, high, *kinks, *cuts})
    below, previous = 0.0, low
    for point in points[1:-1]:
        below += integrate(lambda x: np.exp(d.log_prob(x)), (previous, point))
        previous = point
        error = math.sqrt(below * (1 - below) / DRAWS)
        assert abs(np.mean(draws <= point) - below) <= LIMIT * error


@discrete
def test_mass_is_the_textbooks(family: str, law: Law) -> None:
    top = {"Bernoulli": 1, "Binomial": 7}.get(family, 60)
    found = made(family, law).log_prob(COUNTS[: top + 1])
    np.testing.assert_allclose(found, [law.log_density(k) for k in range(top + 1)], rtol=1e-10, atol=1e-10)


@discrete
def test_mass_sums_to_one_and_gives_the_moments(family: str, law: Law) -> None:
    d = made(family, law)
    mass = np.exp(d.log_prob(COUNTS))
    assert mass.sum() == pytest.approx(1, rel=1e-11)
    assert (COUNTS * mass).sum() == pytest.approx(float(d.mean()), rel=1e-9)
    assert ((COUNTS - d.mean()) ** 2 * mass).sum() == pytest.approx(float(d.variance()), rel=1e-9)


@discrete
def test_mass_is_zero_outside(family: str, law: Law) -> None:
    outside = [-1, -0.5, 1.5, *({"Bernoulli": [2], "Binomial": [8]}.get(family, []))]
    assert np.all(made(family, law).log_prob(np.array(outside)) == -INF)


@discrete
def test_draws_follow_the_mass(family: str, law: Law) -> None:
    d = made(family, law)
    draws = d.sample(np.random.default_rng(0), (DRAWS,))
    assert draws.dtype == np.int64
    mass = np.exp(d.log_prob(COUNTS))
    likely = mass * DRAWS >= 5
    error = np.sqrt(mass * (1 - mass) / DRAWS)[likely]
    frequency = np.bincount(draws, minlength=COUNTS.size)[likely] / DRAWS
    assert np.all(np.abs(frequency - mass[likely]) <= LIMIT * error)


@pytest.mark.parametrize("family", sorted({*CONTINUOUS, *DISCRETE} - {"Cauchy", "HalfCauchy"}))
def test_first_two_moments_of_draws(family: str) -> None:
    d = made(family, {**CONTINUOUS, **DISCRETE}[family][0])
    draws = d.sample(np.random.default_rng(1), (DRAWS,)).astype(np.float64)
    assert abs(draws.mean() - d.mean()) <= LIMIT * math.sqrt(d.variance() / DRAWS)
    squares = (draws - d.mean()) ** 2
    assert abs(squares.mean() - d.variance()) <= LIMIT * squares.std() / math.sqrt(DRAWS)


@pytest.mark.parametrize("family", sorted({*CONTINUOUS, *DISCRETE}))
def test_parameters_broadcast(family: str) -> None:
    parameters = {**CONTINUOUS, **DISCRETE}[family][0].parameters
    shapes = ((2, 1), (3,), ())
    d = RUNTIME_FAMILIES[family](*(np.full(s, p) for s, p in zip(shapes, parameters, strict=False)))
    batch = np.broadcast_shapes(*shapes[: len(parameters)])
    assert (d.batch_shape, d.event_shape, d.mean().shape, d.variance().shape) == (batch, (), batch, batch)
    assert d.sample(np.random.default_rng(0), (5,)).shape == (5, *batch)
    x = np.ones((4, *(1 for _ in batch)))
    single = RUNTIME_FAMILIES[family](*parameters)
    np.testing.assert_allclose(d.log_prob(x), np.broadcast_to(single.log_prob(np.ones(())), (4, *batch)))


def test_grey_values_are_scored_by_their_cross_entropy() -> None:
    d = RUNTIME_FAMILIES["Bernoulli"](0.7)
    zero, one = (float(d.log_prob(np.array(x))) for x in (0.0, 1.0))
    assert float(d.log_prob(np.array(0.25))) == pytest.approx(0.75 * zero + 0.25 * one)


def test_certain_outcomes() -> None:
    d = RUNTIME_FAMILIES["Bernoulli"](np.array([INF, -INF]))
    np.testing.assert_array_equal(d.log_prob(np.array([1, 0])), [0, 0])
    np.testing.assert_array_equal(d.log_prob(np.array([0, 1])), [-INF, -INF])
