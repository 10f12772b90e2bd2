"""Graphs whose values depend on draws, for the tests of moments: seconds that were emitted, and exact ones to compare.

A function that is affine in each of several independent draws is told by its values at a few points, so its mean and
covariance follow from the draws' moments without sampling. Invariant: nothing here uses the rules under test but
`emitted`. May import: the IR, the pass, the reference interpreter, numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DType, TensorType
from bl_compiler.passes.moments.analysis import Analysis
from bl_compiler.passes.moments.integrate import marked
from bl_compiler.passes.moments.laws import Emitter, inner_axes

Array = npt.NDArray[np.float64]
Make = Callable[[GraphBuilder, Mapping[str, Value], Mapping[str, Value]], Value]
"""`(builder, draws, data) -> value`"""


@dataclass(frozen=True)
class Setting:
    """What a function is applied to: independent Gaussian draws and data, each with dimensions."""

    draws: Mapping[str, tuple[Dim, ...]]
    data: Mapping[str, tuple[Dim, ...]]
    make: Make

    def arrays(self, seed: int = 0) -> dict[str, Array]:
        """Numbers for the data and for location and scale of each draw."""
        rng = np.random.default_rng(seed)
        found = {key: rng.normal(size=_shape(dims)) for key, dims in self.data.items()}
        for key, dims in self.draws.items():
            found[f"{key}/loc"] = rng.normal(size=_shape(dims))
            found[f"{key}/scale"] = rng.uniform(0.3, 1.2, size=_shape(dims))
        return found

    def graph(self, *, drawn: bool, estimator: str = "deterministic") -> Graph:
        """The function as a graph, of draws or of inputs in their place."""
        b = GraphBuilder(CORE_OPS, "predict")
        data = {key: _input(b, key, dims) for key, dims in self.data.items()}
        draws: dict[str, Value] = {}
        for key, dims in self.draws.items():
            if drawn:
                loc, scale = (_input(b, f"{key}/{part}", dims) for part in ("loc", "scale"))
                d = b.add("dist.Normal", loc, scale)
                draws[key] = b.add("random.draw", d, site=key, estimator=estimator)
            else:
                draws[key] = _input(b, key, dims)
        return b.finish([("y", self.make(b, draws, data))])


def _shape(dims: tuple[Dim, ...]) -> tuple[int, ...]:
    return tuple(d.size for d in dims if isinstance(d.size, int))


def _input(b: GraphBuilder, key: str, dims: tuple[Dim, ...]) -> Value:
    return b.add("model.input", key=key, type=TensorType(DType.F64, dims))


def emitted(setting: Setting, seed: int = 0, *, approximate: bool = False) -> dict[str, Array]:
    """The mean, and the second with copies of each set of axes, named `mean` and by the axes: ``, `1`, `12`, ….

    Raises:
        AssertionError: the value has no spread; the message is the reason.
    """
    graph = setting.graph(drawn=True, estimator="deterministic(approximate)" if approximate else "deterministic")
    reasons: dict[object, list[object]] = {}
    found = Analysis("predict", graph, marked(graph), reasons)  # type: ignore[arg-type]
    assert not reasons, reasons
    y = graph.output("y")
    law = found.laws[y]
    assert law.is_spread, law.spread
    em = Emitter(CORE_OPS, graph, found.laws)
    for node in graph.nodes:
        mean = found.laws[node.result].mean if node.result in found.laws else None
        if mean is None:
            em.keep(node)
        else:
            em.replace(node, lambda _, mean=mean: [mean(em)])  # type: ignore[misc]
    inner = sorted(inner_axes(y.tensor.dims))
    sets = [axes for n in range(len(inner) + 1) for axes in combinations(inner, n)]
    outputs = [("mean", em.value(y))]
    outputs += [("".join(map(str, axes)), em.second(y, frozenset(axes))) for axes in sets]
    whole = em.builder.finish(outputs)
    return {key: np.asarray(x, np.float64) for key, x in evaluate(whole, inputs=setting.arrays(seed)).items()}


def exact(setting: Setting, seed: int = 0) -> tuple[Array, Array]:
    """Mean and full covariance `[*y, *y]` of a function that is affine in each draw."""
    arrays, graph = setting.arrays(seed), setting.graph(drawn=False)
    data = {key: arrays[key] for key in setting.data}
    loc = {key: arrays[f"{key}/loc"] for key in setting.draws}
    scale = {key: arrays[f"{key}/scale"] for key in setting.draws}

    def value(draws: Mapping[str, Array]) -> Array:
        return np.asarray(evaluate(graph, inputs={**data, **draws})["y"], np.float64)

    mean = value(loc)
    covariance = np.zeros(mean.shape * 2)
    names = sorted(setting.draws)
    # The function minus its mean is a sum of independent terms: each is a product of centered elements of some draws.
    for n in range(1, len(names) + 1):
        for chosen in combinations(names, n):
            for indices in np.ndindex(*(s for key in chosen for s in loc[key].shape)):
                term = _term(value, loc, chosen, indices)
                weight = 1.0
                for key, index in zip(chosen, _split(loc, chosen, indices), strict=True):
                    weight *= scale[key][index] ** 2
                covariance += weight * np.multiply.outer(term, term)
    return mean, covariance


def _split(loc: Mapping[str, Array], chosen: tuple[str, ...], indices: tuple[int, ...]) -> list[tuple[int, ...]]:
    found, at = [], 0
    for key in chosen:
        rank = loc[key].ndim
        found.append(indices[at : at + rank])
        at += rank
    return found


def _term(
    value: Callable[[Mapping[str, Array]], Array],
    loc: Mapping[str, Array],
    chosen: tuple[str, ...],
    at: tuple[int, ...],
) -> Array:
    """The coefficient of a product of one element of each chosen draw, by inclusion and exclusion."""
    total: Array | None = None
    spots = dict(zip(chosen, _split(loc, chosen, at), strict=True))
    for n in range(len(chosen) + 1):
        for moved in combinations(chosen, n):
            shifted = dict(loc)
            for key in moved:
                shifted[key] = loc[key].copy()
                shifted[key][spots[key]] += 1.0
            part = value(shifted) * (-1) ** (len(chosen) - n)
            total = part if total is None else total + part
    assert total is not None
    return total


def restricted(covariance: Array, dims: tuple[Dim, ...], axes: tuple[int, ...]) -> Array:
    """A full covariance as `Emitter.second` lays it out: copies of `axes` only."""
    rank = len(dims)
    letters = [chr(ord("a") + i) for i in range(rank)]
    copies = [s.upper() if i in axes else s for i, s in enumerate(letters)]
    result = letters + [letters[a].upper() for a in axes]
    return np.asarray(np.einsum(f"{''.join(letters + copies)}->{''.join(result)}", covariance))
