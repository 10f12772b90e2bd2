"""What a rule may ask of the evaluation in progress: feeds, sizes, noise, the region's round, a model's record.

Invariant: a frame is not changed by rules, save for what they enter into its record.
May import: floors 0-1, numpy, `distributions`, `values`, `noise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.noise import NoiseSource
from bl_compiler.backends.reference.values import Array, EvaluationError
from bl_compiler.ir.graph import Graph, Node
from bl_compiler.ir.types import Dim

Runtime = Array | Distribution
"""What an SSA value is while a graph is evaluated."""

ArrayRule = Callable[..., Array]
"""`(frame, node, *arrays) -> array`: a rule that sees arrays only, and of the frame only its sizes."""
Rule = Callable[["Frame", Node, tuple[Runtime, ...]], tuple[Runtime, ...]]
"""`(frame, node, operands) -> results`."""

LAST_STEP = 1e30
"""`model.step` outside training: past the end of every schedule, and unlike infinity safe to multiply and clip."""

Index = tuple[int, ...]


class Record:
    """What the declarative ops of a `model` function told, by kind, name and region index."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, dict[Index, Array]]] = {}

    def enter(self, kind: str, name: str, index: Index, value: Array) -> None:
        """Note an array.

        Raises:
            EvaluationError: if there is one of that kind, name and index.
        """
        rounds = self._entries.setdefault(kind, {}).setdefault(name, {})
        if index in rounds:
            raise EvaluationError(f"two nodes record a {kind} under `{name}`")
        rounds[index] = value

    def stacked(self, kind: str) -> dict[str, Array]:
        """The arrays of one kind by name; what regions recorded is stacked, one leading axis per enclosing region."""
        return {name: _stack(rounds) for name, rounds in self._entries.get(kind, {}).items()}


def _stack(rounds: Mapping[Index, Array]) -> Array:
    counts = tuple(1 + max(positions) for positions in zip(*rounds, strict=True))
    first = next(iter(rounds.values()))
    result = np.empty(counts + first.shape, first.dtype)
    for index, value in rounds.items():
        result[index] = value
    return result


@dataclass(frozen=True)
class Frame:
    """One evaluation, as seen from one round of the enclosing regions.

    Attributes:
        interpret: evaluates a graph within a frame on arguments and gives its outputs.
        symbols: symbolic sizes, bound from the shapes of what was fed.
        sizes: sizes the caller stated: totals of plates, and symbolic sizes that no feed binds.
        index: the rounds of the enclosing regions, outermost first.
        training: which value `model.phase` gives.
    """

    interpret: Callable[[Frame, Graph, Sequence[Runtime]], tuple[Runtime, ...]]
    noise: NoiseSource
    params: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    inputs: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    step: float = LAST_STEP
    index: Index = ()
    training: bool = True
    record: Record = field(default_factory=Record)

    def shape(self, dims: Sequence[Dim]) -> tuple[int, ...]:
        """The sizes of `dims` in this evaluation.

        Raises:
            EvaluationError: if a symbolic size is unknown.
        """
        return tuple(self._size(d) for d in dims)

    def _size(self, dim: Dim) -> int:
        if isinstance(dim.size, int):
            return dim.size
        for known in (self.symbols, self.sizes):
            if dim.size in known:
                return known[dim.size]
        raise EvaluationError(f"the size `{dim.size}` is not known; state it in `sizes`")

    def round(self, position: int) -> Frame:
        """This frame as seen from a round of a region entered from it."""
        return replace(self, index=(*self.index, position))

    def run(self, graph: Graph, args: Sequence[Runtime]) -> tuple[Runtime, ...]:
        """The outputs of a region on these arguments."""
        return self.interpret(self, graph, args)

    def draw(self, node: Node, distribution: Distribution) -> Array:
        """The draw of a node's site in this round."""
        assert node.site is not None, node.op.name
        return self.noise.draw(node.site, self.index, distribution, distribution.shape)

    def note(self, kind: str, name: str | None, value: Array) -> None:
        """Enter an array into the record, for this round."""
        assert name is not None, kind
        self.record.enter(kind, name, self.index, value)


def array(value: Runtime) -> Array:
    """An operand that the op's type rule guarantees to be an array."""
    assert isinstance(value, np.ndarray), value
    return value


def law(value: Runtime) -> Distribution:
    """An operand that the op's type rule guarantees to be a distribution."""
    assert isinstance(value, Distribution), value
    return value


def lift(rule: ArrayRule) -> Rule:
    """A rule over arrays as a rule over run-time values."""

    def lifted(frame: Frame, node: Node, operands: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
        return (np.asarray(rule(frame, node, *map(array, operands))),)

    return lifted
