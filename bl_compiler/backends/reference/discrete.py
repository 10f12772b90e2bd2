"""Scalar discrete families and the categorical distribution, by their log masses.

Invariant: parameters are logits wherever a family has them, and log masses are computed from logits without forming
probabilities, so they stay exact for classes of tiny probability.
May import: floors 0-1, numpy, scipy, `distributions`, `values`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from bl_compiler.backends.reference.distributions import Parametric, Shape, draw_category, log_softmax
from bl_compiler.backends.reference.values import Array, FloatArray


def log_sigmoid(x: FloatArray) -> FloatArray:
    """Log of the logistic function, and log probability of a success with logits `x`."""
    return np.asarray(-np.logaddexp(0.0, -x))


def times(a: Array, b: FloatArray) -> FloatArray:
    """Products in which 0 times infinity is 0, as limits of p log p are."""
    return np.where(a == 0, 0.0, np.where(a == 0, 1.0, a) * b)


def whole(x: Array) -> npt.NDArray[np.bool_]:
    """Whether numbers are whole and not negative."""
    return np.asarray((x >= 0) & (x == np.floor(x)))


@dataclass(frozen=True, eq=False)
class Bernoulli(Parametric):
    """0 or 1."""

    logits: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """Log mass; between 0 and 1 its linear interpolation, the cross-entropy that grey images are trained with."""
        x = np.asarray(x, np.float64)
        value = times(x, log_sigmoid(self.logits)) + times(1 - x, log_sigmoid(-self.logits))
        return np.where((x >= 0) & (x <= 1), value, -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return (rng.random(shape + self.batch_shape) < self.mean()).astype(np.int64)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.asarray(special.expit(self.logits))

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(special.expit(self.logits) * special.expit(-self.logits))


@dataclass(frozen=True, eq=False)
class Categorical(Parametric):
    """An index of the last axis of the logits."""

    logits: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        logs = log_softmax(self.logits)
        classes = logs.shape[-1]
        shape = np.broadcast_shapes(self.batch_shape, x.shape)
        valid = whole(x) & (x < classes)
        index = np.broadcast_to(np.where(valid, x, 0), shape).astype(np.int64)
        chosen = np.take_along_axis(np.broadcast_to(logs, (*shape, classes)), index[..., None], axis=-1)[..., 0]
        return np.where(valid, chosen, -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return draw_category(rng, self.logits, shape)

    def mean(self) -> FloatArray:
        """Class labels are names, not numbers."""
        return np.full(self.batch_shape, np.nan)

    def variance(self) -> FloatArray:
        """Class labels are names, not numbers."""
        return np.full(self.batch_shape, np.nan)

    def probs(self) -> FloatArray:
        """Probabilities of the classes along a new last axis."""
        return np.exp(log_softmax(self.logits))


@dataclass(frozen=True, eq=False)
class Binomial(Parametric):
    """Successes in `total_count` trials."""

    logits: FloatArray
    total_count: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        n = self.total_count
        valid = whole(x) & (x <= n)
        k = np.where(valid, x, 0.0)
        ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        value = ways + times(k, log_sigmoid(self.logits)) + times(n - k, log_sigmoid(-self.logits))
        return np.where(valid, value, -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        count = self.total_count.astype(np.int64)
        return np.asarray(rng.binomial(count, special.expit(self.logits), shape + self.batch_shape), np.int64)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.asarray(self.total_count * special.expit(self.logits))

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(self.total_count * special.expit(self.logits) * special.expit(-self.logits))


@dataclass(frozen=True, eq=False)
class Poisson(Parametric):
    """Counts at this rate."""

    rate: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        valid = whole(x)
        k = np.where(valid, x, 0.0)
        return np.where(valid, special.xlogy(k, self.rate) - self.rate - special.gammaln(k + 1), -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return np.asarray(rng.poisson(self.rate, shape + self.batch_shape), np.int64)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.rate

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return self.rate


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Parametric):
    """Successes before `total_count` failures: mass C(k + r - 1, k) p^k (1 - p)^r with p = sigmoid(logits)."""

    total_count: FloatArray
    logits: FloatArray

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        r, valid = self.total_count, whole(x)
        k = np.where(valid, x, 0.0)
        ways = special.gammaln(k + r) - special.gammaln(r) - special.gammaln(k + 1)
        value = ways + times(k, log_sigmoid(self.logits)) + r * log_sigmoid(-self.logits)
        return np.where(valid, value, -np.inf)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """A Poisson whose rate is gamma distributed; r need not be whole."""
        rate = rng.gamma(self.total_count, np.exp(self.logits), shape + self.batch_shape)
        return np.asarray(rng.poisson(rate), np.int64)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.asarray(self.total_count * np.exp(self.logits))

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.asarray(self.mean() * (1 + np.exp(self.logits)))
