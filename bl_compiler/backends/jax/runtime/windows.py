"""Convolution, pooling and padding, channels last, with explicit padding: a (low, high) pair for each spatial axis.

May import: jax, numpy, the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def conv(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    groups: int = 1,
) -> Array:
    """Convolution of x [batch, space..., in] with a kernel [space..., in / groups, out]."""
    space = "XYZ"[: x.ndim - 2]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        feature_group_count=groups,
    )


def max_pool(x: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[tuple[int, int]]) -> Array:
    """The greatest element of each window of x [batch, space..., channels]."""
    least = -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else np.iinfo(x.dtype).min
    sizes = (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
    result: Array = jax.lax.reduce_window(x, np.asarray(least, x.dtype), jax.lax.max, *sizes)
    return result


def avg_pool(x: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[tuple[int, int]]) -> Array:
    """The mean of each window of x [batch, space..., channels]; padding counts for nothing."""
    sizes = (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
    zero = np.zeros((), x.dtype)
    counts: Array = jax.lax.reduce_window(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), zero, jax.lax.add, *sizes)
    totals: Array = jax.lax.reduce_window(x, zero, jax.lax.add, *sizes)
    return totals / counts


def pad(x: Array, low: Sequence[int], high: Sequence[int], value: float) -> Array:
    """Put `value` around x; negative widths cut."""
    widths = [(before, after, 0) for before, after in zip(low, high, strict=True)]
    return jax.lax.pad(x, jnp.asarray(value, x.dtype), widths)
