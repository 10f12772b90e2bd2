"""Measures of predictions, each with its standard error over examples.

Definitions: NLL = -log mean_draws p(y|x, w) per example; Brier = sum over classes of (p - 1[y])^2, for one binary
outcome (p - y)^2; ECE = expected calibration error over 15 equal bins (l, u] of the confidence (Guo et al. 2017,
equation 3). Invariant: standard errors take examples, not their entries (time steps, pixels), for independent.
May import: numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BINS = 15
RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure and the standard error of it (NaN for a single example)."""

    value: float
    standard_error: float

    def to_json(self) -> dict[str, float | None]:
        """Plain data; JSON has no NaN."""
        numbers = {"value": self.value, "standard_error": self.standard_error}
        return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


def mean(per_example: Floats) -> Estimate:
    """The mean with its standard error."""
    count = len(per_example)
    spread = float(np.std(per_example, ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(float(np.mean(per_example)), spread)


def nll(log_probs: NDArray[Any]) -> Floats:
    """The NLL of each example from its log densities `[draws, examples]`."""
    x = log_probs.astype(np.float64)
    top = np.max(x, axis=0)
    # An example that no draw gives a density to has the NLL infinity, not NaN.
    base = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found: Floats = -(base + np.log(np.mean(np.exp(x - base), axis=0)))
    return found


def classification(probs: NDArray[Any], labels: NDArray[Any], mask: Mask | None = None) -> dict[str, Estimate]:
    """Accuracy, Brier score and ECE of class probabilities `[examples, …, classes]` for labels `[examples, …]`."""
    p = _by_example(probs.astype(np.float64), keep=1)
    y = _by_example(labels.astype(np.int64))
    keep = _mask(mask, y.shape)
    right = p.argmax(-1) == y
    one_hot = np.arange(p.shape[-1]) == y[..., None]
    brier = ((p - one_hot) ** 2).sum(-1)
    return {
        "accuracy": _ratio(right.astype(np.float64), keep),
        "brier": _ratio(brier, keep),
        "ece": ece(p.max(-1), right, keep),
    }


def binary(means: NDArray[Any], labels: NDArray[Any], mask: Mask | None = None) -> dict[str, Estimate]:
    """Accuracy, Brier score and ECE of probabilities of 1."""
    p = _by_example(means.astype(np.float64))
    y = _by_example(labels.astype(np.float64))
    keep = _mask(mask, y.shape)
    right = (p > 0.5) == (y > 0.5)
    return {
        "accuracy": _ratio(right.astype(np.float64), keep),
        "brier": _ratio((p - y) ** 2, keep),
        "ece": ece(np.maximum(p, 1 - p), right, keep),
    }


def regression(means: NDArray[Any], targets: NDArray[Any], mask: Mask | None = None) -> dict[str, Estimate]:
    """The root mean squared error; its standard error by the delta method."""
    m = _by_example(means.astype(np.float64))
    y = _by_example(targets.astype(np.float64))
    mse = _ratio((m - y) ** 2, _mask(mask, y.shape))
    root = math.sqrt(mse.value)
    return {"rmse": Estimate(root, mse.standard_error / (2 * root) if root > 0 else 0.0)}


def ece(confidence: Floats, right: Mask, keep: Mask) -> Estimate:
    """The expected calibration error of `[examples, entries]`; its standard error by a bootstrap over examples."""
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.where(keep, confidence - right, 0.0)
    value = _ece(bins, gaps, keep.astype(np.float64))
    count = len(bins)
    if count < 2:
        return Estimate(value, math.nan)
    generator = np.random.default_rng(0)
    resampled = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        times = np.bincount(generator.integers(0, count, count), minlength=count)[:, None].astype(np.float64)
        resampled[i] = _ece(bins, gaps * times, keep * times)
    return Estimate(value, float(np.std(resampled, ddof=1)))


def _ece(bins: NDArray[np.int64], gaps: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    sums = np.bincount(bins.ravel(), weights=gaps.ravel(), minlength=BINS)
    return float(np.abs(sums).sum()) / total if total else math.nan


def _by_example(array: NDArray[Any], *, keep: int = 0) -> NDArray[Any]:
    """`[examples, entries]`, with the last `keep` axes as they are."""
    tail = array.shape[array.ndim - keep :] if keep else ()
    return array.reshape(array.shape[0], -1, *tail)


def _mask(mask: Mask | None, shape: tuple[int, ...]) -> Mask:
    if mask is None:
        return np.ones(shape, bool)
    given = mask.reshape(mask.shape[0], -1)
    # A mask of fewer axes than the observations speaks of whole groups of entries.
    return np.repeat(given, shape[1] // given.shape[1], axis=1)


def _ratio(values: Floats, keep: Mask) -> Estimate:
    """The mean over kept entries; the standard error treats examples as the independent units (ratio estimator)."""
    sums, counts = np.where(keep, values, 0.0).sum(1), keep.sum(1).astype(np.float64)
    total, count = float(counts.sum()), len(values)
    if not total:
        return Estimate(math.nan, math.nan)
    value = float(sums.sum()) / total
    if count < 2:
        return Estimate(value, math.nan)
    residuals = sums - value * counts
    variance = float((residuals**2).sum()) / (count - 1) * count / total**2
    return Estimate(value, math.sqrt(variance))
