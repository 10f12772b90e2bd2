"""The entry points' numbers against formulas worked by hand and against SciPy.

Invariant: everything here is exact up to rounding; where an expectation over draws is needed, it is taken over points
that have the same moments as the posterior (the integrands are quadratic).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import FixedNoise
from bl_compiler.ir.graph import Module, Objective, Value
from bl_compiler.ir.types import dims_of
from tests.support.models import ModelBuilder

Array = npt.NDArray[np.float64]

TIGHT = 1e-9
RNG = np.random.default_rng(20)
N, D = 6, 3
NOISE, WIDTH = 0.7, 1.3
X = RNG.normal(size=(N, D))
Y = X @ np.array([0.5, -1.0, 2.0]) + NOISE * RNG.normal(size=N)


def softplus_inverse(x: npt.ArrayLike) -> Array:
    return np.asarray(np.log(np.expm1(np.asarray(x))))


def train(module: Module, **feeds: object) -> dict[str, Array]:
    return evaluate(module.functions["train"], **feeds)  # type: ignore[arg-type]


# --- Bayesian linear regression, whose evidence is known --------------------------------------------------------------

PRECISION = X.T @ X / NOISE**2 + np.eye(D) / WIDTH**2
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.T @ Y / NOISE**2
LOG_EVIDENCE = stats.multivariate_normal(np.zeros(N), WIDTH**2 * X @ X.T + NOISE**2 * np.eye(N)).logpdf(Y)


def sigma_points(mean: Array, factor: Array) -> Array:
    """2·D points with this mean and the covariance `factor factorᵀ`."""
    shifts = np.sqrt(len(mean)) * factor.T
    return np.concatenate([mean + shifts, mean - shifts])


def linear_regression(posterior: str, objective: Objective) -> Module:
    """Y ~ Normal(X w, 0.7), w ~ Normal(0, 1.3)."""
    b = ModelBuilder()
    rows = b.plate("rows", N, N)
    x, y = b.input("x", rows, D), b.input("y", rows)
    loc, wide = b.param("loc", D), b.dist("Normal", 0.0, b.param("width"))
    if posterior == "mean-field":
        prior, q = b.expand(wide, D), b.dist("Normal", loc, b.param("scale", D))
    elif posterior == "without closed form":
        # A mixture of one component is the component, and mixtures have no closed form.
        alone = b.add("dist.mixture", b.full(0.0, dims_of(1)), b.expand(wide, D, 1))
        prior = b.add("dist.independent", alone, ndims=1)
        q = b.dist("MultivariateNormal", loc, b.param("tril", D, D))
    else:
        prior = b.dist("MultivariateNormal", b.full(0.0, loc.tensor.dims), b.param("prior_tril", D, D))
        q = b.dist("MultivariateNormal", loc, b.param("tril", D, D))
    w = b.sample("w", prior, q)
    b.observe("y", y, b.dist("Normal", b.einsum("bi,i->b", x, w), b.param("noise")))
    return b.entries(objective)


PARAMS = {"width": WIDTH, "noise": NOISE, "loc": MEAN, "prior_tril": WIDTH * np.eye(D)}
DATA = {"x": X, "y": Y}


def test_the_exact_posterior_reaches_the_evidence_with_any_draw() -> None:
    module = linear_regression("without closed form", Objective())
    params = {**PARAMS, "tril": np.linalg.cholesky(COVARIANCE)}
    for w in RNG.normal(size=(5, D)):
        found = train(module, params=params, inputs=DATA, noise=FixedNoise({"w": w}))
        np.testing.assert_allclose(found["loss"] * N, -LOG_EVIDENCE, rtol=TIGHT)


def test_the_exact_posterior_reaches_the_evidence_with_a_closed_form() -> None:
    factor = np.linalg.cholesky(COVARIANCE)
    module = linear_regression("closed form", Objective(samples=2 * D))
    draws = FixedNoise({"w": sigma_points(MEAN, factor)})
    found = train(module, params={**PARAMS, "tril": factor}, inputs=DATA, noise=draws)
    np.testing.assert_allclose(found["loss"] * N, -LOG_EVIDENCE, rtol=TIGHT)
    np.testing.assert_allclose(found["loss"], found["nll"] + found["kl"], rtol=TIGHT)


def test_the_best_mean_field_posterior_misses_the_evidence_by_its_divergence() -> None:
    """Bishop 2006, section 10.1.2: the optimum has the posterior's mean and the inverse diagonal of its precision."""
    scale = 1 / np.sqrt(np.diagonal(PRECISION))
    gap = (np.log(np.diagonal(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1]) / 2
    module = linear_regression("mean-field", Objective(samples=2 * D))
    draws = FixedNoise({"w": sigma_points(MEAN, np.diag(scale))})
    found = train(module, params={**PARAMS, "scale": scale}, inputs=DATA, noise=draws)
    np.testing.assert_allclose(found["loss"] * N, -LOG_EVIDENCE + gap, rtol=TIGHT)


def test_log_joint_and_log_likelihood_are_scipys() -> None:
    module = linear_regression("mean-field", Objective())
    w = RNG.normal(size=D)
    likelihood = stats.norm(X @ w, NOISE).logpdf(Y)
    joint = evaluate(module.functions["log_joint"], params=PARAMS, inputs={**DATA, "site:w": w})["log_joint"]
    np.testing.assert_allclose(joint, likelihood.sum() + stats.norm(0, WIDTH).logpdf(w).sum(), rtol=TIGHT)
    params = {**PARAMS, "scale": np.ones(D)}
    terms = evaluate(module.functions["log_likelihood"], params=params, inputs=DATA, noise=FixedNoise({"w": w}))
    np.testing.assert_allclose(terms["log_prob:y"], likelihood, rtol=TIGHT)
    moments = evaluate(module.functions["predict"], params=params, inputs={"x": X}, noise=FixedNoise({"w": w}))
    np.testing.assert_allclose(moments["mean:y"], X @ w, rtol=TIGHT)
    np.testing.assert_allclose(moments["variance:y"], np.full(N, NOISE**2), rtol=TIGHT)


# --- a network with a tied weight, a local latent and a mask ----------------------------------------------------------


def network(batch: int, total: int | None, objective: Objective = Objective()) -> Module:  # noqa: B008 (immutable)
    """Two layers that share `w`, a latent `z` of each example, `y` observed where the mask is true."""
    b = ModelBuilder()
    plate = b.plate("batch", batch, total)
    x, y, mask = b.input("x", plate, D), b.input("y", plate, D), b.input("mask", plate, D, dtype="bool")
    w = b.weight("w", D, D)
    h = b.unary("tanh", b.einsum("bi,ij->bj", b.unary("tanh", b.einsum("bi,ij->bj", x, w)), w))
    z = b.sample("z", b.standard(plate, D), b.dist("Normal", x, 0.4))
    noise = b.point("noise", b.dist("Exponential", 2.0), b.param("noise"))
    b.observe("y", y, b.dist("Normal", b.binary("add", h, z), noise), mask)
    return b.entries(objective)


NETWORK_DATA = {"x": X, "y": RNG.normal(size=(N, D)), "mask": RNG.random((N, D)) < 0.6}
SCALE = RNG.uniform(0.1, 1, size=(D, D))
LOC = RNG.normal(size=(D, D))
NETWORK_PARAMS: dict[str, npt.ArrayLike] = {"w/loc": LOC, "w/scale": softplus_inverse(SCALE), "noise": 0.3}
W, Z = RNG.normal(size=(D, D)), RNG.normal(size=(N, D))


def normal_kl(loc: Array, scale: npt.ArrayLike) -> Array:
    """KL(Normal(loc, scale) ‖ Normal(0, 1)) (Kingma and Welling 2014, appendix B)."""
    return (np.square(scale) + loc**2 - 1) / 2 - np.log(scale)


def by_hand(total: int, rows: list[int]) -> tuple[float, float]:
    """`nll` and `kl` of the network for some rows of the data."""
    x, y, mask, z = (np.asarray(a)[rows] for a in (*NETWORK_DATA.values(), Z))
    h = np.tanh(np.tanh(x @ W) @ W) + z
    log_p = np.where(mask, stats.norm(h, 0.3).logpdf(y), 0.0)
    shared = normal_kl(LOC, SCALE).sum() - stats.expon(scale=0.5).logpdf(0.3)
    return -log_p.sum(1).mean(), normal_kl(x, 0.4).sum(1).mean() + shared / total


def network_loss(module: Module, rows: list[int], **more: object) -> dict[str, Array]:
    inputs = {name: value[rows] for name, value in NETWORK_DATA.items()}
    return train(module, params=NETWORK_PARAMS, inputs=inputs, noise=FixedNoise({"w": W, "z": Z[rows]}), **more)


@pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
def test_the_network_is_the_sum_by_hand(weight: float) -> None:
    found = network_loss(network(N, 50, Objective(kl_weight=weight)), list(range(N)))
    nll, kl = by_hand(50, list(range(N)))
    np.testing.assert_allclose([found["nll"], found["kl"]], [nll, kl], rtol=TIGHT)
    np.testing.assert_allclose(found["loss"], nll + weight * kl, rtol=TIGHT)


def test_a_total_known_at_run_time_means_the_same() -> None:
    found = network_loss(network(N, None), list(range(N)), sizes={"batch": 50})
    np.testing.assert_allclose([found["nll"], found["kl"]], by_hand(50, list(range(N))), rtol=TIGHT)


@pytest.mark.parametrize("total", [None, N])
def test_the_mean_over_all_minibatches_is_the_full_batch(total: int | None) -> None:
    sizes = {} if total else {"batch": N}
    module = network(2, total)
    losses = [network_loss(module, list(rows), sizes=sizes)["loss"] for rows in combinations(range(N), 2)]
    full = network_loss(network(N, total), list(range(N)), sizes=sizes)["loss"]
    np.testing.assert_allclose(np.mean(losses), full, rtol=TIGHT)


@pytest.mark.parametrize("total", [None, N])
def test_the_mean_over_all_minibatches_is_the_full_joint(total: int | None) -> None:
    sizes = {} if total else {"batch": N}

    def joint(batch: int, rows: list[int]) -> Array:
        given = {name: value[rows] for name, value in {**NETWORK_DATA, "site:z": Z}.items()}
        entry = network(batch, total).functions["log_joint"]
        return evaluate(entry, params=NETWORK_PARAMS, inputs={**given, "site:w": W}, sizes=sizes)["log_joint"]

    h = np.tanh(np.tanh(X @ W) @ W) + Z
    likelihood = np.where(NETWORK_DATA["mask"], stats.norm(h, 0.3).logpdf(NETWORK_DATA["y"]), 0.0)
    priors = stats.norm.logpdf(W).sum() + stats.norm.logpdf(Z).sum() + stats.expon(scale=0.5).logpdf(0.3)
    full = joint(N, list(range(N)))
    np.testing.assert_allclose(full, likelihood.sum() + priors, rtol=TIGHT)
    np.testing.assert_allclose(np.mean([joint(2, list(r)) for r in combinations(range(N), 2)]), full, rtol=TIGHT)


def test_mle_leaves_the_priors_out() -> None:
    found = network_loss(network(N, 50, Objective("mle")), list(range(N)))
    nll, _ = by_hand(50, list(range(N)))
    np.testing.assert_allclose([found["loss"], found["nll"], found["kl"]], [nll, nll, 0.0], rtol=TIGHT)


def test_map_adds_the_log_priors_of_points() -> None:
    b = ModelBuilder()
    rows = b.plate("rows", N, 50)
    w = b.point("w", b.expand(b.dist("Laplace", 0.0, 2.0), D), b.param("w", D))
    b.observe("y", b.input("y", rows), b.dist("Normal", b.einsum("bi,i->b", b.input("x", rows, D), w), NOISE))
    found = train(b.entries(Objective("map")), params={"w": MEAN}, inputs=DATA)
    np.testing.assert_allclose(found["nll"], -stats.norm(X @ MEAN, NOISE).logpdf(Y).mean(), rtol=TIGHT)
    np.testing.assert_allclose(found["kl"], -stats.laplace(0, 2).logpdf(MEAN).sum() / 50, rtol=TIGHT)
    np.testing.assert_allclose(found["loss"], found["nll"] + found["kl"], rtol=TIGHT)


@pytest.mark.parametrize(("step", "weight"), [(0, 0.2), (50, 0.5), (100, 0.8), (101, 0.8), (None, 0.8)])
def test_annealing_moves_from_start_to_end_and_stays(step: float | None, weight: float) -> None:
    module = network(N, 50, Objective(anneal=(0.2, 0.8, 100)))
    found = network_loss(module, list(range(N)), step=step)
    np.testing.assert_allclose(found["loss"], found["nll"] + weight * found["kl"], rtol=TIGHT)


@pytest.mark.parametrize("size", [N, "B"])
def test_a_step_of_symbolic_size_means_the_same(size: int | str) -> None:
    b = ModelBuilder()
    plate = b.plate("batch", size, 50)
    z = b.sample("z", b.standard(plate, D), b.dist("Normal", b.input("x", plate, D), 0.4))
    w = b.weight("w", D, D)
    b.observe("y", b.input("y", plate, D), b.dist("Normal", b.einsum("bi,ij->bj", z, w), 0.3))
    noise = FixedNoise({"w": W, "z": Z})
    inputs = {"x": X, "y": NETWORK_DATA["y"]}
    params = {k: v for k, v in NETWORK_PARAMS.items() if k != "noise"}
    found = train(b.entries(), params=params, inputs=inputs, noise=noise)
    nll = -stats.norm(Z @ W, 0.3).logpdf(NETWORK_DATA["y"]).sum(1).mean()
    kl = normal_kl(X, 0.4).sum(1).mean() + normal_kl(LOC, SCALE).sum() / 50
    np.testing.assert_allclose([found["nll"], found["kl"]], [nll, kl], rtol=TIGHT)


def test_new_statistics_are_means_over_draws() -> None:
    b = ModelBuilder()
    plate = b.plate("batch", 2, 50)
    z = b.sample("z", b.standard(plate), b.dist("Normal", b.input("x", plate), 1.0))
    b.update("seen", b.binary("add", b.state("seen"), b.reduce("sum", z, (0,))))
    b.observe("y", b.input("y", plate), b.dist("Normal", z, 1.0))
    draws = FixedNoise({"z": [[1.0, 2.0], [3.0, 8.0]]})
    module = b.entries(Objective(samples=2))
    found = train(module, params={"seen": 10.0}, inputs={"x": [0, 0], "y": [0, 0]}, noise=draws)
    np.testing.assert_allclose(found["state:seen"], 10 + (3 + 11) / 2, rtol=TIGHT)


# --- importance weighting ---------------------------------------------------------------------------------------------


def factor_model(batch: int, objective: Objective) -> Module:
    """X ~ Normal(z, 1), z ~ Normal(0, 1), with the posterior guess Normal(shift·x, 1): evidence Normal(0, √2)."""
    b = ModelBuilder()
    plate = b.plate("batch", batch, 100)
    x = b.input("x", plate)
    shift = b.sample("shift", b.dist("Normal", 0.0, 1.0), b.dist("Normal", b.param("shift"), 0.1))
    z = b.sample("z", b.standard(plate), b.dist("Normal", b.binary("mul", x, shift), 1.0))
    b.observe("x", x, b.dist("Normal", z, 1.0))
    return b.entries(objective)


def log_weights(x: Array, z: Array, shift: float) -> Array:
    return np.asarray(stats.norm(z, 1).logpdf(x) + stats.norm.logpdf(z) - stats.norm(x * shift, 1).logpdf(z))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_iwae_is_the_log_mean_weight_of_each_element(count: int) -> None:
    x, z = RNG.normal(size=4), RNG.normal(size=(count, 4))
    module = factor_model(4, Objective("iwae", samples=count, kl_weight=0.5))
    noise = FixedNoise({"z": z[0] if count == 1 else z, "shift": 0.3})
    found = train(module, params={"shift": 0.6}, inputs={"x": x}, noise=noise)
    bound = special.logsumexp(log_weights(x, z, 0.3), axis=0) - np.log(count)
    np.testing.assert_allclose(found["nll"], -bound.mean(), rtol=TIGHT)
    np.testing.assert_allclose(found["kl"], normal_kl(np.asarray(0.6), 0.1) / 100, rtol=TIGHT)
    np.testing.assert_allclose(found["loss"], found["nll"] + 0.5 * found["kl"], rtol=TIGHT)


def test_iwae_with_one_sample_is_the_monte_carlo_elbo() -> None:
    def model(objective: Objective) -> Module:
        b = ModelBuilder()
        plate = b.plate("batch", 4, 100)
        x, mask = b.input("x", plate, 2), b.input("mask", plate, 2, dtype="bool")
        # No closed form: the elbo, too, takes the divergence from the draw.
        z = b.sample("z", b.expand(b.dist("StudentT", 4.0, 0.0, 1.0), plate, 2), b.dist("Normal", x, 0.5))
        b.observe("x", x, b.dist("Normal", b.binary("mul", z, b.weight("w", 2)), 1.0), mask)
        b.observe("global", b.input("g"), b.dist("Normal", b.param("m"), 1.0))
        return b.entries(objective)

    inputs = {"x": RNG.normal(size=(4, 2)), "mask": RNG.random((4, 2)) < 0.5, "g": 0.3}
    params = {"w/loc": np.ones(2), "w/scale": np.zeros(2), "m": 0.1}
    noise = FixedNoise({"z": RNG.normal(size=(4, 2)), "w": RNG.normal(size=2)})
    found = [train(model(Objective(k)), params=params, inputs=inputs, noise=noise) for k in ("iwae", "elbo")]
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=TIGHT)


