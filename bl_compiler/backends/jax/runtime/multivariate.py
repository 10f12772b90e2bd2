"""The Gaussian vector, by the Cholesky factor of its covariance, and the triangular solves it shares with `linalg` ops.

May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bl_compiler.backends.jax.runtime.special import HALF_LOG_2PI


def triangular_solve(a: Array, b: Array, *, lower: bool = True, transpose: bool = False) -> Array:
    """Solve a x = b (a^T x = b if `transpose`), over broadcast leading axes.

    One matrix for a whole batch of right-hand sides is one solve with many columns, not a batch of solves.
    """
    if a.ndim == 2 and b.ndim > 2:
        columns = jnp.moveaxis(b, -2, 0)
        flat = columns.reshape(columns.shape[0], -1)
        solved = triangular_solve(a, flat, lower=lower, transpose=transpose)
        return jnp.moveaxis(solved.reshape(columns.shape), 0, -2)
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = jnp.broadcast_to(a, (*batch, *a.shape[-2:]))
    b = jnp.broadcast_to(b, (*batch, *b.shape[-2:]))
    return jax.lax.linalg.triangular_solve(a, b, left_side=True, lower=lower, transpose_a=transpose)


def log_diagonal(scale_tril: Array) -> Array:
    """Sum of the logarithms of the diagonal: half the log-determinant of the covariance."""
    return jnp.sum(jnp.log(jnp.diagonal(scale_tril, axis1=-2, axis2=-1)), axis=-1)


def multivariate_normal_log_prob(x: Array, loc: Array, scale_tril: Array) -> Array:
    """Log density of the Gaussian vector."""
    z = triangular_solve(scale_tril, (x - loc)[..., None])[..., 0]
    return -0.5 * jnp.sum(z * z, axis=-1) - log_diagonal(scale_tril) - x.shape[-1] * HALF_LOG_2PI


def multivariate_normal_sample(
    key: Array, loc: Array, scale_tril: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw from the Gaussian vector."""
    noise = jax.random.normal(key, shape, dtype)
    if scale_tril.ndim == 2:
        flat = noise.reshape(-1, shape[-1])
        return loc + (flat @ scale_tril.T).reshape(shape)
    return loc + jnp.squeeze(scale_tril @ noise[..., None], axis=-1)


def multivariate_normal_mean(loc: Array, scale_tril: Array) -> Array:
    """Expectation of the Gaussian vector."""
    return loc


def multivariate_normal_variance(loc: Array, scale_tril: Array) -> Array:
    """Variance of each component of the Gaussian vector."""
    return jnp.sum(scale_tril * scale_tril, axis=-1)
