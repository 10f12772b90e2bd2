"""The draws of emitted programs for the reference interpreter, and how they move with the parameters.

Invariant: keys follow the documented rule (rounds outermost first, then the site), written here anew.
May import: jax, scipy, the reference interpreter, the run-time samplers of the JAX backend.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy import stats

from bl_compiler.backends.jax.runtime import (
    bounded,
    counts,
    discrete,
    half_line,
    location_scale,
    multivariate,
    structured,
)
from bl_compiler.backends.reference.continuous import Beta, Continuous, LocationScale, StudentT
from bl_compiler.backends.reference.distributions import Distribution, Independent, Parametric, Reshaped
from bl_compiler.backends.reference.vectors import (
    Dirichlet,
    LowRankMultivariateNormal,
    MatrixNormal,
    MultivariateNormal,
)

Array = npt.NDArray[Any]
_MODULES = (bounded, counts, discrete, half_line, location_scale, multivariate, structured)
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _sampler(family: str) -> Callable[..., jax.Array]:
    name = f"{_WORD.sub('_', family).lower()}_sample"
    return next(getattr(module, name) for module in _MODULES if hasattr(module, name))


@dataclass(frozen=True)
class JaxStreams:
    """Draws as an emitted program of 64-bit types makes them."""

    seed: int

    def key(self, site: str, index: tuple[int, ...]) -> jax.Array:
        key = jax.random.key(self.seed)
        for position in index:
            key = jax.random.fold_in(key, position)
        return jax.random.fold_in(key, crc32(site.encode()))

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """See `NoiseSource.draw`."""
        law = _base(distribution)
        params = [jnp.asarray(getattr(law, p.name)) for p in law.family().params]
        dtype = () if law.discrete else (jnp.float64,)
        drawn = np.asarray(_sampler(law.family().name)(self.key(site, index), *params, law.shape, *dtype)).reshape(
            shape
        )
        return drawn.astype(np.int64) if law.discrete else drawn.astype(np.float64)


@dataclass(frozen=True)
class MovingStreams:
    """The same draws where a site is first seen; afterwards they move along with the parameters.

    What a draw is made of stays at its quantile: the draw itself, the Gaussians of low rank and of the diagonal, or the
    gammas behind a Beta, a Dirichlet and a Student's t (Figurnov, Mohamed and Mnih 2018, "Implicit reparameterization
    gradients").
    """

    start: JaxStreams
    seen: dict[tuple[str, tuple[int, ...]], tuple[Parametric, Array]] = field(default_factory=dict)

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """See `NoiseSource.draw`."""
        law = _base(distribution)
        if (site, index) in self.seen:
            return _moved(*self.seen[site, index], law).reshape(shape)
        drawn = self.start.draw(site, index, distribution, shape)
        parts = _parts(law, self.start.key(site, index), law.shape)
        self.seen[site, index] = law, drawn.reshape(law.shape) if parts is None else parts
        if parts is not None:
            # The streams are JAX's: from its parts, its draw.
            np.testing.assert_allclose(_moved(law, parts, law).reshape(shape), drawn, rtol=1e-9)
        return drawn


def _base(distribution: Distribution) -> Parametric:
    while isinstance(distribution, (Independent, Reshaped)):
        distribution = distribution.base
    assert isinstance(distribution, Parametric)
    return distribution


def _shapes(law: Dirichlet | Beta | StudentT) -> Array:
    """The shape parameters of the gammas that a draw is made of, those of one draw along the last axis."""
    match law:
        case Dirichlet():
            return law.concentration
        case Beta():
            return np.stack([law.concentration1, law.concentration0], axis=-1)
        case StudentT():
            return np.asarray(law.df / 2)


def _parts(law: Parametric, key: jax.Array, shape: tuple[int, ...]) -> Array | None:
    """What a draw of these families is made of: gammas; a Gaussian and a gamma; Gaussians, all along the last axis."""
    match law:
        case Dirichlet():
            return np.exp(np.asarray(jax.random.loggamma(key, _shapes(law), shape, jnp.float64)))
        case Beta():
            keys, shapes = jax.random.split(key), _shapes(law)
            logs = [jax.random.loggamma(keys[i], shapes[..., i], shape, jnp.float64) for i in range(2)]
            return np.exp(np.stack([np.asarray(x) for x in logs], axis=-1))
        case StudentT():
            first, second = jax.random.split(key)
            normal = jax.random.normal(first, shape, jnp.float64)
            gamma = jax.random.gamma(second, _shapes(law), shape, jnp.float64)
            return np.stack([np.asarray(normal), np.asarray(gamma)], axis=-1)
        case LowRankMultivariateNormal():
            shapes = ((*shape[:-1], law.cov_factor.shape[-1]), shape)
            normals = [jax.random.normal(jax.random.fold_in(key, i), s, jnp.float64) for i, s in enumerate(shapes)]
            return np.concatenate([np.asarray(x) for x in normals], axis=-1)
    return None


def _same_quantile(gammas: Array, before: Array, after: Array) -> Array:
    return np.asarray(stats.gamma.ppf(stats.gamma.cdf(gammas, before), after))


def _moved(before: Parametric, kept: Array, law: Parametric) -> Array:
    match before, law:
        case (Dirichlet(), Dirichlet()) | (Beta(), Beta()):
            gammas = _same_quantile(kept, _shapes(before), _shapes(law))
            parts = gammas / gammas.sum(axis=-1, keepdims=True)
            return np.asarray(parts if isinstance(law, Dirichlet) else parts[..., 0])
        case StudentT(), StudentT():
            gammas = _same_quantile(kept[..., 1], _shapes(before), _shapes(law))
            return np.asarray(law.loc + law.scale * kept[..., 0] * np.sqrt(_shapes(law) / gammas))
        case LocationScale(), LocationScale():
            return np.asarray(law.loc + law.scale * (kept - before.loc) / before.scale)
        case MultivariateNormal(), MultivariateNormal():
            noise = np.linalg.solve(before.scale_tril, (kept - before.loc)[..., None])
            return np.asarray(law.loc + (law.scale_tril @ noise)[..., 0])
        case LowRankMultivariateNormal(), LowRankMultivariateNormal():
            inner, outer = np.split(kept, [law.cov_factor.shape[-1]], axis=-1)
            return np.asarray(law.loc + (law.cov_factor @ inner[..., None])[..., 0] + np.sqrt(law.cov_diag) * outer)
        case MatrixNormal(), MatrixNormal():
            half = np.linalg.solve(before.scale_tril_row, kept - before.loc)
            noise = np.linalg.solve(before.scale_tril_column, half.swapaxes(-1, -2)).swapaxes(-1, -2)
            return np.asarray(law.loc + law.scale_tril_row @ noise @ law.scale_tril_column.swapaxes(-1, -2))
        case Continuous(), Continuous():
            family, old, new = type(law).scipy, before.arguments(), law.arguments()
            low, high = family.cdf(kept, **old), family.sf(kept, **old)  # type: ignore[attr-defined]
            # From the nearer end, where probabilities keep their digits.
            ends = family.ppf(low, **new), family.isf(high, **new)  # type: ignore[attr-defined]
            return np.asarray(np.where(low < high, *ends))
    return kept
