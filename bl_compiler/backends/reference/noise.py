"""Where draws come from: seeded generators, or values stated in advance.

Invariant: a draw depends on the site's path and the rounds of the enclosing regions, and on nothing else of the graph.
May import: floors 0-1, numpy, `distributions`, `values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.values import Array, EvaluationError


class NoiseSource(Protocol):
    """Gives the draws of an evaluation."""

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """One draw from `distribution`.

        Args:
            site: the path of the stochastic node.
            index: the rounds of the enclosing regions, outermost first.
            distribution: what to draw from.
            shape: the shape of the draw, batch and event.
        """


@dataclass(frozen=True)
class GeneratorNoise:
    """Independent draws for every site and round, each from a generator of its own."""

    seed: int

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """See `NoiseSource.draw`."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(crc32(site.encode()), *index))
        draw = distribution.sample(np.random.default_rng(sequence))
        if draw.shape != shape:
            raise EvaluationError(f"site `{site}` drew {draw.shape}, expected {shape}")
        return draw


@dataclass(frozen=True)
class FixedNoise:
    """Stated values.

    Attributes:
        values: by site; those of a site in regions are stacked, one leading axis per region.
        otherwise: where the sites without one draw from; None makes them an error.
    """

    values: Mapping[str, npt.ArrayLike]
    otherwise: NoiseSource | None = None

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """See `NoiseSource.draw`."""
        if site not in self.values:
            if self.otherwise is None:
                raise EvaluationError(f"no value is stated for site `{site}`")
            return self.otherwise.draw(site, index, distribution, shape)
        stated = np.asarray(self.values[site])
        outer = stated.shape[: len(index)]
        if len(outer) < len(index) or any(i >= n for i, n in zip(index, outer, strict=True)):
            raise EvaluationError(f"the values stated for site `{site}` have no round {index}")
        value = np.asarray(stated[index])
        if value.shape != shape:
            raise EvaluationError(f"the value stated for site `{site}` has shape {value.shape}, expected {shape}")
        return value.astype(np.int64 if distribution.discrete else np.float64)
