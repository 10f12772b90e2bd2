"""Families of labels, by unnormalized log probabilities: Bernoulli, Categorical, OneHotCategorical.

Values enter `bernoulli_log_prob` and `one_hot_categorical_log_prob` as floats, `categorical_log_prob` as integers.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.special import Real, weighted


def bernoulli_log_prob(x: Array, logits: Real) -> Array:
    """Log mass of 0 or 1; between them, the cross entropy.

    x min(l, 0) - (1 - x) max(l, 0) - log(1 + e^-|l|) is exact in both tails and at infinite logits. All three parts
    take the side of the positive logits at 0, so that their derivatives, which are one-sided there, add up.
    """
    negative = jnp.where(logits < 0, logits, 0)
    positive = jnp.where(logits < 0, 0, logits)
    return weighted(x, negative) - weighted(1 - x, positive) - jnp.log1p(jnp.exp(negative - positive))


def bernoulli_sample(key: Array, logits: Real, shape: tuple[int, ...]) -> Array:
    """A draw, 0 or 1."""
    return jax.random.bernoulli(key, jax.nn.sigmoid(logits), shape).astype(jnp.int32)


def bernoulli_mean(logits: Real) -> Array:
    """Probability of 1."""
    return jax.nn.sigmoid(logits)


def bernoulli_variance(logits: Real) -> Array:
    """Variance of a 0-1 variable; the product of both probabilities, each exact in its tail."""
    return jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits)


def categorical_log_prob(x: Array, logits: Array) -> Array:
    """Log mass of a class index; minus infinity for an index that is no class.

    The class is picked by comparison rather than by indexing: this fuses with the normalization, has an elementwise
    gradient, and needs no communication when the classes are sharded.
    """
    classes = jnp.arange(logits.shape[-1], dtype=x.dtype)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.sum(jnp.where(x[..., None] == classes, log_probs, 0), axis=-1)
    return jnp.where((x >= 0) & (x < logits.shape[-1]), picked, -jnp.inf)


def categorical_sample(key: Array, logits: Array, shape: tuple[int, ...]) -> Array:
    """A draw, a class index."""
    return jax.random.categorical(key, logits, axis=-1, shape=shape).astype(jnp.int32)


def categorical_probs(logits: Array) -> Array:
    """Probabilities of the classes."""
    return jax.nn.softmax(logits, axis=-1)


def one_hot_categorical_log_prob(x: Array, logits: Array) -> Array:
    """Log mass of a one-hot vector; between them, the negative cross entropy."""
    return jnp.sum(weighted(x, jax.nn.log_softmax(logits, axis=-1)), axis=-1)


def one_hot_categorical_sample(key: Array, logits: Array, shape: tuple[int, ...]) -> Array:
    """A draw, a one-hot vector."""
    picked = jax.random.categorical(key, logits, axis=-1, shape=shape[:-1])
    return jax.nn.one_hot(picked, shape[-1], dtype=jnp.int32)


def one_hot_categorical_mean(logits: Array) -> Array:
    """Probabilities of the classes."""
    return jax.nn.softmax(logits, axis=-1)


def one_hot_categorical_variance(logits: Array) -> Array:
    """Variance of each component."""
    probs = jax.nn.softmax(logits, axis=-1)
    return probs * (1 - probs)
