"""The joint law of the outputs of one example, and expected gradients, from many draws of emitted entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from scipy import stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline

Array = npt.NDArray[Any]
REWRITES = "local-reparameterize,flipout,group-draws,moments,dce"
"""Carries out what draws are marked with."""

FALSE_ALARM = 1e-6
"""How likely a test of many z-scores fails although nothing is wrong."""


def after(module: Module, pipeline: str) -> Module:
    """A module with entry points after a pipeline of passes."""
    return run_pipeline(module, Pipeline.parse(pipeline), PassContext(CORE_OPS))


def each_draw(function: Callable[[jax.Array], Any], seed: int, draws: int) -> Any:
    """The results of a function of a key for independent keys, along the first axis."""
    return jax.jit(jax.vmap(function))(jax.random.split(jax.random.key(seed), draws))


def few_by_few(function: Callable[[jax.Array], Any], seed: int, draws: int) -> Any:
    """The same, some draws at a time.

    A convolution with a kernel for each draw has a gradient whose cost grows with the square of the draws side by side.
    """
    keys = jax.random.split(jax.random.key(seed), draws)
    return jax.jit(lambda each: jax.lax.map(function, each, batch_size=_SIDE_BY_SIDE))(keys)


_SIDE_BY_SIDE = 10


def outputs(
    module: Module, entry: str, params: Mapping[str, Array], inputs: Mapping[str, Array], seed: int, draws: int
) -> dict[str, Array]:
    """The outputs of independent draws of an entry point, draws along the first axis, in float64."""
    one = Program(module).emitted.namespace[f"_{entry}"]
    found = each_draw(lambda key: one(dict(params), dict(inputs), key), seed, draws)
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def gradients(
    module: Module, params: Mapping[str, Array], inputs: Mapping[str, Array], seed: int, draws: int
) -> dict[str, Array]:
    """Gradients of the loss in the parameters for independent draws, draws along the first axis, in float64."""
    one = Program(module).emitted.namespace["_train"]
    slope = jax.grad(lambda p, key: one(p, dict(inputs), key)[0])
    found = few_by_few(lambda key: slope(dict(params), key), seed, draws)
    return {name: np.asarray(value, np.float64).reshape(draws, -1) for name, value in found.items()}


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
    center = (a.mean(0) + b.mean(0)) / 2
    (first, spread_a), (second, spread_b) = (_products(s - center) for s in (a, b))
    floor = 1e-6 * (np.abs(first) + np.abs(second)) + 1e-12
    scores = (first - second) / np.maximum(np.sqrt(spread_a + spread_b), floor)
    left, right = np.triu_indices(a.shape[2])
    return np.concatenate([mean_z(a, b).ravel(), scores[:, left, right].ravel()])


def _products(centered: Array) -> tuple[Array, Array]:
    """The means of products of outputs of one example, and the squares of their standard errors."""
    by_example, count = np.moveaxis(centered, 1, 0), len(centered)
    mean = np.moveaxis(by_example, 1, 2) @ by_example / count
    squares = by_example**2
    spread: Array = np.moveaxis(squares, 1, 2) @ squares / count - mean**2
    return mean, np.maximum(spread, 0.0) / count


def mean_z(a: Array, b: Array) -> Array:
    """Two-sample z-scores of means along the first axis; of what varies by rounding only, in units of rounding."""
    spread = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    floor = 1e-6 * (np.abs(a).mean(0) + np.abs(b).mean(0)) + 1e-12
    gap: Array = (a.mean(0) - b.mean(0)) / np.maximum(spread, floor)
    return gap


def assert_same(scores: Array, what: str) -> None:
    """Fail if the z-scores are larger than those of equal laws are, but for one run in a million."""
    limit = stats.norm.isf(FALSE_ALARM / 2 / scores.size)
    worst = float(np.abs(scores).max())
    assert worst < limit, f"{what}: a z-score of {worst:.1f} among {scores.size}, the limit is {limit:.1f}"
