"""Predictions of a trained model for a data set, as named arrays.

Invariant: row i of every array with examples belongs to example i of the data; where there are draws, they come first.
May import: floors 0-1, numpy, `training`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from bl_compiler.options import OptionError
from bl_compiler.training.data import DataSet
from bl_compiler.training.evaluate import Report, predictions
from bl_compiler.training.npz import Array
from bl_compiler.training.trained import Trained


def predict(
    trained: Trained, data: DataSet, *, seed: int, draws: int, joint: bool = False, report: Report = lambda _: None
) -> dict[str, Array]:
    """The predictions by the names of the file: `labels.probs`, `targets.mean`, `targets.stddev`.

    Args:
        trained: The model.
        data: The examples.
        seed: Of the draws.
        draws: How many.
        joint: Draws of functions: nothing is summarized, draws come first, and what the model predicts is `NAME.value`.
        report: Told how many examples are done.

    Raises:
        OptionError: Joint draws of more examples than a batch holds, from a model that draws something for each
            example: what one batch drew would come again in the next (BLC0210).
    """
    size = trained.needs.batch
    if joint and trained.needs.local_draws and data.count > size:
        raise OptionError(
            f"`--joint` on {data.count} examples is not supported yet: the model draws something for each example, "
            f"and was trained on {size} at a time",
            help=f"predict at most {size} examples",
            code="BLC0210",
        )
    found = predictions(trained.program, trained.params, data, size, seed=seed, draws=draws, joint=joint, report=report)
    arrays = {}
    for name, array in found.items():
        measure, _, site = name.partition(":")
        arrays[f"{site}.{measure}"] = array
    return dict(sorted(arrays.items()))


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """An .npz file in memory; equal arrays give equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
