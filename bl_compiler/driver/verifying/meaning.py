"""Whether the loss is what the model says: the entry `train` before any pass against the function `model` itself.

The reference interpreter runs `model` by its joint semantics: one draw of every site, and every density. From these

    nll = - Σ log likelihoods · Π N_p / B_p / N,     kl = Σ divergences · Π N_p / B_p / N,

with, for each site, a product over its plates p of N_p elements, B_p of them in a step, and N the elements of the first
plate that an observation is on. Nothing that derives entry points is asked. Invariant: both sides make the same draws.
May import: floors 0-3, numpy, the rest of the package; the reference inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bl_compiler.driver.verifying.exact import REFERENCE
from bl_compiler.driver.verifying.feeds import Feeds
from bl_compiler.driver.verifying.report import Check
from bl_compiler.driver.verifying.statistic import relative_error
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.types import distribution, plates_of
from bl_compiler.ir.walk import forward_slice, regions_of
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.plates_scale import site_dims

_DRAWS = ("model.sample", "model.noise", "random.draw")
_RUNS = 2


def check_meaning(model: Module, entries: Module, feeds: Feeds) -> list[Check]:
    """The check of `nll`, `kl` and `loss`; none where the joint semantics gives no numbers to compare.

    That is so with importance weights, with sites in loops, and where the size of a plate is not told; `kl` is left out
    if a closed form takes a mean over draws.

    Args:
        model: The module with the function `model`.
        entries: Its entry points before any pass.
        feeds: What both run on.
    """
    goal, graph = model.objective, model.functions["model"]
    if goal.kind == "iwae" or "train" not in entries.functions or any(regions_of(node) for node in graph.nodes):
        return []
    symbols = _symbols(graph, feeds)
    if any(
        (p.total is None and p.name not in feeds.sizes) or (isinstance(p.size, str) and p.size not in symbols)
        for p in model.plates
    ):
        return []
    from bl_compiler.backends.reference.noise import GeneratorNoise
    from bl_compiler.backends.reference.program import ReferenceProgram

    feeds, scales = _completed(graph, feeds), _scales(model, feeds)
    program, worst, where, count = ReferenceProgram(entries), 0.0, "", 0
    for seed in range(_RUNS):
        found = program.run("train", feeds.params, feeds.inputs, seed=seed, sizes=feeds.sizes)
        rounds = [_Round(GeneratorNoise(seed), (i,) if goal.samples > 1 else ()) for i in range(goal.samples)]
        for name, wanted in _wanted(model, feeds, rounds, scales).items():
            error = float(relative_error(np.asarray(found[name]), np.asarray(wanted)).max())
            count += 1
            if not error <= worst:
                worst, where = error, name
    return [Check("train", "meaning", "relative", count, worst, REFERENCE, where)]


@dataclass(frozen=True)
class _Round:
    """The draws of one of the repeated draws of a step."""

    source: Any
    index: tuple[int, ...]

    def draw(self, site: str, index: tuple[int, ...], distribution: Any, shape: tuple[int, ...]) -> Any:
        """See `NoiseSource.draw`; what is drawn outside the repeated draws is not told apart here."""
        return self.source.draw(site, (*self.index, *index), distribution, shape)


def _wanted(model: Module, feeds: Feeds, rounds: list[_Round], scales: Mapping[str, float]) -> dict[str, float]:
    from bl_compiler.backends.reference.joint import joint

    goal, nll, kl = model.objective, 0.0, 0.0
    averaged = _averaged(model.functions["model"])
    for noise in rounds:
        told = joint(model, feeds.params, feeds.inputs, noise=noise, sizes=feeds.sizes)
        nll -= sum(x.sum() * scales[site] for site, x in told.likelihood.items())
        for site, density in told.prior.items():
            closed = told.kl.get(site)
            posterior = told.posterior[site].sum() if site in told.posterior else 0.0
            kl += (posterior - density.sum() if closed is None else closed.sum()) * scales[site]
    nll, kl = nll / len(rounds), kl / len(rounds)
    if goal.kind == "mle":
        return {"nll": nll, "kl": 0.0, "loss": nll}
    weight = goal.kl_weight if goal.anneal is None else goal.anneal[1]
    return {"nll": nll} if averaged else {"nll": nll, "kl": kl, "loss": nll + weight * kl}


def _averaged(graph: Graph) -> bool:
    """Whether a closed form takes a mean over draws of parameters, or joins in an event what the prior has apart."""
    drawn = [result for node in graph.of(*_DRAWS) for result in node.results]
    reached = {*drawn, *(result for node in forward_slice(graph, drawn) for result in node.results)}
    for node in graph.of("model.sample"):
        prior, posterior = (distribution(value.type) for value in node.inputs)
        unlike = node.inputs[1] in reached or len(prior.event) != len(posterior.event)
        if unlike and kl_form(posterior, prior) == "closed-form":
            return True
    return False


def _symbols(graph: Graph, feeds: Feeds) -> dict[str, int]:
    """Symbolic sizes, from the shapes of inputs."""
    found: dict[str, int] = {}
    for node in graph.of("model.input"):
        fed = feeds.inputs.get(node.attrs.text("key"))
        if fed is not None:
            dims = node.attrs.array_type("type").dims
            found.update((d.size, n) for d, n in zip(dims, np.shape(fed), strict=True) if isinstance(d.size, str))
    return found


def _completed(graph: Graph, feeds: Feeds) -> Feeds:
    """Zeros for the inputs that no entry point reads."""
    symbols, inputs = _symbols(graph, feeds), dict(feeds.inputs)
    for node in graph.of("model.input"):
        shape = node.attrs.array_type("type").shape
        sizes = [symbols.get(size, 1) if isinstance(size, str) else size for size in shape]
        inputs.setdefault(node.attrs.text("key"), np.zeros(sizes))
    return replace(feeds, inputs=inputs)


def _scales(model: Module, feeds: Feeds) -> dict[str, float]:
    """What the total of a site's terms is multiplied with."""
    graph = model.functions["model"]
    symbols = _symbols(graph, feeds)
    totals = {p.name: float(feeds.sizes[p.name] if p.total is None else p.total) for p in model.plates}
    in_step = {p.name: float(symbols[p.size] if isinstance(p.size, str) else p.size) for p in model.plates}
    observed = [plate for node in graph.of("model.observe") for plate in plates_of(site_dims(node))]
    per = next((p.name for p in model.plates if p.name in observed), None)
    whole = 1.0 if per is None else totals[per]
    return {
        node.site or "": _product(totals[p] / in_step[p] for p in set(plates_of(site_dims(node)))) / whole
        for node in _sites(graph)
    }


def _sites(graph: Graph) -> Iterable[Node]:
    return graph.of("model.sample", "model.point", "model.observe")


def _product(factors: Iterable[float]) -> float:
    found = 1.0
    for factor in factors:
        found *= factor
    return found
