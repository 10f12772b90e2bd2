"""The draws of emitted programs for the reference interpreter, and how they move with the parameters.

Invariant: keys follow the documented rule (rounds outermost first, then the site), written here anew.
May import: jax, scipy, the reference interpreter, the run-time samplers of the JAX backend.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bl_compiler.backends.jax.runtime import bounded, counts, discrete, half_line, location_scale, multivariate
from bl_compiler.backends.reference.continuous import Continuous, LocationScale
from bl_compiler.backends.reference.distributions import Distribution, Independent, Parametric
from bl_compiler.backends.reference.vectors import Dirichlet, MultivariateNormal

Array = npt.NDArray[np.generic]
_MODULES = (bounded, counts, discrete, half_line, location_scale, multivariate)
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
        drawn = np.asarray(_sampler(law.family().name)(self.key(site, index), *params, shape, *dtype))
        assert drawn.shape == shape
        return drawn.astype(np.int64) if law.discrete else drawn.astype(np.float64)


@dataclass(frozen=True)
class MovingStreams:
    """The same draws where a site is first seen; afterwards they move along with their quantile.

    A draw's derivative in the parameters is that of its quantile function at a fixed probability, for location-scale
    families the usual reparameterization (Figurnov, Mohamed and Mnih 2018, "Implicit reparameterization gradients").
    """

    start: JaxStreams
    seen: dict[tuple[str, tuple[int, ...]], tuple[Parametric, Array]] = field(default_factory=dict)

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        """See `NoiseSource.draw`."""
        law = _base(distribution)
        if (site, index) not in self.seen:
            drawn = self.start.draw(site, index, distribution, shape)
            kept = drawn
            if isinstance(law, Dirichlet):
                # The gammas behind the proportions, whose total the proportions do not tell.
                concentration = jnp.asarray(law.concentration)
                key = self.start.key(site, index)
                kept = np.asarray(jax.random.loggamma(key, concentration, shape, jnp.float64))
            self.seen[site, index] = law, kept
            return drawn
        before, drawn = self.seen[site, index]
        return _moved(before, drawn, law)


def _base(distribution: Distribution) -> Parametric:
    while isinstance(distribution, Independent):
        distribution = distribution.base
    assert isinstance(distribution, Parametric)
    return distribution


def _moved(before: Parametric, drawn: Array, law: Parametric) -> Array:
    if isinstance(law, LocationScale) and isinstance(before, LocationScale):
        return np.asarray(law.loc + law.scale * (drawn - before.loc) / before.scale)
    if isinstance(law, MultivariateNormal) and isinstance(before, MultivariateNormal):
        noise = np.linalg.solve(before.scale_tril, (drawn - before.loc)[..., None])
        return np.asarray(law.loc + (law.scale_tril @ noise)[..., 0])
    if isinstance(law, Dirichlet) and isinstance(before, Dirichlet):
        from scipy import special, stats

        gammas = stats.gamma.ppf(stats.gamma.cdf(np.exp(drawn), before.concentration), law.concentration)
        return np.asarray(special.softmax(np.log(gammas), axis=-1))
    if isinstance(law, Continuous) and isinstance(before, Continuous):
        family, old, new = type(law).scipy, before.arguments(), law.arguments()
        low = family.cdf(drawn, **old)  # type: ignore[attr-defined]
        high = family.sf(drawn, **old)  # type: ignore[attr-defined]
        # From the nearer end, where probabilities keep their digits.
        moved = np.where(low < high, family.ppf(low, **new), family.isf(high, **new))  # type: ignore[attr-defined]
        return np.asarray(moved)
    return drawn
