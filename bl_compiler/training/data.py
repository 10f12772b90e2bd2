"""Data sets: arrays checked against a model's inputs, and the minibatches drawn from them.

Invariant: the examples of a step are a function of (seed, step) alone, so a resumed run sees what the unbroken one
would have seen. May import: floors 0-1, numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bl_compiler.diagnostics import Sink
from bl_compiler.source import NO_SPAN
from bl_compiler.training.data_checks import check_values, converted, shape_fits
from bl_compiler.training.npz import Array, NpzFile
from bl_compiler.training.specs import InputSpec

__all__ = ["Batch", "Batches", "DataSet", "bind", "split", "sweep"]

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class DataSet:
    """Arrays in the model's dtypes.

    Attributes:
        arrays: By input name.
        axes: The axis of examples of each array, None where all examples share it.
        count: The number of examples.
        signature: A digest of all names, types and bytes.
    """

    arrays: Mapping[str, Array]
    axes: Mapping[str, int | None]
    count: int
    signature: str

    def take(self, indices: Indices) -> dict[str, Array]:
        """The examples at `indices`, in that order, with the shared arrays."""
        return {
            name: array if self.axes[name] is None else np.take(array, indices, axis=self.axes[name])
            for name, array in self.arrays.items()
        }

    def subset(self, indices: Indices) -> DataSet:
        """A data set of these examples only."""
        return replace(self, arrays=self.take(indices), count=len(indices))


@dataclass(frozen=True)
class Batch:
    """Arrays of one full batch; entries from `valid` on repeat the last example and do not count."""

    arrays: dict[str, Array]
    valid: int
    start: int


def bind(
    file: NpzFile, specs: Sequence[InputSpec], plate: str | None, sink: Sink, *, supports: bool = True
) -> DataSet | None:
    """The data set that `file` holds for inputs `specs`, or None after errors on the sink; it reports all of them.

    Args:
        file: The arrays read.
        specs: The inputs to serve.
        plate: The plate whose elements are the examples; None for a model without plates.
        sink: Where errors go.
        supports: Whether to check values against the distributions that observe them.
    """
    before = len(sink.errors)
    arrays: dict[str, Array] = {}
    axes: dict[str, int | None] = {}
    for spec in specs:
        array = file.arrays.get(spec.name)
        if array is None:
            _missing(file, spec, specs, sink)
            continue
        axis = spec.axis(plate) if plate is not None else None
        if not shape_fits(array, spec, axis, file.path, sink):
            continue
        ready = converted(array, spec, file.path, sink)
        if ready is not None and check_values(array, spec, file.path, sink, supports=supports):
            arrays[spec.name] = ready
            axes[spec.name] = axis
    count = _count(arrays, axes, file.path, sink)
    if len(sink.errors) > before or count is None:
        return None
    return DataSet(arrays, axes, count, _signature(arrays))


def _missing(file: NpzFile, spec: InputSpec, specs: Sequence[InputSpec], sink: Sink) -> None:
    from bl_compiler.suggest import did_you_mean

    error = sink.error(
        "BLC0011",
        f"`{file.path}` has no array `{spec.name}`",
        at=spec.span,
        label=f"input `{spec.name}` needs one",
    )
    taken = {other.name for other in specs}
    close = did_you_mean(spec.name, [name for name in file.names if name not in taken])
    if close:
        error.help(f"did you mean its array `{close}`? Inputs are found by name: save it as `{spec.name}`")
    held = ", ".join(f"`{name}`" for name in file.names)
    error.note(f"the file holds {held}" if held else "the file holds no arrays")


def _count(arrays: Mapping[str, Array], axes: Mapping[str, int | None], path: str, sink: Sink) -> int | None:
    counts = {name: arrays[name].shape[axis] for name, axis in axes.items() if axis is not None}
    if len(set(counts.values())) > 1:
        table = "\n".join(f"{name:<{max(map(len, counts))}}  {count:>10}" for name, count in counts.items())
        sink.error("BLC0015", f"the arrays of `{path}` disagree about the number of examples").note(
            f"examples in each array:\n{table}"
        )
        return None
    count = next(iter(counts.values()), 1)
    if count == 0:
        sink.error("BLC0015", f"`{path}` holds no examples").note(f"`{next(iter(counts))}` has the length 0")
        return None
    return count


def _signature(arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.name}{array.shape};".encode())
        digest.update(array.view(np.uint8).data if array.size and array.ndim else array.tobytes())
    return digest.hexdigest()


# --- which examples, when --------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> Indices:
    # The words tell this stream apart from the ones of the split and of the bootstrap.
    generator = np.random.default_rng([0x65706F63, seed & 0xFFFFFFFFFFFFFFFF, epoch])
    return generator.permutation(count)


@dataclass(frozen=True)
class Batches:
    """Shuffled minibatches of a fixed size: each epoch sees every example at most once and drops what is left over.

    Arrays in memory need no loader: drawing the indices of 128 examples from `grain.MapDataset` takes 2.7 ms, more than
    the training step of a small network; a permutation by NumPy takes 0.01 ms.
    """

    data: DataSet
    size: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """The steps of one epoch."""
        return self.data.count // self.size

    def indices(self, step: int) -> Indices:
        """The examples of `step`, counted from 0."""
        epoch, position = divmod(step, self.per_epoch)
        order = _permutation(self.seed, epoch, self.data.count)
        return order[position * self.size : (position + 1) * self.size]

    def __call__(self, step: int) -> dict[str, Array]:
        """The arrays of `step`, counted from 0."""
        if all(axis is None for axis in self.data.axes.values()):
            return dict(self.data.arrays)
        return self.data.take(self.indices(step))


def sweep(data: DataSet, size: int) -> Iterator[Batch]:
    """Every example once, in order, in batches of exactly `size`; the last is filled up and says how far it counts."""
    if all(axis is None for axis in data.axes.values()):
        yield Batch(dict(data.arrays), data.count, 0)
        return
    for start in range(0, data.count, size):
        valid = min(size, data.count - start)
        indices = np.minimum(np.arange(start, start + size), data.count - 1)
        yield Batch(data.take(indices), valid, start)


def split(data: DataSet, fraction: float, seed: int) -> tuple[DataSet, DataSet]:
    """The data without, and the data in, a random part of this size; the same for the same seed."""
    generator = np.random.default_rng([0x73706C69, seed & 0xFFFFFFFFFFFFFFFF])
    order = generator.permutation(data.count)
    held = max(1, round(fraction * data.count))
    return data.subset(np.sort(order[held:])), data.subset(np.sort(order[:held]))


def check_plate(total: int | None, rows: int, sink: Sink, *, held_out: int = 0, plate: str = "batch") -> None:
    """Warn if the plate's declared size is not the number of training examples: the KL would be weighed wrongly."""
    if total is None or total == rows:
        return
    warning = sink.warning(
        "BLC0020", f"plate `{plate}` is of {total} examples and the training data has {rows}", at=NO_SPAN
    ).help(f"write `of {rows}`, or leave `of` out: then the size of the data is used")
    if held_out:
        warning.note(f"{held_out} more examples are held out for validation")
