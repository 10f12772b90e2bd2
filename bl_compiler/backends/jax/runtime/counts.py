"""Families of counts: Poisson, Binomial, NegativeBinomial, Multinomial.

Values enter the log masses as floats. Masses are zero, with gradient 0, outside the support.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.special import (
    HALF_LOG_2PI,
    Real,
    log_beta,
    log_binomial,
    log_gamma,
    log_sigmoid,
    poisson_deviance,
    softplus,
    stirling_error,
    weighted,
    xlogy,
)


def poisson_log_prob(x: Array, rate: Real) -> Array:
    """Log mass of the Poisson distribution.

    Large counts are expanded around the rate that suits them best (Loader 2000, "Fast and accurate computation of
    binomial probabilities"): the terms of the usual formula would cancel.
    """
    inside, large = x >= 0, (x >= 8) & (rate > 0)
    count, mean = jnp.where(large, x, 8.0), jnp.where(large, rate, 8.0)
    expanded = -poisson_deviance(count, mean) - stirling_error(count) - 0.5 * jnp.log(count) - HALF_LOG_2PI
    few = jnp.where(inside, x, 0)
    direct = xlogy(few, rate) - rate - log_gamma(few + 1)
    return jnp.where(inside, jnp.where(large, expanded, direct), -jnp.inf)


def poisson_sample(key: Array, rate: Real, shape: tuple[int, ...]) -> Array:
    """A draw from the Poisson distribution."""
    return jax.random.poisson(key, rate, shape, jnp.int32)


def poisson_mean(rate: Real) -> Real:
    """Expectation of the Poisson distribution."""
    return rate


def poisson_variance(rate: Real) -> Real:
    """Variance of the Poisson distribution."""
    return rate


def binomial_log_prob(x: Array, logits: Array, total_count: Real) -> Array:
    """Log mass of the number of successes in `total_count` trials."""
    inside = (x >= 0) & (x <= total_count)
    safe = jnp.where(inside, x, 0)
    failures = total_count - safe
    log_mass = weighted(safe, log_sigmoid(logits)) + weighted(failures, log_sigmoid(-logits))
    return jnp.where(inside, log_binomial(total_count, safe) + log_mass, -jnp.inf)


def binomial_sample(key: Array, logits: Array, total_count: Real, shape: tuple[int, ...]) -> Array:
    """A draw, a number of successes."""
    trials = jnp.broadcast_to(jnp.asarray(total_count, jnp.float32), shape)
    probs = jnp.broadcast_to(jax.nn.sigmoid(logits).astype(jnp.float32), shape)
    return jax.random.binomial(key, trials, probs, shape, jnp.float32).astype(jnp.int32)


def binomial_mean(logits: Array, total_count: Real) -> Array:
    """Expected number of successes."""
    return total_count * jax.nn.sigmoid(logits)


def binomial_variance(logits: Array, total_count: Real) -> Array:
    """Variance of the number of successes."""
    return total_count * jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits)


def negative_binomial_log_prob(x: Array, total_count: Real, logits: Array) -> Array:
    """Log mass of x successes before `total_count` failures, C(x + r - 1, x) p^x (1 - p)^r.

    The coefficient is 1 / ((x + r) B(x + 1, r)), which loses no digits for large counts.
    """
    inside = x >= 0
    safe = jnp.where(inside, x, 0)
    coefficient = -jnp.log(safe + total_count) - log_beta(safe + 1, total_count)
    log_mass = coefficient + weighted(safe, log_sigmoid(logits)) + total_count * log_sigmoid(-logits)
    return jnp.where(inside, log_mass, -jnp.inf)


def negative_binomial_sample(key: Array, total_count: Real, logits: Array, shape: tuple[int, ...]) -> Array:
    """A draw: a Poisson count whose rate is a gamma draw with mean `total_count` times the odds."""
    rate_key, count_key = jax.random.split(key)
    log_rate = jax.random.loggamma(rate_key, total_count, shape, jnp.float32) + logits
    return jax.random.poisson(count_key, jnp.exp(log_rate), shape, jnp.int32)


def negative_binomial_mean(total_count: Real, logits: Array) -> Array:
    """Expected number of successes."""
    return total_count * jnp.exp(logits)


def negative_binomial_variance(total_count: Real, logits: Array) -> Array:
    """Variance of the number of successes: the mean over the probability of failure."""
    return total_count * jnp.exp(logits + softplus(logits))


def multinomial_log_prob(x: Array, logits: Array, total_count: Real) -> Array:
    """Log mass of the counts of K classes; that they sum to `total_count` is taken for granted."""
    inside = jnp.all(x >= 0, axis=-1)
    safe = jnp.where(inside[..., None], x, 0)
    coefficient = log_gamma(total_count + 1.0) - jnp.sum(log_gamma(safe + 1), axis=-1)
    log_mass = coefficient + jnp.sum(weighted(safe, jax.nn.log_softmax(logits, axis=-1)), axis=-1)
    return jnp.where(inside, log_mass, -jnp.inf)


def multinomial_sample(key: Array, logits: Array, total_count: Real, shape: tuple[int, ...]) -> Array:
    """A draw, the counts of K classes, as a chain of binomial draws."""
    probs = jnp.broadcast_to(jax.nn.softmax(logits, axis=-1).astype(jnp.float32), shape)
    trials = jnp.broadcast_to(jnp.asarray(total_count, jnp.float32), shape[:-1])
    counts: Array = jax.random.multinomial(key, trials, probs, shape=shape, dtype=jnp.float32)
    return counts.astype(jnp.int32)


def multinomial_mean(logits: Array, total_count: Real) -> Array:
    """Expected counts."""
    return jnp.asarray(total_count)[..., None] * jax.nn.softmax(logits, axis=-1)


def multinomial_variance(logits: Array, total_count: Real) -> Array:
    """Variance of each count."""
    probs = jax.nn.softmax(logits, axis=-1)
    return jnp.asarray(total_count)[..., None] * probs * (1 - probs)
