"""Measuring a trained model on a data set.

Invariant: every example counts exactly once, whatever the batch size. May import: floors 0-1, numpy, `training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bl_compiler.training import metrics
from bl_compiler.training.data import DataSet, sweep
from bl_compiler.training.metrics import Estimate, Floats
from bl_compiler.training.npz import Array
from bl_compiler.training.observed import ObservedSite, Scoring
from bl_compiler.training.protocol import Trainable

Report = Callable[[int], None]


def _quiet(examples: int) -> None:
    """Report nothing."""


def log_likelihoods(
    model: Trainable, params: Any, data: DataSet, size: int, *, seed: int, draws: int, report: Report = _quiet
) -> dict[str, Array]:
    """Per observed site the log density of each example, `[draws, examples]`.

    Args:
        model: The compiled model.
        params: Its parameters.
        data: The examples.
        size: The model's batch size.
        seed: The seed of the draws, the same for all batches: one draw of the weights serves all examples.
        draws: The number of draws.
        report: Told how many examples are done.
    """
    parts: dict[str, list[Array]] = {}
    for batch in sweep(data, size):
        found = model.log_likelihood(params, batch.arrays, seed=seed, draws=draws)
        for site, values in found.items():
            flat = values.reshape(draws, -1)
            parts.setdefault(site, []).append(flat[:, : batch.valid])
        report(batch.start + batch.valid)
    return {site: np.concatenate(values, axis=1) for site, values in parts.items()}


def negative_log_likelihood(log_probs: dict[str, Array]) -> Floats:
    """The NLL of each example over all its observations: they share the draw, so densities multiply within a draw."""
    return metrics.nll(np.sum([values.astype(np.float64) for values in log_probs.values()], axis=0))


def validation_nll(
    model: Trainable, data: DataSet, size: int, *, seed: int, draws: int
) -> Callable[[Any], tuple[float, float]]:
    """What the training loop calls to evaluate parameters."""

    def evaluate(params: Any) -> tuple[float, float]:
        found = metrics.mean(
            negative_log_likelihood(log_likelihoods(model, params, data, size, seed=seed, draws=draws))
        )
        return found.value, found.standard_error

    return evaluate


def validation_loss(model: Trainable, data: DataSet, size: int, *, seed: int) -> Callable[[Any], tuple[float, float]]:
    """The same by the objective, for models with latent variables of each example.

    The density of the data given a draw from q(z|x) has seen the data itself, so only the bound says how good such a
    model is. It is taken over full batches, or over the one there is.
    """

    def evaluate(params: Any) -> tuple[float, float]:
        losses = [
            model.loss(params, batch.arrays, seed=seed)
            for batch in sweep(data, size)
            if batch.valid == size or data.count < size
        ]
        found = metrics.mean(np.array(losses, np.float64))
        return found.value, found.standard_error

    return evaluate


def evaluate(
    model: Trainable,
    params: Any,
    data: DataSet,
    sites: Sequence[ObservedSite],
    size: int,
    *,
    seed: int,
    draws: int,
    report: Report = _quiet,
) -> dict[str, Estimate]:
    """All measures by name: `nll`, and per observation `accuracy`, `brier` and `ece`, or `rmse`.

    Names carry the site (`accuracy:labels`) where the model has several observations.
    """
    found: dict[str, Estimate] = {}
    log_probs = log_likelihoods(model, params, data, size, seed=seed, draws=draws)
    found["nll"] = metrics.mean(negative_log_likelihood(log_probs))
    several = len(log_probs) > 1
    if several:
        for name, values in log_probs.items():
            found[f"nll:{name}"] = metrics.mean(metrics.nll(values))
    outputs = predictions(model, params, data, size, seed=seed, draws=draws, report=report)
    for site in sites:
        for measure, estimate in _scores(site, outputs, data).items():
            found[f"{measure}:{site.site}" if several else measure] = estimate
    return found


def predictions(
    model: Trainable,
    params: Any,
    data: DataSet,
    size: int,
    *,
    seed: int,
    draws: int,
    joint: bool = False,
    report: Report = _quiet,
) -> dict[str, Array]:
    """The outputs of prediction, examples first; an output that is the same for all examples comes once.

    With `joint`, draws come first and examples second, and a draw of the weights is the same in all batches.
    """
    parts: dict[str, list[Array]] = {}
    axes = model.output_axes
    shared = all(axis is None for axis in data.axes.values())
    for batch in sweep(data, size):
        for name, values in model.predict(params, batch.arrays, seed=seed, draws=draws, joint=joint).items():
            axis = axes.get(name)
            if axis is None:
                parts[name] = [values]
                continue
            first = np.moveaxis(values, axis + 1 if joint else axis, 0)
            # A model without examples in its inputs still predicts whole plates.
            parts.setdefault(name, []).append(first if shared else first[: batch.valid])
        report(batch.start + batch.valid)
    found = {name: np.concatenate(rows) if axes.get(name) is not None else rows[0] for name, rows in parts.items()}
    if not joint:
        return found
    return {name: np.moveaxis(each, 0, 1) if axes.get(name) is not None else each for name, each in found.items()}


def _scores(site: ObservedSite, outputs: dict[str, Array], data: DataSet) -> dict[str, Estimate]:
    axis = data.axes.get(site.key) if site.key is not None else None
    if site.key is None or axis is None or site.scoring is Scoring.NONE:
        return {}
    truth = np.moveaxis(data.arrays[site.key], axis, 0)
    mask = None
    if site.mask is not None:
        mask_axis = data.axes[site.mask]
        held = data.arrays[site.mask]
        mask = (np.moveaxis(held, mask_axis, 0) if mask_axis is not None else held).astype(bool)
    name = f"probs:{site.site}" if site.scoring is Scoring.CLASSES else f"mean:{site.site}"
    if name not in outputs:
        return {}
    predicted = outputs[name]
    match site.scoring:
        case Scoring.CLASSES:
            return metrics.classification(predicted, truth, mask)
        case Scoring.BINARY:
            # Gray values have no classes to be right about.
            binary = bool(np.all((truth == 0) | (truth == 1)))
            return metrics.binary(predicted, truth, mask) if binary else metrics.regression(predicted, truth, mask)
        case _:
            return metrics.regression(predicted, truth, mask)
