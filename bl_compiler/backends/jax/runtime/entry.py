"""What the entry points of an emitted program share: random keys, run-time sizes, and summaries over draws.

Invariant: a site's key is `fold_in(key, crc32(path))`: nothing but the path and the enclosing rounds decides a draw.
May import: jax, the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def as_key(seed: ArrayLike) -> Array:
    """A random key from an integer, from a key, or from the two words that `jax.random.key_data` gives."""
    if isinstance(seed, Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    key: Array = jax.random.wrap_key_data(jnp.asarray(seed)) if jnp.ndim(seed) == 1 else jax.random.key(seed)
    return key


def fold_range(key: Array, count: int) -> Array:
    """One key for each of `count` rounds; a longer range starts with the same keys."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(count, dtype=jnp.uint32))


def plate_total(sizes: Mapping[str, ArrayLike] | None, plate: str) -> Array:
    """The number of examples in the data set along a plate whose size the program does not state."""
    if sizes is None or plate not in sizes:
        raise KeyError(f"the size of plate `{plate}` is not known: pass `sizes={{'{plate}': N}}`")
    return jnp.asarray(sizes[plate], jnp.float32)


def training_step(step: ArrayLike | None) -> Array:
    """The training step as a float; outside training, past the end of every schedule."""
    return jnp.asarray(1e30 if step is None else step, jnp.float32)


def summarize(means: Array, variances: Array | None = None) -> dict[str, Array]:
    """Mean and standard deviation over draws (the first axis), by the law of total variance."""
    means = means.astype(jnp.float32) if not jnp.issubdtype(means.dtype, jnp.floating) else means
    variance = jnp.var(means, axis=0)
    if variances is not None:
        variance = variance + jnp.mean(variances, axis=0)
    return {"mean": jnp.mean(means, axis=0), "stddev": jnp.sqrt(variance)}
