"""Priors that follow the posterior or are trained, and mean-field posteriors of other families, by their divergences.

Expected values are closed forms, minimizations or quadrature in float64.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from bl_compiler.backends.reference.rules_tensor import constrain
from tests.support.kernels import (
    EYE,
    INS,
    KERNEL,
    LIMIT,
    OUTS,
    Array,
    gauss_kl,
    kl_of,
    log_normal_to_half_cauchy,
    parameters,
    program_of,
    raw,
    reference_of,
)

# --- priors that follow the posterior --------------------------------------------------------------------------------


def test_tied_mean_penalizes_the_spread_alone() -> None:
    kl, params, _ = kl_of("mean_field(tied_mean=true)", "Normal(0, 0.5)")
    scale = params[f"{KERNEL}/scale"]
    assert kl == pytest.approx((np.log(0.5 / scale) + scale**2 / (2 * 0.25) - 0.5).sum(), rel=1e-12)


def bayes_objective(loc: Array, scale: Array, variance: float, mean: float = 0.3) -> float:
    """KL(q ‖ N(mean, variance)) - log of the hyperprior."""
    return float(
        gauss_kl(loc, scale, mean, math.sqrt(variance)).sum() - stats.invgamma(2.01, scale=0.101).logpdf(variance)
    )


def test_empirical_bayes_takes_the_best_scale() -> None:
    kl, params, found = kl_of("mean_field(empirical_bayes=true)", "Normal(0.3)")
    loc, scale = params[f"{KERNEL}/loc"], params[f"{KERNEL}/scale"]
    best = optimize.minimize_scalar(lambda v: bayes_objective(loc, scale, v), bounds=(1e-4, 10), method="bounded")
    assert kl == pytest.approx(best.fun, rel=1e-9)
    assert all(kl <= bayes_objective(loc, scale, v) for v in (0.01, 0.1, 0.5, 1.0, 3.0))
    # The scale moves with the parameters, and at the best one that does not show in the gradient.
    trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
    slope = jax.grad(lambda p: found.loss(p, EYE, seed=0)[0])(trained)[f"{KERNEL}/loc"]
    np.testing.assert_allclose(slope, (loc - 0.3) / best.x, rtol=2e-3)


def test_tied_empirical_bayes() -> None:
    kl, params, _ = kl_of("mean_field(tied_mean=true, empirical_bayes=true)", "Normal(0)")
    scale = params[f"{KERNEL}/scale"]
    best = optimize.minimize_scalar(
        lambda v: bayes_objective(np.zeros(()), scale, v, 0.0), bounds=(1e-4, 10), method="bounded"
    )
    assert kl == pytest.approx(best.fun, rel=1e-9)


def test_a_trained_scale_of_the_prior_has_a_gradient() -> None:
    more = "param width: f32[] = 0.8 in positive"
    found = program_of("mean_field", "Normal(0, width)", more)
    params = {**found.init(seed=0), f"{KERNEL}/scale": jnp.zeros((INS, OUTS))}
    slope = float(jax.grad(lambda p: found.loss(p, EYE, seed=0)[0])(params)["width"])
    loc, scale = np.asarray(params[f"{KERNEL}/loc"], np.float64), float(constrain(np.zeros(()), "positive", 0.0, 1.0))
    width = 0.8
    inner = 1 - math.exp(-width)  # of softplus at the raw value of `width`
    expected = (1 / width - (scale**2 + loc**2) / width**3).sum() * inner
    assert slope == pytest.approx(expected, rel=1e-3)


# --- other families and priors ---------------------------------------------------------------------------------------

MIXTURE = "Mixture(Categorical(probs=[0.25, 0.75]), Normal([0.0, 0.0], [1.0, 0.1]))"
FAMILIES = {
    "Laplace": stats.laplace,
    "StudentT(df=4)": lambda m, s: stats.t(4, m, s),
    "Logistic": stats.logistic,
    "Gumbel": stats.gumbel_r,
    "Normal": stats.norm,
}


def log_mixture(x: Array) -> Array:
    parts = [math.log(0.25) + stats.norm(0, 1).logpdf(x), math.log(0.75) + stats.norm(0, 0.1).logpdf(x)]
    return np.logaddexp(*parts)


@pytest.mark.parametrize(
    ("family", "prior"),
    [*((family, "Normal(0, 1)") for family in FAMILIES), ("Normal", MIXTURE), ("Laplace", "Laplace(0, 1)")],
)
def test_divergences_of_families(family: str, prior: str) -> None:
    """Exact where there is a closed form; otherwise the mean over draws is that of the integral."""
    reference = reference_of(f"mean_field({family})", prior)
    params = parameters(reference)
    density = {MIXTURE: log_mixture, "Laplace(0, 1)": stats.laplace.logpdf}.get(prior, stats.norm.logpdf)
    expected = 0.0
    for m, s in zip(params[f"{KERNEL}/loc"].ravel(), params[f"{KERNEL}/scale"].ravel(), strict=True):
        q = FAMILIES[family](m, s)
        low, high = (q.ppf(1e-13), q.ppf(1 - 1e-13)) if "Student" not in family else (m - 900 * s, m + 900 * s)
        points = sorted({0.0, float(m)})
        term = lambda x, q=q: q.pdf(x) * (q.logpdf(x) - density(x))  # noqa: E731
        expected += integrate.quad(term, low, high, points=points, limit=400)[0]
    found = np.array([float(reference.run("train", raw(params), EYE, seed=seed)["kl"]) for seed in range(200)])
    error = found.std() / math.sqrt(found.size)
    assert abs(found.mean() - expected) <= LIMIT * error + 1e-5 * abs(expected)


def test_a_positive_weight_is_log_normal() -> None:
    kl, params, _ = kl_of("mean_field", "HalfCauchy(0.5)")
    pairs = zip(params[f"{KERNEL}/loc"].ravel(), params[f"{KERNEL}/scale"].ravel(), strict=True)
    assert kl == pytest.approx(sum(log_normal_to_half_cauchy(m, s, 0.5) for m, s in pairs), rel=1e-7)
