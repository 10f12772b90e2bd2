"""Emitted JAX against the reference interpreter, on graphs drawn at random and on whole models draw for draw.

Tolerances: the interpreter computes in float64, JAX in float32; graphs are drawn such that no intermediate result is
large, so a few thousand roundings of the greatest one bound the difference.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from bl_compiler.backends.jax.emit import emit_module
from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.ir.graph import Graph, Module, Objective
from tests.strategies.graph_state import PLATES
from tests.strategies.graphs import feeds, numeric_graphs, seeds
from tests.unit.jax.models import data, local_model, regression

ROUNDINGS = 4000 * np.finfo(np.float32).eps


@settings(max_examples=30)
@given(numeric_graphs(), seeds)
def test_random_graphs_agree(graph: Graph, seed: int) -> None:
    inputs = feeds(graph, seed)
    expected = evaluate(graph, inputs=inputs)
    emitted = emit_module(Module("m", {"predict": graph}, PLATES))
    with jax.numpy_dtype_promotion("strict"):
        found = jax.jit(emitted.namespace["_predict"])({}, inputs, jax.random.key(0))
    assert list(found) == sorted(expected)
    for name, value in found.items():
        result = graph.output(name).tensor
        assert str(value.dtype) == {"f32": "float32", "i32": "int32", "bool": "bool"}.get(
            result.dtype, str(value.dtype)
        )
        assert value.shape == expected[name].shape
        assert not value.weak_type, name
        scale = np.max(np.abs(expected[name]), initial=1.0, where=np.isfinite(expected[name]))
        np.testing.assert_allclose(
            np.asarray(value, np.float64), expected[name], rtol=ROUNDINGS, atol=ROUNDINGS * scale
        )


class SharedNoise:
    """The interpreter's draws from the streams that emitted programs draw from; Gaussians only."""

    def __init__(self, key: jax.Array) -> None:
        self._key = key

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Any:
        """See `NoiseSource.draw`."""
        key = self._key
        for position in index:
            key = jax.random.fold_in(key, position)
        noise = np.asarray(jax.random.normal(jax.random.fold_in(key, crc32(site.encode())), shape), np.float64)
        return np.broadcast_to(distribution.mean() + np.sqrt(distribution.variance()) * noise, shape)


MODELS = {
    "elbo": (regression(), data()),
    "elbo of three draws": (regression(objective=Objective(samples=3)), data()),
    "importance weighted": (local_model(Objective("iwae", samples=4)), data()),
    "local": (local_model(Objective(samples=2, kl_weight=0.5)), data()),
}


@pytest.mark.parametrize("name", MODELS)
def test_entry_points_agree_draw_for_draw(name: str) -> None:
    module, inputs = MODELS[name]
    program, reference = Program(module), ReferenceProgram(module)
    params, key = program.init(0), jax.random.key(11)
    params = {path: value + 0.1 for path, value in params.items()}
    namespace = program.emitted.namespace
    loss, (metrics, statistics) = namespace["_train"](params, inputs, key)
    found = {"loss": loss, **metrics, **{f"state:{path}": value for path, value in statistics.items()}}
    expected = reference.run("train", params, inputs, noise=SharedNoise(key))
    assert set(found) == set(expected)
    for output, value in expected.items():
        np.testing.assert_allclose(found[output], value, rtol=2e-5, atol=1e-6)
    for entry, prefix in (("predict", ""), ("log_likelihood", "log_prob:")):
        expected = reference.run(entry, params, inputs, noise=SharedNoise(key))
        found = namespace[f"_{entry}"](params, inputs, key)
        assert {prefix + output for output in found} == set(expected)
        for output, value in found.items():
            np.testing.assert_allclose(value, expected[prefix + output], rtol=2e-5, atol=2e-6)
    sites = {
        site: np.asarray(v[0])
        for site, v in program.sample(params, 1, inputs).items()
        if site in program.interface.sites
    }
    joint = reference.run("log_joint", params, inputs, sites=sites)["log_joint"]
    np.testing.assert_allclose(program.log_joint(params, sites, inputs), joint, rtol=2e-5)
