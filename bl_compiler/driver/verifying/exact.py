"""Comparisons up to rounding: by the float64 reference between graphs, and of the emitted program with the reference.

Invariant: the two sides of a comparison are given the same draws, or nothing that depends on draws is compared.
May import: floors 0-3, numpy, `statistic`, `graphs`, `feeds`, `emitted`, `report`; the reference inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bl_compiler.driver.verifying.emitted import GRADIENT, EntryProgram
from bl_compiler.driver.verifying.feeds import SITE, Feeds
from bl_compiler.driver.verifying.graphs import DRAW
from bl_compiler.driver.verifying.report import Check
from bl_compiler.driver.verifying.statistic import relative_error
from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.ir.walk import walk

REFERENCE = 1e-6
"""The relative error allowed between graphs in float64: constants that `fold` computed are rounded to float32."""

EMISSION = 1e-3
"""The relative error allowed to float32 against float64, of the greatest element of an array."""

COARSE = {DType.F16: 4e-3, DType.BF16: 3e-2}
"""The same where numbers are kept in fewer bits: eight roundings."""

SAME = 1e-4
"""The relative error up to which two float32 programs give the same for the same draws."""

FLOOR = 1e-6
"""Errors of a gradient count relative to this times the greatest gradient of any parameter, if its own are smaller:
what cancels in exact arithmetic is rounding noise of that size."""

TURNED = 1e-2
"""The part of the whole numbers of an array in which float32 programs may differ."""

Tree = Mapping[str, NDArray[Any]]


def reference_runs(module: Module, entry: str, graph: Graph, feeds: Feeds, seeds: Iterable[int]) -> list[Tree]:
    """The outputs of a graph in float64 for some seeds; for `log_joint`, for as many values of the sites."""
    return [_evaluate(module, entry, graph, feeds, number, seed, None) for number, seed in enumerate(seeds)]


def _evaluate(module: Module, entry: str, graph: Graph, feeds: Feeds, number: int, seed: int, fixed: Any) -> Tree:
    from bl_compiler.backends.reference.noise import FixedNoise
    from bl_compiler.backends.reference.program import ReferenceProgram

    sites = feeds.sites[number] if entry == "log_joint" else {}
    inputs = {**feeds.inputs, **{SITE + name: value for name, value in sites.items()}}
    program = ReferenceProgram(module.with_functions({entry: graph}))
    noise = None if fixed is None else FixedNoise(fixed)
    return program.run(entry, feeds.params, inputs, seed=seed, noise=noise, sizes=feeds.sizes)


def compare_runs(entry: str, found: list[Tree], wanted: list[Tree], names: frozenset[str]) -> Check:
    """The check of some outputs of reference runs."""
    pairs = [(name, f[name], w[name]) for f, w in zip(found, wanted, strict=True) for name in sorted(names)]
    return _check(entry, "reference", REFERENCE, pairs)


def compare_emission(
    module: Module, entry: str, graph: Graph, program: EntryProgram, feeds: Feeds, drawn: Tree, names: frozenset[str]
) -> Check:
    """The check of the emitted program's first draws against the reference, which is given the same draws.

    Args:
        module: What the graph belongs to.
        entry: Its entry point.
        graph: What was emitted.
        program: The emitted program.
        feeds: What it ran on.
        drawn: What it gave, draws along the first axis.
        names: The outputs to compare if draws hide in regions: those that depend on none.
    """
    pairs = []
    fixable = program.every_draw_is_open
    for i in range(min(2, len(drawn[program.outputs[0]])) if fixable else 1):
        draws = {site: _coin(graph, site, drawn[DRAW + site][i]) for site in program.draws} if fixable else None
        wanted = _evaluate(module, entry, graph, feeds, i, 0, draws)
        compared = program.outputs if fixable else sorted(names)
        pairs += [(name, drawn[name][i], wanted[name]) for name in compared]
    return _check(entry, "emission", _limit(graph), pairs)


def _limit(graph: Graph) -> float:
    """The error that the coarsest numbers of a graph allow."""
    values = (value for node in walk(graph) for value in node.results)
    kinds = {value.type.dtype for value in values if isinstance(value.type, TensorType)}
    return max([EMISSION, *(limit for kind, limit in COARSE.items() if kind in kinds)])


def _coin(graph: Graph, site: str, value: NDArray[Any]) -> NDArray[Any]:
    """A draw as the reference draws it, for which a sign is a coin."""
    signs = {node.site for node in graph.nodes if node.op.name == "random.sign"}
    return (np.asarray(value, np.float64) + 1) / 2 if site in signs else np.asarray(value)


def compare_log_joint(module: Module, graph: Graph, program: EntryProgram, feeds: Feeds) -> Check:
    """The check of the emitted log density against the reference."""
    pairs = []
    for i, sites in enumerate(feeds.sites[:2]):
        wanted = _evaluate(module, "log_joint", graph, feeds, i, 0, None)
        found = program.log_joint(feeds.params, sites, feeds.inputs, feeds.sizes)
        pairs += [(name, found[name], wanted[name]) for name in program.outputs]
    return _check("log_joint", "emission", _limit(graph), pairs)


def compare_draws(entry: str, found: Tree, wanted: Tree, names: Iterable[str]) -> Check:
    """The check of outputs and gradients of two emitted programs for the same keys."""
    listed = list(names)
    size = max((float(np.abs(wanted[n]).max(initial=0)) for n in listed if n.startswith(GRADIENT)), default=0.0)
    pairs = [(name, found[name], wanted[name]) for name in listed]
    return _check(entry, "draw by draw", SAME, pairs, floor=size)


def compare_gradients(entry: str, found: Tree, wanted: Tree) -> Check:
    """The check of the gradient of a `kl` that depends on no draw."""
    size = max((float(np.abs(value).max(initial=0)) for value in wanted.values()), default=0.0)
    pairs = [(GRADIENT + path, found[path], wanted[path]) for path in wanted]
    return _check(entry, "gradient of kl", SAME, pairs, floor=size)


def _check(entry: str, kind: str, limit: float, pairs: Iterable[tuple[str, Any, Any]], *, floor: float = 0.0) -> Check:
    worst, where, count = 0.0, "", 0
    for name, found, wanted in pairs:
        x, y = np.asarray(found), np.asarray(wanted)
        least = FLOOR / limit * floor if name.startswith(GRADIENT) else 0.0
        error = relative_error(x, y, floor=least)
        if limit > REFERENCE and x.dtype.kind in "iub" and y.dtype.kind in "iub" and np.mean(error > 0) <= TURNED:
            # Rounding to float32 may turn a comparison over, so a few whole numbers may differ.
            error = np.zeros_like(error)
        count += error.size
        if error.size and not error.max() <= worst:
            worst, where = float(error.max()), _place(name, error)
    return Check(entry, kind, "relative", count, worst, limit, where)


def _place(name: str, error: NDArray[np.float64]) -> str:
    index = np.unravel_index(int(np.argmax(error)), error.shape)
    return name + (f"[{', '.join(str(int(i)) for i in index)}]" if index else "")
