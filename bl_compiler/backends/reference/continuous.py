"""Scalar continuous families, by scipy.stats.

Invariant: each class translates the IR's parameters to scipy's, so densities, draws and moments are scipy's; what
differs from scipy is stated where it does. May import: floors 0-1, numpy, scipy, `distributions`, `values`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy import stats

from bl_compiler.backends.reference.distributions import Parametric, Shape
from bl_compiler.backends.reference.values import Array, FloatArray


class ScipyLaw(Protocol):
    """What is used of scipy's families; frozen ones are not, as making one takes longer than all they do here."""

    def logpdf(self, x: Array, **arguments: FloatArray) -> FloatArray:
        """Log density."""

    def rvs(self, *, size: Shape, random_state: np.random.Generator, **arguments: FloatArray) -> FloatArray:
        """Draws."""

    def mean(self, **arguments: FloatArray) -> FloatArray:
        """Expectation."""

    def var(self, **arguments: FloatArray) -> FloatArray:
        """Variance."""


@dataclass(frozen=True, eq=False)
class Continuous(Parametric):
    """A scalar family that scipy has.

    Attributes:
        scipy: scipy's family.
    """

    scipy: ClassVar[ScipyLaw]

    @abstractmethod
    def arguments(self) -> dict[str, FloatArray]:
        """The parameters of scipy's family."""

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        return np.asarray(self.scipy.logpdf(x, **self.arguments()))

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return np.asarray(self.scipy.rvs(size=shape + self.batch_shape, random_state=rng, **self.arguments()))

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.broadcast_to(self.scipy.mean(**self.arguments()), self.batch_shape)

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.broadcast_to(self.scipy.var(**self.arguments()), self.batch_shape)


@dataclass(frozen=True, eq=False)
class LocationScale(Continuous):
    """A family moved by `loc` and stretched by `scale`, as scipy's are."""

    loc: FloatArray
    scale: FloatArray

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"loc": self.loc, "scale": self.scale}


class Normal(LocationScale):
    """Gaussian."""

    scipy = stats.norm


class Laplace(LocationScale):
    """Double exponential."""

    scipy = stats.laplace

    def log_prob(self, x: Array) -> FloatArray:
        """Scipy takes the logarithm of the density, which is 0 in floating point beyond 745 scales."""
        return np.asarray(-np.abs(x - self.loc) / self.scale - np.log(2 * self.scale))


class Cauchy(LocationScale):
    """Cauchy; it has no moments."""

    scipy = stats.cauchy


class Logistic(LocationScale):
    """Logistic."""

    scipy = stats.logistic


class Gumbel(LocationScale):
    """Gumbel, of maxima."""

    scipy = stats.gumbel_r


@dataclass(frozen=True, eq=False)
class LogNormal(Continuous):
    """Exponential of a Gaussian with this location and scale."""

    loc: FloatArray
    scale: FloatArray
    scipy = stats.lognorm

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"s": self.scale, "scale": np.exp(self.loc)}


@dataclass(frozen=True, eq=False)
class StudentT(Continuous):
    """Student's t."""

    df: FloatArray
    loc: FloatArray
    scale: FloatArray
    scipy = stats.t

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"df": self.df, "loc": self.loc, "scale": self.scale}

    def mean(self) -> FloatArray:
        """Scipy says infinity for one degree of freedom and fewer, where the mean does not exist."""
        return np.where(self.df > 1, self.loc, np.nan)


@dataclass(frozen=True, eq=False)
class HalfNormal(Continuous):
    """Absolute value of a centered Gaussian."""

    scale: FloatArray
    scipy = stats.halfnorm

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"scale": self.scale}


@dataclass(frozen=True, eq=False)
class HalfCauchy(Continuous):
    """Absolute value of a centered Cauchy; its moments are infinite."""

    scale: FloatArray
    scipy = stats.halfcauchy

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"scale": self.scale}


@dataclass(frozen=True, eq=False)
class Exponential(Continuous):
    """Exponential."""

    rate: FloatArray
    scipy = stats.expon

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"scale": 1 / self.rate}


@dataclass(frozen=True, eq=False)
class Gamma(Continuous):
    """Gamma."""

    concentration: FloatArray
    rate: FloatArray
    scipy = stats.gamma

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"a": self.concentration, "scale": 1 / self.rate}


@dataclass(frozen=True, eq=False)
class InverseGamma(Continuous):
    """Reciprocal of a gamma; `rate` is that gamma's, and so the scale of this one."""

    concentration: FloatArray
    rate: FloatArray
    scipy = stats.invgamma

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"a": self.concentration, "scale": self.rate}


@dataclass(frozen=True, eq=False)
class Beta(Continuous):
    """Beta: density proportional to x^(concentration1 - 1) (1 - x)^(concentration0 - 1)."""

    concentration1: FloatArray
    concentration0: FloatArray
    scipy = stats.beta

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"a": self.concentration1, "b": self.concentration0}


@dataclass(frozen=True, eq=False)
class Uniform(Continuous):
    """Uniform; the density is that of the closed interval, as draws of narrower floats may round to `high`."""

    low: FloatArray
    high: FloatArray
    scipy = stats.uniform

    def arguments(self) -> dict[str, FloatArray]:
        """See `Continuous.arguments`."""
        return {"loc": self.low, "scale": self.high - self.low}
