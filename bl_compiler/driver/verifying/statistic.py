"""The test behind every statement about random outputs: self-normalized sums of paired differences.

Two programs run on independent seeds; statistic j of group g of draws is `a[g, j]` in one and `b[g, j]` in the other.
If both have the same law, then `a[g] - b[g]` is symmetric around zero and independent from group to group, so given
its sizes its signs are fair coins, and by Hoeffding (1963, theorem 2)

    P(|sum_g d_g| >= t sqrt(sum_g d_g^2)) <= 2 exp(-t^2 / 2)

for any number of groups and any law, heavy tails included (Efron 1969, "Student's t-test under symmetry conditions").
No normal approximation is made; a two-sample z-score needs one, and fourth moments for variances.

Invariant: under equal laws `scores` exceeds `threshold(count, alarm)` anywhere with probability at most `alarm`,
however its columns depend on each other. May import: numpy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def threshold(count: int, alarm: float) -> float:
    """The least `t` with `count * 2 exp(-t^2 / 2) <= alarm`: Bonferroni over the bound above.

    >>> round(threshold(1000, 1e-6), 2)
    6.54
    """
    return math.sqrt(2 * math.log(2 * max(count, 1) / alarm))


def scores(a: NDArray[np.floating], b: NDArray[np.floating], allowance: NDArray[np.floating] | float = 0.0) -> Floats:
    """`max(|sum_g d_g| - G allowance, 0) / sqrt(sum_g d_g^2)` for each statistic.

    Args:
        a: `[G, ...]`, statistics of the groups of one program.
        b: the same of the other, drawn from other seeds.
        allowance: `[...]`, by how much rounding may move the expectation of a statistic.

    Returns:
        `[...]`; at most `sqrt(G)`. Groups in which a statistic is not finite are left out of its sum on both sides,
        which keeps the symmetry, and how often that happens is a statistic too: the greater of the two scores counts.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        difference = a.astype(np.float64) - b.astype(np.float64)
    finite = np.isfinite(difference)
    value = _normalized(np.where(finite, difference, 0.0), np.asarray(allowance, np.float64))
    if finite.all():
        return value
    holes = (~np.isfinite(a)).astype(np.float64) - (~np.isfinite(b)).astype(np.float64)
    return np.maximum(value, _normalized(holes, np.zeros(())))


def _normalized(difference: Floats, allowance: Floats) -> Floats:
    total = np.maximum(np.abs(difference.sum(0)) - difference.shape[0] * allowance, 0.0)
    spread = np.sqrt(np.square(difference).sum(0))
    return np.asarray(np.divide(total, spread, out=np.zeros_like(total), where=spread > 0))


def relative_error(found: NDArray[np.generic], wanted: NDArray[np.generic], *, floor: float = 0.0) -> Floats:
    """`|found - wanted|` over the greatest size in `wanted` (at least `floor`), per element.

    What is not finite must be equally so; where it is not, the error is infinite.
    """
    x, y = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(y)
    scale = max(float(np.abs(y[finite]).max(initial=0.0)), floor)
    with np.errstate(invalid="ignore"):
        gap = np.abs(x - y)
        error = np.where(gap == 0, 0.0, gap / scale if scale > 0 else np.inf)
        same = np.where(np.isnan(y), np.isnan(x), x == y)
    return np.where(finite & np.isfinite(x), error, np.where(same, 0.0, np.inf))
