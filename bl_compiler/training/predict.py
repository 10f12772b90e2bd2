"""Predictions of a trained model for a data set, as named arrays.

Invariant: row i of every array with examples belongs to example i of the data. May import: floors 0-1, numpy,
`training`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from bl_compiler.training.data import DataSet
from bl_compiler.training.evaluate import Report, predictions
from bl_compiler.training.npz import Array
from bl_compiler.training.trained import Trained


def predict(
    trained: Trained, data: DataSet, *, seed: int, draws: int, report: Report = lambda _: None
) -> dict[str, Array]:
    """The predictions by the names of the file: `labels.probs`, `targets.mean`, `targets.stddev`."""
    found = predictions(
        trained.program, trained.params, data, trained.needs.batch, seed=seed, draws=draws, report=report
    )
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
