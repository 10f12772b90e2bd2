"""Families over vectors: Gaussian, Dirichlet, multinomial, one-hot; and the table of all families.

Invariant: the last axis is the event. May import: floors 0-1, numpy, scipy, `distributions`, `continuous`, `discrete`,
`gaussians`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from bl_compiler.backends.reference import continuous, discrete
from bl_compiler.backends.reference.discrete import times, whole
from bl_compiler.backends.reference.distributions import Parametric, Shape, draw_category, log_softmax
from bl_compiler.backends.reference.gaussians import LowRankMultivariateNormal, MatrixNormal
from bl_compiler.backends.reference.values import Array, FloatArray

_SIMPLEX_TOLERANCE = 1e-4
"""How far the sum of a float32 probability vector may stray from 1."""


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Parametric):
    """Gaussian vector with covariance `scale_tril @ scale_tril.T`."""

    loc: FloatArray
    scale_tril: FloatArray

    def covariance(self) -> FloatArray:
        """The covariance [..., n, n]."""
        factor = np.tril(self.scale_tril)
        return np.asarray(factor @ factor.swapaxes(-1, -2))

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`; the factor goes to a general solver, as the covariance is worse conditioned."""
        offset = x - self.loc
        base = np.linalg.solve(np.tril(self.scale_tril), offset[..., None])[..., 0]
        logs = np.log(np.diagonal(self.scale_tril, axis1=-2, axis2=-1)) + np.log(2 * np.pi) / 2
        return np.asarray(-(base**2).sum(-1) / 2 - logs.sum(-1))

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        base = rng.standard_normal((*shape, *self.shape, 1))
        return np.asarray(self.loc + (np.tril(self.scale_tril) @ base)[..., 0])

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.loc

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray((np.tril(self.scale_tril) ** 2).sum(-1))


@dataclass(frozen=True, eq=False)
class Dirichlet(Parametric):
    """Dirichlet."""

    concentration: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """Log density with respect to all coordinates but one."""
        a = self.concentration
        normalizer = special.gammaln(a).sum(-1) - special.gammaln(a.sum(-1))
        valid = (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) <= _SIMPLEX_TOLERANCE)
        inside = np.where(valid[..., None], x, 1.0)
        return np.where(valid, special.xlogy(a - 1, inside).sum(-1) - normalizer, -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """Scaled gammas in logarithms: Gamma(a) = Gamma(a + 1) U^(1/a), as small ones underflow."""
        a, full = self.concentration, shape + self.shape
        logs = np.log(rng.gamma(a + 1, size=full)) + np.log1p(-rng.random(full)) / a
        return np.exp(log_softmax(logs))

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.asarray(self.concentration / self.concentration.sum(-1, keepdims=True))

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(self.mean() * (1 - self.mean()) / (1 + self.concentration.sum(-1, keepdims=True)))


@dataclass(frozen=True, eq=False)
class OneHotCategorical(Parametric):
    """A vector with a single 1."""

    logits: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """Log mass; on the simplex its linear interpolation, the cross-entropy that soft labels are trained with."""
        valid = (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) <= _SIMPLEX_TOLERANCE)
        return np.where(valid, times(x, log_softmax(self.logits)).sum(-1), -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return np.eye(self.logits.shape[-1], dtype=np.int64)[draw_category(rng, self.logits, shape)]

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.exp(log_softmax(self.logits))

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(self.mean() * (1 - self.mean()))


@dataclass(frozen=True, eq=False)
class Multinomial(Parametric):
    """Counts of classes in `total_count` trials."""

    logits: FloatArray
    total_count: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        n = self.total_count
        valid = whole(x).all(-1) & (x.sum(-1) == n)
        k = np.where(valid[..., None], x, 0)
        ways = special.gammaln(n + 1) - special.gammaln(k + 1).sum(-1)
        return np.where(valid, ways + times(k, log_softmax(self.logits)).sum(-1), -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        count = self.total_count.astype(np.int64)
        return np.asarray(rng.multinomial(count, self._probs(), shape + self.batch_shape), np.int64)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.asarray(self.total_count[..., None] * self._probs())

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(self.mean() * (1 - self._probs()))

    def _probs(self) -> FloatArray:
        return np.exp(log_softmax(self.logits))


RUNTIME_FAMILIES: Mapping[str, type[Parametric]] = {
    family.__name__: family
    for family in (
        continuous.Normal,
        continuous.Laplace,
        continuous.StudentT,
        continuous.Cauchy,
        continuous.Logistic,
        continuous.Gumbel,
        continuous.HalfNormal,
        continuous.HalfCauchy,
        continuous.LogNormal,
        continuous.Exponential,
        continuous.Gamma,
        continuous.InverseGamma,
        continuous.Beta,
        continuous.Uniform,
        Dirichlet,
        MultivariateNormal,
        LowRankMultivariateNormal,
        MatrixNormal,
        discrete.Bernoulli,
        discrete.Categorical,
        OneHotCategorical,
        discrete.Binomial,
        Multinomial,
        discrete.Poisson,
        discrete.NegativeBinomial,
    )
}
"""Run-time classes by family name."""
