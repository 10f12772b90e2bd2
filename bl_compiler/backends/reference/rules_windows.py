"""NumPy rules of sliding windows: convolution and pooling.

Invariant: a rule loops over the offsets within a window and handles all windows' elements at one offset at a time, so
what it computes can be read off. May import: floors 0-1, numpy, `frame`, `values`, `rules_tensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bl_compiler.backends.reference.frame import ArrayRule, Frame
from bl_compiler.backends.reference.rules_tensor import pad
from bl_compiler.backends.reference.values import Array, as_kind
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

WINDOW_RULES: RuleTable[ArrayRule] = RuleTable("numpy windows")

Offset = tuple[int, ...]


def _padding(node: Node) -> list[tuple[int, int]]:
    value = node.attrs["padding"]
    assert isinstance(value, tuple)
    return list(value)


def _dilate(x: Array, factors: Sequence[int]) -> Array:
    """`x` [batch, spatial…, channels] with `factor - 1` zeros between neighbors along each spatial axis."""
    sizes = [(n - 1) * f + 1 if n else 0 for n, f in zip(x.shape[1:-1], factors, strict=True)]
    result = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    result[:, *(slice(None, None, f) for f in factors), :] = x
    return result


def _pad_spatial(x: Array, padding: Sequence[tuple[int, int]], value: float) -> Array:
    return pad(x, [(0, 0), *padding, (0, 0)], value)


def _at_offsets(
    x: Array, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int], counts: Sequence[int]
) -> Iterator[tuple[Offset, Array]]:
    """For each offset in the window, the elements that all windows have there: [batch, windows…, channels]."""
    for offset in np.ndindex(*window):
        starts = [o * d for o, d in zip(offset, dilation, strict=True)]
        ranges = [slice(a, a + (n - 1) * s + 1, s) for a, s, n in zip(starts, strides, counts, strict=True)]
        yield offset, x[:, *ranges, :]


@WINDOW_RULES.rule("linear.conv")
def _conv(frame: Frame, node: Node, x: Array, kernel: Array) -> Array:
    """Cross-correlation; the channels, and the filters likewise, lie group by group."""
    dtype, groups = node.result.tensor.dtype, node.attrs.integer("groups")
    shape = (x.shape[0], *frame.shape(node.result.tensor.dims)[1:])
    x, kernel = as_kind(x, dtype), as_kind(kernel, dtype)
    x = _pad_spatial(_dilate(x, node.attrs.integers("lhs_dilation")), _padding(node), 0)
    inputs, filters = kernel.shape[-2], kernel.shape[-1] // groups
    result = np.zeros(shape, x.dtype)
    window, counts = kernel.shape[:-2], shape[1:-1]
    strides, dilation = node.attrs.integers("strides"), node.attrs.integers("rhs_dilation")
    for offset, seen in _at_offsets(x, window, strides, dilation, counts):
        for group in range(groups):
            take = slice(group * inputs, (group + 1) * inputs)
            give = slice(group * filters, (group + 1) * filters)
            result[..., give] += seen[..., take] @ kernel[offset][:, give]
    return result


def _pool(node: Node, x: Array, combine: Callable[[Array, Array], Array], neutral: float) -> Array:
    """`combine` folded over the elements of each window; those in the padding are its neutral element."""
    window, strides, padding = node.attrs.integers("window"), node.attrs.integers("strides"), _padding(node)
    padded = _pad_spatial(x, padding, neutral)
    counts = [(n - w) // s + 1 for n, w, s in zip(padded.shape[1:-1], window, strides, strict=True)]
    result = np.full((x.shape[0], *counts, x.shape[-1]), neutral, x.dtype)
    for _, seen in _at_offsets(padded, window, strides, [1] * len(window), counts):
        result = combine(result, seen)
    return result


@WINDOW_RULES.rule("nn.max_pool")
def _max_pool(frame: Frame, node: Node, x: Array) -> Array:
    least = {"f": -np.inf, "b": False}.get(x.dtype.kind, int(np.iinfo(np.int64).min))
    return _pool(node, x, np.maximum, least)


@WINDOW_RULES.rule("nn.avg_pool")
def _avg_pool(frame: Frame, node: Node, x: Array) -> Array:
    total = _pool(node, x, np.add, 0)
    count = _pool(node, np.ones_like(x), np.add, 0)
    return np.asarray(total / count)
