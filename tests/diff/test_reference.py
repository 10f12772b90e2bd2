"""Emitted JAX against the reference interpreter, on graphs drawn at random.

Tolerances: the interpreter computes in float64, JAX in float32; graphs are drawn such that no intermediate result is
large, so a few thousand roundings of the greatest one bound the difference.
"""

from __future__ import annotations

import jax
import numpy as np
from hypothesis import given, settings

from bl_compiler.backends.jax.emit import emit_module
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.graph import Graph, Module
from tests.strategies.graph_state import PLATES
from tests.strategies.graphs import feeds, numeric_graphs, seeds

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
