"""Initial values: their laws, their spaces, and where a program takes them from.

Invariant: laws are compared by z-scores at fixed seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.initial import initial_value
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import GeneratorNoise
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.values import EvaluationError
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.initializers import GENERATORS, SCHEMES, Initializer, variance_scaling
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DType, TensorType, dims_of

LIMIT = 4.5


def value(init: Initializer, *shape: int, seed: int = 0) -> np.ndarray:
    """An initial value."""

    def draw(d: Distribution) -> np.ndarray:
        return GeneratorNoise(seed).draw("w", (), d, d.shape)

    return initial_value(init, shape, draw)


def initialize(init: Initializer, shape: tuple[int, ...], dtype: DType = DType.F32) -> Graph:
    """A graph whose output is an initial value."""
    b = GraphBuilder(CORE_OPS, "init")
    type_ = TensorType(dtype, dims_of(*shape))
    return b.finish([("param:w", b.add("param.initialize", path="w", type=type_, init=init, site="w"))])


def assert_law(found: np.ndarray, mean: float, stddev: float) -> None:
    """Mean and standard deviation within their standard errors (kurtosis at most a Gaussian's)."""
    assert abs(found.mean() - mean) <= LIMIT * stddev / math.sqrt(found.size)
    assert abs(found.std() - stddev) <= LIMIT * stddev / math.sqrt(2 * found.size)


def test_every_generator_has_a_rule() -> None:
    for name, (arguments, _) in GENERATORS.items():
        found = value((name, *(1.0 + i for i in range(len(arguments)))), 3, 2)
        assert found.shape == (3, 2)
        np.testing.assert_array_equal(found, value((name, *(1.0 + i for i in range(len(arguments)))), 3, 2))
    with pytest.raises(EvaluationError, match="no initializer"):
        value(("sparkle", 1.0), 2)


def test_laws() -> None:
    np.testing.assert_array_equal(value(("constant", 2), 2), [2.0, 2.0])
    assert_law(value(("normal", 1.0, 0.5), 100, 100), 1.0, 0.5)
    assert_law(value(("uniform", -1.0, 3.0), 100, 100), 1.0, 4 / math.sqrt(12))
    cut = value(("truncated_normal", 1.0, 0.5), 100, 100)
    assert np.all(np.abs(cut - 1) <= 1.0)
    assert_law(cut, 1.0, 0.5 * stats.truncnorm(-2, 2).std())
    assert stats.kstest(((cut - 1) / 0.5).ravel(), stats.truncnorm(-2, 2).cdf).statistic < 1.95 / math.sqrt(cut.size)


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_have_the_variance_they_promise(name: str) -> None:
    fan = {"fan_in": 50, "fan_out": 150, "fan_avg": 100}[SCHEMES[name].mode]
    found = value(variance_scaling(SCHEMES[name], 50, 150), 100, 100)
    assert_law(found, 0.0, math.sqrt(SCHEMES[name].scale / fan))


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 3, 4), (1, 5)])
def test_orthogonal_matrices(shape: tuple[int, ...]) -> None:
    q = value(("orthogonal", 2.0), *shape).reshape(-1, shape[-1]) / 2
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(min(q.shape)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Each element of a uniform orthogonal matrix has mean 0 and variance 1/n."""
    found = np.stack([value(("orthogonal", 1.0), 3, 3, seed=seed) for seed in range(800)])
    assert np.all(np.abs(found.mean(0)) <= LIMIT / math.sqrt(3 * 800))
    assert np.all(np.abs((found**2).mean(0) - 1 / 3) <= LIMIT * (found**2).std(0) / math.sqrt(800))


def test_identity() -> None:
    np.testing.assert_array_equal(value(("identity", 2.0), 2, 3), [[2, 0, 0], [0, 2, 0]])
    assert value(("identity", 1.0), 4, 2, 2).shape == (4, 2, 2)


def test_the_op_draws_from_its_site() -> None:
    found = evaluate(initialize(("normal", 0.0, 1.0), (2, 3)), noise=GeneratorNoise(4))["param:w"]
    np.testing.assert_array_equal(found, value(("normal", 0.0, 1.0), 2, 3, seed=4))
    count = evaluate(initialize(("constant", 0), (), DType.I32))["param:w"]
    assert count.dtype == np.int64


def declared() -> Graph:
    """A model that only declares."""
    b = GraphBuilder(CORE_OPS, "model")
    type_ = TensorType(DType.F32, dims_of(3))
    b.add("model.param", path="free", type=type_, init=("normal", 0.0, 1.0))
    b.add("model.param", path="scale", type=type_, init=("constant", 0.5), constraint="positive")
    b.add("model.state", path="mean", type=type_, init=("constant", 0.5))
    return b.finish()


def test_a_program_initializes_raw_values() -> None:
    params = ReferenceProgram(Module("m", {"model": declared()})).init(seed=2)
    assert set(params) == {"free", "scale", "mean"}
    np.testing.assert_allclose(np.log1p(np.exp(params["scale"])), 0.5, rtol=1e-12)
    np.testing.assert_array_equal(params["mean"], np.full(3, 0.5))
    assert np.unique(params["free"]).size == 3


def test_a_program_uses_its_entry_init() -> None:
    module = Module("m", {"model": declared(), "init": initialize(("constant", 7.0), (2,))})
    params = ReferenceProgram(module).init()
    assert set(params) == {"w"}
    np.testing.assert_array_equal(params["w"], [7.0, 7.0])
