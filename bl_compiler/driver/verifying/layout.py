"""Which numbers of an entry point are one example's, and what is measured on them.

A *unit* is what must keep its joint law: an element of the plates of an output, with all outputs on the same plates and
those on none. In `predict_joint`, a draw of functions, all examples are one unit.
Invariant: follows from the graph, the sizes and the seed. May import: floors 0-1, numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from bl_compiler.ir.graph import Graph
from bl_compiler.ir.types import plates_of

UNITS, COLUMNS = 32, 256
"""At most so many units, and columns of each, get a mean and a variance of their own; the rest count in sums."""
PAIRED_UNITS, PAIRED = 16, 24
"""At most so many units, and columns of each, get a covariance for every pair."""
PROJECTIONS = 8
"""Random sums of all columns that join them."""
SHARED = 4
"""Outputs on no plate join every unit in so many random sums."""


@dataclass(frozen=True)
class Part:
    """One output within a block: its name, shape, and which axes are plates."""

    name: str
    shape: tuple[int, ...]
    plate_axes: tuple[int, ...]

    @property
    def columns(self) -> int:
        """The elements of one unit."""
        return prod(n for i, n in enumerate(self.shape) if i not in self.plate_axes)

    def place(self, unit: int, column: int) -> str:
        """The element as text."""
        rest = [i for i in range(len(self.shape)) if i not in self.plate_axes]
        index = [0] * len(self.shape)
        for axes, flat in ((self.plate_axes, unit), (rest, column)):
            for axis, i in zip(
                axes, np.unravel_index(flat, [self.shape[a] for a in axes]) if axes else (), strict=True
            ):
                index[axis] = int(i)
        return self.name + (f"[{', '.join(map(str, index))}]" if index else "")


@dataclass(frozen=True)
class Block:
    """The units of outputs on the same plates.

    Attributes:
        units: How many there are.
        kept: Units with means and variances of their own.
        columns: The columns with means and variances.
        paired_units: Units with covariances of their own.
        paired: The columns with covariances.
        signs: `[columns, PROJECTIONS]`, of the random sums.
        shared: Outputs on no plate, to be joined, with the signs of their random sums.
    """

    parts: tuple[Part, ...]
    units: int
    kept: NDArray[np.intp]
    columns: NDArray[np.intp]
    paired_units: NDArray[np.intp]
    paired: NDArray[np.intp]
    signs: NDArray[np.float32]
    shared: tuple[tuple[Part, NDArray[np.float32]], ...]

    def place(self, unit: int, column: int) -> str:
        """The element as text."""
        for part in self.parts:
            if column < part.columns:
                return part.place(unit, column)
            column -= part.columns
        raise IndexError(column)

    def feature(self, unit: int, number: int) -> str:
        """One of the things whose covariances are measured, as text."""
        if number < len(self.paired):
            return self.place(unit, int(self.paired[number]))
        number -= len(self.paired)
        return f"random sum {number + 1}" if number < PROJECTIONS else f"random sum of `{self.shared[0][0].name}`"


def blocks_of(graph: Graph, names: frozenset[str], sizes: Mapping[str, int], seed: int) -> tuple[Block, ...]:
    """The blocks of the outputs `names`."""
    groups: dict[tuple[str, ...], list[Part]] = {}
    for output in graph.outputs:
        if output.name in names:
            dims = output.value.tensor.dims
            shape = tuple(sizes.get(d.size, 1) if isinstance(d.size, str) else d.size for d in dims)
            joint = graph.name == "predict_joint"
            plates = () if joint else plates_of(dims)
            axes = () if joint else tuple(i for i, d in enumerate(dims) if d.is_plate)
            groups.setdefault(plates, []).append(Part(output.name, shape, axes))
    shared = groups.get((), [])
    generator = np.random.default_rng([0x7665, seed])
    return tuple(
        _block(parts, shared if plates else [], generator) for plates, parts in sorted(groups.items()) if _count(parts)
    )


def _count(parts: Sequence[Part]) -> int:
    return sum(prod(part.shape) for part in parts)


def _block(parts: Sequence[Part], shared: Sequence[Part], generator: np.random.Generator) -> Block:
    units = prod(parts[0].shape[axis] for axis in parts[0].plate_axes)
    columns = sum(part.columns for part in parts)
    return Block(
        tuple(parts),
        units,
        chosen(units, UNITS, generator),
        chosen(columns, COLUMNS, generator),
        chosen(units, PAIRED_UNITS, generator),
        chosen(columns, PAIRED, generator),
        signs(columns, PROJECTIONS, generator),
        tuple((part, signs(prod(part.shape), SHARED, generator)) for part in shared if prod(part.shape)),
    )


def chosen(count: int, most: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """At most `most` of `count` numbers, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    inner = generator.choice(count - 2, most - 2, replace=False) + 1
    return np.sort(np.concatenate([[0, count - 1], inner])).astype(np.intp)


def signs(count: int, sums: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """`[count, sums]`: random signs over the root of the count, so that a sum of standardized numbers is of order 1."""
    coins = generator.integers(0, 2, (count, sums)).astype(np.float32)
    return (2 * coins - 1) / np.float32(max(count, 1) ** 0.5)
