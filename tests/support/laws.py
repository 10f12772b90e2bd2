"""The joint law of the outputs of one example, from many draws of an emitted entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from bl_compiler.backends.jax.program import Program
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline

Array = npt.NDArray[Any]


def after(module: Module, pipeline: str) -> Module:
    """A module with entry points after a pipeline of passes."""
    return run_pipeline(module, Pipeline.parse(pipeline), PassContext(CORE_OPS))


def outputs(
    module: Module, entry: str, params: Mapping[str, Array], inputs: Mapping[str, Array], seed: int, draws: int
) -> dict[str, Array]:
    """The outputs of independent draws of an entry point, draws along the first axis, in float64."""
    one = Program(module).emitted.namespace[f"_{entry}"]
    keys = jax.random.split(jax.random.key(seed), draws)
    found = jax.jit(jax.vmap(lambda key: one(dict(params), dict(inputs), key)))(keys)
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def flat(found: Mapping[str, Array]) -> Array:
    """All outputs of each example side by side: [draws, examples, outputs]; the examples' axis is the second."""
    parts = [x.reshape(*x.shape[:2], -1) for x in found.values()]
    return np.concatenate(parts, axis=2)


def z_scores(a: Array, b: Array) -> Array:
    """Two-sample z-scores of the means, variances and covariances of the outputs of each example.

    Args:
        a: [draws, examples, outputs].
        b: likewise, from independent draws.
    """
    scores = [_z(a, b)]
    centers = (a.mean(0) + b.mean(0)) / 2
    left, right = np.triu_indices(a.shape[2])
    for x in (0,):
        products = [(s - centers)[:, :, left] * (s - centers)[:, :, right] for s in (a, b)]
        scores.append(_z(products[x], products[1 - x]))
    return np.concatenate([s.ravel() for s in scores])


def _z(a: Array, b: Array) -> Array:
    spread = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    gap = a.mean(0) - b.mean(0)
    floor = 1e-6 * (np.abs(a).mean(0) + np.abs(b).mean(0)) + 1e-12
    return gap / np.maximum(spread, floor)
