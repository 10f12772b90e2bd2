"""Silent errors of other libraries, each as a test that our result is the right one.

Sources: bayesian-torch (KL averaged over weights, LSTM counted twice, signs for each position), torch-uncertainty (KL
divided by the number of layers), TensorFlow Probability (KL added at every call), TyXe and zuko (local
reparameterization of a weight that is used twice), blitz (perturbation with the mean left in), edward2 (flipout with
signs in [-1, 3), signs for each position, log-uniform KL of the wrong sign, equal layers that start equal, half-Cauchy
scales without support). The ReLU covariance of deterministic inference is in tests/unit/passes/test_moments.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.diagnostics import Sink
from bl_compiler.driver.optimize import entry_points
from bl_compiler.ir.graph import Module
from bl_compiler.passes.entries import derive_entries
from tests.support.compiling import compiled
from tests.support.laws import REWRITES, Array, after, outputs
from tests.support.lowering import lowered
from tests.support.quick import quick_compiles

DRAWS = 100_000
RNG = np.random.default_rng(0)
MANY = stats.norm.isf(1e-7)
"""How many standard errors a test allows itself."""


def model(body: str, *, x: str = "f32[batch, 3]", more: str = "") -> str:
    return f"""
model m {{
  plate batch[4] of 1000
  input x: {x}
  input y: f32[batch]
  {more}
  {body}
  observe y ~ Normal(h |> flatten |> sum(axis=-1), 1)
}}
"""


def optimized(text: str) -> Module:
    found = compiled(text, level=1).optimized
    assert found is not None
    return found.module


def parts(module: Module, params: dict[str, Array] | None = None) -> dict[str, float]:
    program = ReferenceProgram(module)
    inputs = {key: np.zeros([int(s) for s in t.shape]) for key, t in Program(module).inputs.items()}
    found = program.run("train", program.init(1) if params is None else params, inputs)
    return {key: float(value) for key, value in found.items() if key in ("loss", "nll", "kl")}


def normal_kl(loc: Array, scale: Array) -> float:
    """KL(Normal(loc, scale) ‖ Normal(0, 1)), summed."""
    return float((0.5 * (scale**2 + loc**2 - 1) - np.log(scale)).sum())


BELIEVE = "believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.05)"


@pytest.mark.parametrize("level", [0, 1])
def test_the_divergence_is_the_sum_over_weights_divided_by_the_number_of_examples(level: int) -> None:
    """Not the mean over weights, not divided by layers, not by the batch: 100-50-10 has thousands of nats."""
    text = model(BELIEVE + "\n let h = x |> dense(50) |> relu |> dense(10)", x="f32[batch, 100]")
    found = compiled(text, level=level).optimized
    assert found is not None
    program = Program(found.module)
    params = {k: np.asarray(v) for k, v in program.constrained(program.init(0)).items()}
    kernels = {path.rpartition("/")[0] for path in params if "/kernel/" in path}
    assert len(kernels) == 2
    exact = sum(normal_kl(params[f"{k}/loc"], params[f"{k}/scale"]) for k in kernels)
    assert exact > 10_000
    raw = {k: np.asarray(v, np.float64) for k, v in program.init(0).items()}
    assert parts(found.module, raw)["kl"] == pytest.approx(exact / 1000, rel=1e-6)


def test_a_layer_that_is_used_twice_has_one_divergence() -> None:
    once = model(BELIEVE + "\n let layer = dense(3)\n let h = x |> layer")
    twice = model(BELIEVE + "\n let layer = dense(3)\n let h = x |> layer |> tanh |> layer")
    for level in (0, 1):
        kl = [parts(m.module)["kl"] for t in (once, twice) if (m := compiled(t, level=level).optimized) is not None]
        assert kl[0] == pytest.approx(kl[1], rel=1e-9)


SIAMESE = """
  believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.5){using}
  let layer = dense(1, use_bias=false)
  let h = concat([x |> layer, (2 * x) |> layer], axis=-1)
  predict h = h
