"""Families on the positive half line: HalfNormal, HalfCauchy, LogNormal, Exponential, Gamma, InverseGamma.

Densities are minus infinity outside the support, with gradient 0 there. Draws are reparameterized; those of the gamma
family carry implicit gradients (Figurnov, Mohamed and Mnih 2018) through `jax.random.loggamma`.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bl_compiler.backends.jax.runtime.special import HALF_LOG_2PI, Real, float_limits, log1p_square, log_gamma, xlogy


def half_normal_log_prob(x: Array, scale: Real) -> Array:
    """Log density of the absolute value of a centered Gaussian."""
    z = x / scale
    return jnp.where(x >= 0, -0.5 * z * z - jnp.log(scale) + (math.log(2) - HALF_LOG_2PI), -jnp.inf)


def half_normal_sample(key: Array, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the half-normal distribution."""
    return scale * jnp.abs(jax.random.normal(key, shape, dtype))


def half_normal_mean(scale: Real) -> Real:
    """Expectation of the half-normal distribution."""
    return scale * math.sqrt(2 / math.pi)


def half_normal_variance(scale: Real) -> Real:
    """Variance of the half-normal distribution."""
    return scale * scale * (1 - 2 / math.pi)


def half_cauchy_log_prob(x: Array, scale: Real) -> Array:
    """Log density of the absolute value of a centered Cauchy variable."""
    return jnp.where(x >= 0, math.log(2 / math.pi) - jnp.log(scale) - log1p_square(x / scale), -jnp.inf)


def half_cauchy_sample(key: Array, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the half-Cauchy distribution."""
    return scale * jnp.abs(jax.random.cauchy(key, shape, dtype))


def log_normal_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the exponential of a Gaussian."""
    inside = x > 0
    log_x = jnp.log(jnp.where(inside, x, 1))
    z = (log_x - loc) / scale
    return jnp.where(inside, -0.5 * z * z - jnp.log(scale) - log_x - HALF_LOG_2PI, -jnp.inf)


def log_normal_sample(
    key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the log-normal distribution."""
    return jnp.exp(loc + scale * jax.random.normal(key, shape, dtype))


def log_normal_mean(loc: Real, scale: Real) -> Array:
    """Expectation of the log-normal distribution."""
    return jnp.exp(loc + 0.5 * scale * scale)


def log_normal_variance(loc: Real, scale: Real) -> Array:
    """Variance of the log-normal distribution."""
    return jnp.expm1(scale * scale) * jnp.exp(2 * loc + scale * scale)


def exponential_log_prob(x: Array, rate: Real) -> Array:
    """Log density of the exponential distribution."""
    return jnp.where(x >= 0, jnp.log(rate) - rate * x, -jnp.inf)


def exponential_sample(key: Array, rate: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the exponential distribution."""
    return jax.random.exponential(key, shape, dtype) / rate


def exponential_mean(rate: Real) -> Real:
    """Expectation of the exponential distribution."""
    return 1 / rate


def exponential_variance(rate: Real) -> Real:
    """Variance of the exponential distribution."""
    return 1 / (rate * rate)


def gamma_log_prob(x: Array, concentration: Real, rate: Real) -> Array:
    """Log density of the gamma distribution."""
    inside = x >= 0
    safe = jnp.where(inside, x, 1)
    density = xlogy(concentration - 1, safe) + concentration * jnp.log(rate) - rate * safe - log_gamma(concentration)
    return jnp.where(inside, density, -jnp.inf)


def gamma_sample(
    key: Array, concentration: Real, rate: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the gamma distribution, made in log space: small concentrations give numbers that underflow late."""
    draw = jnp.exp(jax.random.loggamma(key, concentration, shape, dtype)) / rate
    return jnp.maximum(draw, float_limits(dtype).tiny)


def gamma_mean(concentration: Real, rate: Real) -> Real:
    """Expectation of the gamma distribution."""
    return concentration / rate


def gamma_variance(concentration: Real, rate: Real) -> Real:
    """Variance of the gamma distribution."""
    return concentration / (rate * rate)


def inverse_gamma_log_prob(x: Array, concentration: Real, rate: Real) -> Array:
    """Log density of the reciprocal of a gamma variable."""
    inside = x > 0
    safe = jnp.where(inside, x, 1)
    normalizer = log_gamma(concentration) - concentration * jnp.log(rate)
    return jnp.where(inside, -(concentration + 1) * jnp.log(safe) - rate / safe - normalizer, -jnp.inf)


def inverse_gamma_sample(
    key: Array, concentration: Real, rate: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the inverse gamma distribution."""
    draw = rate * jnp.exp(-jax.random.loggamma(key, concentration, shape, dtype))
    return jnp.minimum(draw, float_limits(dtype).max)


def inverse_gamma_mean(concentration: Real, rate: Real) -> Array:
    """Expectation of the inverse gamma distribution; infinite up to concentration 1."""
    defined = concentration > 1
    return jnp.where(defined, rate / jnp.where(defined, concentration - 1, 1), jnp.inf)


def inverse_gamma_variance(concentration: Real, rate: Real) -> Array:
    """Variance of the inverse gamma distribution; infinite up to concentration 2."""
    defined = concentration > 2
    safe = jnp.where(defined, concentration, 3)
    mean = rate / (safe - 1)
    return jnp.where(defined, mean * mean / (safe - 2), jnp.inf)
