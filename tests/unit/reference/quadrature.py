"""Integrals by double-exponential quadrature, and the laws of families to integrate.

Invariant: nothing here uses scipy's distributions; log densities are textbook formulas written out with `math`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

INF = math.inf
Function = Callable[[np.ndarray], np.ndarray]


def integrate(f: Function, points: Sequence[float]) -> float:
    """The integral of `f` from the first point to the last, smooth between neighbors (Takahasi and Mori 1974)."""
    return sum(_segment(f, a, b) for a, b in pairwise(points))


def _segment(f: Function, low: float, high: float) -> float:
    step = 1 / 64
    t = np.arange(-5, 5 + step / 2, step)
    inner, slope = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t)
    if math.isinf(low):
        return _segment(lambda x: f(-x), -high, INF)
    if math.isinf(high):
        x, weight = low + np.exp(inner), np.exp(inner) * slope
    else:
        # The distance from the nearer end is formed without cancellation.
        width, distance = high - low, 1 / (1 + np.exp(2 * np.abs(inner)))
        x = np.where(inner < 0, low + width * distance, high - width * distance)
        weight = width * 2 * distance * (1 - distance) * slope
    keep = (x > low) & (x < high) & (weight > 1e-300)
    with np.errstate(all="ignore"):
        y = f(x[keep])
    return float(np.sum(np.where(weight[keep] * y == 0, 0.0, weight[keep] * y)) * step)


@dataclass(frozen=True)
class Law:
    """A scalar family on some parameters: its textbook log density, and where that is smooth in between."""

    parameters: tuple[float, ...]
    log_density: Callable[[float], float]
    points: tuple[float, ...] = ()


def _beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _t(x: float, df: float, loc: float, scale: float) -> float:
    z = (x - loc) / scale
    return (
        math.lgamma((df + 1) / 2)
        - math.lgamma(df / 2)
        - math.log(df * math.pi) / 2
        - math.log(scale)
        - (df + 1) / 2 * math.log1p(z * z / df)
    )


def _choose(n: float, k: float) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _p(logits: float) -> float:
    return 1 / (1 + math.exp(-logits))


_LOG = math.log
_2PI = math.log(2 * math.pi)

CONTINUOUS: dict[str, list[Law]] = {
    "Normal": [
        Law((m, s), lambda x, m=m, s=s: -(((x - m) / s) ** 2) / 2 - _LOG(s) - _2PI / 2, (-INF, m, INF))
        for m, s in ((0.0, 1.0), (-2.0, 0.3))
    ],
    "Laplace": [Law((1.0, 2.0), lambda x: -abs(x - 1) / 2 - _LOG(4), (-INF, 1, INF))],
    "StudentT": [
        Law((5.0, 1.0, 2.0), lambda x: _t(x, 5, 1, 2), (-INF, 1, INF)),
        Law((0.8, 1.0, 2.0), lambda x: _t(x, 0.8, 1, 2), (-INF, 1, INF)),
    ],
    "Cauchy": [Law((1.0, 2.0), lambda x: -_LOG(2 * math.pi) - math.log1p(((x - 1) / 2) ** 2), (-INF, 1, INF))],
    "Logistic": [
        Law((1.0, 2.0), lambda x: -abs(x - 1) / 2 - _LOG(2) - 2 * math.log1p(math.exp(-abs(x - 1) / 2)), (-INF, 1, INF))
    ],
    "Gumbel": [
        Law((1.0, 2.0), lambda x: -(x - 1) / 2 - math.exp(min(-(x - 1) / 2, 700)) - _LOG(2), (-INF, 1, INF)),
    ],
    "HalfNormal": [Law((2.0,), lambda x: _LOG(2) - x * x / 8 - _LOG(2) - _2PI / 2, (0, INF))],
    "HalfCauchy": [Law((2.0,), lambda x: -_LOG(math.pi) - math.log1p(x * x / 4), (0, INF))],
    "LogNormal": [
        Law((0.5, 0.7), lambda x: -(((_LOG(x) - 0.5) / 0.7) ** 2) / 2 - _LOG(0.7 * x) - _2PI / 2, (0, 1, INF))
    ],
    "Exponential": [Law((2.5,), lambda x: _LOG(2.5) - 2.5 * x, (0, INF))],
    "Gamma": [
        Law((a, b), lambda x, a=a, b=b: a * _LOG(b) - math.lgamma(a) + (a - 1) * _LOG(x) - b * x, (0, 1, INF))
        for a, b in ((3.0, 2.0), (0.6, 0.5))
    ],
    "InverseGamma": [
        Law((a, b), lambda x, a=a, b=b: a * _LOG(b) - math.lgamma(a) - (a + 1) * _LOG(x) - b / x, (0, 1, INF))
        for a, b in ((5.0, 2.0), (0.9, 0.5))
    ],
    "Beta": [
        Law((a, b), lambda x, a=a, b=b: (a - 1) * _LOG(x) + (b - 1) * math.log1p(-x) - _beta(a, b), (0, 0.5, 1))
        for a, b in ((2.0, 3.0), (0.7, 1.5))
    ],
    "Uniform": [Law((-1.0, 3.0), lambda x: -_LOG(4), (-1, 3))],
}
"""Continuous scalar families; moments that do not exist are among them (Student's t below 1 degree of freedom, …)."""

DISCRETE: dict[str, list[Law]] = {
    "Bernoulli": [Law((0.7,), lambda k: _LOG(_p(0.7) if k else _p(-0.7)))],
    "Binomial": [Law((-0.4, 7.0), lambda k: _choose(7, k) + k * _LOG(_p(-0.4)) + (7 - k) * _LOG(_p(0.4)))],
    "Poisson": [Law((3.5,), lambda k: k * _LOG(3.5) - 3.5 - math.lgamma(k + 1))],
    "NegativeBinomial": [
        Law((2.5, 0.3), lambda k: _choose(k + 1.5, k) + k * _LOG(_p(0.3)) + 2.5 * _LOG(_p(-0.3))),
    ],
}
"""Discrete scalar families with 400 as an upper limit of their support for all that matters."""
