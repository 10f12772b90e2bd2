"""Closed-form Kullback-Leibler divergences KL(q || p) between equal families.

Each takes q's parameters, then p's. Where no other source is named, they follow from the entropies and moments in
Gil, Alajaji and Linder (2013), "Rényi divergence measures for commonly used univariate continuous distributions".
May import: jax, the standard library, `special`, `multivariate`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.multivariate import log_diagonal, triangular_solve
from bl_compiler.backends.jax.runtime.special import (
    EULER_GAMMA,
    Real,
    log_gamma,
    log_gamma_excess,
    log_ratio,
    log_sigmoid,
    poisson_deviance,
    weighted,
)


def kl_normal_normal(q_loc: Real, q_scale: Real, p_loc: Real, p_scale: Real) -> Array:
    """KL(Normal || Normal)."""
    ratio = q_scale / p_scale
    shift = (q_loc - p_loc) / p_scale
    return 0.5 * (ratio**2 + shift**2 - 1) - jnp.log(ratio)


def kl_half_normal_half_normal(q_scale: Real, p_scale: Real) -> Array:
    """KL(HalfNormal || HalfNormal): that of the centered Gaussians they fold."""
    return kl_normal_normal(0.0, q_scale, 0.0, p_scale)


def kl_log_normal_log_normal(q_loc: Real, q_scale: Real, p_loc: Real, p_scale: Real) -> Array:
    """KL(LogNormal || LogNormal): that of the Gaussians, since the exponential is one to one."""
    return kl_normal_normal(q_loc, q_scale, p_loc, p_scale)


def kl_laplace_laplace(q_loc: Real, q_scale: Real, p_loc: Real, p_scale: Real) -> Array:
    """KL(Laplace || Laplace)."""
    distance = jnp.abs(q_loc - p_loc)
    ratio = q_scale / p_scale
    return distance / p_scale + ratio * jnp.exp(-distance / q_scale) - jnp.log(ratio) - 1


def kl_cauchy_cauchy(q_loc: Real, q_scale: Real, p_loc: Real, p_scale: Real) -> Array:
    """KL(Cauchy || Cauchy), Chyzak and Nielsen (2019).

    Their log(((s + t)^2 + d^2) / (4 s t)), written to vanish exactly at q = p.
    """
    spread = q_scale - p_scale
    shift = q_loc - p_loc
    return jnp.log1p((spread / q_scale * (spread / p_scale) + shift / q_scale * (shift / p_scale)) / 4)


def kl_half_cauchy_half_cauchy(q_scale: Real, p_scale: Real) -> Array:
    """KL(HalfCauchy || HalfCauchy): that of the centered Cauchy distributions they fold."""
    return kl_cauchy_cauchy(0.0, q_scale, 0.0, p_scale)


def kl_gumbel_gumbel(q_loc: Real, q_scale: Real, p_loc: Real, p_scale: Real) -> Array:
    """KL(Gumbel || Gumbel); E[exp(-x / t)] under q is exp(-loc / t) Gamma(1 + s / t)."""
    ratio = q_scale / p_scale
    shift = (q_loc - p_loc) / p_scale
    return shift + EULER_GAMMA * (ratio - 1) - jnp.log(ratio) - 1 + jnp.exp(log_gamma(1 + ratio) - shift)


def kl_exponential_exponential(q_rate: Real, p_rate: Real) -> Array:
    """KL(Exponential || Exponential)."""
    ratio = p_rate / q_rate
    return ratio - 1 - jnp.log(ratio)


def kl_gamma_gamma(q_concentration: Real, q_rate: Real, p_concentration: Real, p_rate: Real) -> Array:
    """KL(Gamma || Gamma), arranged so that large concentrations cancel nothing."""
    deviance = poisson_deviance(p_concentration, q_concentration * (p_rate / q_rate))
    return deviance + log_gamma_excess(p_concentration, q_concentration)


def kl_inverse_gamma_inverse_gamma(q_concentration: Real, q_rate: Real, p_concentration: Real, p_rate: Real) -> Array:
    """KL(InverseGamma || InverseGamma): that of the gamma distributions, since the reciprocal is one to one."""
    return kl_gamma_gamma(q_concentration, q_rate, p_concentration, p_rate)


def kl_beta_beta(
    q_concentration1: Real, q_concentration0: Real, p_concentration1: Real, p_concentration0: Real
) -> Array:
    """KL(Beta || Beta): that of the Dirichlet distributions of two components."""
    q = jnp.stack(jnp.broadcast_arrays(q_concentration1, q_concentration0), axis=-1)
    p = jnp.stack(jnp.broadcast_arrays(p_concentration1, p_concentration0), axis=-1)
    return kl_dirichlet_dirichlet(q, p)


def kl_uniform_uniform(q_low: Real, q_high: Real, p_low: Real, p_high: Real) -> Array:
    """KL(Uniform || Uniform); infinite unless q's interval lies in p's."""
    inside = (q_low >= p_low) & (q_high <= p_high)
    return jnp.where(inside, jnp.log((p_high - p_low) / (q_high - q_low)), jnp.inf)


def kl_dirichlet_dirichlet(q_concentration: Array, p_concentration: Array) -> Array:
    """KL(Dirichlet || Dirichlet), arranged so that large concentrations cancel nothing."""
    q_total = jnp.sum(q_concentration, axis=-1, keepdims=True)
    p_total = jnp.sum(p_concentration, axis=-1, keepdims=True)
    means = p_concentration * log_ratio(p_concentration * q_total, q_concentration * p_total)
    terms = means + log_gamma_excess(p_concentration, q_concentration)
    return jnp.sum(terms, axis=-1) - jnp.squeeze(log_gamma_excess(p_total, q_total), axis=-1)


def kl_multivariate_normal_multivariate_normal(q_loc: Array, q_tril: Array, p_loc: Array, p_tril: Array) -> Array:
    """KL(MultivariateNormal || MultivariateNormal)."""
    spread = triangular_solve(p_tril, q_tril)
    shift = triangular_solve(p_tril, (q_loc - p_loc)[..., None])
    squares = jnp.sum(spread * spread, axis=(-2, -1)) + jnp.sum(shift * shift, axis=(-2, -1))
    return 0.5 * (squares - q_tril.shape[-1]) + log_diagonal(p_tril) - log_diagonal(q_tril)


def kl_bernoulli_bernoulli(q_logits: Real, p_logits: Real) -> Array:
    """KL(Bernoulli || Bernoulli)."""
    one = weighted(jax.nn.sigmoid(q_logits), log_sigmoid(q_logits) - log_sigmoid(p_logits))
    zero = weighted(jax.nn.sigmoid(-q_logits), log_sigmoid(-q_logits) - log_sigmoid(-p_logits))
    return one + zero


def kl_categorical_categorical(q_logits: Array, p_logits: Array) -> Array:
    """KL(Categorical || Categorical); classes that q never takes count for nothing."""
    log_ratio = jax.nn.log_softmax(q_logits, axis=-1) - jax.nn.log_softmax(p_logits, axis=-1)
    return jnp.sum(weighted(jax.nn.softmax(q_logits, axis=-1), log_ratio), axis=-1)


def kl_one_hot_categorical_one_hot_categorical(q_logits: Array, p_logits: Array) -> Array:
    """KL(OneHotCategorical || OneHotCategorical): that of the class indices."""
    return kl_categorical_categorical(q_logits, p_logits)


def kl_poisson_poisson(q_rate: Real, p_rate: Real) -> Array:
    """KL(Poisson || Poisson)."""
    return poisson_deviance(q_rate, p_rate)
