"""Joint draws: one draw of every weight serves all examples, whatever passes made of `predict`.

Invariant: the model is linear in its weights with a fixed posterior, so covariances are known in closed form.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bl_compiler.backends.jax.emit import emit_module
from bl_compiler.backends.jax.program import InputError, Program
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_graph
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of
from bl_compiler.ir.verify import verify
from bl_compiler.passes.entries import derive_entries
from tests.support.models import ModelBuilder

DRAWS = 20_000
X = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, 0.5], [0.3, 0.0]], np.float32)
LOC, SCALE, NOISE = np.array([0.5, -1.0]), np.array([0.7, 0.4]), 0.3


def linear() -> Module:
    """`f = x·w`, `y ~ Normal(f, NOISE)`."""
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x, y = b.input("x", batch, 2), b.input("y", batch)
    f = b.einsum("bi,i->b", x, b.weight("w", 2))
    b.observe("y", y, b.dist("Normal", f, NOISE))
    b.predict("f", f)
    return b.entries()


def noise_for_each_example(graph: Graph) -> Graph:
    """`predict` of the model above as local reparameterization writes it: `f ~ Normal(x·loc, sqrt(x²·scale²))`."""
    b = GraphBuilder(CORE_OPS, graph.name)
    batch = Dim(4, "batch", DimKind.PLATE)
    x = b.add("model.input", key="x", type=TensorType(DType.F32, dims_of(batch, 2)), name="x")
    paths = ("w/loc", "w/scale")
    raw = [next(n for n in graph.of("model.param") if n.attrs["path"] == path) for path in paths]
    loc, scale = (b.add("model.param", **dict(node.attrs)) for node in raw)
    scale = b.add("param.constrain", scale, constraint="positive")
    variance = b.einsum("bi,i->b", b.unary("square", x), b.unary("square", scale))
    d = b.add("dist.Normal", b.einsum("bi,i->b", x, loc), b.unary("sqrt", variance))
    f = b.add("random.draw", d, site="w", estimator="local_reparameterization")
    y = b.add("dist.Normal", f, b.const(NOISE, DType.F32))
    outputs = [("mean:y", b.add("prob.mean", y)), ("variance:y", b.add("prob.variance", y)), ("value:f", f)]
    return b.finish(outputs)


def rewritten() -> Module:
    module = linear()
    functions = {**module.functions, "predict": noise_for_each_example(module.functions["predict"])}
    module = module.with_functions(functions)
    verify(module, after="the rewrite")
    return module


@cache
def program(*, rewrite: bool) -> Program:
    return Program(rewritten() if rewrite else linear())


def params(of: Program) -> dict[str, np.ndarray]:
    raw = {"w/loc": LOC, "w/scale": np.log(np.expm1(SCALE))}
    found = {path: value.astype(np.float32) for path, value in raw.items()}
    np.testing.assert_allclose(of.constrained(found)["w/scale"], SCALE, rtol=1e-6)
    return found


@pytest.mark.parametrize("rewrite", [False, True])
def test_draws_come_unsummarized_along_the_first_axis(rewrite: bool) -> None:
    of = program(rewrite=rewrite)
    found = of.predict(params(of), {"x": X}, seed=1, draws=5, joint=True)
    shapes = {name: {key: array.shape for key, array in parts.items()} for name, parts in found.items()}
    assert shapes == {"y": {"mean": (5, 4), "stddev": (5, 4)}, "f": {"value": (5, 4)}}
    np.testing.assert_allclose(found["y"]["stddev"], NOISE, rtol=1e-6)
    np.testing.assert_array_equal(found["y"]["mean"], found["f"]["value"])


@pytest.mark.parametrize("rewrite", [False, True])
def test_equal_inputs_get_equal_values_in_each_draw(rewrite: bool) -> None:
    of = program(rewrite=rewrite)
    values = np.asarray(of.predict(params(of), {"x": X}, seed=1, draws=50, joint=True)["f"]["value"])
    np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=1e-6)
    assert np.std(values[:, 0]) > 0.1


@pytest.mark.parametrize("rewrite", [False, True])
def test_examples_covary_as_the_weights_say(rewrite: bool) -> None:
    """Cov(f_i, f_j) = x_i·Σ·x_j; within six standard errors (of Gaussians: sqrt((c_ii c_jj + c_ij²)/n))."""
    of = program(rewrite=rewrite)
    values = np.asarray(of.predict(params(of), {"x": X}, seed=2, draws=DRAWS, joint=True)["f"]["value"], np.float64)
    expected = X @ np.diag(SCALE**2) @ X.T
    scale = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / DRAWS)
    assert np.all(np.abs(np.cov(values.T) - expected) < 6 * scale + 1e-6)
    means = (values.mean(0) - X @ LOC) / np.sqrt(np.diag(expected) / DRAWS)
    assert np.all(np.abs(means) < 5)


def test_only_summaries_may_have_noise_for_each_example() -> None:
    """The rewrite above is one: without `joint` equal inputs differ in a draw, and agree on average."""
    of = program(rewrite=True)
    one = np.asarray(of.predict(params(of), {"x": X}, seed=1, draws=1)["f"]["mean"])
    assert abs(one[0] - one[1]) > 1e-3
    marginal = of.predict(params(of), {"x": X}, seed=1, draws=DRAWS)["f"]["stddev"]
    np.testing.assert_allclose(marginal, np.sqrt(X**2 @ SCALE**2), rtol=0.05)


def test_equal_seeds_draw_equal_functions() -> None:
    of = program(rewrite=False)
    two = [of.predict(params(of), {"x": x}, seed=3, draws=4, joint=True)["f"]["value"] for x in (X, X[::-1].copy())]
    np.testing.assert_allclose(two[0], np.asarray(two[1])[:, ::-1], rtol=1e-5)


def test_the_graph_is_written_once_where_both_are_equal() -> None:
    assert "_predict_joint" not in program(rewrite=False).text
    assert program(rewrite=True).text.count("def _predict_joint(") == 1


def test_a_mark_alone_makes_no_second_function() -> None:
    """What a draw was estimated with is said by its graph; the word on it changes nothing."""

    def mark(node: object, rewriter: Rewriter) -> bool:
        if node.op.name != "random.draw":  # type: ignore[attr-defined]
            return False
        rewriter.keep_with(node, node.attrs.with_(estimator="flipout"))  # type: ignore[arg-type, attr-defined]
        return True

    module = linear()
    marked = map_graph(module.functions["predict"], CORE_OPS, mark)
    assert marked != module.functions["predict"]
    text = emit_module(module.with_functions({**module.functions, "predict": marked})).text
    assert "_predict_joint" not in text


def deterministic(b: ModelBuilder, value: Value) -> Module:
    b.predict("f", value)
    b.observe("y", b.input("y", 2), b.standard(2))
    return derive_entries(b.module())


def test_what_draws_nothing_is_joint_as_it_is() -> None:
    b = ModelBuilder()
    module = deterministic(b, b.unary("sin", b.input("x", 2)))
    assert "predict_joint" not in module.functions
    found = Program(module).predict({}, {"x": np.array([0.0, 1.0], np.float32)}, seed=0, draws=3, joint=True)
    np.testing.assert_allclose(found["f"]["value"], np.sin([[0.0, 1.0]] * 3), rtol=1e-6)


def test_a_program_without_joint_draws_says_so() -> None:
    """As of a bundle of an older version: what its `predict` went through is not known."""
    module = rewritten()
    old = module.with_functions({name: g for name, g in module.functions.items() if name != "predict_joint"})
    of = Program(old)
    with pytest.raises(InputError, match="compiled without joint draws"):
        of.predict(params(of), {"x": X}, seed=0, joint=True)
    with pytest.raises(ValueError, match="compiled without joint draws"):
        of.functions["predict"](params(of), {"x": X}, 0, joint=True)
    assert of.predict(params(of), {"x": X}, seed=0)["f"]["mean"].shape == (4,)
