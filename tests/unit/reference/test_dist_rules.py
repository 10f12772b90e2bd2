"""The ops over distributions, evaluated in graphs, and draws that depend on nothing but their site.

Invariant: results are compared with the run-time distributions, whose own tests compare them with mathematics.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import FixedNoise, GeneratorNoise
from bl_compiler.backends.reference.values import EvaluationError
from bl_compiler.backends.reference.vectors import RUNTIME_FAMILIES
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DType, TypeRuleError, dims_of
from tests.unit.reference.build import with_distribution

TRIL = np.array([[1.5, 0.0], [-0.4, 0.6]])
PARAMETERS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(
        ("Normal", "Laplace", "Cauchy", "Logistic", "Gumbel", "LogNormal"), (np.array([[0.5], [1.0]]), 2.0)
    ),
    **dict.fromkeys(("Gamma", "InverseGamma", "Beta"), (np.array([[5.5], [4.0]]), 2.0)),
    **dict.fromkeys(("HalfNormal", "HalfCauchy", "Exponential", "Poisson"), (np.array([0.5, 2.0]),)),
    **dict.fromkeys(("Categorical", "OneHotCategorical"), (np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]),)),
    "StudentT": (5.0, np.array([1.0, 2.0]), 1.0),
    "Uniform": (0.0, np.array([2.0, 3.0])),
    "Dirichlet": (np.array([[1.0, 2.0, 3.0]]),),
    "MultivariateNormal": (np.array([[0.0, 1.0], [2.0, 3.0]]), TRIL),
    "LowRankMultivariateNormal": (np.array([0.0, 1.0]), np.array([[[1.0], [0.5]], [[0.0], [2.0]]]), [0.5, 0.25]),
    "MatrixNormal": (np.array([[0.0, 1.0, 0.5], [2.0, 3.0, -1.0]]), TRIL, np.diag([0.5, 1.0, 2.0])),
    "Bernoulli": (np.array([0.5, -1.0]),),
    "Binomial": (np.array([0.5, -1.0]), np.array(4)),
    "Multinomial": (np.array([[0.0, 1.0, 2.0]]), np.array(4)),
    "NegativeBinomial": (np.array([2.5, 4.0]), 0.3),
}
MOMENTS = sorted(set(PARAMETERS) - {"Categorical"})


def build(*parameters: object, family: str = "Normal") -> tuple[GraphBuilder, Value]:
    """A builder with one distribution of constant parameters."""
    b = GraphBuilder(CORE_OPS, "main")
    return b, b.add(f"dist.{family}", *(b.const(p, DType.F32) for p in parameters))


def only(b: GraphBuilder, value: Value, noise: GeneratorNoise | FixedNoise | None = None) -> np.ndarray:
    """The value evaluated."""
    return evaluate(b.finish([("y", value)]), noise=noise)["y"]


def test_all_families_are_here() -> None:
    assert set(PARAMETERS) == set(FAMILIES)


@pytest.mark.parametrize("family", sorted(PARAMETERS))
def test_draws_and_their_densities(family: str) -> None:
    d = RUNTIME_FAMILIES[family](*PARAMETERS[family])
    draw = with_distribution(family, PARAMETERS[family], "random.draw", site="w", noise=GeneratorNoise(3))
    np.testing.assert_array_equal(draw, GeneratorNoise(3).draw("w", (), d, d.shape))
    found = with_distribution(family, PARAMETERS[family], "prob.log_prob", draw)
    np.testing.assert_allclose(found, d.log_prob(draw), rtol=1e-12)
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("family", MOMENTS)
def test_moments(family: str) -> None:
    d = RUNTIME_FAMILIES[family](*PARAMETERS[family])
    for op, expected in (("prob.mean", d.mean()), ("prob.variance", d.variance())):
        np.testing.assert_array_equal(with_distribution(family, PARAMETERS[family], op), expected)


def test_probs() -> None:
    found = with_distribution("Categorical", ([[0.0, math.log(3)]],), "prob.probs", classes=2)
    np.testing.assert_allclose(found, [[0.25, 0.75]])


def test_log_prob_broadcasts_values_and_batches() -> None:
    found = with_distribution("Normal", (np.zeros((3, 1)), 1.0), "prob.log_prob", np.zeros((4, 1, 2)))
    assert found.shape == (4, 3, 2)


def test_expand_and_independent() -> None:
    b, d = build((0.0, 1.0), 2.0)
    d = b.add("dist.independent", b.add("dist.expand", d, dims=dims_of(3, 2)), ndims=1)
    x = b.const(((0.0, 0.0),) * 3, DType.F32)
    base = RUNTIME_FAMILIES["Normal"](np.array([0.0, 1.0]), 2.0)
    np.testing.assert_allclose(only(b, b.add("prob.log_prob", d, x)), [base.log_prob(np.zeros(2)).sum()] * 3)
    draws = only(b, b.add("random.draw", d, site="w"))
    assert draws.shape == (3, 2)
    assert np.unique(draws).size == 6


def test_mixture() -> None:
    b, d = build((-1.0, 1.0), 0.5)
    mixture = b.add("dist.mixture", b.const((0.0, math.log(3)), DType.F32), d)
    assert only(b, b.add("prob.mean", mixture)) == pytest.approx(0.5)
    normal = RUNTIME_FAMILIES["Normal"](np.array([-1.0, 1.0]), 0.5)
    expected = math.log(np.exp(normal.log_prob(np.array(0.2))) @ [0.25, 0.75])
    assert only(b, b.add("prob.log_prob", mixture, b.const(0.2, DType.F32))) == pytest.approx(expected)


def test_kl() -> None:
    b, q = build((0.0, 3.0), 1.0)
    p = b.add("dist.Normal", b.const(1.0, DType.F32), b.const(1.0, DType.F32))
    np.testing.assert_allclose(only(b, b.add("prob.kl", q, p)), [0.5, 2.0])


# --- noise ------------------------------------------------------------------------------------------------------------


def drawing(*sites: str) -> Graph:
    """A graph that draws a Gaussian at each site, in this order."""
    b = GraphBuilder(CORE_OPS, "main")
    d = b.add("dist.Normal", b.const((0.0,) * 4, DType.F32), b.const(1.0, DType.F32))
    return b.finish([(site, b.add("random.draw", d, site=site)) for site in sites])


def test_a_draw_depends_on_its_site_alone() -> None:
    first = evaluate(drawing("a", "b"), noise=GeneratorNoise(1))
    second = evaluate(drawing("c", "b", "a"), noise=GeneratorNoise(1))
    assert all(np.array_equal(first[site], second[site]) for site in "ab")
    assert not np.array_equal(first["a"], first["b"])
    assert not np.array_equal(first["a"], evaluate(drawing("a"), noise=GeneratorNoise(2))["a"])
    np.testing.assert_array_equal(evaluate(drawing("a"))["a"], evaluate(drawing("a"), noise=GeneratorNoise(0))["a"])


def test_rounds_differ_from_each_other_and_from_none() -> None:
    d = RUNTIME_FAMILIES["Normal"](0.0, 1.0)
    indices = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    draws = {float(GeneratorNoise(0).draw("a", index, d, ())) for index in indices}
    assert len(draws) == len(indices)


def test_stated_values() -> None:
    given = evaluate(drawing("a"), noise=FixedNoise({"a": [1, 2, 3, 4]}))["a"]
    np.testing.assert_array_equal(given, [1.0, 2.0, 3.0, 4.0])
    assert given.dtype == np.float64
    rest = evaluate(drawing("a", "b"), noise=FixedNoise({"a": np.zeros(4)}, GeneratorNoise(5)))["b"]
    np.testing.assert_array_equal(rest, evaluate(drawing("b"), noise=GeneratorNoise(5))["b"])


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (FixedNoise({}), "no value is stated for site `a`"),
        (FixedNoise({"a": np.zeros(3)}), r"has shape \(3,\), expected \(4,\)"),
    ],
)
def test_stated_values_that_do_not_fit(noise: FixedNoise, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(drawing("a"), noise=noise)


def test_stated_values_without_a_round() -> None:
    d = RUNTIME_FAMILIES["Normal"](0.0, 1.0)
    for values, index in ((np.zeros(2), (2,)), (np.zeros(()), (0,))):
        with pytest.raises(EvaluationError, match="have no round"):
            FixedNoise({"a": values}).draw("a", index, d, ())


# --- type rules that what is evaluated relies on ----------------------------------------------------------------------


def test_matrices_do_not_broadcast_to_an_event() -> None:
    with pytest.raises(TypeRuleError, match="square matrices of size 3"):
        build((0.0, 1.0, 2.0), ((1.0,),), family="MultivariateNormal")


@pytest.mark.parametrize("wrap", [("dist.independent",), ("dist.mixture",), ("dist.independent", "dist.mixture")])
def test_labels_have_no_moments_under_any_wrapping(wrap: tuple[str, ...]) -> None:
    b, d = build((((0.0, 1.0),) * 2,) * 2, family="Categorical")
    for op in wrap:
        d = b.add(op, d, ndims=1) if op == "dist.independent" else b.add(op, b.const((0.0, 0.0), DType.F32), d)
    with pytest.raises(TypeRuleError, match="class labels have no mean"):
        b.add("prob.mean", d)


def test_one_hot_vectors_have_moments_under_any_wrapping() -> None:
    b, d = build(((0.0, 0.0),) * 2, family="OneHotCategorical")
    np.testing.assert_allclose(only(b, b.add("prob.mean", b.add("dist.independent", d, ndims=1))), np.full((2, 2), 0.5))
