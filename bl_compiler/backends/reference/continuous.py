"""Scalar continuous families, by scipy.stats.

Invariant: each class translates the IR's parameters to scipy's, so densities, draws and moments are scipy's; what
differs from scipy is stated where it does. May import: floors 0-1, numpy, scipy, `distributions`, `values`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from bl_compiler.backends.reference.distributions import Parametric, Shape
from bl_compiler.backends.reference.values import Array, FloatArray


class Frozen(Protocol):
    """What is used of a frozen scipy distribution."""

    def logpdf(self, x: Array) -> FloatArray:
        """Log density."""

    def rvs(self, size: Shape, random_state: np.random.Generator) -> FloatArray:
        """Draws."""

    def mean(self) -> FloatArray:
        """Expectation."""

    def var(self) -> FloatArray:
        """Variance."""


@dataclass(frozen=True, eq=False)
class Continuous(Parametric):
    """A scalar family that scipy has."""

    @abstractmethod
    def scipy(self) -> Frozen:
        """Scipy's distribution of the same law."""

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        return np.asarray(self.scipy().logpdf(x))

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return np.asarray(self.scipy().rvs(size=shape + self.batch_shape, random_state=rng))

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.broadcast_to(self.scipy().mean(), self.batch_shape)

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.broadcast_to(self.scipy().var(), self.batch_shape)


@dataclass(frozen=True, eq=False)
class LocationScale(Continuous):
    """A family moved by `loc` and stretched by `scale`."""

    loc: FloatArray
    scale: FloatArray


class Normal(LocationScale):
    """Gaussian."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.norm(self.loc, self.scale)
        return frozen


class Laplace(LocationScale):
    """Double exponential."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.laplace(self.loc, self.scale)
        return frozen

    def log_prob(self, x: Array) -> FloatArray:
        """Scipy takes the logarithm of the density, which is 0 in floating point beyond 745 scales."""
        return np.asarray(-np.abs(x - self.loc) / self.scale - np.log(2 * self.scale))


class Cauchy(LocationScale):
    """Cauchy; it has no moments."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.cauchy(self.loc, self.scale)
        return frozen


class Logistic(LocationScale):
    """Logistic."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.logistic(self.loc, self.scale)
        return frozen


class Gumbel(LocationScale):
    """Gumbel, of maxima."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.gumbel_r(self.loc, self.scale)
        return frozen


class LogNormal(LocationScale):
    """Exponential of a Gaussian with this location and scale."""

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.lognorm(self.scale, scale=np.exp(self.loc))
        return frozen


@dataclass(frozen=True, eq=False)
class StudentT(Continuous):
    """Student's t."""

    df: FloatArray
    loc: FloatArray
    scale: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.t(self.df, self.loc, self.scale)
        return frozen

    def mean(self) -> FloatArray:
        """Scipy says infinity for one degree of freedom and fewer, where the mean does not exist."""
        return np.where(self.df > 1, self.loc, np.nan)


@dataclass(frozen=True, eq=False)
class HalfNormal(Continuous):
    """Absolute value of a centered Gaussian."""

    scale: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.halfnorm(scale=self.scale)
        return frozen


@dataclass(frozen=True, eq=False)
class HalfCauchy(Continuous):
    """Absolute value of a centered Cauchy; its moments are infinite."""

    scale: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.halfcauchy(scale=self.scale)
        return frozen


@dataclass(frozen=True, eq=False)
class Exponential(Continuous):
    """Exponential."""

    rate: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.expon(scale=1 / self.rate)
        return frozen


@dataclass(frozen=True, eq=False)
class Gamma(Continuous):
    """Gamma."""

    concentration: FloatArray
    rate: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.gamma(self.concentration, scale=1 / self.rate)
        return frozen


@dataclass(frozen=True, eq=False)
class InverseGamma(Continuous):
    """Reciprocal of a gamma; `rate` is that gamma's, and so the scale of this one."""

    concentration: FloatArray
    rate: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.invgamma(self.concentration, scale=self.rate)
        return frozen


@dataclass(frozen=True, eq=False)
class Beta(Continuous):
    """Beta: density proportional to x^(concentration1 - 1) (1 - x)^(concentration0 - 1)."""

    concentration1: FloatArray
    concentration0: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.beta(self.concentration1, self.concentration0)
        return frozen


@dataclass(frozen=True, eq=False)
class Uniform(Continuous):
    """Uniform on [low, high)."""

    low: FloatArray
    high: FloatArray

    def scipy(self) -> Frozen:
        """See `Continuous.scipy`."""
        frozen: Frozen = stats.uniform(self.low, self.high - self.low)
        return frozen

    def log_prob(self, x: Array) -> FloatArray:
        """Scipy's interval is closed; the half-open one has no density at `high`."""
        inside = (x >= self.low) & (x < self.high)
        return np.where(inside, -np.log(self.high - self.low), -np.inf)
