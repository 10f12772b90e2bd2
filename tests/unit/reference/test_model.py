"""The function `model` evaluates to the joint law: every density by hand, every draw used wherever it is used.

Invariant: models here are written with the graph builder, so nothing depends on the front end or on passes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.joint import joint
from bl_compiler.backends.reference.noise import GeneratorNoise
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.values import EvaluationError
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of

BATCH = Dim("B", "batch", DimKind.PLATE)
F32 = DType.F32


def log_normal(x: np.ndarray, loc: object, scale: object) -> np.ndarray:
    """The Gaussian log density."""
    return -(((x - loc) / scale) ** 2) / 2 - np.log(scale) - math.log(2 * math.pi) / 2


def dist(b: GraphBuilder, family: str, *parameters: Value | float) -> Value:
    """A distribution; numbers become constants."""
    return b.add(f"dist.{family}", *(p if isinstance(p, Value) else b.const(p, F32) for p in parameters))


def regression() -> Module:
    """Bayesian linear regression with a mean-field posterior, a MAP noise scale, input noise, and a running mean."""
    b = GraphBuilder(CORE_OPS, "model")
    x = b.add("model.input", key="x", type=TensorType(F32, (BATCH, Dim(2))))
    y = b.add("model.input", key="y", type=TensorType(F32, (BATCH,)))
    seen = b.add("model.input", key="seen", type=TensorType(DType.BOOL, (BATCH,)))
    weight = TensorType(F32, dims_of(2))
    loc = b.add("model.param", path="w/loc", type=weight, init=("normal", 0.0, 1.0))
    raw = b.add("model.param", path="w/scale", type=weight, init=("constant", 0.5), constraint="positive")
    scale = b.add("param.constrain", raw, constraint="positive")
    posterior = b.add("dist.independent", dist(b, "Normal", loc, scale), ndims=1)
    prior = b.add("dist.expand", dist(b, "Normal", 0.0, 1.0), dims=dims_of(2))
    prior = b.add("dist.independent", prior, ndims=1)
    w = b.add("model.sample", prior, posterior, site="w")
    sigma = b.add("model.param", path="sigma", type=TensorType(F32), init=("constant", 2.0), constraint="positive")
    sigma = b.add("param.constrain", sigma, constraint="positive")
    sigma = b.add("model.point", dist(b, "Gamma", 2.0, 3.0), sigma, site="sigma")
    jitter = b.add("dist.expand", dist(b, "Normal", 0.0, 0.1), dims=(BATCH, Dim(2)))
    x = b.binary("add", x, b.add("model.noise", jitter, site="jitter"))
    mean = b.einsum("ba,a->b", x, w)
    count = b.add("model.state", path="count", type=TensorType(F32), init=("constant", 0.0))
    b.emit("model.update", [b.binary("add", count, 1.0)], {"path": "count"})
    b.emit("model.observe", [y, dist(b, "Normal", mean, sigma), seen], {}, site="y")
    b.emit("model.predict", [mean], {"key": "mean"})
    b.emit("model.predict", [b.add("model.phase", b.const(1.0, F32), b.const(2.0, F32))], {"key": "phase"})
    return Module("regression", {"model": b.finish()}, (PlateInfo("batch", "B", 100),))


RNG = np.random.default_rng(0)
INPUTS = {"x": RNG.normal(size=(3, 2)), "y": RNG.normal(size=3), "seen": np.array([True, False, True])}
PARAMS = {"w/loc": np.array([0.5, -1.0]), "w/scale": np.array([0.2, 1.0]), "sigma": np.array(0.7), "count": 4.0}


def softplus(x: object) -> np.ndarray:
    return np.log1p(np.exp(x))


def test_every_density_of_a_model() -> None:
    trace = joint(regression(), PARAMS, INPUTS, noise=GeneratorNoise(3))
    w, sigma, jitter = trace.values["w"], softplus(0.7), trace.values["jitter"]
    mean = (INPUTS["x"] + jitter) @ w
    np.testing.assert_allclose(trace.values["sigma"], sigma)
    likelihood = log_normal(INPUTS["y"], mean, sigma)
    np.testing.assert_allclose(trace.likelihood["y"], [likelihood[0], 0.0, likelihood[2]], rtol=1e-12)
    np.testing.assert_allclose(trace.prior["w"], log_normal(w, 0, 1).sum(), rtol=1e-12)
    np.testing.assert_allclose(trace.prior["sigma"], math.log(9 * sigma) - 3 * sigma, rtol=1e-12)
    scale = softplus(PARAMS["w/scale"])
    np.testing.assert_allclose(trace.posterior["w"], log_normal(w, PARAMS["w/loc"], scale).sum(), rtol=1e-12)
    divergence = (scale**2 + PARAMS["w/loc"] ** 2 - 1 - 2 * np.log(scale)).sum() / 2
    np.testing.assert_allclose(trace.kl["w"], divergence, rtol=1e-12)
    np.testing.assert_allclose(trace.predictions["mean"], mean, rtol=1e-12)
    assert (set(trace.posterior), set(trace.kl), set(trace.likelihood)) == ({"w"}, {"w"}, {"y"})
    assert set(trace.values) == {"w", "sigma", "jitter"}
    assert (float(trace.updates["count"]), float(trace.predictions["phase"])) == (5.0, 1.0)
    expected = trace.likelihood["y"].sum() + trace.prior["w"] + trace.prior["sigma"]
    assert trace.log_joint == pytest.approx(float(expected))


def test_sites_can_be_given() -> None:
    trace = joint(regression(), PARAMS, INPUTS, {"w": [1.0, 2.0], "jitter": np.zeros((3, 2))}, training=False)
    np.testing.assert_array_equal(trace.values["w"], [1.0, 2.0])
    np.testing.assert_allclose(trace.predictions["mean"], INPUTS["x"] @ [1.0, 2.0])
    assert float(trace.predictions["phase"]) == 2.0


def test_closed_form_divergence_is_the_mean_of_sampled_ones() -> None:
    traces = [joint(regression(), PARAMS, INPUTS, noise=GeneratorNoise(seed)) for seed in range(200)]
    ratios = np.array([t.posterior["w"] - t.prior["w"] for t in traces])
    assert abs(ratios.mean() - traces[0].kl["w"]) <= 4.5 * ratios.std() / math.sqrt(len(ratios))


def test_a_likelihood_that_excludes_masked_data_is_finite() -> None:
    trace = joint(regression(), PARAMS, {**INPUTS, "y": np.array([0.0, np.nan, 1.0])})
    assert np.all(np.isfinite(trace.likelihood["y"]))


def scanned() -> Module:
    """A random walk: a local site and an observation at each of three steps, inside a scan."""
    state = TensorType(F32, (BATCH,))
    args = [Value(state), Value(state)]
    inner = GraphBuilder(CORE_OPS, "body", args)
    posterior = dist(inner, "Normal", args[1], inner.full(0.5, (BATCH,)))
    z = inner.add("model.sample", dist(inner, "Normal", args[0], inner.full(1.0, (BATCH,))), posterior, site="z")
    inner.emit("model.observe", [args[1], dist(inner, "Normal", z, inner.full(2.0, (BATCH,)))], {}, site="y")
    body = inner.finish([("z", z)])
    b = GraphBuilder(CORE_OPS, "model")
    y = b.add("model.input", key="y", type=TensorType(F32, (Dim(3, "time", DimKind.TIME), BATCH)))
    start = b.full(0.0, (BATCH,))
    b.emit("region.scan", [start, y], {"length": 3, "carries": 1, "walked": 1, "body": body})
    return Module("walk", {"model": b.finish()})


def test_sites_in_regions_are_stacked() -> None:
    y = RNG.normal(size=(3, 4))
    trace = joint(scanned(), inputs={"y": y})
    z = trace.values["z"]
    before = np.concatenate([np.zeros((1, 4)), z[:-1]])
    np.testing.assert_allclose(trace.prior["z"], log_normal(z, before, 1.0), rtol=1e-12)
    np.testing.assert_allclose(trace.posterior["z"], log_normal(z, y, 0.5), rtol=1e-12)
    np.testing.assert_allclose(trace.likelihood["y"], log_normal(y, z, 2.0), rtol=1e-12)
    np.testing.assert_allclose(trace.kl["z"], ((before - y) ** 2 + 0.25 - 1 - math.log(0.25)) / 2, rtol=1e-12)
    given = joint(scanned(), inputs={"y": y}, sites={"z": np.ones((3, 4))})
    np.testing.assert_array_equal(given.values["z"], np.ones((3, 4)))


def test_two_nodes_of_one_site_are_refused() -> None:
    b = GraphBuilder(CORE_OPS, "model")
    for _ in range(2):
        b.add("model.noise", dist(b, "Normal", 0.0, 1.0), site="e")
    with pytest.raises(EvaluationError, match="two nodes record a value under `e`"):
        joint(Module("m", {"model": b.finish()}))


# --- sizes, steps, feeds ----------------------------------------------------------------------------------------------


def scalars(op: str, **attrs: object) -> Graph:
    """A graph whose output is an op without operands."""
    b = GraphBuilder(CORE_OPS, "main")
    return b.finish([("y", b.add(op, **attrs))])


def test_plate_totals_come_from_the_module_first() -> None:
    graph = scalars("model.plate_size", plate="batch")
    assert evaluate(graph, sizes={"batch": 50})["y"] == 50.0
    known = Module("m", {"main": graph}, (PlateInfo("batch", 10, 1000),))
    assert ReferenceProgram(known).run("main", sizes={"batch": 50})["y"] == 1000.0
    unknown = Module("m", {"main": graph}, (PlateInfo("batch", 10),))
    assert ReferenceProgram(unknown).run("main", sizes={"batch": 50})["y"] == 50.0
    with pytest.raises(EvaluationError, match="total of plate `batch` is not known"):
        evaluate(graph)


def test_the_step_outside_training_ends_every_schedule() -> None:
    graph = scalars("model.step")
    assert evaluate(graph, step=7)["y"] == 7.0
    b = GraphBuilder(CORE_OPS, "main")
    way = b.binary("min", b.binary("div", b.add("model.step"), 1e4), 1.0)
    done = evaluate(b.finish([("y", b.binary("add", 0.1, b.binary("mul", way, 0.9)))]))["y"]
    assert float(done) == 1.0


def test_a_program_takes_values_of_sites() -> None:
    graph = scalars("model.input", key="site:w", type=TensorType(F32))
    assert ReferenceProgram(Module("m", {"log_joint": graph})).run("log_joint", sites={"w": 3})["y"] == 3.0


def test_symbolic_sizes_come_from_feeds_or_are_stated() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    x = b.add("model.input", key="x", type=TensorType(F32, (BATCH, Dim(2))))
    flat = b.reshape(x, (Dim(2), Dim("B")))
    graph = b.finish([("y", b.binary("add", flat, b.full(1.0, (Dim("B"),))))])
    assert evaluate(graph, inputs={"x": np.zeros((5, 2))})["y"].shape == (2, 5)
    full = scalars("tensor.full", value=1.0, dtype=F32, dims=(BATCH,))
    assert evaluate(full, sizes={"B": 3})["y"].shape == (3,)
    with pytest.raises(EvaluationError, match="the size `B` is not known"):
        evaluate(full)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "no input `x` is fed"),
        ({"x": np.zeros(2)}, r"`x` has shape \[2\], expected \[batch@B, 2\]"),
        ({"x": np.zeros((2, 3))}, r"`x` has shape \[2, 3\]"),
        ({"x": np.zeros((2, 2)), "n": np.zeros(3, int)}, r"`n` has shape \[3\], expected \[batch@B\]"),
        ({"x": np.zeros((2, 2)), "n": np.array([0.5, 1.0])}, "input `n` holds numbers that are no i32"),
        ({"x": np.zeros((2, 2)), "n": np.array([0, 2**31])}, "input `n` holds numbers that are no i32"),
    ],
)
def test_feeds_that_do_not_fit(inputs: dict[str, np.ndarray], message: str) -> None:
    b = GraphBuilder(CORE_OPS, "main")
    b.add("model.input", key="x", type=TensorType(F32, (BATCH, Dim(2))))
    n = b.add("model.input", key="n", type=TensorType(DType.I32, (BATCH,)))
    with pytest.raises(EvaluationError, match=message):
        evaluate(b.finish([("y", n)]), inputs={"n": np.zeros(2, int), **inputs})


def test_faults_name_the_node() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    x = b.add("model.input", key="x", type=TensorType(F32, (Dim(2),)))
    b.add("tensor.take", x, b.const((5,), DType.I32), axis=0, name="picked")
    with pytest.raises(EvaluationError) as caught:
        evaluate(b.finish(), inputs={"x": np.zeros(2)})
    assert caught.value.__notes__ == ["in `tensor.take` (%picked)"]


def test_feeds_of_any_kind_become_float64() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    x = b.add("model.input", key="x", type=TensorType(DType.BF16, dims_of(2)))
    for fed in ([1, 2], np.float32([1, 2]), np.array([True, False]), np.uint8([1, 2])):
        assert evaluate(b.finish([("y", x)]), inputs={"x": fed})["y"].dtype == np.float64


def test_a_rule_that_breaks_its_type_is_caught() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    x = b.add("model.input", key="x", type=TensorType(F32, dims_of(2)))
    node = b.emit("tensor.reshape", [x], {"dims": dims_of(2)})
    wrong = Value(TensorType(F32, dims_of(3)))
    b.nodes[-1] = type(node)(node.op, node.inputs, node.attrs, (wrong,))
    with pytest.raises(EvaluationError, match=r"should have shape \[3\] and has \[2\]"):
        evaluate(b.finish([("y", wrong)]), inputs={"x": np.zeros(2)})


def test_distributions_are_no_outputs() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    with pytest.raises(EvaluationError, match="the output `d` is a distribution"):
        evaluate(b.finish([("d", dist(b, "Normal", 0.0, 1.0))]))
