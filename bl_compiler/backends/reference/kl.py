"""Closed-form Kullback-Leibler divergences.

Invariant: `KL` has a formula for exactly the pairs of `ir/families.CLOSED_FORM_KL`; a divergence is infinite where the
posterior has mass outside the prior's support. Formulas are derived as E_q[log q] - E_q[log p]; sources are named where
the expectations are not elementary. May import: floors 0-1, numpy, scipy, the families.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from bl_compiler.backends.reference.continuous import (
    Beta,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LocationScale,
    LogNormal,
    Uniform,
)
from bl_compiler.backends.reference.discrete import Bernoulli, Categorical, Poisson, log_sigmoid, times
from bl_compiler.backends.reference.distributions import (
    Distribution,
    Independent,
    Parametric,
    Reshaped,
    log_softmax,
    sum_last,
)
from bl_compiler.backends.reference.gaussians import LowRankMultivariateNormal, MatrixNormal, gaussian_kl
from bl_compiler.backends.reference.improper import LogUniform
from bl_compiler.backends.reference.values import FloatArray
from bl_compiler.backends.reference.vectors import Dirichlet, MultivariateNormal, OneHotCategorical

KLRule = Callable[..., FloatArray]
KL: dict[tuple[str, str], KLRule] = {}
"""(posterior, prior) -> formula over run-time distributions, per batch element."""

Gaussian = MultivariateNormal | LowRankMultivariateNormal | MatrixNormal

_LOG_2PI = np.log(2 * np.pi)


def kl(q: Distribution, p: Distribution) -> FloatArray:
    """KL(q ‖ p) per batch element.

    Raises:
        KeyError: if the pair has no closed form.
    """
    reinterpreted = 0
    while isinstance(q, Independent):
        reinterpreted += q.ndims
        q = q.base
    while isinstance(p, Independent):
        p = p.base
    within = len(q.event_shape)
    if isinstance(q, Reshaped):
        q = q.base
    rule = KL[type(q).__name__, type(p).__name__]
    if q.event_shape and isinstance(p, Parametric) and not p.event_shape:
        p = _flat(p, within)
    return sum_last(np.asarray(rule(q, p)), reinterpreted)


def _flat(p: Parametric, within: int) -> Parametric:
    """Independent elements with their last `within` axes as one."""
    arrays = [getattr(p, param.name) for param in p.family().params]
    return type(p)(*(a.reshape(*a.shape[: a.ndim - within], -1) for a in arrays))


def _pair(*pairs: tuple[str, str]) -> Callable[[KLRule], KLRule]:
    def enter(rule: KLRule) -> KLRule:
        for pair in pairs:
            assert pair not in KL, pair
            KL[pair] = rule
        return rule

    return enter


def _both(name: str) -> tuple[str, str]:
    return name, name


def _gauss_cross(mean: FloatArray, variance: FloatArray, p: LocationScale) -> FloatArray:
    """-E[log p(x)] for a Gaussian p and an x with this mean and variance."""
    return np.asarray(_LOG_2PI / 2 + np.log(p.scale) + (variance + (mean - p.loc) ** 2) / (2 * p.scale**2))


@_pair(_both("Normal"), _both("LogNormal"))
def _normal(q: LocationScale | LogNormal, p: LocationScale | LogNormal) -> FloatArray:
    """Gaussians; a divergence is the same after a one-to-one map of both, hence that of their exponentials."""
    ratio = (q.scale / p.scale) ** 2
    return np.asarray((ratio - 1 - np.log(ratio) + ((q.loc - p.loc) / p.scale) ** 2) / 2)


@_pair(_both("Laplace"))
def _laplace(q: LocationScale, p: LocationScale) -> FloatArray:
    """E|x - m| = |d| + b e^(-|d| / b) for x ~ Laplace at distance d from m."""
    distance = np.abs(q.loc - p.loc)
    expected = distance + q.scale * np.exp(-distance / q.scale)
    return np.asarray(np.log(p.scale / q.scale) - 1 + expected / p.scale)


@_pair(("Laplace", "Normal"))
def _laplace_normal(q: LocationScale, p: LocationScale) -> FloatArray:
    return np.asarray(_gauss_cross(q.loc, 2 * q.scale**2, p) - np.log(2 * q.scale) - 1)


@_pair(("Normal", "Laplace"))
def _normal_laplace(q: LocationScale, p: LocationScale) -> FloatArray:
    """E|x - m| is the mean of a folded normal distribution (Leone, Nelson and Nottingham 1961)."""
    distance = q.loc - p.loc
    folded = q.scale * np.sqrt(2 / np.pi) * np.exp(-((distance / q.scale) ** 2) / 2)
    folded = folded + distance * special.erf(distance / (q.scale * np.sqrt(2)))
    return np.asarray(np.log(2 * p.scale) + folded / p.scale - (_LOG_2PI + 1) / 2 - np.log(q.scale))


@_pair(_both("Cauchy"))
def _cauchy(q: LocationScale, p: LocationScale) -> FloatArray:
    """Chyzak and Nielsen (2019), "A closed-form formula for the Kullback-Leibler divergence between Cauchy …"."""
    square = (q.scale + p.scale) ** 2 + (q.loc - p.loc) ** 2
    return np.asarray(np.log(square / (4 * q.scale * p.scale)))


@_pair(_both("HalfCauchy"))
def _half_cauchy(q: HalfCauchy, p: HalfCauchy) -> FloatArray:
    """Folding two even densities at 0 keeps their ratio, so this is the centered Cauchy's."""
    return np.asarray(np.log((q.scale + p.scale) ** 2 / (4 * q.scale * p.scale)))


