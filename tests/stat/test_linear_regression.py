"""Bayesian linear regression with known noise: posterior, evidence and best mean-field posterior are closed forms.

With prior N(0, τ²I) and noise σ², the posterior is N(m, Λ⁻¹), Λ = XᵀX/σ² + I/τ², m = Λ⁻¹Xᵀy/σ². Its best mean-field
approximation has the same mean and variances 1/Λᵢᵢ, and falls short of the evidence by ½(Σ log Λᵢᵢ - log det Λ)
(Bishop 2006, section 10.1.2).
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.rules_tensor import unconstrain
from tests.support.compiling import program, site_key

Array = npt.NDArray[np.float64]

EXAMPLES, FEATURES = 40, 3
TAU, SIGMA = 1.5, 0.7


@cache
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(11)
    # Features of different size that hang together, or the mean-field posterior would be the exact one.
    x = rng.normal(size=(EXAMPLES, FEATURES)) @ np.array([[1.0, 0.6, 0.2], [0.0, 0.5, 0.4], [0.0, 0.0, 0.8]])
    return x, x @ [1.0, -2.0, 0.5] + SIGMA * rng.normal(size=EXAMPLES)


def precision() -> Array:
    x, _ = data()
    return x.T @ x / SIGMA**2 + np.eye(FEATURES) / TAU**2


def mean() -> Array:
    x, y = data()
    return np.linalg.solve(precision(), x.T @ y / SIGMA**2)


def log_evidence() -> float:
    x, y = data()
    covariance = TAU**2 * x @ x.T + SIGMA**2 * np.eye(EXAMPLES)
    return float(stats.multivariate_normal(np.zeros(EXAMPLES), covariance).logpdf(y))


# --- the exact posterior ---------------------------------------------------------------------------------------------

PRIORS = {
    # A mixture of one component has no closed form: the divergence is taken from the draw.
    "drawn": f"Mixture(Categorical(logits=zeros[1]), Normal([0.0], {TAU}))[{FEATURES}]",
    "elements": f"Normal(0, {TAU})[{FEATURES}]",
    "closed form": f"MultivariateNormal(zeros[{FEATURES}], covariance_matrix=covariance)",
}


def exact(prior: str) -> str:
    return f"""
