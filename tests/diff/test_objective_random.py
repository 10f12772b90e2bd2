"""The objective of random models against its definition, evaluated by the joint semantics of the reference interpreter.

A model has up to three plates, fixed and symbolic sizes, totals known and not, observations on any of the plates with
and without masks, latents with and without a closed form, and points. The definition: a term's sum times
`Π N_p / B_p` over its plates, over the size of the primary plate.

Invariant: the two sides share no code but the interpreter's densities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.joint import ModelTrace, joint
from bl_compiler.backends.reference.noise import GeneratorNoise, NoiseSource
from bl_compiler.backends.reference.values import Array
from bl_compiler.ir.graph import Module, Objective, Value
from bl_compiler.ir.types import Dim
from bl_compiler.ir.verify import verify
from bl_compiler.passes.entries import derive_entries
from tests.support.models import ModelBuilder

PLATES = "abc"


@dataclass(frozen=True)
class Site:
    """A site of a random model: its plates, the sizes of its other axes, and a variant of its kind."""

    kind: str
    plates: tuple[str, ...]
    sizes: tuple[int, ...]
    variant: str


@dataclass(frozen=True)
class Plan:
    """A random model.

    Attributes:
        plates: by name, (size in a step, total or None, whether the size is symbolic, the total when running).
    """

    plates: Mapping[str, tuple[int, int | None, bool, int]]
    sites: tuple[Site, ...]

    def factor(self, site: Site) -> float:
        return prod(self.plates[p][3] / self.plates[p][0] for p in site.plates)

    @property
    def primary_total(self) -> int:
        carried = {p for site in self.sites if site.kind == "observe" for p in site.plates}
        return next((self.plates[p][3] for p in self.plates if p in carried), 1)


def subsets(values: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True).map(tuple) if values else st.just(())


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    plates: dict[str, tuple[int, int | None, bool, int]] = {}
    for name in draw(subsets(PLATES)):
        size, ratio = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        known = draw(st.booleans())
        plates[name] = (size, size * ratio if known else None, draw(st.booleans()), size * ratio)
    kinds = {
        "sample": ["closed", "open", "event", "plain prior"],
        "point": [""],
        "observe": ["", "mask", "narrow mask", "event"],
    }
    sites = [Site("observe", draw(subsets(list(plates))), (), "")]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(sorted(kinds)))
        sizes = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
        sites.append(Site(kind, draw(subsets(list(plates))), sizes, draw(st.sampled_from(kinds[kind]))))
    order = {"sample": 0, "point": 0, "observe": 1}
    return Plan(plates, tuple(sorted(sites, key=lambda site: order[site.kind])))


def build(plan: Plan, objective: Objective) -> tuple[Module, dict[str, Array]]:
    """The model and the data it is fed."""
    b, feeds, rng = ModelBuilder(), dict[str, Array](), np.random.default_rng(5)
    dims = {n: b.plate(n, f"B{n}" if sym else size, total) for n, (size, total, sym, _) in plan.plates.items()}
    for name, dim in dims.items():
        # Binds the symbolic size, whatever the sites are.
        b.update(f"seen_{name}", b.binary("mul", b.state(f"seen_{name}"), total_of(b, b.input(f"one_{name}", dim))))
        feeds[f"one_{name}"] = np.ones(plan.plates[name][0])
    center = b.param("center")
    for i, site in enumerate(plan.sites):
        shape: list[int | Dim] = [*(dims[p] for p in site.plates), *site.sizes]
        sizes = [plan.plates[p][0] for p in site.plates] + list(site.sizes)
        if site.kind == "observe":
            feeds[f"x{i}"] = rng.normal(size=sizes)
            mask = None
            if "mask" in site.variant:
                first = len(site.plates) if site.variant == "narrow mask" else 0
                mask = b.input(f"m{i}", *shape[first:], dtype="bool")
                feeds[f"m{i}"] = rng.random(sizes[first:]) < 0.5
            d = b.dist("Normal", center, 1.5)
            if site.variant == "event" and site.sizes:
                d = b.add("dist.independent", b.expand(d, *shape), ndims=len(site.sizes))
            b.observe(f"s{i}", b.input(f"x{i}", *shape), d, mask)
        elif site.kind == "point":
            feeds[f"v{i}"] = rng.normal(size=sizes)
            point = b.point(f"s{i}", b.expand(b.dist("StudentT", 3.0, center, 1.0), *shape), b.input(f"v{i}", *shape))
            center = b.binary("add", center, total_of(b, point))
        else:
            feeds[f"q{i}"] = rng.normal(size=sizes)
            latent = b.sample(f"s{i}", *prior_and_posterior(b, site, b.input(f"q{i}", *shape), center, shape))
            center = b.binary("add", center, total_of(b, latent))
    return b.module(objective), feeds


def total_of(b: ModelBuilder, x: Value) -> Value:
    return b.unary("tanh", b.reduce("mean", x, range(x.tensor.rank)))


def prior_and_posterior(
    b: ModelBuilder, site: Site, loc: Value, center: Value, shape: Sequence[int | Dim]
) -> tuple[Value, Value]:
    posterior = b.dist("Normal", loc, 0.5)
    if site.variant == "open":
        return b.expand(b.dist("StudentT", 3.0, center, 1.0), *shape), posterior
    prior = b.expand(b.dist("Laplace", center, 1.0), *shape)
    if site.variant == "event" and site.sizes:
        posterior, prior = (b.add("dist.independent", d, ndims=len(site.sizes)) for d in (posterior, prior))
    if site.variant == "plain prior" and not any(isinstance(d, Dim) and isinstance(d.size, str) for d in shape):
        prior = b.expand(b.dist("Laplace", center, 1.0), *(d.size if isinstance(d, Dim) else d for d in shape))
    return prior, posterior


@dataclass(frozen=True)
class Round:
    """The draws that one round of a region of repeated draws would see."""

    inner: NoiseSource
    position: int

    def draw(self, site: str, index: tuple[int, ...], distribution: Distribution, shape: tuple[int, ...]) -> Array:
        return self.inner.draw(site, (self.position, *index), distribution, shape)


def defined(plan: Plan, told: ModelTrace) -> tuple[float, float]:
    """`nll` and `kl` of one draw, by the definition."""
    nll = kl = 0.0
    for i, site in enumerate(plan.sites):
        name, factor = f"s{i}", plan.factor(site) / plan.primary_total
        if site.kind == "observe":
            nll -= factor * told.likelihood[name].sum()
        elif site.kind == "point":
            kl -= factor * told.prior[name].sum()
        elif name in told.kl:
            kl += factor * told.kl[name].sum()
        else:
            kl += factor * (told.posterior[name].sum() - told.prior[name].sum())
    return nll, kl


def run(plan: Plan, samples: int) -> tuple[dict[str, Array], list[ModelTrace], float]:
    module, feeds = build(plan, Objective(samples=samples))
    derived = derive_entries(module)
    verify(derived, after="entries")
    params: dict[str, npt.ArrayLike] = {"center": 0.3, **{f"seen_{p}": 1.0 for p in plan.plates}}
    sizes = {name: plate[3] for name, plate in plan.plates.items()}
    noise = GeneratorNoise(3)
    found = evaluate(derived.functions["train"], params=params, inputs=feeds, noise=noise, sizes=sizes)
    rounds: list[NoiseSource] = [Round(noise, i) for i in range(samples)] if samples > 1 else [noise]
    told = [joint(module, params, feeds, noise=source, sizes=sizes) for source in rounds]
    given = {**feeds, **{f"site:{name}": value for name, value in told[0].values.items()}}
    log_joint = evaluate(derived.functions["log_joint"], params=params, inputs=given, sizes=sizes)["log_joint"]
    return found, told, float(log_joint)


@settings(max_examples=60)
@given(plans(), st.sampled_from([1, 1, 3]))
def test_the_loss_is_its_definition(plan: Plan, samples: int) -> None:
    found, told, _ = run(plan, samples)
    nll, kl = np.mean([defined(plan, trace) for trace in told], axis=0)
    np.testing.assert_allclose(found["nll"], nll, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["loss"], found["nll"] + found["kl"], rtol=1e-12)


@settings(max_examples=40)
@given(plans())
def test_the_log_joint_is_its_definition(plan: Plan) -> None:
    _, (told,), found = run(plan, 1)
    densities = {**told.prior, **told.likelihood}
    expected = sum(plan.factor(site) * densities[f"s{i}"].sum() for i, site in enumerate(plan.sites))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
