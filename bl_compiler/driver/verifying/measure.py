"""Statistics of groups of draws: what `statistic.scores` compares.

Every statistic is the mean over a group of draws of a function of one draw, standardized with centers and scales from a
pilot run of the unoptimized program on seeds of its own, so they are constants to both sides.
Invariant: the functions are the same for every program compared. May import: floors 0-1, numpy, `layout`, `emitted`;
JAX inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bl_compiler.driver.verifying.emitted import GRADIENT
from bl_compiler.driver.verifying.layout import PROJECTIONS, SHARED, Block, Part, chosen, signs

ROUNDING = 1e-5
"""By how much rounding may move an expectation, relative to the greatest number of the array."""
NARROW = 1e-3
"""Numbers that vary by less than this, relative to the greatest of the array, are standardized as if by this."""
ELEMENTS = 16384
"""At most so many elements of gradients, and of outputs of `train`, are compared one by one."""
DIRECTIONS = 4

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Statistic:
    """One array of statistics.

    Attributes:
        kind: The kind of check it belongs to.
        allowance: By how much rounding may move each expectation.
        place: Where an index of it comes from, as text.
    """

    kind: str
    allowance: NDArray[np.float64]
    place: Callable[[tuple[int, ...]], str]


@dataclass
class Measure:
    """The statistics of an entry point.

    Attributes:
        statistics: By the key under which `apply` gives them.
        apply: From outputs of a group of draws to the means of statistics; jitted.
    """

    statistics: dict[str, Statistic] = field(default_factory=dict)
    apply: Callable[[Tree], Tree] = lambda _: {}

    @property
    def count(self) -> int:
        """How many numbers are compared."""
        return sum(statistic.allowance.size for statistic in self.statistics.values())


def joined(first: Measure, second: Measure) -> Measure:
    """The statistics of both, whose keys differ."""
    both = {**first.statistics, **second.statistics}
    assert len(both) == len(first.statistics) + len(second.statistics)
    return Measure(both, lambda outputs: {**first.apply(outputs), **second.apply(outputs)})


@dataclass(frozen=True)
class _Block:
    """A block with its constants: centers and scales `[units, columns]`, those of shared outputs `[elements]`."""

    block: Block
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    shared: tuple[tuple[Part, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], ...]


@dataclass(frozen=True)
class _Array:
    """An array of `train` of which means are compared: its elements and random sums."""

    name: str
    kind: str
    elements: NDArray[np.intp]
    directions: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]


def measure_laws(blocks: Sequence[Block], pilot: Tree) -> Measure:
    """Means, variances and covariances within each unit of outputs, and their averages over units.

    Args:
        blocks: The outputs.
        pilot: Draws of all outputs along the first axis.
    """
    import jax

    found, parts = Measure(), []
    for number, block in enumerate(blocks):
        x = _flat(np, block.parts, pilot)
        center, scale, allowance = _standard(x)
        shared = tuple((p, s, *_standard(np.asarray(pilot[p.name]).reshape(len(x), -1))[:2]) for p, s in block.shared)
        parts.append(_Block(block, center, scale, shared))
        found.statistics.update(_statistics(number, block, allowance))
    found.apply = jax.jit(lambda outputs: {k: v for i, part in enumerate(parts) for k, v in _laws(i, part, outputs)})
    return found


def measure_summaries(blocks: Sequence[Block], pilot: Tree) -> Measure:
    """As `measure_laws` for entry points that are summarized over draws: means, and total variances.

    A program that gives the moments of prediction themselves (Wu et al. 2019) draws nothing: the variance within a
    draw plus that of means over draws is what both must share. Outputs `variance:SITE` stand for the former.
    """
    import jax

    found, rows = Measure(), []
    for number, block in enumerate(blocks):
        for part in block.parts:
            kind, _, name = part.name.partition(":")
            if part.name.startswith("variance:"):
                continue
            x = np.asarray(pilot[part.name], np.float32)
            center, scale, allowance = _standard(x)
            within = f"variance:{name}" if kind in ("mean", "value") else None
            rows.append((f"{number}:{part.name}", part.name, within, center, scale))
            place = partial(_element, part.name)
            found.statistics[f"{number}:{part.name}:mean"] = Statistic("mean", allowance, place)
            if not part.name.startswith("probs:"):
                found.statistics[f"{number}:{part.name}:variance"] = Statistic("variance", 3 * allowance, place)
    found.apply = jax.jit(lambda outputs: {k: v for row in rows for k, v in _summary(*row, outputs)})
    return found


def _summary(key: str, name: str, within: str | None, center: Any, scale: Any, outputs: Tree) -> Iterator[Any]:
    x = (outputs[name] - center) / scale
    yield f"{key}:mean", x.mean(0)
    if not name.startswith("probs:"):
        yield f"{key}:variance", (x**2 + (outputs[within] / scale**2 if within and within in outputs else 0.0)).mean(0)


def measure_means(names: Sequence[str], pilot: Tree, seed: int) -> Measure:
    """Means of the outputs of `train` and of the gradients of its loss.

    Every array is compared by its elements (a part of those of large ones), random sums of all, and the sum along the
    direction of the pilot's mean, which shows a wrong size best.
    """
    import jax

    generator = np.random.default_rng([0x6772, seed])
    arrays = {name: np.asarray(pilot[name], np.float32) for name in names}
    greatest = max((float(np.abs(x).max(initial=0)) for n, x in arrays.items() if n.startswith(GRADIENT)), default=0.0)
    total = sum(x[0].size for x in arrays.values())
    found, rows = Measure(), []
    for name, x in arrays.items():
        flat = x.reshape(len(x), -1)
        share = max(64, int(ELEMENTS * flat.shape[1] / max(total, 1)))
        center, scale, allowance = _standard(flat, floor=greatest * 0.1 if name.startswith(GRADIENT) else 0.0)
        kind = "gradient" if name.startswith(GRADIENT) else "mean"
        sums = signs(flat.shape[1], DIRECTIONS, generator) if flat.shape[1] > 1 else np.zeros((flat.shape[1], 0))
        mean = (flat.mean(0) / scale)[:, None]
        length = float(np.sqrt(np.square(mean).sum()))
        own = mean / length if flat.shape[1] > 1 and length > 0 else np.zeros((flat.shape[1], 0))
        directions = np.concatenate([sums, own], 1).astype(np.float32)
        row = _Array(name, kind, chosen(flat.shape[1], share, generator), directions, center, scale)
        rows.append(row)
        spread = np.sqrt(np.square(directions).T @ np.square(allowance))
        found.statistics[f"{name}:elements"] = Statistic(
            kind, allowance[row.elements], partial(_place, row, x.shape[1:])
        )
        if directions.shape[1]:
            found.statistics[f"{name}:sums"] = Statistic(kind, 3 * spread, partial(_sum_place, name))
    found.apply = jax.jit(lambda outputs: {k: v for row in rows for k, v in _means(row, outputs)})
    return found


def _means(row: _Array, outputs: Tree) -> Iterator[tuple[str, Any]]:
    x = outputs[row.name]
    flat = (x.reshape(x.shape[0], -1) - row.center).mean(0) / row.scale
    yield f"{row.name}:elements", flat[row.elements]
    if row.directions.shape[1]:
        yield f"{row.name}:sums", flat @ row.directions


def _laws(number: int, part: _Block, outputs: Tree) -> Iterator[tuple[str, Any]]:
    import jax.numpy as jnp

    block = part.block
    x = (_flat(jnp, block.parts, outputs) - part.center) / part.scale
    columns = x[:, :, block.columns]
    yield f"{number}:mean", columns[:, block.kept].mean(0)
    yield f"{number}:variance", (columns[:, block.kept] ** 2).mean(0)
    yield f"{number}:mean over units", columns.mean((0, 1))
    yield f"{number}:variance over units", (columns**2).mean((0, 1))
    features = [x[:, :, block.paired], x @ block.signs]
    for other, sums, center, scale in part.shared:
        y = (outputs[other.name].reshape(x.shape[0], -1) - center) / scale @ sums
        features.append(jnp.broadcast_to(y[:, None, :], (*x.shape[:2], y.shape[-1])))
    joined = jnp.concatenate(features, -1)
    own = joined[:, block.paired_units]
    first, second = _pairs(block)
    each = jnp.einsum("nuj,nuk->ujk", own, own) / x.shape[0]
    yield f"{number}:covariance", each[:, first, second]
    over = jnp.einsum("nuj,nuk->jk", joined, joined) / (x.shape[0] * x.shape[1])
    yield f"{number}:covariance over units", over[first, second]


def _statistics(number: int, block: Block, allowance: NDArray[np.float64]) -> Iterator[tuple[str, Statistic]]:
    columns, kept = allowance[:, block.columns], np.ix_(block.kept, block.columns)
    yield f"{number}:mean", Statistic("mean", allowance[kept], partial(_kept, block))
    yield f"{number}:variance", Statistic("variance", 3 * allowance[kept], partial(_kept, block))
    for kind, factor in (("mean", 1), ("variance", 3)):
        place = partial(_over_units, block)
        yield f"{number}:{kind} over units", Statistic(kind, factor * columns.mean(0), place)
    each = np.full((block.units, _features(block)), float(allowance.max(initial=0)))
    each[:, : len(block.paired)] = allowance[:, block.paired]
    first, second = _pairs(block)
    pairs = 1.5 * (each[:, first] + each[:, second])
    yield f"{number}:covariance", Statistic("covariance", pairs[block.paired_units], partial(_pair, block))
    yield f"{number}:covariance over units", Statistic("covariance", pairs.mean(0), partial(_pair_over_units, block))


def _features(block: Block) -> int:
    """How many things have their covariances measured: single columns first, then random sums."""
    return len(block.paired) + PROJECTIONS + SHARED * len(block.shared)


def _pairs(block: Block) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of features; single columns have their variances measured elsewhere, sums are paired with themselves."""
    first, second = np.triu_indices(_features(block))
    wanted = (first != second) | (first >= len(block.paired))
    return first[wanted], second[wanted]


