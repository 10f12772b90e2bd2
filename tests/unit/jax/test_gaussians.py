"""Gaussians with structure as emitted: values against the dense reference, draws by moments, sizes of what is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax.link import load, runtime
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DType, TensorType, TypeRuleError, dims_of
from tests.support.quick import quick_compiles
from tests.unit.jax.running import function_of

RUNTIME = load(runtime().definitions.values())
Array = np.ndarray[Any, Any]
DRAWS, LIMIT = 30_000, 5.0


@dataclass(frozen=True)
class Case:
    """A Gaussian over 6 elements, and a prior for each of them.

    Attributes:
        batch: in front of every parameter of the Gaussian.
        shape: of the draws; None leaves the family's own.
        prior: the shapes of the prior's location and scale.
        whole: the batch and event that the prior is expanded to.
        independent: batch axes that count as event axes.
    """

    family: str
    batch: tuple[int, ...] = ()
    shape: tuple[int, ...] | None = None
    prior: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    outer: tuple[int, ...] = ()
    independent: int = 0

    @property
    def own(self) -> tuple[int, ...]:
        """The family's own event."""
        return (2, 3) if self.family == "MatrixNormal" else (6,)

    @property
    def event(self) -> tuple[int, ...]:
        """The shape of one draw."""
        return self.own if self.shape is None else self.shape


CASES = [
    Case("MultivariateNormal"),
    Case("MultivariateNormal", shape=(2, 1, 3), prior=((3,), (2, 1, 1))),
    Case("MultivariateNormal", batch=(4,), shape=(3, 2), prior=((3, 2), (4, 1, 2)), outer=(4,)),
    Case("LowRankMultivariateNormal", prior=((6,), ())),
    Case("LowRankMultivariateNormal", shape=(2, 3), prior=((), (2, 1))),
    Case("LowRankMultivariateNormal", batch=(2,), shape=(3, 2), prior=((2, 3, 2), (3, 1)), outer=(2,), independent=1),
    Case("MatrixNormal", prior=((2, 1), (3,))),
    Case("MatrixNormal", shape=(2, 1, 1, 3), prior=((2, 1, 1, 3), (2, 1, 1, 3))),
    Case("MatrixNormal", batch=(5, 1), shape=(6,), prior=((6,), (2, 1)), outer=(5, 2)),
]
IDS = [f"{case.family}-{i}" for i, case in enumerate(CASES)]
cases = pytest.mark.parametrize("case", CASES, ids=IDS)


@pytest.fixture(autouse=True)
def _wide_and_quick() -> Iterator[None]:
    with jax.enable_x64(True), quick_compiles():
        yield


