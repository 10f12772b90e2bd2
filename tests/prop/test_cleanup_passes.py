"""The clean-up passes keep every value, every type and every site, on random graphs.

Invariant: evaluation is by the reference interpreter, before and after.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.driver.folding import evaluator
from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import sites, walk
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.instruments import VerifyEach
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline
from tests.strategies.graphs import feeds, module_of, modules, numeric_graphs, seeds

PASSES = ("canonicalize", "fold", "cse", "dce")
pipelines = st.lists(st.sampled_from(PASSES), min_size=1, max_size=6).map(",".join)


def cleaned(module: Module, pipeline: str) -> Module:
    ctx = PassContext(CORE_OPS, evaluate=evaluator(), instruments=(VerifyEach(),))
    return run_pipeline(module, Pipeline.parse(pipeline), ctx)


@settings(max_examples=200)
@given(numeric_graphs(), pipelines, seeds)
def test_values_stay(graph: Graph, pipeline: str, seed: int) -> None:
    inputs = feeds(graph, seed)
    before = evaluate(graph, inputs=inputs)
    after = evaluate(cleaned(module_of(graph), pipeline).functions["model"], inputs=inputs)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert np.all(np.isfinite(value))
        # Folding rounds to f32 in between, which the interpreter does not.
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-5)


@settings(max_examples=150)
@given(modules(), pipelines)
def test_types_outputs_and_effects_stay(module: Module, pipeline: str) -> None:
    after = cleaned(module, pipeline)
    for name, graph in module.functions.items():
        found = after.functions[name]
        assert [(o.name, o.value.type) for o in found.outputs] == [(o.name, o.value.type) for o in graph.outputs]
    before, left = module.functions["model"], after.functions["model"]
    assert sites(left).keys() == sites(before).keys()
    kept = (Effect.DECLARES, Effect.OBSERVES, Effect.UPDATES)
    count = [sum(node.op.effect in kept for node in walk(graph)) for graph in (before, left)]
    assert count[0] == count[1]


@pytest.mark.parametrize("name", PASSES)
def test_a_second_run_changes_nothing(name: str) -> None:
    @settings(max_examples=60)
    @given(modules())
    def check(module: Module) -> None:
        once = cleaned(module, name)
        assert cleaned(once, name) is once

    check()


@settings(max_examples=40)
@given(numeric_graphs(), seeds)
def test_numeric_graphs_are_not_sensitive(graph: Graph, seed: int) -> None:
    """Inputs changed in their last places change outputs little: backends may round differently and still agree."""
    verify(module_of(graph))
    inputs = feeds(graph, seed)
    moved = {key: x * (1 + 1e-7) if x.dtype == np.float32 else x for key, x in inputs.items()}
    before, after = evaluate(graph, inputs=inputs), evaluate(graph, inputs=moved)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-4)