"""


def test_outputs_of_one_weight_stay_correlated() -> None:
    """Reparameterized by layer and call, the covariance would be 0; the shared weight implies 2 · Σ x² σ²."""
    sink = Sink()
    entry_points(lowered(model(SIAMESE.format(using=" using local_reparameterization"))), sink)
    (refused,) = sink.errors
    assert refused.code == "BLC0304"
    assert any("used 2 times" in label.text for label in refused.labels)
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    for using in (" using flipout", " using grouped(2)", " using grouped(4)", ""):
        module = after(derive_entries(lowered(model(SIAMESE.format(using=using)))), REWRITES)
        params = {k: np.asarray(v) for k, v in Program(module).init(0).items()}
        with quick_compiles():
            h = outputs(module, "predict", params, {"x": x}, 1, DRAWS)["value:h"]
        exact = 2 * (x**2 * 0.25).sum(-1)
        products = (h[..., 0] - h[..., 0].mean(0)) * (h[..., 1] - h[..., 1].mean(0))
        z = (products.mean(0) - exact) / (products.std(0) / np.sqrt(DRAWS))
        assert np.abs(z).max() < MANY, using


def law_of(body: str, x: Array, kind: str) -> tuple[Array, dict[str, Array]]:
    module = after(derive_entries(lowered(model(body + "\n predict h = h", x=kind))), REWRITES)
    params = {k: np.asarray(v) for k, v in Program(module).init(3).items()}
    with quick_compiles():
        return outputs(module, "predict", params, {"x": x}, 1, DRAWS)["value:h"], params


def test_signs_are_signs() -> None:
    """Signs uniform in [-1, 3) would make the variance 7/3 of what it is, and the kurtosis 6.6."""
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    body = "believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.3) using flipout\n let h = x |> dense(2)"
    h, params = law_of(body, x, "f32[batch, 3]")
    exact = np.broadcast_to(0.09 * (x**2).sum(-1)[:, None], (4, 2))
    ratio = h.var(0) / exact
    assert np.abs(ratio - 1).max() < MANY * np.sqrt(2 / DRAWS)
    assert np.abs(stats.kurtosis(h, axis=0, fisher=False) - 3).max() < MANY * np.sqrt(24 / DRAWS)
    mean = x @ params["h/dense/kernel/loc"] + params["h/dense/bias"]
    assert np.abs((h.mean(0) - mean) / np.sqrt(exact / DRAWS)).max() < MANY


def test_positions_of_one_example_share_their_signs() -> None:
    """A 1x1 kernel gives every position of a constant image one value, and a dense layer every step of a sequence."""
    x = np.ones((4, 3, 3, 2), np.float32)
    body = "believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.3) using flipout\n let h = x |> {layer}"
    h, _ = law_of(body.format(layer="conv2d(2, kernel_size=1, use_bias=false)"), x, "f32[batch, 3, 3, 2]")
    np.testing.assert_allclose(h, np.broadcast_to(h[:, :, :1, :1], h.shape), rtol=1e-5, atol=1e-6)
    h, _ = law_of(body.format(layer="dense(2, use_bias=false)"), x[:, 0], "f32[batch, time=3, 2]")
    np.testing.assert_allclose(h, np.broadcast_to(h[:, :, :1], h.shape), rtol=1e-5, atol=1e-6)


def test_the_log_uniform_divergence_is_positive_and_falls_with_the_noise() -> None:
    """KL = 3.634, 2.108, 0.427, 0.024, 0.001 at log alpha = -6, -3, 0, 3, 6, normalized to 0 at infinite noise."""
    text = model(
        "believe kernel ~ LogUniform() by mean_field\n let h = x |> dense(1, use_bias=false)", x="f32[batch, 1]"
    )
    module = optimized(text)
    found = []
    for log_alpha in (-6, -3, 0, 3, 6):
        scale = np.exp(log_alpha / 2)
        raw = {"h/dense/kernel/loc": np.ones((1, 1)), "h/dense/kernel/scale": np.log(np.expm1([[scale]]))}
        found.append(1000 * parts(module, raw)["kl"])
    np.testing.assert_allclose(found, [3.634, 2.108, 0.427, 0.024, 0.001], atol=2e-3)


def test_equal_layers_start_differently() -> None:
    text = model(BELIEVE + "\n let h = x |> dense(3) |> relu |> dense(3)")
    params = Program(optimized(text)).init(0)
    assert not np.array_equal(params["h/dense/kernel/loc"], params["h/dense_1/kernel/loc"])


def test_the_loss_is_the_same_however_often_it_is_read() -> None:
    """Weights drawn once more for the divergence would make the parts disagree with the loss."""
    text = model("believe kernel ~ Normal(0, 1) by horseshoe\n let h = x |> dense(3)")
    program = Program(optimized(text))
    params, inputs = program.init(0), {"x": np.ones((4, 3), np.float32), "y": np.zeros(4, np.float32)}
    first, metrics = program.loss(params, inputs, seed=1)
    again, _ = program.loss(params, inputs, seed=1)
    assert first == again
    assert float(first) == pytest.approx(float(metrics["nll"] + metrics["kl"]), rel=1e-6)


def test_scales_of_a_horseshoe_stay_in_their_support() -> None:
    text = model("believe kernel ~ Normal(0, 1) by horseshoe\n let h = x |> dense(3)\n predict h = h")
    program = Program(optimized(text))
    params = {k: v + 0.5 for k, v in program.init(0).items()}
    drawn = program.sample(params, 0, {"x": np.ones((4, 3), np.float32)}, draws=10_000)
    for path, values in drawn.items():
        assert np.isfinite(values).all(), path
        if path.endswith("scale"):
            assert (np.asarray(values) > 0).all()
    inputs = {"x": np.ones((4, 3), np.float32), "y": np.zeros(4, np.float32)}
    assert all(np.isfinite(program.loss(params, inputs, seed=seed)[0]) for seed in range(20))
