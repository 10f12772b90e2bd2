"""Convolution and pooling agree with loops over every single element, for windows of all kinds.

Invariant: the loops here share no code with the rules: they index the input and skip what lies in padding or gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from tests.unit.reference.build import apply

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Window:
    """One geometry of a sliding window over `sizes`."""

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pairs
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]

    def count(self, axis: int) -> int:
        """How many windows fit along an axis."""
        spread = (self.sizes[axis] - 1) * self.lhs_dilation[axis] + 1 + sum(self.padding[axis])
        reach = (self.window[axis] - 1) * self.rhs_dilation[axis] + 1
        return (spread - reach) // self.strides[axis] + 1

    def source(self, axis: int, position: int, offset: int) -> int | None:
        """The input's index at an offset of a window; None in padding or a gap."""
        spread = position * self.strides[axis] + offset * self.rhs_dilation[axis] - self.padding[axis][0]
        index, gap = divmod(spread, self.lhs_dilation[axis])
        return index if gap == 0 and 0 <= index < self.sizes[axis] else None

    def elements(self, position: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Offsets of a window with the input's indices there."""
        for offset in itertools.product(*map(range, self.window)):
            found = [self.source(axis, p, o) for axis, (p, o) in enumerate(zip(position, offset, strict=True))]
            if None not in found:
                yield offset, tuple(i for i in found if i is not None)

    @property
    def positions(self) -> Iterator[tuple[int, ...]]:
        """All windows."""
        return itertools.product(*(range(self.count(axis)) for axis in range(len(self.sizes))))


@st.composite
def windows(draw: st.DrawFn, *, dilated: bool) -> Window:
    ndim = draw(st.integers(1, 3 if dilated else 2))

    def several(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    largest = 5 if ndim < 3 else 3
    sizes, window, strides = several(1, largest), several(1, 3), several(1, 3)
    lhs, rhs = (several(1, 3), several(1, 2)) if dilated else ((1,) * ndim, (1,) * ndim)
    padding = []
    for axis in range(ndim):
        spread, reach = (sizes[axis] - 1) * lhs[axis] + 1, (window[axis] - 1) * rhs[axis] + 1
        low = draw(st.integers(-1 if dilated and spread > 1 else 0, 2))
        least = max(reach - spread - low, -1 if dilated else 0)
        padding.append((low, least + draw(st.integers(0, 2))))
    return Window(sizes, window, strides, tuple(padding), lhs, rhs)


@settings(max_examples=120)
@given(windows(dilated=True), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_conv_agrees_with_a_naive_loop(w: Window, groups: int, inputs: int, filters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *w.sizes, groups * inputs))
    kernel = rng.normal(size=(*w.window, inputs, groups * filters))
    found = apply(
        "linear.conv",
        x,
        kernel,
        strides=w.strides,
        padding=w.padding,
        lhs_dilation=w.lhs_dilation,
        rhs_dilation=w.rhs_dilation,
        groups=groups,
    )
    expected = np.zeros((2, *(w.count(axis) for axis in range(len(w.sizes))), groups * filters))
    for example, position, out in itertools.product(range(2), w.positions, range(groups * filters)):
        for offset, source in w.elements(position):
            for channel in range(inputs):
                value = x[(example, *source, out // filters * inputs + channel)]
                expected[(example, *position, out)] += value * kernel[(*offset, channel, out)]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=60)
@given(windows(dilated=False), st.integers(0, 2**32 - 1))
def test_pooling_agrees_with_a_naive_loop(w: Window, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, *w.sizes, 2))
    for op, combine, empty in (("nn.max_pool", max, -np.inf), ("nn.avg_pool", np.mean, np.nan)):
        found = apply(op, x, window=w.window, strides=w.strides, padding=w.padding)
        for example, position, channel in itertools.product(range(2), w.positions, range(2)):
            seen = [x[(example, *source, channel)] for _, source in w.elements(position)]
            expected = combine(seen) if seen else empty
            np.testing.assert_allclose(found[(example, *position, channel)], expected, rtol=1e-12)


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_conv_agrees_with_scipy(mode: str) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(7, 6)), rng.normal(size=(3, 5))
    padding = {"valid": ((0, 0), (0, 0)), "same": ((1, 1), (2, 2)), "full": ((2, 2), (4, 4))}[mode]
    found = apply(
        "linear.conv",
        x[None, :, :, None],
        kernel[:, :, None, None],
        strides=(1, 1),
        padding=padding,
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
    )
    np.testing.assert_allclose(found[0, :, :, 0], signal.correlate2d(x, kernel, mode=mode), rtol=1e-10, atol=1e-12)


def test_conv_over_a_dilated_input_is_the_transpose_of_a_strided_one() -> None:
    """<conv(x), y> = <x, conv_transposed(y)>, with the kernel reversed and its channels exchanged."""
    rng = np.random.default_rng(1)
    x, kernel, y = rng.normal(size=(1, 9, 2)), rng.normal(size=(3, 2, 4)), rng.normal(size=(1, 4, 4))
    ones: dict[str, object] = {"lhs_dilation": (1,), "rhs_dilation": (1,)}
    forward = apply("linear.conv", x, kernel, strides=(2,), padding=((0, 0),), **ones)
    ones["lhs_dilation"] = (2,)
    flipped = kernel[::-1].swapaxes(1, 2)
    back = apply("linear.conv", y, flipped, strides=(1,), padding=((2, 2),), **ones)
    np.testing.assert_allclose((forward * y).sum(), (x * back).sum(), rtol=1e-12)
