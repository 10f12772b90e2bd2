"""Posteriors made of simpler ones: divergences, moments of the weight, finite draws, and what training minimizes.

Expected values are closed forms, enumerations or quadrature in float64; draws are compared by z-scores.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, optimize, stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.noise import FixedNoise, GeneratorNoise
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.rules_tensor import constrain, unconstrain
from tests.support.compiling import compiled, program

Array = npt.NDArray[np.float64]
Arrays = dict[str, Array]

INS, OUTS, DRAWS = 3, 4, 10_000
LIMIT = 4.5
"""In standard errors: one false alarm in 150 000 comparisons, which fixed seeds make reproducible."""
EYE = {"x": np.eye(INS, dtype=np.float32)}
KERNEL = "w/dense/kernel"


def text(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> str:
    """A model whose prediction `w` is the kernel of a layer."""
    return (
        f"model m {{ input x: f32[{INS}, {INS}]\n {more}\n believe kernel ~ {prior} by {posterior}\n"
        f" predict w = x |> dense({OUTS}, use_bias=false) }}"
    )


@cache
def program_of(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> Program:
    return program(text(posterior, prior, more), level=0)


@cache
def reference_of(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> ReferenceProgram:
    optimized = compiled(text(posterior, prior, more), level=0).optimized
    assert optimized is not None
    return ReferenceProgram(optimized.module)


def parameters(reference: ReferenceProgram, seed: int = 5) -> Arrays:
    """Constrained parameters that are all different: locations around their start, scales from 0.05 to 0.6."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for path, value in sorted(reference.init(1).items()):
        around = 0.4 * rng.normal(size=value.shape)
        found[path] = rng.uniform(0.05, 0.6, value.shape) if path.endswith("/scale") else value + around
    return found


def raw(params: Arrays) -> Arrays:
    return {
        path: unconstrain(value, "positive", 0.0, 1.0) if path.endswith("/scale") else value
        for path, value in params.items()
    }


def kl_of(posterior: str, prior: str = "Normal(0, 1)", **noise: object) -> tuple[float, Arrays, Program]:
    """The exact part `kl` of the objective at some parameters, those, and the program, which agrees with it."""
    reference, compiled_program = reference_of(posterior, prior), program_of(posterior, prior)
    params = parameters(reference)
    fixed = FixedNoise(noise, GeneratorNoise(0))  # type: ignore[arg-type]
    expected = float(reference.run("train", raw(params), EYE, noise=fixed)["kl"])
    if not noise:
        trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
        found = float(compiled_program.loss(trained, EYE, seed=0)[1]["kl"])
        assert found == pytest.approx(expected, rel=1e-5)
    return expected, params, compiled_program


def draws(params: Arrays, of: Program, weights: str = "posterior", count: int = DRAWS) -> Arrays:
    trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
    found = of.sample(trained, 7, EYE, draws=count, weights=weights)  # type: ignore[arg-type]
    return {k: np.asarray(v, np.float64) for k, v in found.items()}


def check_moments(found: Array, mean: Array, variance: Array) -> None:
    """The mean and variance of draws, by z-scores."""
    count = len(found)
    errors = found.std(axis=0) / math.sqrt(count)
    assert np.all(np.abs(found.mean(axis=0) - mean) <= LIMIT * errors + 1e-5)
    squares = (found - mean) ** 2
    assert np.all(np.abs(squares.mean(axis=0) - variance) <= LIMIT * squares.std(axis=0) / math.sqrt(count) + 1e-6)


def gauss_kl(loc: Array, scale: Array, mean: object = 0.0, width: object = 1.0) -> Array:
    m, s = np.asarray(mean), np.asarray(width)
    return np.asarray(np.log(s / scale) + (scale**2 + (loc - m) ** 2) / (2 * s**2) - 0.5)


