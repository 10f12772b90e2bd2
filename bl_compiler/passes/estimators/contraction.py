"""How one operand of an op that is linear in it meets the others: the axes of a weight, and where they go.

A `Contraction` says of each axis of the weight whether it is summed against an axis of an input, kept as an axis of the
result, or neither; which axes of the result belong to plates; and along which other axes of the result one element of
the weight is used again (positions of an image, steps of a sequence). Estimators read exactness off these facts, and
one table by op gives them. May import: floors 0-1, `mixing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bl_compiler.ir.graph import Node
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import Dim, Dims


@dataclass(frozen=True, slots=True)
class Place:
    """Where an axis of the weight is found again: axis `axis` of operand `operand`, or of the result (None)."""

    axis: int
    operand: int | None = None


@dataclass(frozen=True, slots=True)
class Contraction:
    """One linear use of a weight.

    Attributes:
        node: the op.
        operand: which operand the weight is.
        axes: for each axis of the weight, where signs along it can be applied; None where they cannot.
        plates: the axes of the result that are plates.
        reused: the other axes of the result along which an element of the weight is used again.
        folds: whether other operands are summed among themselves, so that the coefficient of an element of the
            weight is itself a sum, and its square is not the sum of squares.
        additive: whether the weight is added to the other operand and not multiplied with it.
    """

    node: Node
    operand: int
    axes: tuple[Place | None, ...]
    plates: tuple[int, ...]
    reused: tuple[int, ...]
    folds: bool = False
    additive: bool = False

    @property
    def dims(self) -> Dims:
        """The dimensions of the result."""
        return self.node.result.tensor.dims

    @property
    def plate_names(self) -> tuple[str, ...]:
        """The plates of the result."""
        return tuple(self.dims[a].name or "" for a in self.plates)


Rule = Callable[[Node, int], "Contraction | None"]
CONTRACTIONS: RuleTable[Rule] = RuleTable("contractions")
"""By op; None where the use has no form that estimators know."""


def contraction_of(node: Node, operand: int) -> Contraction | None:
    """The use of an operand; None if the op is not known to be linear in it, or its form is not known."""
    rule = CONTRACTIONS.get(node.op.name)
    return None if rule is None else rule(node, operand)


def _plates(dims: Dims) -> tuple[int, ...]:
    return tuple(i for i, d in enumerate(dims) if d.is_plate)


def _several(d: Dim) -> bool:
    return d.size != 1


@CONTRACTIONS.rule("linear.einsum")
def _einsum(node: Node, operand: int) -> Contraction | None:
    parts, right = parse_einsum(node.attrs.text("spec"))
    weight, dims = parts[operand], node.result.tensor.dims
    if len(set(weight)) < len(weight):
        return None
    plates = _plates(dims)
    wanted = {right[i] for i in plates}
    axes: list[Place | None] = []
    for letter in weight:
        if letter in right:
            # Along a plate each example has its own element already.
            axes.append(None if letter in wanted else Place(right.index(letter)))
            continue
        # Signs differ from example to example, so the operand that takes them must do so already.
        carriers = [
            i for i, part in enumerate(parts) if i != operand and part.count(letter) == 1 and wanted <= set(part)
        ]
        axes.append(Place(parts[carriers[0]].index(letter), carriers[0]) if carriers else None)
    reused = tuple(
        i for i, letter in enumerate(right) if letter not in weight and i not in plates and _several(dims[i])
    )
    summed = {letter for part in parts for letter in part} - set(right)
    sizes = {
        letter: d.size
        for part, v in zip(parts, node.inputs, strict=True)
        for letter, d in zip(part, v.tensor.dims, strict=True)
    }
    folds = any(letter not in weight and sizes[letter] != 1 for letter in summed)
    return Contraction(node, operand, tuple(axes), plates, reused, folds)


def _elementwise(node: Node, operand: int, *, additive: bool) -> Contraction:
    dims, own = node.result.tensor.dims, node.inputs[operand].tensor.dims
    missing = len(dims) - len(own)
    plates = _plates(dims)
    # An axis of size 1 carries signs too, the same for whatever its element is repeated along.
    axes = tuple(Place(i + missing) if i + missing not in plates else None for i in range(len(own)))
    kept = {i + missing for i, d in enumerate(own) if _several(d)}
    reused = tuple(i for i, d in enumerate(dims) if i not in plates and i not in kept and _several(d))
    return Contraction(node, operand, axes, plates, reused, additive=additive)


@CONTRACTIONS.rule("math.mul")
def _mul(node: Node, operand: int) -> Contraction | None:
    return _elementwise(node, operand, additive=False)


@CONTRACTIONS.rule("math.div")
def _div(node: Node, operand: int) -> Contraction | None:
    return _elementwise(node, operand, additive=False) if operand == 0 else None


@CONTRACTIONS.rule("math.add", "math.sub")
def _add(node: Node, operand: int) -> Contraction | None:
    return _elementwise(node, operand, additive=True)


@CONTRACTIONS.rule("tensor.take")
def _take(node: Node, operand: int) -> Contraction | None:
    if operand != 0:
        return None
    axis, indices = node.attrs.integer("axis"), node.inputs[1].tensor
    dims, plates = node.result.tensor.dims, _plates(node.result.tensor.dims)
    after = indices.rank - 1
    axes = tuple(None if i == axis else Place(i if i < axis else i + after) for i in range(node.inputs[0].tensor.rank))
    reused = tuple(i for i in range(axis, axis + indices.rank) if i not in plates and _several(dims[i]))
    return Contraction(node, operand, axes, plates, reused)


@CONTRACTIONS.rule("linear.conv")
def _conv(node: Node, operand: int) -> Contraction | None:
    if operand != 1:
        return None
    dims, rank = node.result.tensor.dims, node.result.tensor.rank
    plates = _plates(dims)
    if not set(plates) <= {0}:
        return None
    # Within groups a channel of the kernel meets several channels of the input, one for each group.
    channel = Place(rank - 1, 0) if node.attrs.integer("groups") == 1 else None
    axes = (*(None for _ in range(rank - 2)), channel, Place(rank - 1))
    reused = tuple(i for i in range(1, rank - 1) if _several(dims[i]))
    return Contraction(node, operand, axes, plates, (0, *reused) if not plates else reused)
