"""Estimators carried out on small models, and held against shared draws: laws of examples, expected gradients.

Invariant: the yardstick is the model with one draw for all examples, on other keys. May import: jax, numpy, scipy, the
passes, the JAX backend, `cells`, `laws`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from scipy import stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.driver.running import Arrays
from bl_compiler.driver.verify import input_types
from bl_compiler.driver.verifying.feeds import perturbed, trained_paths
from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk, with_attrs
from bl_compiler.passes.estimators.legality import verdict
from tests.support.cells import Cell, sites_of
from tests.support.laws import after, flat, outputs, z_scores

Array = npt.NDArray[Any]
PASSES = "local-reparameterize,flipout,group-draws,dce"
ALARM = 1e-6
"""The probability that a check fails by chance."""


def marked(
    module: Module,
    estimator: str,
    sites: Collection[str],
    entries: Collection[str],
    *,
    others: str | None = "shared",
) -> Module:
    """The module with some draws of some entry points marked for an estimator, and all others there for another.

    Args:
        module: Entry points.
        estimator: Of the draws that are named.
        sites: Their names.
        entries: Where they are marked.
        others: The mark of the other draws there; None leaves them as they are.
    """

    def mark(graph: Graph) -> Graph:
        rewriter = Rewriter(CORE_OPS, graph)
        for node in graph.nodes:
            if node.op.name == "random.draw":
                chosen = estimator if node.site in sites else others or node.attrs.text("estimator")
                rewriter.keep(with_attrs(node, node.attrs.with_(estimator=chosen)))
            else:
                rewriter.keep(map_regions(node, mark))
        return rewriter.finish()

    return map_functions(module, lambda name, graph: mark(graph) if name in entries else graph)


def exact_sites(cell: Cell, module: Module, entry: str, estimator: str) -> list[str]:
    """The draws of a model at which an estimator is exact."""
    found = sites_of(module, entry)
    return [name for name, site in found.items() if verdict(site, Estimator.parse(estimator)).exact]


@dataclass(frozen=True)
class Subject:
    """A model with its yardstick: what shared draws give.

    Attributes:
        cell: the model.
        entry: the entry point that is looked at.
        draws: how many draws each side makes.
    """

    cell: Cell
    entry: str = "predict"
    draws: int = 8_000

    @cached_property
    def module(self) -> Module:
        """The entry points, every draw shared."""
        return marked(self.cell.module, "", (), ("train", "predict", "log_likelihood"))

    @cached_property
    def params(self) -> Arrays:
        """Parameters at which nothing is degenerate."""
        return perturbed(self.module, 3)

    @cached_property
    def inputs(self) -> Arrays:
        """A batch."""
        rng, found = np.random.default_rng(4), dict[str, Array]()
        for name, type_ in input_types(self.module).items():
            shape = [size if isinstance(size, int) else 8 for size in type_.shape]
            real = type_.dtype.is_float
            found[name] = rng.normal(size=shape).astype("f4") if real else rng.integers(0, 4, shape).astype("i4")
        return found

    def rewritten(self, estimator: str, *sites: str) -> Module:
        """The entry points after the rewrites to an estimator: of these draws, or of all where it is exact."""
        chosen = sites or exact_sites(self.cell, self.module, self.entry, estimator)
        assert chosen, "nothing to rewrite"
        module = after(marked(self.module, estimator, chosen, (self.entry,)), PASSES)
        verify(module, after=estimator)
        before, now = (_draws(m.functions[self.entry]) for m in (self.module, module))
        assert before != now, "nothing was rewritten"
        return module

    def sampled(self, module: Module, seed: int) -> Array:
        """Draws of what is predicted of each example: [draws, examples, outputs]."""
        types = {o.name: o.value.tensor for o in module.functions[self.entry].outputs}
        found = outputs(self._alone(module), self.entry, self.params, self.inputs, seed, self.draws)
        told = {name: x for name, x in found.items() if name.startswith(("mean:", "value:"))}
        # An element of two plates is an example, too.
        apart = {name: x.reshape(len(x), -1, *x.shape[1 + len(types[name].plates) :]) for name, x in told.items()}
        return flat(apart)

    def _alone(self, module: Module) -> Module:
        """What must be emitted to run the entry point."""
        return module.with_functions({name: module.functions[name] for name in ("init", self.entry)})

    @cached_property
    def yardstick(self) -> Array:
        """What shared draws give."""
        return self.sampled(self.module, 1)

    @cached_property
    def gradients(self) -> Array:
        """What shared draws give."""
        return self.gradients_of(self.module, 1)

    def gradients_of(self, module: Module, seed: int) -> Array:
        """Gradients of the loss for every parameter, and the loss itself: [draws, numbers]."""
        run = Program(self._alone(module)).emitted.namespace["_train"]
        trained = {path: self.params[path] for path in trained_paths(self.module)}
        rest = {path: value for path, value in self.params.items() if path not in trained}

        def loss(values: Any, key: Any) -> Any:
            return run({**rest, **values}, dict(self.inputs), key)[0]

        keys = jax.random.split(jax.random.key(seed), self.draws)
        value, found = jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0)))(trained, keys)
        parts = [np.asarray(x, np.float64).reshape(self.draws, -1) for x in (value, *found.values())]
        return np.concatenate(parts, axis=1)


def _draws(graph: Graph) -> list[tuple[str | None, str]]:
    return [(n.site, str(n.result.type)) for n in walk(graph) if n.op.name in ("random.draw", "random.sign")]


# --- checks ----------------------------------------------------------------------------------------------------------


def check_law(subject: Subject, module: Module) -> None:
    """Means, variances and covariances of the outputs of each example are those of shared draws."""
    _below(z_scores(subject.yardstick, subject.sampled(module, 2)), "the law of an example")


def check_gradients(subject: Subject, module: Module) -> None:
    """The expected loss and its expected gradients are those of shared draws."""
    a, b = subject.gradients, subject.gradients_of(module, 2)
    spread = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    rounding = 1e-5 * (np.abs(a).mean(0) + np.abs(b).mean(0)) + 1e-6
    gap = np.maximum(np.abs(a.mean(0) - b.mean(0)) - rounding, 0.0)
    _below(gap / np.maximum(spread, 1e-12), "an expected gradient")


def check_across(subject: Subject, module: Module, together: int) -> None:
    """Examples of one group of `together` move together as under shared draws, others are uncorrelated."""
    found = subject.sampled(module, 2)
    groups = np.arange(found.shape[1]) // together
    centered = [x - x.mean(0) for x in (subject.yardstick, found)]
    left, right = np.triu_indices(found.shape[1], 1)
    shared, own = (x[:, left, :, None] * x[:, right, None, :] for x in centered)
    same = (groups[left] == groups[right])[:, None, None]
    wanted = np.where(same, shared.mean(0), 0.0)
    spread = np.sqrt(own.var(0) / len(own) + np.where(same, shared.var(0) / len(shared), 0.0))
    _below((own.mean(0) - wanted) / np.maximum(spread, 1e-12), "the covariance of two examples")


def _below(scores: Array, what: str) -> None:
    limit = stats.norm.isf(ALARM / 2 / scores.size)
    worst = float(np.abs(scores).max())
    assert worst < limit, f"{what} is off by {worst:.1f} standard errors; {limit:.1f} of {scores.size} can be chance"
