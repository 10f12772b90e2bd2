"""What each objective is, on models small enough to know the answer.

Thresholds on averages of draws are five standard errors, estimated from the draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bl_compiler.backends.jax.checks import InputError
from bl_compiler.backends.jax.program import Program
from tests.support.compiling import program

Array = npt.NDArray[Any]

ROUNDING = 2e-6

# --- bounds on a known evidence --------------------------------------------------------------------------------------

SIZE, X, SLOPE, SCALE = 4000, 1.2, 0.35, 0.9
"""Every example is the same, so the mean over the batch estimates the expectation for one."""


@cache
def bounds(objective: str) -> Array:
    """Losses of 20 seeds. z ~ N(0, 1), x ~ N(z, 1); the posterior N(x/2, 1/2) is missed by q = N(0.35 x, 0.9²)."""
    found = program(f"""
    model factor {{
      plate batch[{SIZE}] of {SIZE}
      input x: f32[batch]
      sample z: f32[batch] ~ Normal(0, 1) by Normal({SLOPE} * x, {SCALE})
      observe x ~ Normal(z, 1)
      objective {objective}
    }}""")
    x = np.full(SIZE, X, np.float32)
    loss = jax.jit(jax.vmap(lambda seed: found.functions["loss"]({}, {"x": x}, seed)[0]))
    return np.asarray(loss(jnp.arange(20)), np.float64)


def average(losses: Array) -> tuple[float, float]:
    """Mean and five standard errors."""
    return float(losses.mean()), float(5 * losses.std(ddof=1) / np.sqrt(losses.size))


EVIDENCE = float(-stats.norm(0, np.sqrt(2)).logpdf(X))


def gap_of_elbo() -> float:
    """KL(q ‖ posterior)."""
    ratio, shift = SCALE**2 / 0.5, (SLOPE * X - X / 2) ** 2 / 0.5
    return 0.5 * (ratio + shift - 1 - np.log(ratio))


@pytest.mark.parametrize("objective", ["elbo", "elbo(samples=5)", "iwae(samples=1)"])
def test_the_elbo_misses_the_evidence_by_the_divergence_of_the_posterior(objective: str) -> None:
    mean, error = average(bounds(objective))
    assert error < 0.25 * gap_of_elbo()
    assert abs(mean - EVIDENCE - gap_of_elbo()) < error


def test_more_draws_make_the_elbo_steadier_and_the_iwae_bound_tighter() -> None:
    assert bounds("elbo(samples=5)").std() < bounds("elbo").std()
    means = {k: average(bounds(f"iwae(samples={k})")) for k in (1, 2, 5, 40)}
    for (_, (looser, a)), (_, (tighter, b)) in zip(list(means.items())[:-1], list(means.items())[1:], strict=True):
        assert looser - tighter > np.hypot(a, b)
    last, error = means[40]
    assert -error < last - EVIDENCE < 0.05 * gap_of_elbo() + error


# --- points ----------------------------------------------------------------------------------------------------------

POINTS = """
model points {
  plate batch[5] of 40
  input x: f32[batch, 3]
  input y: f32[batch]
  param noise: f32[] = 0.8 in positive
  believe kernel ~ Normal(0.5, 2) by mean_field
  believe bias ~ Laplace(0, 1) by point
  let mean = x |> dense(1, name="line") |> squeeze
  observe y ~ Normal(mean, noise)
  objective OBJECTIVE
}
"""


@pytest.mark.parametrize(("objective", "penalized"), [("map", True), ("mle", False)])
def test_map_is_the_penalized_likelihood_and_mle_the_bare_one(objective: str, *, penalized: bool) -> None:
    found = program(POINTS.replace("OBJECTIVE", objective))
    assert set(found.params) == {"noise", "line/kernel", "line/bias"}
    rng = np.random.default_rng(2)
    params = {path: rng.normal(size=p.type.shape).astype(np.float32) for path, p in found.params.items()}
    x, y = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    mean = (x @ params["line/kernel"] + params["line/bias"])[:, 0]
    expected = -stats.norm(mean, np.logaddexp(params["noise"], 0)).logpdf(y).mean()
    if penalized:
        prior = stats.norm(0.5, 2).logpdf(params["line/kernel"]).sum() + stats.laplace.logpdf(params["line/bias"]).sum()
        expected -= prior / 40
    losses = [float(found.loss(params, {"x": x, "y": y}, seed)[0]) for seed in (0, 1)]
    assert losses == pytest.approx([float(expected)] * 2, rel=ROUNDING)


# --- weights of the divergence, and sizes ----------------------------------------------------------------------------

LINE = """
model line {
  plate batch[5]TOTAL
  input x: f32[batch, 3]
  input y: f32[batch]
  believe kernel ~ Normal(0, 1) by mean_field
  observe y ~ Normal(x |> dense(1) |> squeeze, 0.5)
  objective OBJECTIVE
}
"""


def line_program(objective: str, total: str = " of 20") -> Program:
    return program(LINE.replace("OBJECTIVE", objective).replace("TOTAL", total))


def line_data() -> Mapping[str, Array]:
    x, y = np.split(np.random.default_rng(6).normal(size=(5, 4)).astype(np.float32), [3], axis=1)
    return {"x": x, "y": y[:, 0]}


def test_the_weight_of_the_divergence_follows_its_schedule() -> None:
    plain, annealed = line_program("elbo(kl_weight=0.3)"), line_program("elbo(kl_weight=anneal(0.1, 1.0, steps=10))")
    params = plain.init(0)
    for found, step, weight in [
        (plain, None, 0.3),
        (plain, 4, 0.3),
        (annealed, 0, 0.1),
        (annealed, 5, 0.55),
        (annealed, 10, 1.0),
        (annealed, 99, 1.0),
        (annealed, None, 1.0),
    ]:
        loss, parts = found.loss(params, line_data(), 1, step=step)
        assert float(loss) == pytest.approx(float(parts["nll"] + weight * parts["kl"]), rel=ROUNDING)


def test_training_steps_count_from_zero() -> None:
    found = line_program("elbo(kl_weight=anneal(0.0, 1.0, steps=4))")
    state = found.train_init(0)
    for step in range(6):
        state, metrics = found.train_step(state, line_data())
        expected = float(metrics["nll"]) + min(step / 4, 1) * float(metrics["kl"])
        assert float(metrics["loss"]) == pytest.approx(expected, rel=ROUNDING)
    assert int(state["step"]) == 6


def test_a_size_that_the_model_leaves_open_is_given_at_run_time() -> None:
    stated, open_ = line_program("elbo"), line_program("elbo", "")
    params = stated.init(0)
    _, parts = stated.loss(params, line_data(), 3)
    for total in (20, 80):
        loss, found = open_.loss(params, line_data(), 3, sizes={"batch": total})
        assert float(found["nll"]) == pytest.approx(float(parts["nll"]), rel=ROUNDING)
        assert float(found["kl"]) == pytest.approx(float(parts["kl"]) * 20 / total, rel=ROUNDING)
        assert float(loss) == pytest.approx(float(found["nll"] + found["kl"]), rel=ROUNDING)
    with pytest.raises(InputError, match="batch"):
        open_.loss(params, line_data(), 3)


# --- statistics ------------------------------------------------------------------------------------------------------

NORMED = """
model normed {
  plate batch[6] of 60
  input x: f32[batch, 2]
  input y: f32[batch]
  let h = x |> batch_norm(momentum=0.7, epsilon=0.01, name="norm")
  observe y ~ Normal(h |> sum(axis=-1), 0.5)
  predict hidden = h
  optimize sgd(learning_rate=0.1)
}
"""


def test_running_statistics_are_updated_by_training_and_used_by_prediction() -> None:
    found = program(NORMED)
    rng = np.random.default_rng(1)
    state = found.train_init(0)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(4):
        x, y = 3 + 2 * rng.normal(size=(6, 2)), rng.normal(size=6)
        before = {path: np.asarray(value) for path, value in state["params"].items()}
        normed = before["norm/scale"] * (x - x.mean(0)) / np.sqrt(x.var(0) + 0.01) + before["norm/bias"]
        state, metrics = found.train_step(state, {"x": x.astype(np.float32), "y": y.astype(np.float32)})
        expected = -stats.norm(normed.sum(-1), 0.5).logpdf(y).mean()
        assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
        mean, variance = 0.7 * mean + 0.3 * x.mean(0), 0.7 * variance + 0.3 * x.var(0)
        after = {path: np.asarray(value) for path, value in state["params"].items()}
        np.testing.assert_allclose(after["norm/mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(after["norm/var"], variance, rtol=1e-5)
        assert not np.array_equal(after["norm/bias"], before["norm/bias"])
    x = rng.normal(size=(6, 2)).astype(np.float32)
    hidden = found.predict(after, {"x": x}, 0, draws=2)["hidden"]
    expected = after["norm/scale"] * (x - mean) / np.sqrt(variance + 0.01) + after["norm/bias"]
    np.testing.assert_allclose(hidden["mean"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(hidden["stddev"], 0, atol=1e-6)
    assert {path for path, p in found.params.items() if not p.trained} == {"norm/mean", "norm/var"}
