"""Moments of functions of correlated Gaussian variables against numerical integration over the plane.

Invariant: the integrals use the functions themselves (NumPy) and a density, nothing of the formulas under test.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from bl_compiler.backends.jax.runtime import moments
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DType, TensorType
from tests.support.moments import Setting, emitted

Array = npt.NDArray[np.float64]


def plane(f: Callable[[Array], Array], m: Array, cov: Array) -> tuple[Array, Array]:
    """Mean and covariance of f of a Gaussian pair, by the midpoint rule in standardized coordinates.

    A kink costs a midpoint rule its square accuracy only where cells cross it: 1e-5 with these 1500² cells.
    """
    edge, n = 7.5, 1500
    z = (np.arange(n) + 0.5) * (2 * edge / n) - edge
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    factor = np.linalg.cholesky(cov)
    a = f(m[0] + factor[0, 0] * z)
    b = f(m[1] + factor[1, 0] * z[:, None] + factor[1, 1] * z[None, :])
    mean_a, mean_b = weight @ a, weight @ b @ weight
    mean = np.array([mean_a, mean_b])
    cross = (weight * a) @ b @ weight - mean_a * mean_b
    squares = np.array([weight @ a**2 - mean_a**2, weight @ b**2 @ weight - mean_b**2])
    return mean, np.array([[squares[0], cross], [cross, squares[1]]])


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[GraphBuilder, Value], Value]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda b, x: b.unary("relu", x)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.3 * x), lambda b, x: b.add("math.leaky_relu", x, slope=0.3)),
    "abs": (np.abs, lambda b, x: b.unary("abs", x)),
    "square": (np.square, lambda b, x: b.unary("square", x)),
    "exp": (np.exp, lambda b, x: b.unary("exp", x)),
    "sin": (np.sin, lambda b, x: b.unary("sin", x)),
    "cos": (np.cos, lambda b, x: b.unary("cos", x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", [0, 3])
def test_functions_of_a_correlated_pair(name: str, seed: int) -> None:
    """Two positions share two weights: y = relu(x w), x a matrix, is a pair with a full covariance."""
    plain, op = FUNCTIONS[name]
    setting = Setting(
        {"w": (Dim(2),)}, {"x": (Dim(2), Dim(2))}, lambda b, w, x: op(b, b.einsum("ab,b->a", x["x"], w["w"]))
    )
    arrays = setting.arrays(seed)
    x, loc, scale = 0.6 * arrays["x"], arrays["w/loc"], arrays["w/scale"]
    scaled = Setting(
        setting.draws, setting.data, lambda b, w, x: op(b, b.binary("mul", b.einsum("ab,b->a", x["x"], w["w"]), 0.6))
    )
    found = emitted(scaled, seed)
    mean, covariance = plane(plain, x @ loc, (x * scale**2) @ x.T)
    np.testing.assert_allclose(found["mean"], mean, atol=3e-5)
    np.testing.assert_allclose(found["0"], covariance, atol=1e-4)
    np.testing.assert_allclose(found[""], np.diag(covariance), atol=1e-4)


# --- the pair formula of the rectifier --------------------------------------------------------------------------------


def by_quadrature(u_a: float, u_b: float, r: float) -> float:
    """Cov(relu, relu) of a standardized pair: the inner mean in closed form, the outer integral by QUADPACK."""
    rest = np.sqrt(1 - r * r)

    def given_a(z: float) -> float:
        m = u_b + r * z
        inner = m * special.ndtr(m / rest) + rest * np.exp(-0.5 * (m / rest) ** 2) / np.sqrt(2 * np.pi)
        return float((u_a + z) * inner * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))

    low, high = max(-u_a, -10.0), 10.0
    kink = -u_b / r if r and low < -u_b / r < high else None
    value, _ = integrate.quad(given_a, low, high, points=None if kink is None else [kink], epsabs=1e-12, limit=400)
    means = [u * special.ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi) for u in (u_a, u_b)]
    return float(value - means[0] * means[1])


def by_reference(*operands: float) -> float:
    args = [Value(TensorType(DType.F64)) for _ in operands]
    b = GraphBuilder(CORE_OPS, "f", args)
    y = b.add("moment.relu_covariance", *args)
    return float(evaluate(b.finish([("y", y)]), args=operands)["y"])


def by_jax(*operands: float) -> float:
    with jax.enable_x64(True):
        return float(VALUE(*(np.float64(x) for x in operands)))


VALUE = jax.jit(moments.relu_covariance)
SLOPES = jax.jit(jax.grad(moments.relu_covariance, argnums=range(5)))

EDWARD2 = 0.3839
"""What `DenseDVI` of edward2 gives for the next test: asinh for asin, a sign, an exponent and a raw second moment."""


def test_the_pair_that_edward2_gets_wrong() -> None:
    for found in (by_jax(0, 0, 1, 1, 0.5), by_reference(0, 0, 1, 1, 0.5), by_quadrature(0, 0, 0.5)):
        assert found == pytest.approx(0.14534, abs=1e-5)
        assert abs(found - EDWARD2) > 0.2


@given(u=st.tuples(*[st.floats(-3, 3)] * 2), r=st.floats(-0.9999, 0.9999), s=st.tuples(*[st.floats(0.1, 3)] * 2))
@settings(max_examples=60)
def test_three_ways_to_the_covariance_agree(u: tuple[float, float], r: float, s: tuple[float, float]) -> None:
    wanted = s[0] * s[1] * by_quadrature(*u, r)
    operands = (u[0] * s[0], u[1] * s[1], s[0] ** 2, s[1] ** 2, r * s[0] * s[1])
    assert by_reference(*operands) == pytest.approx(wanted, abs=1e-8 * s[0] * s[1])
    assert by_jax(*operands) == pytest.approx(wanted, abs=1e-6 * s[0] * s[1])


@pytest.mark.parametrize("r", [1.0, 0.999999, 0.99999, 0.999, 0.99, -0.99, -1.0])
@pytest.mark.parametrize("u", [(0.0, 0.0), (0.6185, 0.1283), (1.5, 1.5), (-2.0, 2.0), (3.0, -1.0)])
def test_strong_correlations(u: tuple[float, float], r: float) -> None:
    wanted = by_reference(*u, 1.0, 1.0, r)
    assert by_jax(*u, 1.0, 1.0, r) == pytest.approx(wanted, abs=2e-6)
    with np.errstate(all="ignore"):
        single = VALUE(*(np.float32(x) for x in (*u, 1.0, 1.0, r)))
    assert float(single) == pytest.approx(wanted, abs=5e-6)


@given(u=st.tuples(*[st.floats(-3, 3)] * 2), r=st.floats(-0.95, 0.95), s=st.tuples(*[st.floats(0.3, 2)] * 2))
@settings(max_examples=40)
def test_derivatives_are_those_of_the_covariance(u: tuple[float, float], r: float, s: tuple[float, float]) -> None:
    operands = [u[0] * s[0], u[1] * s[1], s[0] ** 2, s[1] ** 2, r * s[0] * s[1]]
    step = 1e-4
    with jax.enable_x64(True):
        slopes = SLOPES(*(np.float64(x) for x in operands))
    for i, slope in enumerate(slopes):
        moved = [[x + sign * step * (i == j) for j, x in enumerate(operands)] for sign in (1, -1)]
        wanted = (by_reference(*moved[0]) - by_reference(*moved[1])) / (2 * step)
        assert float(slope) == pytest.approx(wanted, abs=2e-5)


@pytest.mark.parametrize("u", [-2.0, -0.3, 0.0, 0.7, 4.0])
def test_on_the_diagonal_value_and_slope_are_those_of_the_variance(u: float) -> None:
    """There the pair is one variable: variance Phi + u² Phi Q + u phi (Q - Phi) - phi² of the head of `nonlinear`."""

    def variance(v: float) -> float:
        w = u / np.sqrt(v)
        p, d = special.ndtr(w), np.exp(-0.5 * w * w) / np.sqrt(2 * np.pi)
        return float(v * ((w * w + 1) * p + w * d - (w * p + d) ** 2))

    with jax.enable_x64(True):
        one = np.float64(1)

        def along(v: jax.Array) -> jax.Array:
            return moments.relu_covariance(u * one, u * one, v, v, v)  # type: ignore[arg-type]

        assert float(along(one)) == pytest.approx(variance(1.0), abs=1e-6)  # type: ignore[arg-type]
        slope = (variance(1 + 1e-5) - variance(1 - 1e-5)) / 2e-5
        assert float(jax.grad(along)(one)) == pytest.approx(slope, abs=1e-3)


def test_certain_variables_have_no_covariance_and_finite_slopes() -> None:
    for mean in (-2.0, 0.0, 3.0):
        args = [np.float32(x) for x in (mean, 0.5, 0.0, 1.0, 0.0)]
        value, slopes = VALUE(*args), SLOPES(*args)
        assert abs(float(value)) < 1e-6
        assert all(np.isfinite(float(slope)) for slope in slopes)
