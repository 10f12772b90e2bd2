"""Closed-form Kullback-Leibler divergences KL(q || p) of Gaussians with structure.

Each takes q's parameters, then p's. Against independent Gaussians of any location and scale an element, only q's
marginal variances v and its log-determinant count:

    KL = sum_i (v_i / s_i^2 + (m_i - l_i)^2 / s_i^2 - 1) / 2 - log(d_i / s_i),    prod d_i^2 = det of q's covariance

for any d with that product; terms are paired element by element, so that little cancels. Sizes as in `structured`.
May import: jax, the standard library, `special`, `multivariate`, `structured`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.multivariate import (
    log_diagonal,
    multivariate_normal_variance,
    triangular_solve,
)
from bl_compiler.backends.jax.runtime.special import Real
from bl_compiler.backends.jax.runtime.structured import (
    low_rank_capacitance,
    low_rank_half_log_det,
    low_rank_multivariate_normal_variance,
    low_rank_square,
    matrix_normal_variance,
    transposed,
)


def gaussian_excess(mean: Array, variance: Array, root: Array, loc: Real, scale: Real) -> Array:
    """The term of one element, with its share `root` of the root of q's determinant."""
    shift = (mean - loc) / scale
    return 0.5 * (variance / (scale * scale) + shift * shift - 1) - jnp.log(root / scale)


def kl_multivariate_normal_normal(q_loc: Array, q_tril: Array, p_loc: Real, p_scale: Real) -> Array:
    """KL(MultivariateNormal || independent Normals)."""
    variance = multivariate_normal_variance(q_loc, q_tril)
    root = jnp.diagonal(q_tril, axis1=-2, axis2=-1)
    return jnp.sum(gaussian_excess(q_loc, variance, root, p_loc, p_scale), axis=-1)


def kl_low_rank_multivariate_normal_normal(
    q_loc: Array, q_factor: Array, q_diag: Array, p_loc: Real, p_scale: Real
) -> Array:
    """KL(LowRankMultivariateNormal || independent Normals)."""
    _, capacitance = low_rank_capacitance(q_factor, q_diag)
    variance = low_rank_multivariate_normal_variance(q_loc, q_factor, q_diag)
    terms = gaussian_excess(q_loc, variance, jnp.sqrt(q_diag), p_loc, p_scale)
    return jnp.sum(terms, axis=-1) - log_diagonal(capacitance)


def kl_matrix_normal_normal(q_loc: Array, q_row: Array, q_column: Array, p_loc: Real, p_scale: Real) -> Array:
    """KL(MatrixNormal || independent Normals): tr(Sp^-1 (U x V)) is sum_ij U_ii V_jj / s_ij^2."""
    variance = matrix_normal_variance(q_loc, q_row, q_column)
    rows, columns = (jnp.diagonal(tril, axis1=-2, axis2=-1) for tril in (q_row, q_column))
    root = rows[..., :, None] * columns[..., None, :]
    return jnp.sum(gaussian_excess(q_loc, variance, root, p_loc, p_scale), axis=(-2, -1))


def event_shift(q_loc: Array, p_loc: Array, event: tuple[int, ...]) -> Array:
    """The difference of two locations over the whole event."""
    shift = q_loc - p_loc
    return jnp.broadcast_to(shift, (*shift.shape[: shift.ndim - len(event)], *event))


def kl_matrix_normal_matrix_normal(
    q_loc: Array, q_row: Array, q_column: Array, p_loc: Array, p_row: Array, p_column: Array
) -> Array:
    """KL(MatrixNormal || MatrixNormal): the trace of a Kronecker product is the product of the traces."""
    rows, columns = q_row.shape[-1], q_column.shape[-1]
    over_rows, over_columns = triangular_solve(p_row, q_row), triangular_solve(p_column, q_column)
    traces = jnp.sum(over_rows * over_rows, axis=(-2, -1)) * jnp.sum(over_columns * over_columns, axis=(-2, -1))
    half = triangular_solve(p_row, event_shift(q_loc, p_loc, (rows, columns)))
    shift = triangular_solve(p_column, transposed(half))
    squares = traces + jnp.sum(shift * shift, axis=(-2, -1)) - rows * columns
    logs = columns * (log_diagonal(p_row) - log_diagonal(q_row))
    return 0.5 * squares + logs + rows * (log_diagonal(p_column) - log_diagonal(q_column))


def kl_low_rank_multivariate_normal_multivariate_normal(
    q_loc: Array, q_factor: Array, q_diag: Array, p_loc: Array, p_tril: Array
) -> Array:
    """KL(LowRankMultivariateNormal || MultivariateNormal)."""
    size = p_tril.shape[-1]
    factor = triangular_solve(p_tril, q_factor)
    rest = triangular_solve(p_tril, jnp.sqrt(q_diag)[..., None] * jnp.eye(size, dtype=q_diag.dtype))
    shift = triangular_solve(p_tril, event_shift(q_loc, p_loc, (size,))[..., None])
    squares = [jnp.sum(x * x, axis=(-2, -1)) for x in (factor, rest, shift)]
    log_det = low_rank_half_log_det(q_diag, *low_rank_capacitance(q_factor, q_diag))
    return 0.5 * (squares[0] + squares[1] + squares[2] - size) + log_diagonal(p_tril) - log_det


def kl_multivariate_normal_low_rank_multivariate_normal(
    q_loc: Array, q_tril: Array, p_loc: Array, p_factor: Array, p_diag: Array
) -> Array:
    """KL(MultivariateNormal || LowRankMultivariateNormal)."""
    size = q_tril.shape[-1]
    scaled, capacitance = low_rank_capacitance(p_factor, p_diag)
    root = jnp.sqrt(p_diag)[..., None]
    shift = event_shift(q_loc, p_loc, (size,))[..., None]
    squares = low_rank_square(scaled, capacitance, q_tril / root) + low_rank_square(scaled, capacitance, shift / root)
    return 0.5 * (squares - size) + low_rank_half_log_det(p_diag, scaled, capacitance) - log_diagonal(q_tril)


def kl_low_rank_multivariate_normal_low_rank_multivariate_normal(
    q_loc: Array, q_factor: Array, q_diag: Array, p_loc: Array, p_factor: Array, p_diag: Array
) -> Array:
    """KL(LowRankMultivariateNormal || LowRankMultivariateNormal)."""
    size = q_factor.shape[-2]
    scaled, capacitance = low_rank_capacitance(p_factor, p_diag)
    root = jnp.sqrt(p_diag)[..., None]
    shift = event_shift(q_loc, p_loc, (size,))[..., None]
    squares = low_rank_square(scaled, capacitance, q_factor / root) + low_rank_square(scaled, capacitance, shift / root)
    # The diagonal of D^(1/2) p's precision D^(1/2), which lies between 0 and 1.
    inner = triangular_solve(capacitance, transposed(scaled))
    squares = squares + jnp.sum(q_diag / p_diag * (1 - jnp.sum(inner * inner, axis=-2)), axis=-1)
    log_det = low_rank_half_log_det(q_diag, *low_rank_capacitance(q_factor, q_diag))
    return 0.5 * (squares - size) + low_rank_half_log_det(p_diag, scaled, capacitance) - log_det
