"""Gaussians whose covariance has structure: low rank plus diagonal, and a Kronecker product over rows and columns.

Invariant: nothing here forms the covariance of all elements: with n elements and rank k, costs are n k^2; with r rows
and c columns, r^2 c + r c^2. May import: jax, the standard library, `special`, `multivariate`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bl_compiler.backends.jax.runtime.multivariate import log_diagonal, triangular_solve
from bl_compiler.backends.jax.runtime.special import HALF_LOG_2PI


def transposed(x: Array) -> Array:
    """The last two axes exchanged."""
    return jnp.swapaxes(x, -1, -2)


def low_rank_capacitance(cov_factor: Array, cov_diag: Array) -> tuple[Array, Array]:
    """S = D^(-1/2) F [n, k] and the Cholesky factor of I + S^T S [k, k], of the covariance F F^T + D."""
    scaled = cov_factor / jnp.sqrt(cov_diag)[..., None]
    gram = transposed(scaled) @ scaled
    return scaled, jnp.linalg.cholesky(gram + jnp.eye(gram.shape[-1], dtype=gram.dtype))


def low_rank_square(scaled: Array, capacitance: Array, columns: Array) -> Array:
    """Sum over the columns x [n, m] of x^T (I + S S^T)^-1 x.

    With s = (I + S^T S)^-1 S^T x and u = x - S s = (I + S S^T)^-1 x (Woodbury), that is |u|^2 + |s|^2, in which
    nothing cancels; in the usual |x|^2 - |L^-1 S^T x|^2 most does, where the factor is large against the diagonal.
    """
    halfway = triangular_solve(capacitance, transposed(scaled) @ columns)
    within = triangular_solve(capacitance, halfway, transpose=True)
    rest = columns - scaled @ within
    return jnp.sum(rest * rest, axis=(-2, -1)) + jnp.sum(within * within, axis=(-2, -1))


def low_rank_half_log_det(cov_diag: Array, scaled: Array, capacitance: Array) -> Array:
    """Half the log-determinant of the covariance, by the matrix determinant lemma."""
    # The mean, as one number may stand for the whole diagonal.
    return 0.5 * scaled.shape[-2] * jnp.mean(jnp.log(cov_diag), axis=-1) + log_diagonal(capacitance)


def low_rank_multivariate_normal_log_prob(x: Array, loc: Array, cov_factor: Array, cov_diag: Array) -> Array:
    """Log density of the Gaussian vector with covariance F F^T + D."""
    scaled, capacitance = low_rank_capacitance(cov_factor, cov_diag)
    z = ((x - loc) / jnp.sqrt(cov_diag))[..., None]
    square = low_rank_square(scaled, capacitance, z)
    return -0.5 * square - low_rank_half_log_det(cov_diag, scaled, capacitance) - x.shape[-1] * HALF_LOG_2PI


def low_rank_multivariate_normal_sample(
    key: Array, loc: Array, cov_factor: Array, cov_diag: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Array:
    """A draw: F times k normals and D^(1/2) times n others."""
    inner = jax.random.normal(jax.random.fold_in(key, 0), (*shape[:-1], cov_factor.shape[-1]), dtype)
    outer = jax.random.normal(jax.random.fold_in(key, 1), shape, dtype)
    return loc + jnp.squeeze(cov_factor @ inner[..., None], axis=-1) + jnp.sqrt(cov_diag) * outer


def low_rank_multivariate_normal_mean(loc: Array, cov_factor: Array, cov_diag: Array) -> Array:
    """Expectation of the Gaussian vector."""
    return loc


def low_rank_multivariate_normal_variance(loc: Array, cov_factor: Array, cov_diag: Array) -> Array:
    """Variance of each component of the Gaussian vector."""
    return jnp.sum(cov_factor * cov_factor, axis=-1) + cov_diag


def matrix_normal_log_prob(x: Array, loc: Array, scale_tril_row: Array, scale_tril_column: Array) -> Array:
    """Log density of the Gaussian matrix M + A Z B^T (Gupta and Nagar 1999, theorem 2.2.1), A over rows."""
    rows, columns = scale_tril_row.shape[-1], scale_tril_column.shape[-1]
    half = triangular_solve(scale_tril_row, x - loc)
    z = triangular_solve(scale_tril_column, transposed(half))
    half_log_det = columns * log_diagonal(scale_tril_row) + rows * log_diagonal(scale_tril_column)
    return -0.5 * jnp.sum(z * z, axis=(-2, -1)) - half_log_det - rows * columns * HALF_LOG_2PI


def matrix_normal_sample(
    key: Array,
    loc: Array,
    scale_tril_row: Array,
    scale_tril_column: Array,
    shape: tuple[int, ...],
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """A draw from the Gaussian matrix."""
    noise = jax.random.normal(key, shape, dtype)
    return loc + scale_tril_row @ noise @ transposed(scale_tril_column)


def matrix_normal_mean(loc: Array, scale_tril_row: Array, scale_tril_column: Array) -> Array:
    """Expectation of the Gaussian matrix."""
    return loc


def matrix_normal_variance(loc: Array, scale_tril_row: Array, scale_tril_column: Array) -> Array:
    """Variance of each element of the Gaussian matrix."""
    rows = jnp.sum(scale_tril_row * scale_tril_row, axis=-1)
    columns = jnp.sum(scale_tril_column * scale_tril_column, axis=-1)
    return rows[..., :, None] * columns[..., None, :]
