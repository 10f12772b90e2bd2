"""Maps and contractions of a weight that has one copy for each group of examples, on a new first axis.

With as many groups as examples the first axis is the plate itself, and a copy meets its example directly; with fewer
the plate's axis is split into groups and examples within a group. May import: floors 0-1, `plan`, `uses`.
"""

from __future__ import annotations

from collections.abc import Mapping

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.types import Dim, Dims
from bl_compiler.passes.estimators.contraction import Contraction
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.estimators.plan import Get, named, re_emit
from bl_compiler.passes.estimators.uses import Use

_CONTRACTIONS = ("linear.einsum", "linear.conv", "math.mul", "math.div", "math.add", "math.sub")


def unliftable(use: Use) -> list[Reason]:
    """Why a use has no form with one copy of the weight for each group."""
    c, node = use.contraction, use.node
    if node.op.name not in _CONTRACTIONS:
        return [Reason(f"`{node.op.name}` cannot take a weight for each group", node.span)]
    if len(c.plates) != 1:
        return [Reason(f"`{node.op.name}` gives no axis or several axes of examples", node.span)]
    if node.op.name == "linear.einsum":
        parts, right = parse_einsum(node.attrs.text("spec"))
        if right[c.plates[0]] in parts[c.operand]:
            return [Reason("the examples' axis is one of the weight's", node.span)]
    if node.op.name.startswith("math.") and not _stands_before(c):
        return [Reason("the examples' axis stands behind the weight's", node.span)]
    return []


def _stands_before(c: Contraction) -> bool:
    """Whether the plate's axis lies before every axis that the weight really has."""
    own = c.node.inputs[c.operand].tensor
    missing = len(c.dims) - own.rank
    return all(d.size == 1 or i + missing > c.plates[0] for i, d in enumerate(own.dims))


def lifted_map(b: GraphBuilder, get: Get, node: Node, copies: Mapping[int, Value]) -> Value:
    """A node of a region of copies, done to each copy.

    Args:
        b: Where to.
        get: What stands for the operands that have no copies.
        node: A node without plates (see `is_liftable`).
        copies: The operands that have copies, on a new first axis.
    """
    inputs = [copies[i] if i in copies else get(v) for i, v in enumerate(node.inputs)]
    after, attrs, x = node.results[0].tensor, node.attrs, next(iter(copies.values()))
    group = x.tensor.dims[0]
    match node.op.name:
        case "tensor.transpose":
            order = (0, *(i + 1 for i in attrs.integers("permutation")))
            return re_emit(b, node, [x], permutation=order)
        case "tensor.reshape":
            return b.reshape(x, (group, *after.dims))
        case "tensor.broadcast":
            return b.broadcast(_widened(b, x, after.rank), (group, *after.dims))
        case "tensor.slice":
            starts, strides = attrs.integers("starts"), attrs.integers("strides")
            limits = (group.size, *attrs.integers("limits"))
            return re_emit(b, node, [x], starts=(0, *starts), limits=limits, strides=(1, *strides))
        case "tensor.reverse" | "math.sum" | "math.mean":
            return re_emit(b, node, [x], axes=tuple(a + 1 for a in attrs.integers("axes")))
        case "linear.einsum":
            parts, right = parse_einsum(attrs.text("spec"))
            letter = _fresh(parts, right)
            spec = ",".join(letter + part if i in copies else part for i, part in enumerate(parts))
            return b.einsum(f"{spec}->{letter}{right}", *inputs)
        case "tensor.take":
            return re_emit(b, node, inputs)
        case _:
            # Elementwise: operands without copies broadcast along the new axis.
            wide = {i: _widened(b, copy, after.rank) for i, copy in copies.items()}
            return re_emit(b, node, [wide.get(i, v) for i, v in enumerate(inputs)])


def _widened(b: GraphBuilder, x: Value, rank: int) -> Value:
    """Copies with axes of size 1 behind the first, so that each has the rank."""
    group, *rest = x.tensor.dims
    return b.reshape(x, (group, *(Dim(1) for _ in range(rank - len(rest))), *rest))


def _fresh(parts: list[str], right: str) -> str:
    used = set("".join(parts)) | set(right)
    return next(letter for letter in "zyxwvutsrqponmlkjihgfedcba" if letter not in used)


