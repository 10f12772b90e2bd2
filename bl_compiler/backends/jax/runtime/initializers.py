"""Initial values of parameters, by the generators of `ir/initializers.py`.

Invariant: `init_NAME(key, *arguments, shape, dtype)` for every generator, whether or not it uses the key.
May import: jax, the standard library.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def init_constant(key: Array, value: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """The same number everywhere."""
    return jnp.full(shape, value, dtype)


def init_normal(
    key: Array, mean: float, stddev: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Independent Gaussians."""
    return mean + stddev * jax.random.normal(key, shape, dtype)


def init_truncated_normal(
    key: Array, mean: float, stddev: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """Gaussians cut at two standard deviations; `stddev` is that of the uncut Gaussian."""
    return mean + stddev * jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)


def init_uniform(key: Array, low: float, high: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Independent uniforms."""
    return jax.random.uniform(key, shape, dtype, minval=low, maxval=high)


def init_orthogonal(key: Array, scale: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """A random orthogonal matrix over the last axis and the others flattened (Saxe, McClelland and Ganguli 2014).

    The QR decomposition of a Gaussian matrix, with the signs that make it uniformly distributed (Mezzadri 2007).
    """
    columns = shape[-1]
    rows = math.prod(shape[:-1])
    noise = jax.random.normal(key, (max(rows, columns), min(rows, columns)), jnp.float32)
    basis, triangle = jnp.linalg.qr(noise)
    basis = basis * jnp.where(jnp.diagonal(triangle) < 0, -1.0, 1.0)
    return (scale * (basis if rows >= columns else basis.T)).reshape(shape).astype(dtype)


def init_identity(key: Array, scale: float, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """The identity matrix over the last two axes times `scale`."""
    return jnp.broadcast_to(scale * jnp.eye(shape[-2], shape[-1], dtype=dtype), shape)
