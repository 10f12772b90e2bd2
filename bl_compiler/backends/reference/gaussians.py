"""Gaussians whose covariance has structure, computed without using it: every covariance is formed densely.

Invariant: elements are in the order of memory, the last index fastest. May import: floors 0-1, numpy, `distributions`,
`values`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bl_compiler.backends.reference.distributions import Parametric, Shape
from bl_compiler.backends.reference.values import Array, FloatArray


def gaussian_log_density(offset: FloatArray, covariance: FloatArray) -> FloatArray:
    """Log density of a centered Gaussian vector at `offset` [..., n], by its covariance [..., n, n]."""
    solved = np.linalg.solve(covariance, offset[..., None])[..., 0]
    _, log_det = np.linalg.slogdet(covariance)
    return np.asarray(-((offset * solved).sum(-1) + log_det + offset.shape[-1] * np.log(2 * np.pi)) / 2)


def gaussian_kl(q_mean: FloatArray, q_cov: FloatArray, p_mean: FloatArray, p_cov: FloatArray) -> FloatArray:
    """KL between Gaussian vectors by their means [..., n] and covariances [..., n, n]."""
    offset = (q_mean - p_mean)[..., None]
    trace = np.trace(np.linalg.solve(p_cov, q_cov), axis1=-2, axis2=-1)
    distance = (offset * np.linalg.solve(p_cov, offset)).sum((-2, -1))
    logs = np.linalg.slogdet(p_cov)[1] - np.linalg.slogdet(q_cov)[1]
    return np.asarray((trace + distance - q_mean.shape[-1] + logs) / 2)


@dataclass(frozen=True, eq=False)
class LowRankMultivariateNormal(Parametric):
    """Gaussian vector with covariance `cov_factor @ cov_factor.T + diag(cov_diag)`."""

    loc: FloatArray
    cov_factor: FloatArray
    cov_diag: FloatArray

    def covariance(self) -> FloatArray:
        """The covariance [..., n, n]."""
        diagonal = self.cov_diag[..., None] * np.eye(self.cov_diag.shape[-1])
        return np.asarray(self.cov_factor @ self.cov_factor.swapaxes(-1, -2) + diagonal)

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        return gaussian_log_density(x - self.loc, self.covariance())

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        inner = rng.standard_normal((*shape, *self.batch_shape, self.cov_factor.shape[-1], 1))
        outer = rng.standard_normal((*shape, *self.shape))
        return np.asarray(self.loc + (self.cov_factor @ inner)[..., 0] + np.sqrt(self.cov_diag) * outer)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.loc

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(np.diagonal(self.covariance(), axis1=-2, axis2=-1))


@dataclass(frozen=True, eq=False)
class MatrixNormal(Parametric):
    """Gaussian matrix `loc + A Z B^T` with Z standard, A the factor over rows and B that over columns."""

    loc: FloatArray
    scale_tril_row: FloatArray
    scale_tril_column: FloatArray

    def covariance(self) -> FloatArray:
        """The covariance [..., r c, r c] of the elements, row by row: the Kronecker product of U and V."""
        row, column = np.tril(self.scale_tril_row), np.tril(self.scale_tril_column)
        u, v = row @ row.swapaxes(-1, -2), column @ column.swapaxes(-1, -2)
        product = u[..., :, None, :, None] * v[..., None, :, None, :]
        size = u.shape[-1] * v.shape[-1]
        return np.asarray(product.reshape(*self.batch_shape, size, size))

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        offset = x - self.loc
        return gaussian_log_density(offset.reshape(*offset.shape[:-2], -1), self.covariance())

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        base = rng.standard_normal((*shape, *self.shape))
        return np.asarray(
            self.loc + np.tril(self.scale_tril_row) @ base @ np.tril(self.scale_tril_column).swapaxes(-1, -2)
        )

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.loc

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(np.diagonal(self.covariance(), axis1=-2, axis2=-1).reshape(self.shape))
