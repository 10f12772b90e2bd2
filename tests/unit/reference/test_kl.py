"""Closed-form divergences equal the integrals they stand for, and are infinite where supports do not nest.

Invariant: every pair of `CLOSED_FORM_KL` is compared: scalars by quadrature, discrete ones by summation, vectors by
Monte Carlo with a z-score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bl_compiler.backends.reference.distributions import Distribution, Independent
from bl_compiler.backends.reference.improper import LogUniform
from bl_compiler.backends.reference.kl import KL, kl
from bl_compiler.backends.reference.values import EvaluationError
from bl_compiler.backends.reference.vectors import RUNTIME_FAMILIES
from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES
from tests.unit.reference.quadrature import INF, integrate

LIMIT = 4.5

PARAMETERS: dict[str, tuple[tuple[float, ...], ...]] = {
    **dict.fromkeys(
        ("Normal", "Laplace", "Cauchy", "Gumbel", "LogNormal", "Logistic"), ((0.3, 0.8), (-0.5, 1.3), (2.0, 0.4))
    ),
    **dict.fromkeys(("HalfNormal", "HalfCauchy", "Exponential"), ((0.7,), (2.5,))),
    **dict.fromkeys(("Gamma", "InverseGamma"), ((3.0, 2.0), (1.4, 0.5))),
    "Beta": ((2.0, 3.0), (0.8, 1.5)),
    "LogUniform": ((),),
    "Uniform": ((-0.5, 1.0), (-1.0, 1.5), (-0.7, 2.0)),
}
GAUSSIANS = {"MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal"}
SCALAR_PAIRS = sorted(pair for pair in CLOSED_FORM_KL if set(pair) <= set(PARAMETERS))
GAUSSIAN_PAIRS = sorted(pair for pair in CLOSED_FORM_KL if pair[0] in GAUSSIANS)
OTHERS = {"Dirichlet", "Bernoulli", "Categorical", "OneHotCategorical", "Poisson"}


def made(family: str, parameters: Sequence[float]) -> Distribution:
    return LogUniform() if family == "LogUniform" else RUNTIME_FAMILIES[family](*parameters)


def divided(family: str, parameters: Sequence[float]) -> tuple[float, ...]:
    """Where the density of a family is smooth in between, from the left end of its support to the right."""
    if family == "Uniform":
        return tuple(parameters)
    if family == "Beta":
        return (0, 0.5, 1)
    if family == "LogUniform":
        return (-INF, 0, INF)
    return (-INF, parameters[0], INF) if FAMILIES[family].support == "real" else (0, 1, INF)


def test_the_table_is_complete() -> None:
    assert set(KL) == CLOSED_FORM_KL
    assert {*SCALAR_PAIRS, *GAUSSIAN_PAIRS, *((name, name) for name in OTHERS)} == CLOSED_FORM_KL


@pytest.mark.parametrize("pair", SCALAR_PAIRS, ids="-".join)
def test_scalars_against_quadrature(pair: tuple[str, str]) -> None:
    for q_parameters in PARAMETERS[pair[0]]:
        for p_parameters in PARAMETERS[pair[1]]:
            q, p = made(pair[0], q_parameters), made(pair[1], p_parameters)
            found = float(kl(q, p))
            low, *inner, high = divided(pair[0], q_parameters)
            inner += [x for x in divided(pair[1], p_parameters)[1:-1] if low < x < high]
            if pair == ("Uniform", "Uniform") and (p_parameters[0] > low or p_parameters[1] < high):
                assert found == INF
                continue
            expected = integrate(lambda x, q=q, p=p: _term(q, p, x), (low, *sorted(set(inner)), high))
            assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


def _term(q: Distribution, p: Distribution, x: np.ndarray) -> np.ndarray:
    q_logs = q.log_prob(x)
    return np.where(q_logs > -700, np.exp(q_logs) * (q_logs - p.log_prob(x)), 0.0)


def test_counts_against_sums() -> None:
    k = np.arange(400)
    for rates in ((3.0, 5.0), (20.0, 0.7)):
        q, p = (made("Poisson", (rate,)) for rate in rates)
        assert float(kl(q, p)) == pytest.approx(_term(q, p, k).sum(), rel=1e-10)


def test_classes_against_sums() -> None:
    logits = (np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.0, 0.5]))
    q, p = (made("Categorical", (x,)) for x in logits)
    expected = _term(q, p, np.arange(3)).sum()
    assert float(kl(q, p)) == pytest.approx(expected, rel=1e-12)
    one_hot = [made("OneHotCategorical", (x,)) for x in logits]
    assert float(kl(*one_hot)) == pytest.approx(expected, rel=1e-12)
    bernoulli = [made("Bernoulli", (x,)) for x in (0.3, -1.2)]
    assert float(kl(*bernoulli)) == pytest.approx(_term(*bernoulli, np.arange(2)).sum(), rel=1e-12)


_TRIL = np.array([[1.5, 0.0, 0.0], [-0.4, 0.6, 0.0], [0.3, 0.2, 2.0]])


_COLUMN = np.array([[0.8, 0.0], [-0.6, 1.5]])
_FACTOR = np.array([[1.0, -0.5], [0.0, 2.0], [0.3, 0.3]])
VECTORS: dict[str, tuple[tuple[object, ...], ...]] = {
    "Dirichlet": ((np.array([2.0, 0.7, 1.5]),), (np.array([1.0, 1.0, 3.0]),)),
    "MultivariateNormal": ((np.zeros(3), _TRIL), (np.ones(3), np.eye(3) + _TRIL)),
    "LowRankMultivariateNormal": (
        (np.zeros(3), _FACTOR, np.array([0.5, 1.0, 2.0])),
        (np.ones(3), _FACTOR[:, :1] + 1, np.array([2.0, 1.0, 3.0])),
    ),
    "MatrixNormal": (
        (np.zeros((3, 2)), _TRIL, _COLUMN),
        (np.ones((3, 2)), np.eye(3) + _TRIL, np.eye(2) - _COLUMN),
    ),
}
"""Parameters of posteriors and of priors."""


def vector_pair(q: str, p: str) -> tuple[Distribution, Distribution]:
    """Distributions over one event."""
    first = made(q, VECTORS[q][0])
    if p in VECTORS:
        return first, made(p, VECTORS[p][1])
    scale = 0.5 + np.arange(first.mean().size).reshape(first.event_shape) / 4
    return first, Independent(made(p, (np.full(first.event_shape, 0.3), scale)), len(first.event_shape))


@pytest.mark.parametrize("pair", [*GAUSSIAN_PAIRS, ("Dirichlet", "Dirichlet")], ids="-".join)
def test_vectors_against_draws(pair: tuple[str, str]) -> None:
    first, second = vector_pair(*pair)
    draws = first.sample(np.random.default_rng(0), (200_000,))
    terms = first.log_prob(draws) - second.log_prob(draws)
    assert abs(terms.mean() - kl(first, second)) <= LIMIT * terms.std() / math.sqrt(terms.size)


def test_dirichlet_of_two_is_beta() -> None:
    q, p = (made("Dirichlet", (np.array(a),)) for a in ([2.0, 3.0], [0.8, 1.5]))
    assert float(kl(q, p)) == pytest.approx(float(kl(made("Beta", (2.0, 3.0)), made("Beta", (0.8, 1.5)))), rel=1e-10)


def test_a_vector_of_one_is_a_scalar() -> None:
    q, p = (made("MultivariateNormal", (np.array([m]), np.array([[s]]))) for m, s in ((0.3, 0.8), (-0.5, 1.3)))
    assert float(kl(q, p)) == pytest.approx(
        float(kl(made("Normal", (0.3, 0.8)), made("Normal", (-0.5, 1.3)))), rel=1e-12
    )


@pytest.mark.parametrize("pair", sorted(CLOSED_FORM_KL), ids="-".join)
def test_a_divergence_is_zero_from_itself_only(pair: tuple[str, str]) -> None:
    vector = {"Dirichlet": (np.array([2.0, 0.7]),)}
    discrete = {"Bernoulli": (0.3,), "Poisson": (2.0,)}
    classes = dict.fromkeys(("Categorical", "OneHotCategorical"), (np.array([0.1, 0.5, -INF]),))
    known = {**{f: values[0] for f, values in PARAMETERS.items()}, **vector, **discrete, **classes}
    q, p = vector_pair(*pair) if pair[0] in GAUSSIANS else (made(f, known[f]) for f in pair)
    found = float(kl(q, q if pair[0] == pair[1] else p))
    if pair[0] == pair[1]:
        assert found == pytest.approx(0, abs=1e-12)
    elif pair != ("HalfNormal", "Exponential"):
        assert found > 0


def test_infinite_where_the_prior_excludes_a_class() -> None:
    q, p = made("Categorical", (np.zeros(3),)), made("Categorical", (np.array([0.0, -INF, 0.0]),))
    assert float(kl(q, p)) == INF
    assert float(kl(p, q)) == pytest.approx(math.log(1.5))
    sure, open_ = made("Bernoulli", (INF,)), made("Bernoulli", (0.0,))
    assert float(kl(sure, open_)) == pytest.approx(math.log(2))
    assert float(kl(open_, sure)) == INF


def test_small_probabilities_do_not_make_it_infinite() -> None:
    q, p = made("Categorical", (np.array([0.0, 0.0]),)), made("Categorical", (np.array([0.0, -2000.0]),))
    assert float(kl(q, p)) == pytest.approx(1000 - math.log(2))


def test_independent_axes_add_up_and_batches_broadcast() -> None:
    loc = np.arange(6.0).reshape(2, 3)
    q = Independent(RUNTIME_FAMILIES["Normal"](loc, 0.5), 1)
    p = Independent(Independent(RUNTIME_FAMILIES["Normal"](np.zeros((4, 1, 3)), 1.0), 0), 1)
    expected = (0.25 + loc**2 - 1 - math.log(0.25)) / 2
    np.testing.assert_allclose(kl(q, p), np.broadcast_to(expected.sum(-1), (4, 2)), rtol=1e-12)


@pytest.mark.parametrize(("log_alpha", "expected"), [(-6, 3.634), (-3, 2.108), (0, 0.427), (3, 0.0247), (6, 0.00124)])
def test_log_uniform_penalizes_weights_that_are_known_well(log_alpha: float, expected: float) -> None:
    """Positive, and larger the smaller alpha: the sign that pulls weights towards being noise."""
    alpha = math.exp(log_alpha)
    for loc in (-2.0, 0.1):
        found = float(kl(made("Normal", (loc, abs(loc) * math.sqrt(alpha))), LogUniform()))
        assert found == pytest.approx(expected, rel=3e-3)


def test_nothing_is_drawn_from_an_improper_prior() -> None:
    with pytest.raises(EvaluationError, match="improper"):
        LogUniform((3,)).sample(np.random.default_rng(0))


def test_pairs_without_a_formula_are_refused() -> None:
    with pytest.raises(KeyError):
        kl(made("Normal", (0.0, 1.0)), made("Cauchy", (0.0, 1.0)))