def log_normal_to_half_cauchy(loc: float, scale: float, width: float) -> float:
    """KL by quadrature of its definition in log space."""
    q, p = stats.norm(loc, scale), stats.halfcauchy(scale=width)
    return float(
        integrate.quad(
            lambda y: q.pdf(y) * (q.logpdf(y) - p.logpdf(np.exp(y)) - y), loc - 12 * scale, loc + 12 * scale
        )[0]
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
    from bl_compiler.backends.jax.checks import InputError

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


# --- priors that follow the posterior --------------------------------------------------------------------------------


def test_tied_mean_penalizes_the_spread_alone() -> None:
    kl, params, _ = kl_of("mean_field(tied_mean=true)", "Normal(0, 0.5)")
    scale = params[f"{KERNEL}/scale"]
    assert kl == pytest.approx((np.log(0.5 / scale) + scale**2 / (2 * 0.25) - 0.5).sum(), rel=1e-12)


def bayes_objective(loc: Array, scale: Array, variance: float, mean: float = 0.3) -> float:
    """KL(q ‖ N(mean, variance)) - log of the hyperprior."""
    return float(
        gauss_kl(loc, scale, mean, math.sqrt(variance)).sum() - stats.invgamma(2.01, scale=0.101).logpdf(variance)
    )


def test_empirical_bayes_takes_the_best_scale() -> None:
    kl, params, found = kl_of("mean_field(empirical_bayes=true)", "Normal(0.3)")
    loc, scale = params[f"{KERNEL}/loc"], params[f"{KERNEL}/scale"]
    best = optimize.minimize_scalar(lambda v: bayes_objective(loc, scale, v), bounds=(1e-4, 10), method="bounded")
    assert kl == pytest.approx(best.fun, rel=1e-9)
    assert all(kl <= bayes_objective(loc, scale, v) for v in (0.01, 0.1, 0.5, 1.0, 3.0))
    # The scale moves with the parameters, and at the best one that does not show in the gradient.
    trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
    slope = jax.grad(lambda p: found.loss(p, EYE, seed=0)[0])(trained)[f"{KERNEL}/loc"]
    np.testing.assert_allclose(slope, (loc - 0.3) / best.x, rtol=2e-3)


def test_tied_empirical_bayes() -> None:
    kl, params, _ = kl_of("mean_field(tied_mean=true, empirical_bayes=true)", "Normal(0)")
    scale = params[f"{KERNEL}/scale"]
    best = optimize.minimize_scalar(
        lambda v: bayes_objective(np.zeros(()), scale, v, 0.0), bounds=(1e-4, 10), method="bounded"
    )
    assert kl == pytest.approx(best.fun, rel=1e-9)


def test_a_trained_scale_of_the_prior_has_a_gradient() -> None:
    more = "param width: f32[] = 0.8 in positive"
    found = program_of("mean_field", "Normal(0, width)", more)
    params = {**found.init(seed=0), f"{KERNEL}/scale": jnp.zeros((INS, OUTS))}
    slope = float(jax.grad(lambda p: found.loss(p, EYE, seed=0)[0])(params)["width"])
    loc, scale = np.asarray(params[f"{KERNEL}/loc"], np.float64), float(constrain(np.zeros(()), "positive", 0.0, 1.0))
    width = 0.8
    inner = 1 - math.exp(-width)  # of softplus at the raw value of `width`
    expected = (1 / width - (scale**2 + loc**2) / width**3).sum() * inner
    assert slope == pytest.approx(expected, rel=1e-3)


# --- other families and priors ---------------------------------------------------------------------------------------

MIXTURE = "Mixture(Categorical(probs=[0.25, 0.75]), Normal([0.0, 0.0], [1.0, 0.1]))"
FAMILIES = {
    "Laplace": stats.laplace,
    "StudentT(df=4)": lambda m, s: stats.t(4, m, s),
    "Logistic": stats.logistic,
    "Gumbel": stats.gumbel_r,
    "Normal": stats.norm,
}


def log_mixture(x: Array) -> Array:
    parts = [math.log(0.25) + stats.norm(0, 1).logpdf(x), math.log(0.75) + stats.norm(0, 0.1).logpdf(x)]
    return np.logaddexp(*parts)


@pytest.mark.parametrize(
    ("family", "prior"),
    [*((family, "Normal(0, 1)") for family in FAMILIES), ("Normal", MIXTURE), ("Laplace", "Laplace(0, 1)")],
)
def test_divergences_of_families(family: str, prior: str) -> None:
    """Exact where there is a closed form; otherwise the mean over draws is that of the integral."""
    reference = reference_of(f"mean_field({family})", prior)
    params = parameters(reference)
    density = {MIXTURE: log_mixture, "Laplace(0, 1)": stats.laplace.logpdf}.get(prior, stats.norm.logpdf)
    expected = 0.0
    for m, s in zip(params[f"{KERNEL}/loc"].ravel(), params[f"{KERNEL}/scale"].ravel(), strict=True):
        q = FAMILIES[family](m, s)
        low, high = (q.ppf(1e-13), q.ppf(1 - 1e-13)) if "Student" not in family else (m - 900 * s, m + 900 * s)
        points = sorted({0.0, float(m)})
        term = lambda x, q=q: q.pdf(x) * (q.logpdf(x) - density(x))  # noqa: E731
        expected += integrate.quad(term, low, high, points=points, limit=400)[0]
    found = np.array([float(reference.run("train", raw(params), EYE, seed=seed)["kl"]) for seed in range(200)])
    error = found.std() / math.sqrt(found.size)
    assert abs(found.mean() - expected) <= LIMIT * error + 1e-5 * abs(expected)


def test_a_positive_weight_is_log_normal() -> None:
    kl, params, _ = kl_of("mean_field", "HalfCauchy(0.5)")
    pairs = zip(params[f"{KERNEL}/loc"].ravel(), params[f"{KERNEL}/scale"].ravel(), strict=True)
    assert kl == pytest.approx(sum(log_normal_to_half_cauchy(m, s, 0.5) for m, s in pairs), rel=1e-7)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        ("dropout(0.05)", "Normal(0, 1)"),
        ("variational_dropout", "LogUniform()"),
        ("horseshoe", "Normal(0, 1)"),
        ("rank1(2)", "Normal(0, 1)"),
        ("batch_ensemble(2)", "Normal(0, 1)"),
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