@_pair(_both("Gumbel"))
def _gumbel(q: LocationScale, p: LocationScale) -> FloatArray:
    """With z = (x - loc) / scale under q: E z is Euler's gamma, E e^(-t z) = Γ(1 + t)."""
    shift, ratio = (q.loc - p.loc) / p.scale, q.scale / p.scale
    cross = np.log(p.scale) + shift + ratio * np.euler_gamma + np.exp(special.gammaln(1 + ratio) - shift)
    return np.asarray(cross - np.log(q.scale) - np.euler_gamma - 1)


@_pair(("Gumbel", "Normal"))
def _gumbel_normal(q: LocationScale, p: LocationScale) -> FloatArray:
    mean, variance = q.loc + np.euler_gamma * q.scale, (np.pi * q.scale) ** 2 / 6
    return np.asarray(_gauss_cross(mean, variance, p) - np.log(q.scale) - np.euler_gamma - 1)


@_pair(("Logistic", "Normal"))
def _logistic_normal(q: LocationScale, p: LocationScale) -> FloatArray:
    return np.asarray(_gauss_cross(q.loc, (np.pi * q.scale) ** 2 / 3, p) - np.log(q.scale) - 2)


@_pair(("Uniform", "Normal"))
def _uniform_normal(q: Uniform, p: LocationScale) -> FloatArray:
    width = q.high - q.low
    return np.asarray(_gauss_cross((q.low + q.high) / 2, width**2 / 12, p) - np.log(width))


@_pair(_both("Uniform"))
def _uniform(q: Uniform, p: Uniform) -> FloatArray:
    nested = (p.low <= q.low) & (q.high <= p.high)
    return np.where(nested, np.log((p.high - p.low) / (q.high - q.low)), np.inf)


@_pair(_both("HalfNormal"))
def _half_normal(q: HalfNormal, p: HalfNormal) -> FloatArray:
    """Folding two even densities at 0 keeps their ratio, so this is the centered Gaussian's."""
    ratio = (q.scale / p.scale) ** 2
    return np.asarray((ratio - 1 - np.log(ratio)) / 2)


@_pair(("HalfNormal", "Exponential"))
def _half_normal_exponential(q: HalfNormal, p: Exponential) -> FloatArray:
    entropy = np.log(np.pi * q.scale**2 / 2) / 2 + 0.5
    return np.asarray(p.rate * q.scale * np.sqrt(2 / np.pi) - np.log(p.rate) - entropy)


