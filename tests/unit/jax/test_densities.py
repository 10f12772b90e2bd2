"""Log densities and moments of every family against SciPy, in float32; no NaN at the edges, not in gradients either."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bl_compiler.backends.jax.laws import UNDEFINED_MOMENTS, snake
from bl_compiler.backends.jax.link import load, runtime
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.ops import CORE_OPS
from tests.unit.jax.families import FAMILY_CASES
from tests.unit.jax.running import inputs_for, outputs_of

RUNTIME = load(runtime().definitions.values())
MOMENTS = ("mean", "variance")


def of_family(family: str, op: str, params: tuple[object, ...], *operands: object) -> np.ndarray:
    """The result of an op on a distribution."""
    b = GraphBuilder(CORE_OPS, "predict")
    values, fed = inputs_for(b, (*params, *operands))
    d = b.add(f"dist.{family}", *values[: len(params)])
    y = b.add(op, d, *values[len(params) :])
    with jax.numpy_dtype_promotion("strict"):
        return outputs_of(b.finish([("y", y)]), fed)["y"]


@pytest.mark.parametrize("family", FAMILIES)
def test_log_density_agrees_with_scipy(family: str) -> None:
    case = FAMILY_CASES[family]
    found = of_family(family, "prob.log_prob", case.params, case.values)
    np.testing.assert_allclose(found, case.log_prob, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("family", [name for name, case in FAMILY_CASES.items() if case.outside is not None])
def test_no_density_outside_the_support_and_no_gradient(family: str) -> None:
    case = FAMILY_CASES[family]
    found = of_family(family, "prob.log_prob", case.params, case.outside)
    np.testing.assert_array_equal(found, -np.inf)
    function = RUNTIME[f"{snake(family)}_log_prob"]
    params = [jnp.asarray(p, jnp.float32) for p in case.params]
    x = jnp.asarray(case.outside, jnp.int32 if family == "Categorical" else jnp.float32)
    masked = jax.jit(jax.grad(lambda ps: jnp.sum(jnp.where(x is None, function(x, *ps), 0.0))))(params)
    assert all(bool(jnp.all(g == 0)) for g in masked)


@pytest.mark.parametrize("family", [name for name, case in FAMILY_CASES.items() if case.frozen is not None])
def test_moments_agree_with_scipy(family: str) -> None:
    case = FAMILY_CASES[family]
    b = GraphBuilder(CORE_OPS, "predict")
    values, fed = inputs_for(b, case.params)
    d = b.add(f"dist.{family}", *values)
    with jax.numpy_dtype_promotion("strict"):
        found = outputs_of(b.finish([(moment, b.add(f"prob.{moment}", d)) for moment in MOMENTS]), fed)
    with np.errstate(all="ignore"):
        mean, variance = np.float32(case.frozen.mean()), np.float32(case.frozen.var())
    if family == "StudentT":
        # SciPy calls moments infinite that do not exist.
        mean, variance = (np.where(case.params[0] <= 1, np.nan, m) for m in (mean, variance))
    np.testing.assert_allclose(found["mean"], mean, rtol=2e-5)
    np.testing.assert_allclose(found["variance"], variance, rtol=2e-5)


def test_every_family_has_a_case() -> None:
    assert set(FAMILY_CASES) == set(FAMILIES)


def test_every_family_has_its_functions() -> None:
    needed = {f"{snake(f)}_{what}" for f in FAMILIES for what in ("log_prob", "sample")}
    needed |= {
        f"{snake(f)}_{m}" for f in FAMILIES for m in MOMENTS if f != "Categorical" and (f, m) not in UNDEFINED_MOMENTS
    }
    assert needed - set(RUNTIME) == set()


EDGES = {
    "Bernoulli": [(0.0, (1e4,)), (1.0, (1e4,)), (1.0, (-1e4,)), (0.5, (0.0,)), (0.0, (-jnp.inf,)), (1.0, (jnp.inf,))],
    "Beta": [(0.0, (1.0, 1.0)), (1.0, (1.0, 1.0)), (0.3, (1e-6, 1e-6)), (0.5, (1e6, 1e6))],
    "Gamma": [(0.0, (1.0, 2.0)), (1e-30, (1e-6, 1.0)), (1e30, (1.0, 1e-30))],
    "Exponential": [(0.0, (1.0,)), (1e30, (1e-30,))],
    "Poisson": [(0.0, (1e-30,)), (0.0, (0.0,)), (1e6, (1e6,))],
    "Binomial": [(0.0, (-200.0, 5.0)), (5.0, (200.0, 5.0)), (3.0, (0.0, 3.0))],
    "NegativeBinomial": [(0.0, (1e-3, -200.0)), (1e5, (1e5, 0.0))],
    "Cauchy": [(1e30, (0.0, 1e-3))],
    "HalfCauchy": [(1e30, (1e-3,)), (0.0, (1.0,))],
    "StudentT": [(1e30, (3.0, 0.0, 1e-3)), (0.0, (1e6, 0.0, 1.0)), (0.0, (1e-3, 0.0, 1.0))],
    "Logistic": [(1e30, (0.0, 1.0)), (-1e30, (0.0, 1.0)), (0.0, (0.0, 1.0))],
    "Laplace": [(0.0, (0.0, 1.0))],
    "LogNormal": [(1e-38, (0.0, 1.0)), (1e38, (0.0, 1.0))],
    "InverseGamma": [(1e-30, (2.0, 1e-30)), (1e30, (2.0, 1.0))],
    "HalfNormal": [(0.0, (1.0,))],
    "Normal": [(0.0, (0.0, 1e-15)), (1e15, (0.0, 1.0))],
}
"""Values and parameters at the ends of float32."""


@pytest.mark.parametrize("family", EDGES)
def test_no_nan_at_the_edges(family: str) -> None:
    function = RUNTIME[f"{snake(family)}_log_prob"]
    columns = np.array([(x, *params) for x, params in EDGES[family]], np.float32).T
    both = jax.value_and_grad(function, argnums=tuple(range(len(columns))))
    value, gradients = jax.jit(jax.vmap(both))(*columns)
    assert not np.any(np.isnan(value)), value
    assert not np.any(np.isnan(gradients)), gradients


def test_masked_classes_take_no_part() -> None:
    logits = jnp.array([0.0, -jnp.inf, 1.0])
    log_prob = RUNTIME["categorical_log_prob"]
    assert log_prob(jnp.int32(1), logits) == -jnp.inf
    gradient = jax.grad(lambda logits: log_prob(jnp.int32(2), logits))(logits)
    assert jnp.all(jnp.isfinite(gradient))
    assert gradient[1] == 0
    kl = RUNTIME["kl_categorical_categorical"]
    assert jnp.all(jnp.isfinite(jax.grad(kl)(logits, logits)))


def test_all_terms_absent_have_no_logsumexp_and_no_gradient() -> None:
    nothing = jnp.full(3, -jnp.inf)
    value, gradient = jax.value_and_grad(lambda x: RUNTIME["logsumexp"](x, axis=0))(nothing)
    assert value == -jnp.inf
    np.testing.assert_array_equal(gradient, 0)


COUNTS = np.array([0, 1, 3, 7, 8, 200, 5000])


def test_masses_of_large_counts_keep_their_digits() -> None:
    k, r = np.meshgrid(COUNTS, [0.01, 0.5, 10.0, 3000.0])
    found = jax.jit(RUNTIME["negative_binomial_log_prob"])(jnp.float32(k), jnp.float32(r), jnp.float32(0.3))
    expected = stats.nbinom(r, 1 / (1 + np.exp(np.float32(0.3)))).logpmf(k)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6 * (1 + k + r).max())
    k, rate = np.meshgrid(COUNTS, [0.01, 7.0, 250.0, 5000.0])
    found = jax.jit(RUNTIME["poisson_log_prob"])(jnp.float32(k), jnp.float32(rate))
    np.testing.assert_allclose(found, stats.poisson(np.float32(rate)).logpmf(k), rtol=2e-6, atol=2e-6)


def test_normalizers_of_heavy_tails_keep_their_digits() -> None:
    df = np.array([0.01, 0.5, 3.0, 20.0, 1e3, 1e6])
    found = jax.jit(RUNTIME["student_t_log_prob"])(jnp.float32(0.5), jnp.float32(df), 0.0, 1.0)
    np.testing.assert_allclose(found, stats.t(df).logpdf(0.5), rtol=5e-6)
