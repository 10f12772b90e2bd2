"""Predicted variances of gradients against measured ones.

The rule knows the number of examples and whether numbers or classes are observed, so it is held to a factor of 3, and
to the order of the estimators.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bl_compiler.backends.jax.program import Program
from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.weighing import correlation_of, variance
from tests.support.laws import REWRITES, after, gradients
from tests.support.lowering import lowered
from tests.support.quick import quick_compiles

NETWORKS = {
    "classes": ("i32[batch]", "x |> dense(16) |> relu |> dense(4)", "Categorical(logits=h)"),
    "regression": ("f32[batch]", "x |> dense(16) |> relu |> dense(1)", "Normal(h |> squeeze, 0.5)"),
}
ESTIMATORS = [Estimator("grouped", groups=8), Estimator("flipout"), Estimator("local_reparameterization")]


@cache
def module_of(network: str, examples: int, estimator: Estimator) -> Module:
    """The entry points of a network."""
    y, body, likelihood = NETWORKS[network]
    text = f"""
model m {{
  plate batch[{examples}] of {10 * examples}
  input x: f32[batch, 8]
  input y: {y}
  believe kernel, bias ~ Normal(0, 1) by mean_field(init_scale=0.1) using {estimator}
  let h = {body}
  observe y ~ {likelihood}
}}
"""
    return after(derive_entries(lowered(text)), REWRITES)


@cache
def measured(network: str, examples: int, estimator: Estimator) -> float:
    """The trace of the covariance of the gradient over draws, at fixed parameters and data."""
    module = module_of(network, examples, estimator)
    rng = np.random.default_rng(5)
    params = {k: np.asarray(v) for k, v in Program(module).init(2).items()}
    x = rng.normal(size=(examples, 8)).astype(np.float32)
    data = rng.integers(0, 4, examples) if network == "classes" else np.sin(x.sum(1))
    with quick_compiles():
        slopes = gradients(
            module, params, {"x": x, "y": data.astype(np.int32 if network == "classes" else np.float32)}, 1, 4000
        )
    return float(sum(slope.var(0).sum() for slope in slopes.values()))


@pytest.mark.slow
@pytest.mark.parametrize("examples", [16, 128])
@pytest.mark.parametrize("network", NETWORKS)
def test_rules_are_right_up_to_a_factor(network: str, examples: int) -> None:
    shared = measured(network, examples, Estimator("shared"))
    ratios = {e: measured(network, examples, e) / shared for e in ESTIMATORS}
    correlation = correlation_of(module_of(network, examples, Estimator("shared")))
    for estimator, ratio in ratios.items():
        assert 1 / 3 < ratio / variance(estimator, examples, correlation) < 3, (str(estimator), ratio)
    grouped, flipout, local = ratios.values()
    assert local < 1.05 * flipout
    assert local < 1.05 * grouped
    assert max(ratios.values()) < 1.1
