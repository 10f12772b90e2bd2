"""Dense layers, normalization, embeddings and noise against their formulas in NumPy.

Invariant: statistics are checked on data with a large mean, where a careless variance would lose its digits.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.context import BATCH, DYNAMIC, FakeContext, time
from tests.support.evaluation import Array, evaluated

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("leading", [(), (4,), (4, 5), (2, 3, 4)])
def test_dense(leading: tuple[int, ...]) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("dense", c.input("f64", *leading, 6), 3, activation="tanh"))
    wanted = np.tanh(found.x @ found.weights["kernel"] + found.weights["bias"])
    np.testing.assert_allclose(found.y, wanted, **CLOSE)


def test_dense_shares_its_weights_between_uses() -> None:
    c = FakeContext()
    first, second = c.input("f64", BATCH, 6), c.input("f64", 6)
    found = evaluated(c, c.apply("dense", first, 3, use_bias=False), c.apply("dense", second, 3, use_bias=False))
    for x, y in zip(found.inputs, found.outputs, strict=True):
        np.testing.assert_allclose(y, x @ found.weights["kernel"], **CLOSE)


def far(*shape: int) -> Array:
    """Numbers of spread 1 far from 0."""
    return np.random.default_rng(3).normal(size=shape) + 1e4


@pytest.mark.parametrize("shape", [(4, 6), (4, 5, 6), (4, 3, 5, 6)])
def test_batch_norm_in_training(shape: tuple[int, ...]) -> None:
    c = FakeContext()
    y = c.apply("batch_norm", c.input("f64", BATCH, *shape[1:]), momentum=0.9, epsilon=0.1)
    found = evaluated(c, y, inputs=[far(*shape)])
    rows = found.x.reshape(-1, 6)
    scaled = (found.x - rows.mean(0)) / np.sqrt(rows.var(0) + 0.1)
    np.testing.assert_allclose(found.y, scaled * found.weights["scale"] + found.weights["bias"], **CLOSE)
    np.testing.assert_allclose(found.updates["mean"], 0.9 * found.weights["mean"] + 0.1 * rows.mean(0), **CLOSE)
    np.testing.assert_allclose(found.updates["var"], 0.9 * found.weights["var"] + 0.1 * rows.var(0), **CLOSE)


def test_batch_norm_in_prediction_uses_the_running_statistics() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("batch_norm", c.input("f64", DYNAMIC, 6)), training=False, sizes={"B": 7})
    scaled = (found.x - found.weights["mean"]) / np.sqrt(found.weights["var"] + 1e-3)
    np.testing.assert_allclose(found.y, scaled * found.weights["scale"] + found.weights["bias"], **CLOSE)


def test_batch_norm_starts_from_the_unit_normal() -> None:
    c = FakeContext()
    c.apply("batch_norm", c.input("f64", BATCH, 6))
    inits = {n.attrs["path"]: n.attrs["init"] for n in c.graph().of("model.state", "model.param")}
    ones = [path for path, init in inits.items() if init == ("constant", 1.0)]
    assert sorted(ones) == ["layer/scale", "layer/var"]


@pytest.mark.parametrize(("axis", "axes"), [(-1, (3,)), ([1, 2, 3], (1, 2, 3)), ([1, 3], (1, 3)), (1, (1,))])
def test_layer_norm(axis: int | list[int], axes: tuple[int, ...]) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("layer_norm", c.input("f64", BATCH, 3, 5, 6), axis), inputs=[far(4, 3, 5, 6)])
    scaled = (found.x - found.x.mean(axes, keepdims=True)) / np.sqrt(found.x.var(axes, keepdims=True) + 1e-6)
    sizes = [n if a in axes else 1 for a, n in enumerate((4, 3, 5, 6))]
    weights = found.weights
    wanted = scaled * weights["scale"].reshape(sizes) + weights["bias"].reshape(sizes)
    np.testing.assert_allclose(found.y, wanted, **CLOSE)


def test_rms_norm() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("rms_norm", c.input("f64", BATCH, 3, 6), epsilon=0.5))
    wanted = found.x / np.sqrt((found.x**2).mean(-1, keepdims=True) + 0.5) * found.weights["scale"]
    np.testing.assert_allclose(found.y, wanted, **CLOSE)


@pytest.mark.parametrize(
    ("layer", "groups"), [("group_norm", 1), ("group_norm", 3), ("group_norm", 6), ("instance_norm", 6)]
)
def test_group_norm(layer: str, groups: int) -> None:
    c = FakeContext()
    named = {"groups": groups} if layer == "group_norm" else {}
    found = evaluated(c, c.apply(layer, c.input("f64", BATCH, 5, 4, 6), **named), inputs=[far(4, 5, 4, 6)])
    split = found.x.reshape(4, 20, groups, 6 // groups)
    scaled = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(split.var((1, 3), keepdims=True) + 1e-6)
    wanted = scaled.reshape(found.x.shape) * found.weights["scale"] + found.weights["bias"]
    np.testing.assert_allclose(found.y, wanted, **CLOSE)


def test_group_norm_keeps_examples_apart() -> None:
    c = FakeContext()
    x = np.random.default_rng(2).normal(size=(4, 5, 6))
    y = evaluated(c, c.apply("group_norm", c.input("f64", BATCH, 5, 6), 2), inputs=[x]).y
    alone = FakeContext()
    first = evaluated(alone, alone.apply("group_norm", alone.input("f64", 5, 6), 2), inputs=[x[0]]).y
    np.testing.assert_allclose(y[0], first, **CLOSE)


def test_embedding() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("embedding", c.input("i32", BATCH, 5), 4, 3))
    np.testing.assert_array_equal(found.y, found.weights["embedding"][found.x])


@pytest.mark.parametrize(("axis", "place"), [(None, 1), (2, 2), ("time", 1)])
def test_positional_embedding(axis: int | str | None, place: int) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("positional_embedding", c.input("f64", BATCH, time(5), 4, 3), 9, axis))
    steps = (4, 5, 4, 3)[place]
    sizes = [1, 1, 1, 3]
    sizes[place] = steps
    np.testing.assert_allclose(found.y, found.x + found.weights["embedding"][:steps].reshape(sizes), **CLOSE)


@pytest.mark.parametrize("layer", ["dropout", "spatial_dropout", "gaussian_dropout", "gaussian_noise"])
def test_noise_is_for_training_only(layer: str) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply(layer, c.input("f64", DYNAMIC, 50, 6), 0.25), training=False, sizes={"B": 40})
    np.testing.assert_array_equal(found.y, found.x)


@pytest.mark.parametrize("layer", ["dropout", "spatial_dropout", "gaussian_dropout", "gaussian_noise"])
def test_noise_in_training(layer: str) -> None:
    c = FakeContext()
    y = c.apply(layer, c.input("f64", DYNAMIC, 50, 6), 0.25)
    found = evaluated(c, y, sizes={"B": 400})
    ((_, noise),) = found.noise.items()
    wanted = {
        "dropout": lambda x: np.where(noise == 1, x / 0.75, 0.0),
        "spatial_dropout": lambda x: np.where(noise == 1, x / 0.75, 0.0),
        "gaussian_dropout": lambda x: x * noise,
        "gaussian_noise": lambda x: x + noise,
    }[layer]
    np.testing.assert_allclose(found.y, wanted(found.x), **CLOSE)
    assert noise.shape == ((400, 1, 6) if layer == "spatial_dropout" else (400, 50, 6))
    mean, variance = {
        "gaussian_dropout": (1.0, 0.25 / 0.75),
        "gaussian_noise": (0.0, 0.0625),
    }.get(layer, (0.75, 0.1875))
    # Five standard errors of the mean; the variance of a draw's square is at most 3 variance² here.
    assert abs(noise.mean() - mean) < 5 * np.sqrt(variance / noise.size)
    assert abs(noise.var() - variance) < 5 * np.sqrt(3 * variance**2 / noise.size) + 1e-3


def test_each_use_of_a_dropout_draws_anew() -> None:
    c = FakeContext()
    x = c.input("f32", BATCH, 6)
    c.apply("dropout", x, 0.5)
    c.apply("dropout", x, 0.5)
    assert len(set(c.sites)) == 2


def test_gaussian_splits_the_last_axis() -> None:
    c = FakeContext()
    d = c.apply("gaussian", c.input("f64", BATCH, 6), min_scale=0.25)
    b = c.b
    found = evaluated(c, b.add("prob.mean", d), b.unary("sqrt", b.add("prob.variance", d)))
    np.testing.assert_allclose(found.outputs[0], found.x[:, :3], **CLOSE)
    np.testing.assert_allclose(found.outputs[1], np.log1p(np.exp(found.x[:, 3:])) + 0.25, **CLOSE)


@pytest.mark.parametrize("layer", ["batch_norm", "layer_norm"])
def test_half_precision_is_normalized_in_f32(layer: str) -> None:
    c = FakeContext()
    y = c.apply(layer, c.input("bf16", BATCH, 6))
    assert str(y.tensor.dtype) == "f32"
    assert {str(n.result.tensor.dtype) for n in c.graph(y).of("math.mean")} == {"f32"}
