"""Objectives over several plates, by hand; divergences whose events are split differently.

Invariant: exact up to rounding.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import FixedNoise
from bl_compiler.ir.graph import Module, Objective
from bl_compiler.ir.types import Dim, DType, dims_of
from bl_compiler.passes.entry_errors import EntriesError
from tests.support.models import ModelBuilder

USERS, ITEMS = 5, 4
RNG = np.random.default_rng(8)
RATINGS = RNG.normal(size=(USERS, ITEMS))
TASTE, APPEAL, BIAS = RNG.normal(size=USERS), RNG.normal(size=ITEMS), 0.4


def ratings(users: int, items: int, objective: Objective = Objective()) -> Module:  # noqa: B008 (immutable)
    """A rating for every pair of a user and an item, a latent of each, and a global one."""
    b = ModelBuilder()
    user, item = b.plate("users", users, USERS), b.plate("items", items, None)
    taste = b.sample("taste", b.standard(user), b.dist("Normal", b.input("taste", user), 0.5))
    appeal = b.sample("appeal", b.standard(item), b.dist("Normal", b.input("appeal", item), 0.5))
    bias = b.sample("bias", b.dist("Normal", 0.0, 1.0), b.dist("Normal", b.param("bias"), 0.5))
    column = b.reshape(taste, (user, Dim(1)))
    d = b.dist("Normal", b.binary("add", b.binary("add", column, appeal), bias), 1.0)
    b.observe("rating", b.input("rating", user, item), d)
    return b.entries(objective)


def loss(users: tuple[int, ...], items: tuple[int, ...]) -> dict[str, float]:
    u, i = list(users), list(items)
    module = ratings(len(u), len(i))
    inputs = {"rating": RATINGS[np.ix_(u, i)], "taste": TASTE[u], "appeal": APPEAL[i]}
    noise = FixedNoise({"taste": TASTE[u] + 0.1, "appeal": APPEAL[i] - 0.2, "bias": BIAS})
    sizes = {"items": ITEMS}
    found = evaluate(module.functions["train"], params={"bias": 0.3}, inputs=inputs, noise=noise, sizes=sizes)
    return {name: float(value) for name, value in found.items()}


def kl(loc: npt.ArrayLike) -> float:
    return float(np.sum((0.25 + np.square(loc) - 1) / 2 - np.log(0.5)))


def test_terms_on_several_plates_are_per_example_of_the_first() -> None:
    found = loss(tuple(range(USERS)), tuple(range(ITEMS)))
    mean = (TASTE + 0.1)[:, None] + APPEAL - 0.2 + BIAS
    assert found["nll"] == pytest.approx(-stats.norm(mean, 1).logpdf(RATINGS).sum() / USERS, rel=1e-9)
    assert found["kl"] == pytest.approx((kl(TASTE) + kl(APPEAL) + kl(0.3)) / USERS, rel=1e-9)


def test_the_mean_over_minibatches_of_both_plates_is_the_full_batch() -> None:
    parts = [loss(u, i) for u, i in product(combinations(range(USERS), 2), combinations(range(ITEMS), 3))]
    full = loss(tuple(range(USERS)), tuple(range(ITEMS)))
    for name in ("loss", "nll", "kl"):
        assert np.mean([part[name] for part in parts]) == pytest.approx(full[name], rel=1e-9)


def test_a_plate_that_no_observation_carries_is_not_the_primary_one() -> None:
    b = ModelBuilder()
    group = b.plate("groups", 2, 6)
    rows = b.plate("rows", 3, 12)
    b.weight("g", group)
    b.observe("x", b.input("x", rows), b.dist("Normal", 0.0, 1.0))
    params = {"g/loc": np.ones(2), "g/scale": np.log(np.expm1(np.full(2, 0.5)))}
    found = evaluate(b.entries().functions["train"], params=params, inputs={"x": np.zeros(3)})
    assert found["kl"] == pytest.approx(kl(np.ones(2)) * (6 / 2) / 12, rel=1e-9)
    assert found["nll"] == pytest.approx(np.log(2 * np.pi) / 2, rel=1e-9)


def test_without_plates_nothing_is_divided() -> None:
    b = ModelBuilder()
    b.observe("x", b.input("x", 3), b.dist("Normal", b.weight("m"), 1.0))
    params = {"m/loc": 1.0, "m/scale": np.log(np.expm1(0.5))}
    train, noise = b.entries().functions["train"], FixedNoise({"m": 0.0})
    found = evaluate(train, params=params, inputs={"x": np.zeros(3)}, noise=noise)
    assert found["nll"] == pytest.approx(3 * np.log(2 * np.pi) / 2, rel=1e-9)
    assert found["kl"] == pytest.approx(kl(1.0), rel=1e-9)


def test_a_plate_inside_an_event_is_scaled_as_a_whole() -> None:
    """A density joint over the plate, as a Gaussian process has: its total stands for B of N elements."""
    b = ModelBuilder()
    rows = b.plate("rows", 3, 12)
    d = b.dist("MultivariateNormal", b.input("m", rows), b.input("l", rows, 3))
    b.observe("x", b.input("x", rows), d)
    module = b.entries()
    inputs = {"m": np.zeros(3), "l": np.eye(3), "x": np.zeros(3)}
    total = 3 * -np.log(2 * np.pi) / 2
    assert evaluate(module.functions["train"], inputs=inputs)["loss"] == pytest.approx(-total / 3, rel=1e-9)
    assert evaluate(module.functions["log_joint"], inputs=inputs)["log_joint"] == pytest.approx(total * 4, rel=1e-9)
    assert module.functions["log_likelihood"].output("log_prob:x").tensor.rank == 0


def test_a_symbolic_plate_inside_an_event_is_refused() -> None:
    b = ModelBuilder()
    rows = b.plate("rows", "B", 12)
    d = b.add("dist.independent", b.dist("Normal", b.input("m", rows), 1.0), ndims=1)
    b.observe("x", b.input("x", rows), d)
    with pytest.raises(EntriesError, match="plate `rows`") as caught:
        b.entries()
    assert caught.value.code == "BLC0208"


@pytest.mark.parametrize("side", ["neither", "prior", "posterior", "both"])
def test_a_divergence_does_not_depend_on_which_axes_are_events(side: str) -> None:
    b = ModelBuilder()
    rows = b.plate("rows", 2, 2)
    prior, posterior = b.standard(4, 3), b.dist("Normal", b.param("loc", 4, 3), 0.5)
    if side in ("prior", "both"):
        prior = b.add("dist.independent", prior, ndims=2 if side == "prior" else 1)
    if side in ("posterior", "both"):
        posterior = b.add("dist.independent", posterior, ndims=2 if side == "posterior" else 1)
    b.sample("w", prior, posterior)
    b.observe("x", b.input("x", rows), b.dist("Normal", 0.0, 1.0))
    loc = RNG.normal(size=(4, 3))
    train = b.entries().functions["train"]
    assert [node.op.name for node in train.of("prob.kl", "random.draw")] == ["prob.kl"]
    found = evaluate(train, params={"loc": loc}, inputs={"x": np.zeros(2)})
    assert found["kl"] == pytest.approx(kl(loc) / 2, rel=1e-9)


@pytest.mark.parametrize("posterior", ["vector", "scalars"])
def test_a_monte_carlo_divergence_joins_densities_of_different_shape(posterior: str) -> None:
    b = ModelBuilder()
    rows = b.plate("rows", 2, 2)
    factor = b.const(tuple(tuple(0.5 * (i == j) for j in range(3)) for i in range(3)), DType.F32)
    vector = b.dist("MultivariateNormal", b.full(0.0, dims_of(4, 3)), factor)
    # A mixture of one component is the component, and mixtures have no closed form.
    scalars = b.add("dist.mixture", b.full(0.0, dims_of(1)), b.standard(4, 3, 1))
    pair = (scalars, vector) if posterior == "vector" else (vector, scalars)
    w = b.sample("w", *pair)
    b.observe("x", b.input("x", rows), b.dist("Normal", b.reduce("sum", w, (0, 1)), 1.0))
    draw = RNG.normal(size=(4, 3))
    train = b.entries().functions["train"]
    found = evaluate(train, inputs={"x": np.zeros(2)}, noise=FixedNoise({"w": draw}))
    ratio = stats.norm(0, 0.5).logpdf(draw).sum() - stats.norm(0, 1).logpdf(draw).sum()
    assert found["kl"] == pytest.approx((ratio if posterior == "vector" else -ratio) / 2, rel=1e-9)


@pytest.mark.parametrize("family", ["Normal", "StudentT"])
def test_a_posterior_shared_by_all_elements_counts_every_element(family: str) -> None:
    """Neither side spans the site by itself: leaving both unexpanded would count one element of twelve."""
    b = ModelBuilder()
    rows = b.plate("rows", 2, 2)
    prior = b.dist("Normal", 0.0, 1.0) if family == "Normal" else b.dist("StudentT", 3.0, 0.0, 1.0)
    w = b.sample("w", b.expand(prior, 4, 3), b.expand(b.dist("Normal", b.param("loc", 3), 0.5), 4, 3))
    shared = b.expand(b.dist("Normal", b.reduce("sum", w, (0, 1)), 1.0), rows)
    b.observe("x", b.input("x", rows), shared)
    loc, draw = RNG.normal(size=3), RNG.normal(size=(4, 3))
    train = b.entries().functions["train"]
    found = evaluate(train, params={"loc": loc}, inputs={"x": np.zeros(2)}, noise=FixedNoise({"w": draw}))
    ratio = stats.norm(loc, 0.5).logpdf(draw).sum() - stats.t(3).logpdf(draw).sum()
    assert found["kl"] == pytest.approx((4 * kl(loc) if family == "Normal" else ratio) / 2, rel=1e-9)
    assert found["nll"] == pytest.approx(-stats.norm(draw.sum(), 1).logpdf(0), rel=1e-9)
