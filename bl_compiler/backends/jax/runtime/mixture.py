"""Finite mixtures over the last batch axis of their components.

`event_ndim` is the number of axes after the component axis. May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.special import logsumexp


def mixture_log_prob(logits: Array, log_probs: Array) -> Array:
    """Log density of a mixture from those of its components, which lie along the last axis."""
    return logsumexp(jax.nn.log_softmax(logits, axis=-1) + log_probs, axis=-1)


def mixture_average(logits: Array, values: Array, event_ndim: int) -> Array:
    """The weighted mean of `values` over the component axis."""
    weights = jax.nn.softmax(logits, axis=-1)
    weights = weights.reshape(*weights.shape, *(1,) * event_ndim)
    return jnp.sum(weights * values, axis=-1 - event_ndim)


def mixture_variance(logits: Array, means: Array, variances: Array, event_ndim: int) -> Array:
    """Variance of a mixture by the law of total variance, the spread of the means taken around their average."""
    center = jnp.expand_dims(mixture_average(logits, means, event_ndim), -1 - event_ndim)
    return mixture_average(logits, variances + jnp.square(means - center), event_ndim)


def mixture_choose(key: Array, logits: Array, draws: Array, event_ndim: int) -> Array:
    """One of the components' draws, by a draw of the component."""
    axis = draws.ndim - 1 - event_ndim
    chosen = jax.random.categorical(key, logits, axis=-1, shape=draws.shape[:axis])
    chosen = chosen.reshape(*chosen.shape, *(1,) * (event_ndim + 1))
    return jnp.squeeze(jnp.take_along_axis(draws, chosen, axis=axis), axis=axis)
