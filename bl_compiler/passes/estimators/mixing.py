"""Which plate axes an op mixes: whether element b of a result depends on other elements of an operand than its b-th.

`OpSpec.plates` says how ops relate plates; for those that say "unless a plate is among the axes" one table tells the
axes. An op without an entry there mixes every plate, so a new op errs on the safe side. Invariant: what is not listed
as mixed is aligned: element b of each result depends on element b of that operand only. May import: floors 0-1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.opspec import PlateRule
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import Dim, Dims, DistType, TensorType, plates_of

Plates = frozenset[str]
NONE: Plates = frozenset()

AxesRule = Callable[[Node, int], Sequence[int]]
"""`(node, operand) -> axes of that operand along which elements are combined, moved or left out`."""

MIXED_AXES: RuleTable[AxesRule] = RuleTable("axes mixed")


def dims_of(value: Value) -> Dims:
    """All dimensions of an array or a distribution."""
    return value.type.batch + value.type.event if isinstance(value.type, DistType) else value.tensor.dims


def plates_in(value: Value) -> Plates:
    """The plates that a value has an axis for."""
    return frozenset(plates_of(dims_of(value)))


def mixed_plates(node: Node, operand: int) -> Plates:
    """The plates of an operand whose elements the node mixes."""
    value = node.inputs[operand]
    carried = plates_in(value)
    if not carried or not node.results:
        return NONE
    lost = carried - frozenset.intersection(*map(_aligned_plates, node.results))
    match node.op.plates:
        case PlateRule.MIXES:
            return carried
        case PlateRule.AXES if node.op.name in MIXED_AXES:
            axes = MIXED_AXES[node.op.name](node, operand)
            return lost | frozenset(plates_of([dims_of(value)[a] for a in axes]))
        case PlateRule.POINTWISE:
            return lost | _misaligned(node, operand)
        case _:
            return carried


def _aligned_plates(result: Value) -> Plates:
    """The plates along which the elements of a result are apart: the axes of an event belong together.

    A plate that a result has twice holds every pair of elements.
    """
    found = plates_of(result.type.batch if isinstance(result.type, DistType) else result.tensor.dims)
    return frozenset(plate for plate in found if found.count(plate) == 1)


def _misaligned(node: Node, operand: int) -> Plates:
    """The plates of an operand that broadcasting lays along another axis of the result."""
    name, value = node.op.name, node.inputs[operand]
    if name.startswith(("math.", "moment.")) or name == "tensor.broadcast":
        return _laid_elsewhere(value.tensor.dims, node.results[0].tensor.dims)
    family = FAMILIES.get(name.removeprefix("dist."))
    result = node.results[0].type
    if family is not None and isinstance(result, DistType) and isinstance(value.type, TensorType):
        inner = family.params[operand].event_ndim
        return _laid_elsewhere(value.tensor.dims[: value.tensor.rank - inner], result.batch)
    if name == "dist.expand" and isinstance(result, DistType) and isinstance(value.type, DistType):
        return _laid_elsewhere(value.type.batch, result.batch)
    if name == "linear.conv":
        # Windows and channels are summed; the examples of the input and the filters of the kernel stay.
        dims = value.tensor.dims
        return frozenset(plates_of(dims[1:] if operand == 0 else dims[:-1]))
    if name in ("prob.log_prob", "prob.kl", "dist.mixture"):
        return _joined_in_density(node, operand)
    return NONE


def _joined_in_density(node: Node, operand: int) -> Plates:
    """The plates of an operand that lie along an event or among the components, or meet another axis of the batch."""
    value, first = node.inputs[operand], node.inputs[0].type
    batch = value.type.batch if isinstance(value.type, DistType) else value.tensor.dims
    apart = batch
    if node.op.name == "dist.mixture":
        apart = batch[:-1]
    elif isinstance(first, DistType) and isinstance(value.type, TensorType):
        apart = batch[: len(batch) - len(first.event)]
    result = node.results[0].type
    laid = result.batch if isinstance(result, DistType) else node.results[0].tensor.dims
    return frozenset(plates_of(dims_of(value)[len(apart) :])) | _laid_elsewhere(apart, laid)


def _laid_elsewhere(dims: Dims, result: Dims) -> Plates:
    missing = len(result) - len(dims)
    return frozenset(
        d.name or ""
        for i, d in enumerate(dims)
        if d.is_plate and not (result[i + missing].is_plate and result[i + missing].name == d.name)
    )


@MIXED_AXES.rule("math.sum", "math.mean", "math.prod", "math.reduce_max", "math.reduce_min", "math.logsumexp")
@MIXED_AXES.rule("math.any", "math.all", "tensor.reverse")
def _axes(node: Node, operand: int) -> Sequence[int]:
    return node.attrs.integers("axes")


@MIXED_AXES.rule("math.argmax", "math.argmin", "math.softmax", "math.log_softmax", "math.cumsum")
def _axis(node: Node, operand: int) -> Sequence[int]:
    return (node.attrs.integer("axis"),)


@MIXED_AXES.rule("tensor.concat", "tensor.take_along")
def _along(node: Node, operand: int) -> Sequence[int]:
    return (node.attrs.integer("axis"),)


@MIXED_AXES.rule("tensor.take")
def _taken(node: Node, operand: int) -> Sequence[int]:
    return (node.attrs.integer("axis"),) if operand == 0 else ()


@MIXED_AXES.rule("tensor.slice")
def _sliced(node: Node, operand: int) -> Sequence[int]:
    x = node.inputs[0].tensor
    starts, limits, strides = (node.attrs.integers(key) for key in ("starts", "limits", "strides"))
    return [i for i, d in enumerate(x.dims) if (starts[i], limits[i], strides[i]) != (0, d.size, 1)]


@MIXED_AXES.rule("tensor.pad")
def _padded(node: Node, operand: int) -> Sequence[int]:
    low, high = node.attrs.integers("low"), node.attrs.integers("high")
    return [i for i in range(len(low)) if (low[i], high[i]) != (0, 0)]


@MIXED_AXES.rule("tensor.reshape")
def _reshaped(node: Node, operand: int) -> Sequence[int]:
    before, after = node.inputs[0].tensor.dims, node.result.tensor.dims
    places = {d.name: j for j, d in enumerate(after) if d.is_plate}
    moved = []
    for i, d in enumerate(before):
        j = places.get(d.name) if d.is_plate else None
        # Row-major order keeps an axis whole exactly if as many elements lie before it and after it.
        if d.is_plate and (
            j is None
            or _volume(before[:i]) != _volume(after[:j])
            or _volume(before[i + 1 :]) != _volume(after[j + 1 :])
            or after[j].size != d.size
        ):
            moved.append(i)
    return moved


def _volume(dims: Sequence[Dim]) -> tuple[int, tuple[str, ...]]:
    number, symbols = 1, list[str]()
    for d in dims:
        if isinstance(d.size, int):
            number *= d.size
        else:
            symbols.append(d.size)
    return number, tuple(sorted(symbols))


@MIXED_AXES.rule("linear.einsum")
def _contracted(node: Node, operand: int) -> Sequence[int]:
    parts, right = parse_einsum(node.attrs.text("spec"))
    return [i for i, letter in enumerate(parts[operand]) if letter not in right or parts[operand].count(letter) > 1]


@MIXED_AXES.rule("linalg.cholesky", "linalg.triangular_solve")
def _matrices(node: Node, operand: int) -> Sequence[int]:
    rank = node.inputs[operand].tensor.rank
    return (rank - 2, rank - 1)


@MIXED_AXES.rule("dist.reshape_event")
def _turned(node: Node, operand: int) -> Sequence[int]:
    d = node.inputs[0].type
    assert isinstance(d, DistType)
    return range(len(d.batch), len(d.batch) + len(d.event))


@MIXED_AXES.rule("dist.independent")
def _joined(node: Node, operand: int) -> Sequence[int]:
    d = node.inputs[0].type
    assert isinstance(d, DistType)
    return range(len(d.batch) - node.attrs.integer("ndims"), len(d.batch))
