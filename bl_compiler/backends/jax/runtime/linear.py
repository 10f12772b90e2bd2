"""Products in the form that XLA's CPU backend has fast code for: plain products of two matrices.

A product over several leading axes and its gradients become transposes around slow loops there (measured: 20 ms against
9 ms for [16, 128, 256] times [256, 1024] with gradients); the reshapes here are free.
May import: jax, the standard library.
"""

from __future__ import annotations

import math

from jax import Array


def contract(x: Array, w: Array, axes: int = 1) -> Array:
    """Sum of products over the last `axes` axes of x and the first `axes` axes of w."""
    rows, columns = x.shape[: x.ndim - axes], w.shape[axes:]
    inner = math.prod(w.shape[:axes])
    return (x.reshape(-1, inner) @ w.reshape(inner, -1)).reshape(*rows, *columns)