def _gamma_formula(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """KL(Gamma(a, b) ‖ Gamma(c, d)) in concentrations and rates, with E log x = ψ(a) - log b."""
    normalizers = special.gammaln(c) - special.gammaln(a) + c * (np.log(b) - np.log(d))
    return np.asarray(normalizers + (a - c) * special.psi(a) + a * (d - b) / b)


@_pair(_both("Gamma"), _both("InverseGamma"))
def _gamma(q: Gamma | InverseGamma, p: Gamma | InverseGamma) -> FloatArray:
    """A divergence is the same after a one-to-one map of both, hence that of their reciprocals."""
    return _gamma_formula(q.concentration, q.rate, p.concentration, p.rate)


@_pair(("Gamma", "Exponential"))
def _gamma_exponential(q: Gamma, p: Exponential) -> FloatArray:
    return _gamma_formula(q.concentration, q.rate, np.ones(()), p.rate)


@_pair(("Exponential", "Gamma"))
def _exponential_gamma(q: Exponential, p: Gamma) -> FloatArray:
    return _gamma_formula(np.ones(()), q.rate, p.concentration, p.rate)


@_pair(_both("Exponential"))
def _exponential(q: Exponential, p: Exponential) -> FloatArray:
    return np.asarray(np.log(q.rate / p.rate) + p.rate / q.rate - 1)


@_pair(("LogNormal", "Gamma"))
def _log_normal_gamma(q: LogNormal, p: Gamma) -> FloatArray:
    return _log_normal_to_gamma(q, p.concentration, p.rate)


@_pair(("LogNormal", "Exponential"))
def _log_normal_exponential(q: LogNormal, p: Exponential) -> FloatArray:
    return _log_normal_to_gamma(q, np.ones(()), p.rate)


def _log_normal_to_gamma(q: LogNormal, concentration: FloatArray, rate: FloatArray) -> FloatArray:
    """Under q, E log x = loc and E x = e^(loc + scale² / 2)."""
    entropy = q.loc + (_LOG_2PI + 1) / 2 + np.log(q.scale)
    expected = np.exp(q.loc + q.scale**2 / 2)
    normalizer = special.gammaln(concentration) - concentration * np.log(rate)
    return np.asarray(normalizer - (concentration - 1) * q.loc + rate * expected - entropy)


@_pair(("LogNormal", "HalfCauchy"))
def _log_normal_half_cauchy(q: LogNormal, p: HalfCauchy) -> FloatArray:
    """E log(1 + (x / t)²) by the trapezoidal rule in z of log x = loc + scale z, to rounding up to scale 10."""
    z = np.arange(-768, 769) / 64
    logs = np.logaddexp(0.0, 2 * (q.loc - np.log(p.scale))[..., None] + 2 * q.scale[..., None] * z)
    expected = (np.exp(-(z**2) / 2) * logs).sum(-1) / (64 * np.sqrt(2 * np.pi))
    entropy = q.loc + (_LOG_2PI + 1) / 2 + np.log(q.scale)
    return np.asarray(expected + np.log(p.scale * np.pi / 2) - entropy)


@_pair(("Normal", "LogUniform"))
def _normal_log_uniform(q: LocationScale, p: LogUniform) -> FloatArray:
    """∫ 1 - exp(-u / cosh² s) ds over s > 0 with u = loc² / (2 scale²), by the trapezoidal rule.

    Its derivative in u is D(√u) / √u with Dawson's function D, as that of E log x² of a noncentral chi-square.
    """
    u = (q.loc / q.scale) ** 2 / 2
    s = np.arange(1, 1600) / 32
    terms = -np.expm1(-u[..., None] / np.cosh(s) ** 2)
    return np.asarray((terms.sum(-1) - np.expm1(-u) / 2) / 32)


def _dirichlet_formula(a: FloatArray, b: FloatArray) -> FloatArray:
    """With E log x_i = ψ(a_i) - ψ(Σ a), along the last axis."""
    expected = special.psi(a) - special.psi(a.sum(-1, keepdims=True))
    normalizers = special.gammaln(a.sum(-1)) - special.gammaln(b.sum(-1))
    normalizers = normalizers + (special.gammaln(b) - special.gammaln(a)).sum(-1)
    return np.asarray(normalizers + ((a - b) * expected).sum(-1))


@_pair(_both("Dirichlet"))
def _dirichlet(q: Dirichlet, p: Dirichlet) -> FloatArray:
    return _dirichlet_formula(q.concentration, p.concentration)


@_pair(_both("Beta"))
def _beta(q: Beta, p: Beta) -> FloatArray:
    """The Dirichlet distribution of two classes."""
    a = np.stack([q.concentration1, q.concentration0], axis=-1)
    return _dirichlet_formula(a, np.stack([p.concentration1, p.concentration0], axis=-1))


@_pair(_both("MultivariateNormal"))
def _multivariate_normal(q: MultivariateNormal, p: MultivariateNormal) -> FloatArray:
    """The trace of Σp⁻¹ Σq is the squared norm of Lp⁻¹ Lq."""
    inverse = np.linalg.inv(np.tril(p.scale_tril))
    trace = ((inverse @ np.tril(q.scale_tril)) ** 2).sum((-2, -1))
    distance = ((inverse @ (q.loc - p.loc)[..., None]) ** 2).sum((-2, -1))
    logs = [np.log(np.diagonal(d.scale_tril, axis1=-2, axis2=-1)).sum(-1) for d in (q, p)]
    return np.asarray((trace + distance - q.loc.shape[-1]) / 2 + logs[1] - logs[0])


@_pair(
    *((q, "Normal") for q in ("MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal")),
    ("MultivariateNormal", "LowRankMultivariateNormal"),
    ("LowRankMultivariateNormal", "MultivariateNormal"),
    _both("LowRankMultivariateNormal"),
    _both("MatrixNormal"),
)
def _gaussians(q: Gaussian, p: Gaussian | LocationScale) -> FloatArray:
    return gaussian_kl(*_moments(q), *_moments(p))


def _moments(d: Gaussian | LocationScale) -> tuple[FloatArray, FloatArray]:
    """Mean [..., n] and covariance [..., n, n] of the elements of an event; of the last axis of independent ones."""
    if isinstance(d, LocationScale):
        return d.loc, np.asarray(d.scale[..., None] ** 2 * np.eye(d.scale.shape[-1]))
    covariance = d.covariance()
    return d.loc.reshape(*d.batch_shape, covariance.shape[-1]), covariance


@_pair(_both("Bernoulli"))
def _bernoulli(q: Bernoulli, p: Bernoulli) -> FloatArray:
    q_logs = np.stack([log_sigmoid(q.logits), log_sigmoid(-q.logits)], axis=-1)
    return _discrete(q_logs, np.stack([log_sigmoid(p.logits), log_sigmoid(-p.logits)], axis=-1))


@_pair(_both("Categorical"), _both("OneHotCategorical"))
def _categorical(q: Categorical | OneHotCategorical, p: Categorical | OneHotCategorical) -> FloatArray:
    return _discrete(log_softmax(q.logits), log_softmax(p.logits))


def _discrete(q_logs: FloatArray, p_logs: FloatArray) -> FloatArray:
    """Classes without mass under q add nothing; those without mass under p alone make it infinite."""
    empty = np.isneginf(q_logs)
    return np.asarray(times(np.exp(q_logs), np.where(empty, 0.0, q_logs) - np.where(empty, 0.0, p_logs)).sum(-1))


@_pair(_both("Poisson"))
def _poisson(q: Poisson, p: Poisson) -> FloatArray:
    return np.asarray(special.xlogy(q.rate, q.rate / p.rate) - q.rate + p.rate)
