"""Run-time distributions: the interface, and the ways to make new ones from old (expand, independent, mixture).

Invariant: parameters are float64 arrays, broadcast to the batch; log densities are -inf outside the support.
May import: floors 0-1, numpy, scipy, `values`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import special

from bl_compiler.backends.reference.values import Array, FloatArray
from bl_compiler.ir.families import FAMILIES, Family

Shape = tuple[int, ...]


class Distribution(ABC):
    """A distribution over arrays of shape `batch_shape + event_shape`."""

    @property
    @abstractmethod
    def batch_shape(self) -> Shape:
        """Shape of the independent, differently parameterized copies."""

    @property
    @abstractmethod
    def event_shape(self) -> Shape:
        """Shape of one draw of one copy."""

    @property
    @abstractmethod
    def discrete(self) -> bool:
        """Whether draws are integers."""

    @abstractmethod
    def log_prob(self, x: Array) -> FloatArray:
        """Log density or log mass; the batch of `x` broadcasts with this one's."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """Independent draws, of shape `shape + batch_shape + event_shape`."""

    @abstractmethod
    def mean(self) -> FloatArray:
        """Expectation of each element; NaN where it does not exist, infinite where it diverges."""

    @abstractmethod
    def variance(self) -> FloatArray:
        """Variance of each element; NaN where the mean does not exist, infinite where it or the mean diverges."""

    @abstractmethod
    def expand(self, batch: Shape) -> Distribution:
        """Independent copies: the same distribution with its batch broadcast to `batch`."""

    @property
    def shape(self) -> Shape:
        """Shape of one draw."""
        return self.batch_shape + self.event_shape


@dataclass(frozen=True, eq=False)
class Parametric(Distribution):
    """A family of `ir/families.py`: fields are its parameters, in order, under their names."""

    def __post_init__(self) -> None:
        arrays = [np.asarray(getattr(self, p.name), np.float64) for p in self.family().params]
        ranks = [p.event_ndim for p in self.family().params]
        batch = np.broadcast_shapes(*(a.shape[: a.ndim - r] for a, r in zip(arrays, ranks, strict=True)))
        sizes: dict[str, int] = {}
        for param, a, rank in zip(self.family().params, arrays, ranks, strict=True):
            for letter, size in zip(param.letters, a.shape[a.ndim - rank :], strict=True):
                sizes[letter] = max(size, sizes.get(letter, 0))
        for param, a in zip(self.family().params, arrays, strict=True):
            object.__setattr__(self, param.name, np.broadcast_to(a, batch + tuple(sizes[k] for k in param.letters)))

    @classmethod
    def family(cls) -> Family:
        """The declaration of this family."""
        return FAMILIES[cls.__name__]

    @property
    def batch_shape(self) -> Shape:
        """See `Distribution.batch_shape`."""
        first = self.family().params[0]
        shape: Shape = getattr(self, first.name).shape
        return shape[: len(shape) - first.event_ndim]

    @property
    def event_shape(self) -> Shape:
        """See `Distribution.event_shape`."""
        sizes: dict[str, int] = {}
        for param in self.family().params:
            shape: Shape = getattr(self, param.name).shape
            sizes.update(zip(param.letters, shape[len(shape) - param.event_ndim :], strict=True))
        return tuple(sizes[letter] for letter in self.family().letters)

    @property
    def discrete(self) -> bool:
        """See `Distribution.discrete`."""
        return self.family().discrete

    def expand(self, batch: Shape) -> Self:
        """See `Distribution.expand`."""
        split = len(self.batch_shape)
        arrays = {p.name: getattr(self, p.name) for p in self.family().params}
        return replace(self, **{name: np.broadcast_to(a, batch + a.shape[split:]) for name, a in arrays.items()})


@dataclass(frozen=True, eq=False)
class Independent(Distribution):
    """A distribution whose last `ndims` batch axes count as event axes."""

    base: Distribution
    ndims: int

    @property
    def batch_shape(self) -> Shape:
        """See `Distribution.batch_shape`."""
        return self.base.batch_shape[: len(self.base.batch_shape) - self.ndims]

    @property
    def event_shape(self) -> Shape:
        """See `Distribution.event_shape`."""
        return self.base.shape[len(self.batch_shape) :]

    @property
    def discrete(self) -> bool:
        """See `Distribution.discrete`."""
        return self.base.discrete

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        return sum_last(self.base.log_prob(x), self.ndims)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return self.base.sample(rng, shape)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.base.mean()

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return self.base.variance()

    def expand(self, batch: Shape) -> Independent:
        """See `Distribution.expand`."""
        inner = self.base.batch_shape[len(self.batch_shape) :]
        return Independent(self.base.expand(batch + inner), self.ndims)


