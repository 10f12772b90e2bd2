"""Linear regression with a Gaussian posterior: the structured posteriors reach it, and there the bound is the evidence.

Two outputs share a design X: y = X W + noise, W [3, 2] with independent priors N(0, τ²). The posterior of W is the
matrix normal with U = (XᵀX/σ² + I/τ²)⁻¹ over rows, the identity over columns, and mean U Xᵀy/σ² (Bishop 2006, section
3.3). It is one of `matrix_normal`, of `full_rank` and of `low_rank(rank=6)`, so at it the ELBO is the log evidence.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

import bl_compiler as bl
from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.rules_tensor import unconstrain
from tests.support.compiling import compiled, program

Array = npt.NDArray[np.float64]

EXAMPLES, FEATURES, OUTPUTS = 30, 3, 2
SIZE = FEATURES * OUTPUTS
TAU, SIGMA = 1.5, 0.7
FORMS = {"full_rank": "full_rank", "low_rank": f"low_rank(rank={SIZE})", "matrix_normal": "matrix_normal"}
forms = pytest.mark.parametrize("form", FORMS)


@cache
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(EXAMPLES, FEATURES)) @ np.array([[1.0, 0.6, 0.2], [0.0, 0.5, 0.4], [0.0, 0.0, 0.8]])
    w = np.array([[1.0, 0.3], [-2.0, 1.0], [0.5, -0.2]])
    return x, x @ w + SIGMA * rng.normal(size=(EXAMPLES, OUTPUTS))


def row_covariance() -> Array:
    x, _ = data()
    return np.asarray(np.linalg.inv(x.T @ x / SIGMA**2 + np.eye(FEATURES) / TAU**2))


def mean() -> Array:
    x, y = data()
    return np.asarray(row_covariance() @ x.T @ y / SIGMA**2)


def covariance() -> Array:
    """Of the elements of W, row by row."""
    return np.kron(row_covariance(), np.eye(OUTPUTS))


def log_evidence() -> float:
    x, y = data()
    marginal = stats.multivariate_normal(np.zeros(EXAMPLES), TAU**2 * x @ x.T + SIGMA**2 * np.eye(EXAMPLES))
    return float(marginal.logpdf(y.T).sum())


def expected_nll() -> float:
    """E_q[-log p(y | W)] under the exact posterior."""
    x, y = data()
    spread = OUTPUTS * np.trace(x @ row_covariance() @ x.T)
    return float(-stats.norm(x @ mean(), SIGMA).logpdf(y).sum() + 0.5 * spread / SIGMA**2)


def text(form: str) -> str:
    return f"""