def _flat(numpy: Any, parts: Sequence[Part], outputs: Tree) -> Any:
    """Outputs as `[draws, units, columns]`."""
    found = []
    for part in parts:
        x = numpy.asarray(outputs[part.name])
        axes = [axis + 1 for axis in part.plate_axes]
        moved = numpy.moveaxis(x, axes, range(1, 1 + len(axes)))
        units = int(np.prod(moved.shape[1 : 1 + len(axes)], dtype=int))
        found.append(moved.reshape(x.shape[0], units, -1).astype(numpy.float32))
    return numpy.concatenate(found, -1)


def _standard(x: NDArray[Any], *, floor: float = 0.0) -> tuple[Any, Any, Any]:
    """Centers, scales and allowances of standardized numbers, from draws along the first axis."""
    x = np.where(np.isfinite(x), x, 0.0).astype(np.float64)
    greatest = max(float(np.abs(x).max(initial=0)), floor)
    center = x.mean(0)
    scale = np.maximum(x.std(0), max(NARROW * greatest, float(np.finfo(np.float32).tiny)))
    return center.astype(np.float32), scale.astype(np.float32), ROUNDING * greatest / scale


# --- places ----------------------------------------------------------------------------------------------------------


def _kept(block: Block, index: tuple[int, ...]) -> str:
    return block.place(int(block.kept[index[0]]), int(block.columns[index[1]]))


def _over_units(block: Block, index: tuple[int, ...]) -> str:
    return f"{block.place(0, int(block.columns[index[0]]))} and the like"


def _pair(block: Block, index: tuple[int, ...]) -> str:
    unit = int(block.paired_units[index[0]])
    first, second = _pairs(block)
    return f"{block.feature(unit, int(first[index[1]]))} with {block.feature(unit, int(second[index[1]]))}"


def _pair_over_units(block: Block, index: tuple[int, ...]) -> str:
    first, second = _pairs(block)
    return f"{block.feature(0, int(first[index[0]]))} with {block.feature(0, int(second[index[0]]))} and the like"


def _element(name: str, index: tuple[int, ...]) -> str:
    return name + (f"[{', '.join(map(str, index))}]" if index else "")


def _place(row: _Array, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    at = tuple(int(i) for i in np.unravel_index(int(row.elements[index[0]]), shape)) if shape else ()
    return _element(row.name.removeprefix(GRADIENT), at)


def _sum_place(name: str, index: tuple[int, ...]) -> str:
    return f"{name.removeprefix(GRADIENT)}, {'random' if index[0] < DIRECTIONS else 'its own'} direction"
