"""Families on bounded sets: Beta, Uniform, Dirichlet. Draws are reparameterized.

Densities are minus infinity outside the support, with gradient 0 there. Beta and Dirichlet draws are made from
log-gamma draws, whose implicit gradients they carry, and stay strictly inside, where densities are finite.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bl_compiler.backends.jax.runtime.special import Real, float_limits, log_beta, log_gamma, xlogy


def beta_log_prob(x: Array, concentration1: Real, concentration0: Real) -> Array:
    """Log density of the beta distribution."""
    inside = (x >= 0) & (x <= 1)
    safe = jnp.where(inside, x, 0.5)
    density = xlogy(concentration1 - 1, safe) + xlogy(concentration0 - 1, 1 - safe)
    return jnp.where(inside, density - log_beta(concentration1, concentration0), -jnp.inf)


def beta_sample(
    key: Array, concentration1: Real, concentration0: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the beta distribution: g1 / (g1 + g0) with gamma draws, in log space."""
    key1, key0 = jax.random.split(key)
    log_one = jax.random.loggamma(key1, concentration1, shape, dtype)
    log_zero = jax.random.loggamma(key0, concentration0, shape, dtype)
    limits = float_limits(dtype)
    return jnp.clip(jax.nn.sigmoid(log_one - log_zero), limits.tiny, 1 - limits.epsneg)


def beta_mean(concentration1: Real, concentration0: Real) -> Real:
    """Expectation of the beta distribution."""
    return concentration1 / (concentration1 + concentration0)


def beta_variance(concentration1: Real, concentration0: Real) -> Real:
    """Variance of the beta distribution."""
    total = concentration1 + concentration0
    return (concentration1 / total) * (concentration0 / total) / (total + 1)


def uniform_log_prob(x: Array, low: Real, high: Real) -> Array:
    """Log density of the uniform distribution on [low, high]."""
    return jnp.where((x >= low) & (x <= high), -jnp.log(high - low), -jnp.inf)


def uniform_sample(key: Array, low: Real, high: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the uniform distribution."""
    return low + (high - low) * jax.random.uniform(key, shape, dtype)


def uniform_mean(low: Real, high: Real) -> Real:
    """Expectation of the uniform distribution."""
    return 0.5 * (low + high)


def uniform_variance(low: Real, high: Real) -> Real:
    """Variance of the uniform distribution."""
    return (high - low) * (high - low) / 12


def dirichlet_log_prob(x: Array, concentration: Array) -> Array:
    """Log density of the Dirichlet distribution; that x sums to 1 is taken for granted."""
    inside = jnp.all(x >= 0, axis=-1)
    safe = jnp.where(inside[..., None], x, 0.5)
    normalizer = jnp.sum(log_gamma(concentration), axis=-1) - log_gamma(jnp.sum(concentration, axis=-1))
    return jnp.where(inside, jnp.sum(xlogy(concentration - 1, safe), axis=-1) - normalizer, -jnp.inf)


def dirichlet_sample(key: Array, concentration: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the Dirichlet distribution: gamma draws scaled to sum to 1, in log space."""
    draw = jax.nn.softmax(jax.random.loggamma(key, concentration, shape, dtype), axis=-1)
    limits = float_limits(dtype)
    return jnp.clip(draw, limits.tiny, 1 - limits.epsneg)


def dirichlet_mean(concentration: Array) -> Array:
    """Expectation of the Dirichlet distribution."""
    return concentration / jnp.sum(concentration, axis=-1, keepdims=True)


def dirichlet_variance(concentration: Array) -> Array:
    """Variance of each component of the Dirichlet distribution."""
    total = jnp.sum(concentration, axis=-1, keepdims=True)
    mean = concentration / total
    return mean * (1 - mean) / (total + 1)
