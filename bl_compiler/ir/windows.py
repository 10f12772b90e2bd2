"""Arithmetic of sliding windows: the sizes that convolutions and poolings yield.

Invariant: padding in the IR is explicit, a (low, high) pair per spatial axis. May import: `types`, `attrs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.types import Dim, TypeRuleError, static_size


def window_output(
    size: int, window: int, stride: int, padding: tuple[int, int], window_dilation: int = 1, base_dilation: int = 1
) -> int:
    """How many windows fit.

    Raises:
        TypeRuleError: if none does.
    """
    if min(window, stride, window_dilation, base_dilation) < 1:
        raise TypeRuleError("window sizes, strides and dilations must be at least 1")
    base = (size - 1) * base_dilation + 1 if size else 0
    padded = base + padding[0] + padding[1]
    reach = (window - 1) * window_dilation + 1
    if padded < reach:
        raise TypeRuleError(f"a window reaching over {reach} elements does not fit into {padded}")
    return (padded - reach) // stride + 1


def _pairs(attrs: Attrs) -> tuple[tuple[int, int], ...]:
    value = attrs["padding"]
    assert isinstance(value, tuple)
    return value


def _slid(dim: Dim, size: int) -> Dim:
    """What windows along a dimension yield: still its steps or pixels, but no longer the plate's examples."""
    return Dim(size) if dim.is_plate else Dim(size, dim.name, dim.kind)


def conv_spatial(spatial: Sequence[Dim], window: Sequence[Dim], attrs: Attrs) -> tuple[Dim, ...]:
    """Spatial dimensions of a convolution's result."""
    return tuple(
        _slid(d, window_output(static_size(d.size, "convolution"), static_size(w.size, "convolution"), s, p, rd, ld))
        for d, w, s, p, ld, rd in zip(
            spatial,
            window,
            attrs.integers("strides"),
            _pairs(attrs),
            attrs.integers("lhs_dilation"),
            attrs.integers("rhs_dilation"),
            strict=True,
        )
    )


def pool_spatial(spatial: Sequence[Dim], attrs: Attrs) -> tuple[Dim, ...]:
    """Spatial dimensions of a pooling's result."""
    return tuple(
        d if (w, s, p) == (1, 1, (0, 0)) else _slid(d, window_output(static_size(d.size, "pooling"), w, s, p))
        for d, w, s, p in zip(spatial, attrs.integers("window"), attrs.integers("strides"), _pairs(attrs), strict=True)
    )


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """The padding with which `ceil(size / stride)` windows fit, the odd element at the end (TensorFlow's SAME)."""
    reach = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
