"""Families `loc + scale * base` on the real line: Normal, Laplace, StudentT, Cauchy, Logistic, Gumbel.

Formulas: Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions", 2nd edition. Draws are reparameterized.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bl_compiler.backends.jax.runtime.special import EULER_GAMMA, HALF_LOG_2PI, Real, log1p_square, log_beta


def normal_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the Gaussian."""
    z = (x - loc) / scale
    return -0.5 * z * z - jnp.log(scale) - HALF_LOG_2PI


def normal_sample(key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the Gaussian."""
    return loc + scale * jax.random.normal(key, shape, dtype)


def normal_mean(loc: Real, scale: Real) -> Real:
    """Expectation of the Gaussian."""
    return loc


def normal_variance(loc: Real, scale: Real) -> Real:
    """Variance of the Gaussian."""
    return scale * scale


def laplace_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the Laplace distribution."""
    return -jnp.abs(x - loc) / scale - jnp.log(scale) - math.log(2)


def laplace_sample(key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the Laplace distribution."""
    return loc + scale * jax.random.laplace(key, shape, dtype)


def laplace_mean(loc: Real, scale: Real) -> Real:
    """Expectation of the Laplace distribution."""
    return loc


def laplace_variance(loc: Real, scale: Real) -> Real:
    """Variance of the Laplace distribution."""
    return 2 * scale * scale


def student_t_log_prob(x: Array, df: Real, loc: Real, scale: Real) -> Array:
    """Log density of Student's t; its factor 1 / (sqrt(df) B(df / 2, 1 / 2)) keeps its digits for large `df`."""
    z = (x - loc) / scale
    normalizer = log_beta(0.5 * df, 0.5) + 0.5 * jnp.log(df)
    return -0.5 * (df + 1) * log1p_square(z / jnp.sqrt(df)) - normalizer - jnp.log(scale)


def student_t_sample(
    key: Array, df: Real, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from Student's t; differentiable in `df` through the gamma draw's implicit gradient."""
    return loc + scale * jax.random.t(key, df, shape, dtype)


def student_t_mean(df: Real, loc: Real, scale: Real) -> Array:
    """Expectation of Student's t; NaN up to one degree of freedom."""
    return jnp.where(df > 1, loc, jnp.nan)


def student_t_variance(df: Real, loc: Real, scale: Real) -> Array:
    """Variance of Student's t: infinite up to two degrees of freedom, NaN up to one."""
    finite = scale * scale * df / jnp.where(df > 2, df - 2, 1)
    return jnp.where(df > 2, finite, jnp.where(df > 1, jnp.inf, jnp.nan))


def cauchy_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the Cauchy distribution."""
    return -log1p_square((x - loc) / scale) - jnp.log(scale) - math.log(math.pi)


def cauchy_sample(key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the Cauchy distribution."""
    return loc + scale * jax.random.cauchy(key, shape, dtype)


def logistic_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the logistic distribution, which is symmetric: only |z| enters, so nothing overflows."""
    z = jnp.abs(x - loc) / scale
    return -z - 2 * jnp.log1p(jnp.exp(-z)) - jnp.log(scale)


def logistic_sample(
    key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the logistic distribution."""
    return loc + scale * jax.random.logistic(key, shape, dtype)


def logistic_mean(loc: Real, scale: Real) -> Real:
    """Expectation of the logistic distribution."""
    return loc


def logistic_variance(loc: Real, scale: Real) -> Real:
    """Variance of the logistic distribution."""
    return scale * scale * (math.pi**2 / 3)


def gumbel_log_prob(x: Array, loc: Real, scale: Real) -> Array:
    """Log density of the Gumbel distribution of maxima."""
    z = (x - loc) / scale
    return -(z + jnp.exp(-z)) - jnp.log(scale)


def gumbel_sample(key: Array, loc: Real, scale: Real, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A draw from the Gumbel distribution of maxima."""
    return loc + scale * jax.random.gumbel(key, shape, dtype)


def gumbel_mean(loc: Real, scale: Real) -> Real:
    """Expectation of the Gumbel distribution."""
    return loc + EULER_GAMMA * scale


def gumbel_variance(loc: Real, scale: Real) -> Real:
    """Variance of the Gumbel distribution."""
    return scale * scale * (math.pi**2 / 6)