model linear {{
  plate batch[{EXAMPLES}] of {EXAMPLES}
  input x: f64[batch, {FEATURES}]
  input y: f64[batch]
  {"" if prior != "closed form" else f"input covariance: f64[{FEATURES}, {FEATURES}]"}
  param loc: f64[{FEATURES}] = 0.0
  param scale_tril: f64[{FEATURES}, {FEATURES}] = "identity" in lower_cholesky
  sample w: f64[{FEATURES}] ~ {PRIORS[prior]} by MultivariateNormal(loc=loc, scale_tril=scale_tril)
  observe y ~ Normal(x @ w, {SIGMA})
}}
"""


def exact_params(tril: Array) -> dict[str, Array]:
    return {"loc": mean(), "scale_tril": unconstrain(tril, "lower_cholesky", 0.0, 1.0)}


def exact_inputs() -> dict[str, Array]:
    x, y = data()
    return {"x": x, "y": y}


def exact_covariance(prior: str) -> dict[str, Array]:
    return {"covariance": TAU**2 * np.eye(FEATURES)} if prior == "closed form" else {}


def test_at_the_exact_posterior_every_draw_gives_the_evidence() -> None:
    """There log p(y, w) - log q(w) is log p(y) whatever w is: the estimator has no variance."""
    with jax.enable_x64(True):
        found = program(exact("drawn"), allow=("BLC0359",), estimators="shared")
        params = exact_params(np.linalg.cholesky(np.linalg.inv(precision())))
        for seed in range(4):
            loss, _ = found.loss(params, exact_inputs(), seed)
            assert float(loss) == pytest.approx(-log_evidence() / EXAMPLES, rel=1e-6)
        off, _ = found.loss(params | {"loc": mean() + 0.3}, exact_inputs(), 0)
        assert abs(float(off) + log_evidence() / EXAMPLES) > 0.01


@pytest.mark.parametrize("prior", ["closed form", "elements"])
def test_with_a_divergence_in_closed_form_the_expected_loss_is_the_evidence(prior: str) -> None:
    x, y = data()
    tril = np.linalg.cholesky(np.linalg.inv(precision()))
    expected_nll = -stats.norm(x @ mean(), SIGMA).logpdf(y).sum() + 0.5 * np.sum((x @ tril) ** 2) / SIGMA**2
    with jax.enable_x64(True):
        found = program(exact(prior), estimators="shared")
        for seed in range(4):
            loss, parts = found.loss(exact_params(tril), exact_inputs() | exact_covariance(prior), seed)
            w = mean() + tril @ np.asarray(jax.random.normal(site_key(seed, "w"), (FEATURES,), jnp.float64))
            drawn_nll = -stats.norm(x @ w, SIGMA).logpdf(y).sum()
            assert float(parts["nll"]) == pytest.approx(drawn_nll / EXAMPLES, rel=1e-10)
            rest = (expected_nll - drawn_nll) / EXAMPLES
            assert float(loss) + rest == pytest.approx(-log_evidence() / EXAMPLES, rel=1e-6)


# --- the best mean-field posterior -----------------------------------------------------------------------------------

STEPS, RUNS, DRAWS = 600, 16, 8
FIELD = f"""
model field {{
  plate batch[{EXAMPLES}] of {EXAMPLES}
  input x: f32[batch, {FEATURES}]
  input y: f32[batch]
  believe kernel ~ Normal(0, {TAU}) by mean_field(init_scale=0.1)
  let mean = x |> dense(1, use_bias=false, name="line") |> squeeze
  observe y ~ Normal(mean, {SIGMA})
  objective elbo(samples={DRAWS})
  optimize adam(learning_rate=cosine_decay_schedule(0.05, decay_steps={STEPS}))
}}
"""


@cache
def field() -> Program:
    return program(FIELD)


def gap() -> float:
    return float(0.5 * (np.log(np.diag(precision())).sum() - np.linalg.slogdet(precision())[1]))


def field_inputs() -> dict[str, Array]:
    x, y = data()
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


@cache
def trained() -> tuple[dict[str, Array], Array]:
    """Parameters after training, by path with the runs along the first axis, and the loss at every step."""
    functions = field().functions

    def run(seed: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        def step(state: dict[str, object], _: None) -> tuple[dict[str, object], jax.Array]:
            after, metrics = functions["train_step"](state, field_inputs(), {})
            return after, metrics["loss"]

        end, losses = jax.lax.scan(step, functions["train_init"](seed), length=STEPS)
        return end["params"], losses

    params, losses = jax.jit(jax.vmap(run))(jnp.arange(RUNS))
    return {path: np.asarray(value) for path, value in params.items()}, np.asarray(losses)


def close(found: Array, expected: Array, slack: float) -> None:
    """The average over runs is the expected value: within five standard errors, and what is left of the way there."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - expected), 5 * error + slack)


def test_training_finds_the_best_mean_field_posterior() -> None:
    params, _ = trained()
    loc = params["line/kernel/loc"][..., 0]
    variance = np.logaddexp(params["line/kernel/scale"][..., 0], 0) ** 2
    best = 1 / np.diag(precision())
    # Runs end within a thousandth of a posterior standard deviation; without this the test would be vacuous.
    assert np.all(loc.std(axis=0) < 0.05 * np.sqrt(best))
    close(loc / np.sqrt(best), mean() / np.sqrt(best), slack=1e-3)
    close(variance / best, np.ones(FEATURES), slack=5e-3)
    # It is neither the exact posterior's marginal nor the prior's variance.
    assert np.all(np.diag(np.linalg.inv(precision())) / best > 1.1)


def test_training_ends_at_the_evidence_less_the_gap() -> None:
    params, losses = trained()
    bound = (gap() - log_evidence()) / EXAMPLES
    assert gap() > 0.1
    values = jax.jit(jax.vmap(lambda p, seed: field().functions["loss"](p, field_inputs(), seed)[0]))
    many = [np.asarray(values(params, 1000 * (i + 1) + np.arange(RUNS))) for i in range(50)]
    close(np.ravel(many), np.asarray(bound), slack=1e-4)
    assert losses[:, :10].mean() > bound + 1
    assert losses[:, -50:].mean() == pytest.approx(bound, abs=0.05)


def test_one_step_of_the_program_is_one_step_of_its_function() -> None:
    _, losses = trained()
    state = field().train_init(0)
    for expected in losses[0, :3]:
        state, metrics = field().train_step(state, field_inputs())
        assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)