def lifted_use(b: GraphBuilder, get: Get, use: Use, weight: Value, groups: int) -> Value:
    """The contraction of each example with the copy of its group; `weight` has the groups on its first axis."""
    node, c = use.node, use.contraction
    axis = c.plates[0]
    plate = c.dims[axis]
    assert isinstance(plate.size, int), "grouped draws need the number of examples"
    within = plate.size // groups
    match node.op.name:
        case "linear.einsum":
            return _einsum(b, get, use, weight, groups, within)
        case "linear.conv":
            return _conv(b, get, use, weight, groups, within)
        case _:
            each = weight
            if within > 1:
                spread = b.reshape(weight, (Dim(groups), Dim(1), *weight.tensor.dims[1:]))
                spread = b.broadcast(spread, (Dim(groups), Dim(within), *weight.tensor.dims[1:]))
                each = named(
                    b, b.reshape(spread, (plate, *weight.tensor.dims[1:])), f"{weight.name or 'weight'}_of_each"
                )
            own = weight.tensor.dims[1:]
            trailing = own[max(0, len(own) - (len(c.dims) - axis - 1)) :]
            ones = len(c.dims) - axis - 1 - len(trailing)
            laid = b.reshape(each, (plate, *(Dim(1) for _ in range(ones)), *trailing))
            return re_emit(b, node, [laid if i == c.operand else get(v) for i, v in enumerate(node.inputs)])


def _einsum(b: GraphBuilder, get: Get, use: Use, weight: Value, groups: int, within: int) -> Value:
    node, c = use.node, use.contraction
    parts, right = parse_einsum(node.attrs.text("spec"))
    letter = right[c.plates[0]]
    if within == 1:
        parts[c.operand] = letter + parts[c.operand]
        inputs = [weight if i == c.operand else get(v) for i, v in enumerate(node.inputs)]
        return b.einsum(f"{','.join(parts)}->{right}", *inputs)
    group = _fresh(parts, right)
    inputs = []
    for i, value in enumerate(node.inputs):
        if i == c.operand:
            parts[i] = group + parts[i]
            inputs.append(weight)
        elif letter in parts[i]:
            inputs.append(_split(b, get(value), parts[i].index(letter), groups, within))
            parts[i] = parts[i].replace(letter, group + letter)
        else:
            inputs.append(get(value))
    split = named(b, b.einsum(f"{','.join(parts)}->{right.replace(letter, group + letter)}", *inputs), "in_groups")
    return b.reshape(split, c.dims)


def _split(b: GraphBuilder, x: Value, axis: int, groups: int, within: int) -> Value:
    dims: Dims = x.tensor.dims
    split = b.reshape(x, (*dims[:axis], Dim(groups), Dim(within), *dims[axis + 1 :]))
    return named(b, split, f"{x.name or 'x'}_in_groups")


def _conv(b: GraphBuilder, get: Get, use: Use, weight: Value, groups: int, within: int) -> Value:
    """One convolution with the groups of examples laid side by side as groups of channels."""
    node, c = use.node, use.contraction
    x = _split(b, get(node.inputs[0]), 0, groups, within)
    rank = x.tensor.rank
    # [groups, within, space…, channels] to [within, space…, groups · channels]
    x = b.transpose(x, (*range(1, rank - 1), 0, rank - 1))
    x = b.reshape(x, (*x.tensor.dims[: rank - 2], _product(*x.tensor.dims[rank - 2 :])))
    # [groups, window…, in, out] to [window…, in, groups · out]
    k = b.transpose(weight, (*range(1, rank - 1), 0, rank - 1))
    k = b.reshape(k, (*k.tensor.dims[: rank - 2], _product(*k.tensor.dims[rank - 2 :])))
    y = re_emit(b, node, [x, k], groups=node.attrs.integer("groups") * groups)
    y = b.reshape(y, (*y.tensor.dims[: rank - 2], Dim(groups), c.dims[-1]))
    y = b.transpose(y, (rank - 2, *range(rank - 2), rank - 1))
    return b.reshape(y, c.dims)


def _product(a: Dim, b: Dim) -> Dim:
    assert isinstance(a.size, int)
    assert isinstance(b.size, int)
    return Dim(a.size * b.size)
