"""Posteriors made of simpler ones: divergences, moments of the weight, finite draws, and what training minimizes.

Expected values are closed forms, enumerations or quadrature in float64; draws are compared by z-scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from bl_compiler.backends.jax.checks import InputError
from tests.support.compiling import program
from tests.support.kernels import (
    DRAWS,
    EYE,
    INS,
    KERNEL,
    LIMIT,
    OUTS,
    Array,
    Arrays,
    check_moments,
    draws,
    gauss_kl,
    kl_of,
    log_normal_to_half_cauchy,
    program_of,
    raw,
)

# --- dropout ---------------------------------------------------------------------------------------------------------

RATE = 0.25


def test_dropout_moments() -> None:
    _, params, found = kl_of(f"dropout({RATE})", "Normal(0, 2)", **{f"{KERNEL}/mask": np.ones(INS)})
    w = draws(params, found)["w"]
    check_moments(w, params[KERNEL], params[KERNEL] ** 2 * RATE / (1 - RATE))
    # An input unit is dropped as a whole.
    assert np.all((w == 0).all(axis=2) == (w == 0).any(axis=2))


def test_dropout_penalty_is_that_of_the_paper() -> None:
    """The mean over all masks is the L2 penalty with the factor 1 / (1 - rate), and the constant of the prior."""
    values, chances = [], []
    for mask in product((0, 1), repeat=INS):
        kl, params, _ = kl_of(f"dropout({RATE})", "Normal(0, 2)", **{f"{KERNEL}/mask": np.array(mask)})
        values.append(kl)
        chances.append(np.prod(np.where(mask, 1 - RATE, RATE)))
    penalty = np.sum(params[KERNEL] ** 2) / (2 * 4 * (1 - RATE))
    constant = INS * OUTS * (math.log(2) + math.log(2 * math.pi) / 2)
    assert np.dot(values, chances) == pytest.approx(penalty + constant, rel=1e-12)


def test_dropout_is_on_in_prediction() -> None:
    found = program_of(f"dropout({RATE})", "Normal(0, 2)")
    predicted = found.predict(found.init(seed=0), EYE, seed=1, draws=50)["w"]
    assert np.all(np.asarray(predicted["stddev"]) > 0)


# --- variational dropout and the log-uniform prior -------------------------------------------------------------------


def dropout_kl(alpha: float) -> float:
    """The integral of 1 - exp(-sech²(s) / (2 alpha)), by quadrature."""
    return float(integrate.quad(lambda s: -np.expm1(-1 / (2 * alpha * np.cosh(s) ** 2)), 0, 40)[0])


def test_the_log_uniform_prior_penalizes_precision() -> None:
    kl, params, _ = kl_of("variational_dropout", "LogUniform()")
    alpha = (params[f"{KERNEL}/scale"] / params[f"{KERNEL}/loc"]) ** 2
    assert kl == pytest.approx(sum(dropout_kl(a) for a in alpha.ravel()), rel=1e-9)
    assert kl > 0


def test_known_values_of_the_log_uniform_divergence() -> None:
    """The table of bayesian neural networks with multiplicative noise: log alpha against the penalty of one weight."""
    found = program_of("variational_dropout", "LogUniform()")
    for log_alpha, expected in ((-6, 3.634), (-3, 2.108), (0, 0.427), (3, 0.0247), (6, 0.00124)):
        scale = np.full((INS, OUTS), 0.7 * math.exp(log_alpha / 2))
        params = {f"{KERNEL}/loc": np.full((INS, OUTS), -0.7), f"{KERNEL}/scale": scale}
        trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
        assert float(found.loss(trained, EYE, seed=0)[1]["kl"]) / scale.size == pytest.approx(expected, rel=4e-3)


def test_variational_dropout_has_gradients_from_the_start() -> None:
    found = program_of("variational_dropout", "LogUniform()")
    for params in (found.init(seed=0), {**found.init(seed=0), f"{KERNEL}/loc": jnp.zeros((INS, OUTS))}):
        slopes = jax.grad(lambda p: found.loss(p, EYE, seed=0)[0])(params)
        assert all(bool(jnp.all(jnp.isfinite(slope))) for slope in slopes.values())
        assert bool(jnp.all(slopes[f"{KERNEL}/scale"] < 0)) or not bool(jnp.any(params[f"{KERNEL}/loc"]))


def test_variational_dropout_with_a_proper_prior() -> None:
    kl, params, found = kl_of("variational_dropout")
    loc, scale = params[f"{KERNEL}/loc"], params[f"{KERNEL}/scale"]
    assert kl == pytest.approx(gauss_kl(loc, scale).sum(), rel=1e-12)
    check_moments(draws(params, found)["w"], loc, scale**2)


def test_nothing_is_drawn_from_an_improper_prior() -> None:
    found = program_of("variational_dropout", "LogUniform()")
    with pytest.raises(InputError, match="improper"):
        found.sample(found.init(seed=0), 0, EYE, weights="prior")


# --- scales with posteriors of their own -----------------------------------------------------------------------------


def scale_moments(params: Arrays, name: str) -> tuple[Array, Array]:
    """The mean and the mean square of a log-normal scale."""
    loc, scale = params[f"{KERNEL}/{name}/loc"], params[f"{KERNEL}/{name}/scale"]
    return np.exp(loc + scale**2 / 2), np.exp(2 * loc + 2 * scale**2)


@pytest.mark.parametrize(("posterior", "names"), [("hierarchical(0.3)", ()), ("horseshoe(0.3)", ("local_scale",))])
def test_scales(posterior: str, names: tuple[str, ...]) -> None:
    kl, params, found = kl_of(posterior)
    loc, scale = params[f"{KERNEL}/loc"], params[f"{KERNEL}/scale"]
    expected = gauss_kl(loc, scale).sum()
    mean, square = loc, loc**2 + scale**2
    for name in (*names, "global_scale"):
        width = 0.3 if name == "global_scale" else 1.0
        pairs = zip(params[f"{KERNEL}/{name}/loc"].ravel(), params[f"{KERNEL}/{name}/scale"].ravel(), strict=True)
        expected += sum(log_normal_to_half_cauchy(m, s, width) for m, s in pairs)
        first, second = scale_moments(params, name)
        mean, square = mean * first[..., None], square * second[..., None]
    assert kl == pytest.approx(expected, rel=1e-7)
    check_moments(draws(params, found)["w"], mean, square - mean**2)


@pytest.mark.parametrize("posterior", ["hierarchical", "horseshoe(1e-5)"])
def test_every_draw_is_finite(posterior: str) -> None:
    found = program_of(posterior)
    trained = found.init(seed=0)
    for weights in ("posterior", "prior"):
        drawn = found.sample(trained, 3, EYE, draws=DRAWS, weights=weights)  # type: ignore[arg-type]
        assert all(np.all(np.isfinite(v)) for v in drawn.values())
    losses = [found.loss(trained, EYE, seed=seed)[0] for seed in range(5)]
    assert np.all(np.isfinite(losses))


# --- members ---------------------------------------------------------------------------------------------------------

MEMBERS = 3


def members_of(params: Arrays, name: str, what: str) -> Array:
    return params[f"{KERNEL}/{name}/{what}"]


def test_rank1_divergence_is_the_mean_over_components() -> None:
    values = [kl_of(f"rank1({MEMBERS})", **{f"member_{MEMBERS}": np.array(k)})[0] for k in range(MEMBERS)]
    params = kl_of(f"rank1({MEMBERS})")[1]
    factors = sum(
        gauss_kl(members_of(params, f, "loc"), members_of(params, f, "scale"), 1.0, 0.1).sum() / MEMBERS for f in "rs"
    )
    expected = factors - stats.norm(0, 1).logpdf(params[KERNEL]).sum()
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_a_layer_counts_once_however_often_it_is_used() -> None:
    def model(uses: str) -> str:
        return (
            f"model m {{ input x: f32[3, 3]\n believe kernel ~ Normal(0, 1) by rank1({MEMBERS})\n"
            f" let f = dense(3, use_bias=false)\n predict w = x |> {uses} }}"
        )

    once, thrice = (program(model(uses), level=0) for uses in ("f", "f |> f |> f"))
    params = once.init(seed=0)
    found = [float(p.loss(params, EYE, seed=1)[1]["kl"]) for p in (once, thrice)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_rank1_moments() -> None:
    _, params, found = kl_of(f"rank1({MEMBERS})")
    mean, square = np.zeros((INS, OUTS)), np.zeros((INS, OUTS))
    for k in range(MEMBERS):
        r, s = (members_of(params, f, "loc")[k] for f in "rs")
        r2, s2 = (members_of(params, f, "loc")[k] ** 2 + members_of(params, f, "scale")[k] ** 2 for f in "rs")
        mean += params[KERNEL] * np.outer(r, s) / MEMBERS
        square += params[KERNEL] ** 2 * np.outer(r2, s2) / MEMBERS
    check_moments(draws(params, found)["w"], mean, square - mean**2)


def test_batch_ensemble_members() -> None:
    values = [kl_of(f"batch_ensemble({MEMBERS})", **{f"member_{MEMBERS}": np.array(k)})[0] for k in range(MEMBERS)]
    _, params, found = kl_of(f"batch_ensemble({MEMBERS})", **{f"member_{MEMBERS}": np.array(0)})
    weights = [params[KERNEL] * np.outer(params[f"{KERNEL}/r"][k], params[f"{KERNEL}/s"][k]) for k in range(MEMBERS)]
    np.testing.assert_allclose(values, [-stats.norm.logpdf(w).sum() for w in weights], rtol=1e-12)
    drawn = draws(params, found)
    index = drawn[f"member_{MEMBERS}"].astype(int)
    counts = np.bincount(index, minlength=MEMBERS)
    assert np.all(np.abs(counts - DRAWS / MEMBERS) <= LIMIT * math.sqrt(DRAWS * 2) / MEMBERS)
    np.testing.assert_allclose(drawn["w"], np.stack(weights)[index], rtol=1e-5)


@pytest.mark.parametrize(
    ("prior", "density"),
    [
        ("Normal(0.5, 2)", lambda w, strength: stats.norm.logpdf(w, 0.5, 2 / math.sqrt(strength))),
        ("Laplace(0.5, 2)", lambda w, strength: stats.laplace.logpdf(w, 0.5, 2 / strength)),
    ],
)
def test_hyper_batch_ensemble_members(prior: str, density: Callable[[Array, float], Array]) -> None:
    """The weight of each member at each strength, and the prior's density to that power."""
    posterior, low, high = f"hyper_batch_ensemble({MEMBERS}, low=0.2, high=30)", 0.2, 30.0
    for k, t in product(range(MEMBERS), (-1.0, 0.0, 0.4, 1.0)):
        fixed = {f"member_{MEMBERS}": np.array(k), f"strength_{MEMBERS}": np.array(t)}
        found, params, _ = kl_of(posterior, prior, **fixed)
        own = [
            params[path] * np.outer(params[f"{path}/r"][k], params[f"{path}/s"][k])
            for path in (KERNEL, f"{KERNEL}/response")
        ]
        strength = math.exp(math.log(low) + (t + 1) / 2 * math.log(high / low))
        assert found == pytest.approx(-density(own[0] + t * own[1], strength).sum(), rel=1e-9)