class Made:
    """A graph over 64-bit inputs with what to feed them."""

    def __init__(self, seed: int = 0) -> None:
        self.b = GraphBuilder(CORE_OPS, "predict")
        self.rng = np.random.default_rng(seed)
        self.fed: dict[str, Array] = {}

    def input(self, x: Array) -> Value:
        """An operand of these numbers."""
        key = f"x{len(self.fed)}"
        self.fed[key] = np.asarray(x, np.float64)
        type_ = TensorType(DType.F64, tuple(Dim(n) for n in x.shape))
        return self.b.add("model.input", key=key, type=type_, name=key)

    def normal(self, *shape: int) -> Value:
        """Numbers without a pattern."""
        return self.input(self.rng.normal(size=shape))

    def positive(self, *shape: int) -> Value:
        """Positive numbers without a pattern."""
        return self.input(self.rng.uniform(0.3, 2.0, shape))

    def gaussian(self, case: Case) -> Value:
        """The Gaussian of a case."""
        sizes = {"n": 6, "k": 2, "r": 2, "c": 3}
        operands = []
        for param in FAMILIES[case.family].params:
            shape = (*case.batch, *(sizes[letter] for letter in param.letters))
            if param.constraint == "lower_cholesky":
                x = self.rng.normal(size=shape)
                operands.append(self.input(np.tril(x, -1) + np.eye(shape[-1]) * self.rng.uniform(0.3, 2.0, shape)))
            else:
                operands.append(self.positive(*shape) if param.constraint == "positive_vector" else self.normal(*shape))
        d = self.b.add(f"dist.{case.family}", *operands)
        if case.shape is not None:
            d = self.b.add("dist.reshape_event", d, dims=dims_of(*case.shape))
        return self.b.add("dist.independent", d, ndims=case.independent) if case.independent else d

    def prior(self, case: Case) -> Value:
        """The independent elements of a case."""
        loc, scale = case.prior
        d = self.b.add("dist.Normal", self.normal(*loc), self.positive(*scale))
        d = self.b.add("dist.expand", d, dims=dims_of(*case.outer, *case.event))
        return self.b.add("dist.independent", d, ndims=len(case.event) + case.independent)

    def both(self, **outputs: Value) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the emitted function gives and what the reference gives."""
        graph: Graph = self.b.finish(list(outputs.items()))
        with jax.numpy_dtype_promotion("strict"):
            found = jax.jit(function_of(graph))({}, self.fed, jax.random.key(0))
        return {k: np.asarray(v) for k, v in found.items()}, dict(evaluate(graph, inputs=self.fed))


@cases
def test_densities_moments_and_divergences_are_those_of_the_dense_gaussian(case: Case) -> None:
    made = Made()
    d = made.gaussian(case)
    kept = len(case.batch) - case.independent
    x = made.normal(7, *(1 for _ in case.batch[:kept]), *case.batch[kept:], *case.event)
    found, expected = made.both(
        log_prob=made.b.add("prob.log_prob", d, x),
        mean=made.b.add("prob.mean", d),
        variance=made.b.add("prob.variance", d),
        kl=made.b.add("prob.kl", d, made.prior(case)),
    )
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-10, err_msg=name)
    assert np.all(expected["kl"] > 0)


@cases
def test_draws_have_the_law(case: Case) -> None:
    """Means and all covariances of many draws within standard errors."""
    made = Made(1)
    d = made.gaussian(case)
    graph = made.b.finish([("draw", made.b.add("random.draw", d, site="w")), ("mean", made.b.add("prob.mean", d))])
    keys = jax.random.split(jax.random.key(5), DRAWS)
    function = function_of(graph)
    found = jax.jit(jax.vmap(lambda key: function({}, made.fed, key)["draw"]))(keys)
    assert found.shape == (DRAWS, *case.batch, *case.event)
    base = made.fed
    loc, first, second = base["x0"], base["x1"], base.get("x2", np.zeros(0))
    match case.family:
        case "MultivariateNormal":
            covariance = first @ first.swapaxes(-1, -2)
        case "LowRankMultivariateNormal":
            covariance = first @ first.swapaxes(-1, -2) + second[..., None] * np.eye(6)
        case _:
            u, v = (t @ t.swapaxes(-1, -2) for t in (first, second))
            covariance = np.einsum("...ij,...kl->...ikjl", u, v).reshape(*case.batch, 6, 6)
    offsets = np.asarray(found).reshape(DRAWS, *case.batch, 6) - loc.reshape(*case.batch, 6)
    spread = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    assert np.all(np.abs(offsets.mean(0)) <= LIMIT * spread / np.sqrt(DRAWS))
    products = offsets[..., :, None] * offsets[..., None, :]
    assert np.all(np.abs(products.mean(0) - covariance) <= LIMIT * products.std(0) / np.sqrt(DRAWS))


def test_locations_and_diagonals_of_one_number_stand_for_all() -> None:
    made = Made()
    b, size = made.b, 4
    factor, one = made.normal(size, 2), made.normal(1)
    q = b.add("dist.LowRankMultivariateNormal", one, factor, made.positive(1))
    p = b.add("dist.LowRankMultivariateNormal", made.normal(1), made.normal(size, 1), made.positive(1))
    row = made.input(np.diag([1.0, 2.0, 0.5]) + np.tri(3, k=-1))
    matrix = b.add("dist.MatrixNormal", made.normal(1, 1), row, made.input(np.array([[0.7, 0.0], [0.3, 2.0]])))
    other = b.add("dist.MatrixNormal", made.normal(1, 2), row, made.input(np.eye(2)))
    full = b.add("dist.MultivariateNormal", made.normal(1), made.input(np.tri(size)))
    x, y = made.normal(size), made.normal(3, 2)
    values = {
        "log_prob": b.add("prob.log_prob", q, x),
        "matrix_log_prob": b.add("prob.log_prob", matrix, y),
        "low_low": b.add("prob.kl", q, p),
        "low_full": b.add("prob.kl", q, full),
        "full_low": b.add("prob.kl", full, q),
        "matrix": b.add("prob.kl", matrix, other),
        "means": b.add("prob.mean", matrix),
        "variances": b.add("prob.variance", q),
    }
    found, expected = made.both(**values)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


def largest(function: Callable[..., object], *arguments: object) -> int:
    """The size of the largest array in a function and its gradient."""
    traced = jax.make_jaxpr(jax.grad(lambda *args: jnp.sum(function(*args)), argnums=(0, 1, 2)))(*arguments)
    return max(prod(v.aval.shape) for equation in traced.jaxpr.eqns for v in equation.outvars)


@pytest.mark.parametrize("what", ["log_prob", "kl", "kl_self", "sample"])
def test_low_rank_forms_no_matrix_over_all_elements(what: str) -> None:
    size, rank = 300, 4
    q = (jnp.zeros(size), jnp.ones((size, rank)), jnp.ones(size))
    name = "low_rank_multivariate_normal"
    functions = {
        "log_prob": lambda *q: RUNTIME[f"{name}_log_prob"](jnp.ones(size), *q),
        "kl": lambda *q: RUNTIME[f"kl_{name}_normal"](*q, 0.0, jnp.ones(size)),
        "kl_self": lambda *q: RUNTIME[f"kl_{name}_{name}"](*q, *(x + 1 for x in q)),
        "sample": lambda *q: RUNTIME[f"{name}_sample"](jax.random.key(0), *q, (size,)),
    }
    assert largest(functions[what], *q) <= size * rank


@pytest.mark.parametrize("what", ["log_prob", "kl", "kl_self", "sample"])
def test_matrices_form_no_kronecker_product(what: str) -> None:
    rows, columns = 30, 20
    q = (jnp.zeros((rows, columns)), jnp.eye(rows), jnp.eye(columns))
    name = "matrix_normal"
    functions = {
        "log_prob": lambda *q: RUNTIME[f"{name}_log_prob"](jnp.ones((rows, columns)), *q),
        "kl": lambda *q: RUNTIME[f"kl_{name}_normal"](*q, 0.0, jnp.ones((rows, columns))),
        "kl_self": lambda *q: RUNTIME[f"kl_{name}_{name}"](*q, *(2 * x for x in q)),
        "sample": lambda *q: RUNTIME[f"{name}_sample"](jax.random.key(0), *q, (rows, columns)),
    }
    assert largest(functions[what], *q) <= rows * rows


def test_a_factor_that_dwarfs_the_diagonal_costs_no_digits() -> None:
    """In 32 bits, where the difference |x|^2 - |L^-1 S^T x|^2 of the usual formula is rounding alone."""
    size = 5
    rng = np.random.default_rng(0)
    factor, x = rng.normal(size=(size, 1)), rng.normal(size=size)
    x -= factor[:, 0] * (factor[:, 0] @ x) / (factor[:, 0] @ factor[:, 0])
    x = 1e-3 * x + 300 * factor[:, 0]
    arguments = [np.float32(a) for a in (x, np.zeros(size), 300 * factor, np.full(size, 1e-6))]
    loc, f, d = (np.float64(a) for a in arguments[1:])
    offset = np.float64(arguments[0]) - loc
    covariance = f @ f.T + np.diag(d)
    square = offset @ np.linalg.solve(covariance, offset)
    expected = -0.5 * (square + np.linalg.slogdet(covariance)[1] + size * np.log(2 * np.pi))
    found = RUNTIME["low_rank_multivariate_normal_log_prob"](*arguments)
    assert found.dtype == np.float32
    assert float(found) == pytest.approx(expected, abs=0.02 * square)


@pytest.mark.parametrize(
    ("family", "shapes", "message"),
    [
        ("LowRankMultivariateNormal", [(3,), (2, 1), (3,)], "`cov_factor` of LowRankMultivariateNormal needs 3 rows"),
        ("LowRankMultivariateNormal", [(3,), (3, 2), (2,)], "events of size 3 and"),
        ("MatrixNormal", [(2, 3), (3, 3), (3, 3)], "needs square matrices of size"),
        ("MatrixNormal", [(2, 3), (2, 2), (2, 3)], "needs square matrices of size"),
        ("MatrixNormal", [(3,), (3, 3), (3, 3)], "`loc` of MatrixNormal needs 2 dimensions"),
    ],
)
def test_parameters_that_do_not_fit(family: str, shapes: list[tuple[int, ...]], message: str) -> None:
    made = Made()
    with pytest.raises(TypeRuleError, match=message):
        made.b.add(f"dist.{family}", *(made.positive(*shape) for shape in shapes))


def test_events_that_cannot_be_reshaped() -> None:
    made = Made()
    d = made.gaussian(Case("MultivariateNormal"))
    reshaped = made.b.add("dist.reshape_event", d, dims=dims_of(2, 3))
    scalar = made.b.add("dist.Normal", made.normal(3), made.positive(3))
    for value, dims, message in (
        (d, (2, 2), "cannot reshape an event"),
        (reshaped, (6,), "only the event of a Gaussian"),
        (scalar, (3,), "only the event of a Gaussian"),
        (made.b.add("dist.independent", scalar, ndims=1), (3,), "only the event of a Gaussian"),
        (d, ("n",), "symbolic"),
    ):
        with pytest.raises(TypeRuleError, match=message):
            made.b.add("dist.reshape_event", value, dims=dims_of(*dims))
    # Which axes of the reshaped law are whose is not known.
    with pytest.raises(TypeRuleError, match="no closed form"):
        made.b.add("prob.kl", reshaped, made.b.add("dist.reshape_event", d, dims=dims_of(2, 3)))