def test_the_iwae_bound_tightens_with_the_number_of_samples() -> None:
    """Burda et al. 2016, theorem 1, on a plate of equal examples: the mean over the plate estimates the expectation."""
    size, x = 4000, 1.2
    losses = []
    for count in (1, 4, 16):
        module = factor_model(size, Objective("iwae", samples=count))
        noise = FixedNoise({"shift": 0.1, "z": stats.norm(0.12, 1).rvs(_draws(count, size), random_state=count)})
        losses.append(float(train(module, params={"shift": 0.1}, inputs={"x": np.full(size, x)}, noise=noise)["nll"]))
    evidence = -stats.norm(0, np.sqrt(2)).logpdf(x)
    assert losses[0] > losses[1] > losses[2] > evidence
    assert losses[2] - evidence < 0.1 * (losses[0] - evidence)


def _draws(count: int, size: int) -> tuple[int, ...]:
    return (size,) if count == 1 else (count, size)


def test_noise_on_the_plate_is_drawn_with_the_local_sites() -> None:
    b = ModelBuilder()
    plate = b.plate("batch", 2, 100)
    noise: Value = b.noise("jitter", b.standard(plate))
    b.observe("x", b.input("x", plate), b.dist("Normal", noise, 1.0))
    x, jitter = np.array([0.5, -1.0]), RNG.normal(size=(3, 2))
    module = b.entries(Objective("iwae", samples=3))
    found = train(module, inputs={"x": x}, noise=FixedNoise({"jitter": jitter}))
    bound = special.logsumexp(stats.norm(jitter, 1).logpdf(x), axis=0) - np.log(3)
    np.testing.assert_allclose(found["loss"], -bound.mean(), rtol=TIGHT)
