"""Convolutions and poolings against loops that follow their definitions.

Invariant: the loops know neither padding in numbers nor dilation of the input; they ask which elements meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from tests.support.context import BATCH, FakeContext, time
from tests.support.evaluation import Array, Evaluated, evaluated

SIZES = {1: (7,), 2: (6, 5), 3: (4, 5, 3)}


def low_padding(padding: str, size: int, span: int, stride: int) -> int:
    """How far the first window starts in front of the first element."""
    windows = -(-size // stride)
    return {"valid": 0, "causal": span - 1, "same": max((windows - 1) * stride + span - size, 0) // 2}[padding]


def naive_conv(
    x: Array, kernel: Array, shape: Sequence[int], padding: str, stride: int, dilation: int, groups: int
) -> Array:
    """`y[o, f] = Σ x[o · stride - low + k · dilation, c] kernel[k, c, f]`, where x is 0 outside."""
    spatial, window = x.shape[1:-1], kernel.shape[:-2]
    y = np.zeros((x.shape[0], *shape, kernel.shape[-1]))
    inputs, filters = kernel.shape[-2], kernel.shape[-1] // groups
    for o, k in product(np.ndindex(*shape), np.ndindex(*window)):
        at = [
            a * stride - low_padding(padding, s, (w - 1) * dilation + 1, stride) + b * dilation
            for a, b, s, w in zip(o, k, spatial, window, strict=True)
        ]
        if all(0 <= p < s for p, s in zip(at, spatial, strict=True)):
            for g in range(groups):
                seen = x[:, *at, g * inputs : (g + 1) * inputs]
                y[:, *o, g * filters : (g + 1) * filters] += seen @ kernel[k][:, g * filters : (g + 1) * filters]
    return y


CASES = [
    (n, kernel, stride, padding, dilation, groups)
    for n, kernel, stride, padding, dilation, groups in product(
        (1, 2, 3), (1, 2, 3), (1, 2), ("valid", "same", "causal"), (1, 2), (1, 2)
    )
    if (padding != "causal" or n == 1) and (n < 3 or kernel < 3 or dilation == 1)
]


@pytest.mark.parametrize(("n", "kernel", "stride", "padding", "dilation", "groups"), CASES)
def test_conv(n: int, kernel: int, stride: int, padding: str, dilation: int, groups: int) -> None:
    c = FakeContext()
    x = c.input("f64", BATCH, *SIZES[n], 4)
    y = c.apply(f"conv{n}d", x, 6, kernel, stride, padding, dilation, groups)
    found = evaluated(c, y)
    wanted = naive_conv(found.x, found.weights["kernel"], found.y.shape[1:-1], padding, stride, dilation, groups)
    np.testing.assert_allclose(found.y, wanted + found.weights["bias"], rtol=1e-12, atol=1e-12)


def test_a_causal_convolution_sees_no_later_step() -> None:
    later = np.random.default_rng(1).normal(size=(4, 7, 2))
    changed = later.copy()
    changed[:, 4:] += 1.0
    results: list[Array] = []
    for given in (later, changed):
        c = FakeContext()
        y = c.apply("conv1d", c.input("f64", BATCH, time(7), 2), 3, 3, padding="causal", dilation=2)
        results.append(evaluated(c, y, inputs=[given]).y)
    np.testing.assert_array_equal(results[0][:, :4], results[1][:, :4])
    assert not np.allclose(results[0][:, 4:], results[1][:, 4:])


def naive_transpose(x: Array, kernel: Array, stride: int, dilation: int, padding: str) -> Array:
    """Each element adds its multiple of the flipped kernel to the result; "same" cuts the ends off."""
    spatial, window = x.shape[1:-1], kernel.shape[:-2]
    flipped = kernel[tuple(slice(None, None, -1) for _ in window)]
    spans = [(w - 1) * dilation + 1 for w in window]
    full = [s * stride + max(w - stride, 0) for s, w in zip(spatial, spans, strict=True)]
    y = np.zeros((x.shape[0], *full, kernel.shape[-1]))
    for i, k in product(np.ndindex(*spatial), np.ndindex(*window)):
        y[:, *(a * stride + b * dilation for a, b in zip(i, k, strict=True))] += x[:, *i] @ flipped[k]
    if padding == "same":
        starts = [max(w - stride, 0) // 2 for w in spans]
        y = y[:, *(slice(a, a + s * stride) for a, s in zip(starts, spatial, strict=True))]
    return y


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 3, 1), (3, 2, 1), (4, 2, 1), (3, 1, 2), (5, 2, 1)],
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_conv_transpose(n: int, kernel: int, stride: int, dilation: int, padding: str) -> None:
    if n == 3 and kernel > 3:
        kernel = 3
    c = FakeContext()
    x = c.input("f64", BATCH, *(3, 2, 4)[:n], 2)
    found = evaluated(c, c.apply(f"conv{n}d_transpose", x, 3, kernel, stride, padding, dilation))
    wanted = naive_transpose(found.x, found.weights["kernel"], stride, dilation, padding)
    np.testing.assert_allclose(found.y, wanted + found.weights["bias"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding"), [(1, "valid"), (2, "same"), (1, "causal")])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolves_each_channel_by_itself(stride: int, padding: str, multiplier: int) -> None:
    c = FakeContext()
    y = c.apply("depthwise_conv1d", c.input("f64", BATCH, 7, 4), 3, stride, padding, 1, multiplier)
    found = evaluated(c, y)
    kernel = found.weights["kernel"]
    for channel in range(4):
        own = kernel[:, :, channel * multiplier : (channel + 1) * multiplier]
        wanted = naive_conv(found.x[..., channel : channel + 1], own, found.y.shape[1:-1], padding, stride, 1, 1)
        got = (found.y - found.weights["bias"])[..., channel * multiplier : (channel + 1) * multiplier]
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_separable_is_depthwise_then_a_mix_of_channels() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("separable_conv2d", c.input("f64", BATCH, 6, 5, 2), 3, 3, 2, "same", 1, 2))
    weights = found.weights
    between = naive_conv(found.x, weights["depthwise_kernel"], found.y.shape[1:-1], "same", 2, 1, 2)
    wanted = between @ weights["pointwise_kernel"][0, 0] + weights["bias"]
    np.testing.assert_allclose(found.y, wanted, rtol=1e-12, atol=1e-12)


def folded(layer: str, leading: tuple[int, ...], *arguments: object) -> Evaluated:
    """A layer on an input with these leading axes."""
    c = FakeContext()
    size = int(np.prod(leading))
    given = np.random.default_rng(5).normal(size=(size, 6, 5, 2)).reshape(*leading, 6, 5, 2)
    return evaluated(c, c.apply(layer, c.input("f64", *leading, 6, 5, 2), *arguments), inputs=[given])


@pytest.mark.parametrize(
    ("layer", "arguments"), [("conv2d", (3, 3)), ("max_pool2d", (2,)), ("avg_pool2d", (3, 1, "same"))]
)
def test_leading_axes_do_not_mix(layer: str, arguments: tuple[object, ...]) -> None:
    together, apart = folded(layer, (6,), *arguments).y, folded(layer, (2, 3), *arguments).y
    np.testing.assert_array_equal(together.reshape(apart.shape), apart)
    np.testing.assert_array_equal(folded(layer, (), *arguments).y, folded(layer, (1,), *arguments).y[0])


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    ("window", "stride", "padding"), [(2, None, "valid"), (3, 1, "same"), (3, 2, "same"), (2, 2, 1), (2, 3, "same")]
)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling(kind: str, n: int, window: int, stride: int | None, padding: str | int) -> None:
    c = FakeContext()
    x = c.input("f64", BATCH, *SIZES[n], 2)
    found = evaluated(c, c.apply(f"{kind}_pool{n}d", x, window, stride, padding))
    step = stride or window
    for o in np.ndindex(*found.y.shape[1:-1]):
        ranges = []
        for position, size in zip(o, SIZES[n], strict=True):
            start = position * step - (
                padding if isinstance(padding, int) else low_padding(padding, size, window, step)
            )
            ranges.append(slice(max(start, 0), min(start + window, size)))
        seen = found.x[:, *ranges].reshape(4, -1, 2)
        wanted = seen.max(axis=1) if kind == "max" else seen.mean(axis=1)
        np.testing.assert_allclose(found.y[:, *o], wanted, rtol=1e-12, atol=1e-12)