@dataclass(frozen=True, eq=False)
class Reshaped(Distribution):
    """A distribution whose draws have another event shape, the elements in the same order."""

    base: Distribution
    event: Shape

    @property
    def batch_shape(self) -> Shape:
        """See `Distribution.batch_shape`."""
        return self.base.batch_shape

    @property
    def event_shape(self) -> Shape:
        """See `Distribution.event_shape`."""
        return self.event

    @property
    def discrete(self) -> bool:
        """See `Distribution.discrete`."""
        return self.base.discrete

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        return self.base.log_prob(x.reshape(x.shape[: x.ndim - len(self.event)] + self.base.event_shape))

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        return self.base.sample(rng, shape).reshape(shape + self.shape)

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self.base.mean().reshape(self.shape)

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return self.base.variance().reshape(self.shape)

    def expand(self, batch: Shape) -> Reshaped:
        """See `Distribution.expand`."""
        return Reshaped(self.base.expand(batch), self.event)


@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """One of `components`, which lie along their last batch axis, chosen by `logits` along its last axis."""

    logits: FloatArray
    components: Distribution

    def __post_init__(self) -> None:
        logits = np.asarray(self.logits, np.float64)
        batch = np.broadcast_shapes(logits.shape, self.components.batch_shape)
        object.__setattr__(self, "logits", np.broadcast_to(logits, batch))
        object.__setattr__(self, "components", self.components.expand(batch))

    @property
    def batch_shape(self) -> Shape:
        """See `Distribution.batch_shape`."""
        return self.logits.shape[:-1]

    @property
    def event_shape(self) -> Shape:
        """See `Distribution.event_shape`."""
        return self.components.event_shape

    @property
    def discrete(self) -> bool:
        """See `Distribution.discrete`."""
        return self.components.discrete

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`."""
        spread = np.expand_dims(x, x.ndim - len(self.event_shape))
        parts = log_softmax(self.logits) + self.components.log_prob(spread)
        return np.asarray(special.logsumexp(parts, axis=-1), np.float64)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`."""
        choice = draw_category(rng, self.logits, shape)[..., None]
        candidates = self.components.sample(rng, shape)
        axis = choice.ndim - 1
        picked = np.take_along_axis(candidates, choice.reshape(choice.shape + (1,) * len(self.event_shape)), axis)
        return np.asarray(picked.squeeze(axis))

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return self._average(self.components.mean())

    def variance(self) -> FloatArray:
        """See `Distribution.variance`: by the law of total variance."""
        means = self.components.mean()
        center = np.expand_dims(self.mean(), len(self.batch_shape))
        return self._average(self.components.variance() + (means - center) ** 2)

    def expand(self, batch: Shape) -> Mixture:
        """See `Distribution.expand`."""
        full = (*batch, self.logits.shape[-1])
        return Mixture(np.broadcast_to(self.logits, full), self.components.expand(full))

    def _average(self, x: FloatArray) -> FloatArray:
        weights = np.exp(log_softmax(self.logits))
        axis = weights.ndim - 1
        return np.asarray((x * weights.reshape(weights.shape + (1,) * len(self.event_shape))).sum(axis))


def sum_last(x: FloatArray, count: int) -> FloatArray:
    """`x` summed over its last `count` axes."""
    return np.asarray(x.sum(axis=tuple(range(x.ndim - count, x.ndim))))


def log_softmax(logits: FloatArray) -> FloatArray:
    """Log probabilities along the last axis."""
    return np.asarray(logits - special.logsumexp(logits, axis=-1, keepdims=True), np.float64)


def draw_category(rng: np.random.Generator, logits: FloatArray, shape: Shape) -> Array:
    """Indices along the last axis of `logits` by inversion of the cumulative distribution, of shape `shape + batch`."""
    cumulative = np.cumsum(np.exp(log_softmax(logits)), axis=-1)
    # Scaled by the last sum, so that rounding cannot leave a uniform above all of them; classes of probability 0
    # have empty intervals [c, c) and are never chosen.
    uniform = rng.random(shape + logits.shape[:-1])[..., None] * cumulative[..., -1:]
    return np.asarray((uniform >= cumulative).sum(axis=-1), np.int64)
