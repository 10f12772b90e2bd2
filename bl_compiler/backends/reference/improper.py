"""Improper priors at run time: densities that nothing can be drawn from.

May import: floors 0-1, numpy, `distributions`, `values`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bl_compiler.backends.reference.distributions import Distribution, Shape
from bl_compiler.backends.reference.values import Array, EvaluationError, FloatArray


@dataclass(frozen=True, eq=False)
class LogUniform(Distribution):
    """Density c / |x| with log c = -(log(4 pi) + 1 + gamma) / 2, for which KL(Normal(0, s) ‖ this) is 0."""

    batch: Shape = ()

    @property
    def batch_shape(self) -> Shape:
        """See `Distribution.batch_shape`."""
        return self.batch

    @property
    def event_shape(self) -> Shape:
        """See `Distribution.event_shape`."""
        return ()

    @property
    def discrete(self) -> bool:
        """See `Distribution.discrete`."""
        return False

    def log_prob(self, x: Array) -> FloatArray:
        """See `Distribution.log_prob`: infinite at 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(np.abs(x)) - (np.log(4 * np.pi) + 1 + np.euler_gamma) / 2)

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """See `Distribution.sample`.

        Raises:
            EvaluationError: always.
        """
        raise EvaluationError("LogUniform is improper: there is nothing to draw from")

    def mean(self) -> FloatArray:
        """See `Distribution.mean`."""
        return np.full(self.batch, np.nan)

    def variance(self) -> FloatArray:
        """See `Distribution.variance`."""
        return np.full(self.batch, np.nan)

    def expand(self, batch: Shape) -> LogUniform:
        """See `Distribution.expand`."""
        return LogUniform(batch)
