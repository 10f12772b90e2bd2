"""Maps from raw (unconstrained) parameters into the spaces their values live in, and back.

Each pair inverts: `from_X(to_X(x)) == x` up to rounding. May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.special import softplus


def to_positive(x: Array) -> Array:
    """The real line onto the positive numbers."""
    return softplus(x)


def from_positive(y: Array) -> Array:
    """The inverse of `to_positive`, log(e^y - 1), which neither overflows nor cancels in this form."""
    return y + jnp.log(-jnp.expm1(-y))


def to_unit_interval(x: Array) -> Array:
    """The real line onto (0, 1)."""
    return jax.nn.sigmoid(x)


def from_unit_interval(y: Array) -> Array:
    """The inverse of `to_unit_interval`."""
    return jnp.log(y) - jnp.log1p(-y)


def to_interval(x: Array, low: float, high: float) -> Array:
    """The real line onto (low, high)."""
    return low + (high - low) * jax.nn.sigmoid(x)


def from_interval(y: Array, low: float, high: float) -> Array:
    """The inverse of `to_interval`."""
    return jnp.log(y - low) - jnp.log(high - y)


def to_simplex(x: Array) -> Array:
    """Vectors onto the probability vectors; adding a number to all of x changes nothing."""
    return jax.nn.softmax(x, axis=-1)


def from_simplex(y: Array) -> Array:
    """One of the vectors that `to_simplex` takes to y."""
    return jnp.log(y)


def to_lower_cholesky(x: Array) -> Array:
    """Square matrices onto the lower triangular ones with positive diagonal; entries above the diagonal are ignored."""
    diagonal = softplus(jnp.diagonal(x, axis1=-2, axis2=-1))
    return jnp.tril(x, -1) + diagonal[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype)


def from_lower_cholesky(y: Array) -> Array:
    """The lower triangular matrix that `to_lower_cholesky` takes to y."""
    diagonal = from_positive(jnp.diagonal(y, axis1=-2, axis2=-1))
    return jnp.tril(y, -1) + diagonal[..., None] * jnp.eye(y.shape[-1], dtype=y.dtype)