model linear {{
  plate batch[{EXAMPLES}] of {EXAMPLES}
  input x: f32[batch, {FEATURES}]
  input y: f32[batch, {OUTPUTS}]
  believe kernel ~ Normal(0, {TAU}) by {FORMS[form]}
  observe y ~ Normal(x |> dense({OUTPUTS}, use_bias=false, name="line"), {SIGMA})
  optimize adam(learning_rate=0.02)
}}
"""


def inputs() -> dict[str, Array]:
    return dict(zip(("x", "y"), (a.astype(np.float32) for a in data()), strict=True))


def exact(form: str) -> dict[str, Array]:
    """Raw parameters at the exact posterior."""

    def raw(tril: Array) -> Array:
        return unconstrain(tril, "lower_cholesky", 0.0, 1.0)

    found = {"loc": mean()}
    match form:
        case "full_rank":
            found["scale_tril"] = raw(np.linalg.cholesky(covariance()))
        case "low_rank":
            # Half the least eigenvalue on the diagonal leaves a positive definite rest for the factor.
            least = 0.5 * np.linalg.eigvalsh(covariance())[0]
            factor = np.linalg.cholesky(covariance() - least * np.eye(SIZE))
            found["cov_factor"] = factor.reshape(FEATURES, OUTPUTS, SIZE)
            found["scale"] = unconstrain(np.full((FEATURES, OUTPUTS), np.sqrt(least)), "positive", 0.0, 1.0)
        case _:
            # The factors are determined up to a number between them.
            found["row_scale_tril"] = raw(0.8 * np.linalg.cholesky(row_covariance()))
            found["column_scale_tril"] = raw(np.eye(OUTPUTS) / 0.8)
    return {f"line/kernel/{name}": value for name, value in found.items()}


@forms
def test_at_the_exact_posterior_the_bound_is_the_evidence(form: str) -> None:
    """The divergence is exact and the rest of the bound is known: their sum is the evidence, in 64 bits."""
    module = compiled(text(form), level=0).optimized
    assert module is not None
    x, y = data()
    parts = ReferenceProgram(module.module).run("train", exact(form), {"x": x, "y": y})
    assert float(parts["kl"]) * EXAMPLES + expected_nll() == pytest.approx(-log_evidence(), rel=1e-9)
    off = exact(form)
    off["line/kernel/loc"] = off["line/kernel/loc"] + 0.1
    parts = ReferenceProgram(module.module).run("train", off, {"x": x, "y": y})
    assert abs(float(parts["kl"]) * EXAMPLES + expected_nll() + log_evidence()) > 0.01


@cache
def made(form: str) -> Program:
    return program(text(form))


def single(values: dict[str, Array]) -> dict[str, Array]:
    return {path: value.astype(np.float32) for path, value in values.items()}


@forms
def test_the_emitted_divergence_is_the_same_in_32_bits(form: str) -> None:
    _, parts = made(form).loss(single(exact(form)), inputs(), 0)
    expected = (-log_evidence() - expected_nll()) / EXAMPLES
    assert float(parts["kl"]) == pytest.approx(expected, rel=1e-5)


SEEDS = 4000


@cache
def slopes(form: str, *, moved: bool = False) -> dict[str, Array]:
    """Gradients of the loss at the exact posterior, by path, one of each seed along the first axis."""
    at = single(exact(form))
    if moved:
        at = {path: value + np.float32(0.05) for path, value in at.items()}
    loss = made(form).functions["loss"]
    gradient = jax.grad(lambda params, seed: loss(params, inputs(), seed)[0])
    found = jax.jit(jax.vmap(gradient, in_axes=(None, 0)))(at, jnp.arange(SEEDS))
    return {path: np.asarray(value, np.float64) for path, value in found.items()}


def in_errors(gradients: dict[str, Array]) -> float:
    """The largest mean of a gradient in standard errors; entries that are always 0 are left out."""
    largest = 0.0
    for value in gradients.values():
        error = value.std(axis=0, ddof=1) / np.sqrt(SEEDS)
        used = error > 1e-9
        # What 32 bits leave of sums that cancel.
        largest = max(largest, float((np.abs(value.mean(axis=0))[used] / (error[used] + 1e-6)).max()))
        assert np.all(np.abs(value.mean(axis=0))[~used] < 1e-6)
    return largest


@forms
def test_at_the_exact_posterior_gradients_vanish_on_average(form: str) -> None:
    assert in_errors(slopes(form)) < 5
    assert in_errors(slopes(form, moved=True)) > 30


@forms
def test_draws_have_the_covariance_of_the_exact_posterior(form: str) -> None:
    count = 20_000
    found = made(form).sample(single(exact(form)), 0, {"x": inputs()["x"]}, draws=count)["line/kernel"]
    offsets = np.asarray(found, np.float64).reshape(count, SIZE) - mean().ravel()
    assert np.all(np.abs(offsets.mean(0)) < 5 * np.sqrt(np.diag(covariance()) / count))
    products = offsets[:, :, None] * offsets[:, None, :]
    assert np.all(np.abs(products.mean(0) - covariance()) < 5 * products.std(0) / np.sqrt(count))


@forms
def test_training_from_python_comes_to_the_evidence(form: str) -> None:
    """What is left to the best bound there is, is a fraction of what every mean-field posterior leaves."""
    posterior = {
        "full_rank": bl.full_rank(init_scale=0.1),
        "low_rank": bl.low_rank(rank=SIZE, init_scale=0.1),
        "matrix_normal": bl.matrix_normal(init_scale=0.1),
    }[form]
    with bl.Model("linear") as model:
        batch = bl.plate("batch", EXAMPLES, of=EXAMPLES)
        x = bl.input("x", bl.f32[batch, FEATURES])
        y = bl.input("y", bl.f32[batch, OUTPUTS])
        with bl.believe(kernel=bl.Normal(0, TAU).by(posterior)):
            line = x | bl.dense(OUTPUTS, use_bias=False)
        bl.observe(y, bl.Normal(line, SIGMA))
        bl.objective(bl.elbo(samples=8))
        bl.optimize(bl.adam(learning_rate=bl.cosine_decay_schedule(0.03, decay_steps=800)))
    found = bl.compile(model)
    functions = found.functions

    def step(state: dict[str, object], _: None) -> tuple[dict[str, object], None]:
        return functions["train_step"](state, inputs(), {})[0], None

    state, _ = jax.jit(lambda seed: jax.lax.scan(step, functions["train_init"](seed), length=800))(0)
    loss = jax.jit(jax.vmap(lambda seed: functions["loss"](state["params"], inputs(), seed)[0]))
    left = np.asarray(loss(jnp.arange(4000)), np.float64) + log_evidence() / EXAMPLES
    error = left.std() / np.sqrt(len(left))
    precision = np.linalg.inv(covariance())
    gap = 0.5 * (np.log(np.diag(precision)).sum() + np.linalg.slogdet(covariance())[1]) / EXAMPLES
    assert error < 0.05 * gap
    assert -5 * error < left.mean() < 0.2 * gap + 5 * error
    assert set(found.predict(state["params"], {"x": inputs()["x"]}, 0)["y"]) == {"mean", "stddev"}