def test_hyper_batch_ensemble_draws() -> None:
    """Strengths are log-uniform, whichever the member, and weights follow both."""
    posterior = f"hyper_batch_ensemble({MEMBERS})"
    fixed = {f"member_{MEMBERS}": np.array(0), f"strength_{MEMBERS}": np.array(0.0)}
    _, params, program = kl_of(posterior, **fixed)
    drawn = draws(params, program)
    index, t = drawn[f"member_{MEMBERS}"].astype(int), drawn[f"strength_{MEMBERS}"]
    weights, changes = (
        np.stack([params[p] * np.outer(params[f"{p}/r"][k], params[f"{p}/s"][k]) for k in range(MEMBERS)])
        for p in (KERNEL, f"{KERNEL}/response")
    )
    np.testing.assert_allclose(drawn["w"], weights[index] + t[:, None, None] * changes[index], rtol=1e-4, atol=1e-5)
    assert stats.kstest(t, stats.uniform(-1, 2).cdf).pvalue > 1e-5
    for k in range(MEMBERS):
        assert stats.kstest(t[index == k], stats.uniform(-1, 2).cdf).pvalue > 1e-5


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        ("dropout(0.05)", "Normal(0, 1)"),
        ("variational_dropout", "LogUniform()"),
        ("horseshoe", "Normal(0, 1)"),
        ("rank1(2)", "Normal(0, 1)"),
        ("batch_ensemble(2)", "Normal(0, 1)"),
        ("hyper_batch_ensemble(2)", "Normal(0, 1)"),
        ("mean_field(empirical_bayes=true)", "Normal(0)"),
    ],
)
def test_training_fits(posterior: str, prior: str) -> None:
    source = f"""model m {{
      plate batch[64] of 64
      input x: f32[batch, 3]
      input y: f32[batch]
      believe kernel ~ {prior} by {posterior}
      optimize adam(learning_rate=0.05)
      observe y ~ Normal(x |> dense(1) |> squeeze, 0.3)
    }}"""
    found = program(source, level=0)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    data = {"x": x, "y": (x @ [1.0, -1.0, 0.5]).astype(np.float32)}
    state, losses = found.train_init(seed=0), []
    for _ in range(120):
        state, metrics = found.train_step(state, data)
        losses.append(float(metrics["loss"]))
    assert np.all(np.isfinite(losses))
    assert np.mean(losses[-20:]) < 0.4 * np.mean(losses[:5])
