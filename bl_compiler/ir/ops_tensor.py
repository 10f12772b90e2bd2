"""Constants, shape changes, indexing, contractions, convolution, pooling, small linear algebra.

May import: floor 0, `types`, `attrs`, `opspec`, `ops_math`, `windows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.ops_math import check_axes
from bl_compiler.ir.opspec import REQUIRED, OpSpec, PlateRule
from bl_compiler.ir.types import (
    Dim,
    DType,
    TensorType,
    Type,
    TypeRuleError,
    broadcast_dims,
    dims_text,
    join_dim,
    promote,
    static_size,
    tensor,
)
from bl_compiler.ir.windows import conv_spatial, pool_spatial

Result = tuple[Type, ...]


def _const(types: Sequence[Type], attrs: Attrs) -> Result:
    def shape(value: object) -> tuple[int, ...]:
        if not isinstance(value, tuple):
            return ()
        inner = {shape(v) for v in value}
        if len(inner) > 1:
            raise TypeRuleError("rows of a constant differ in length")
        return (len(value), *(inner.pop() if inner else ()))

    return (TensorType(attrs.dtype("dtype"), tuple(Dim(s) for s in shape(attrs["value"]))),)


def _full(types: Sequence[Type], attrs: Attrs) -> Result:
    return (TensorType(attrs.dtype("dtype"), attrs.dims("dims")),)


def _iota(types: Sequence[Type], attrs: Attrs) -> Result:
    (dim,) = attrs.dims("dims")
    return (TensorType(attrs.dtype("dtype"), (dim,)),)


def _reshape(types: Sequence[Type], attrs: Attrs) -> Result:
    x, dims = tensor(types[0]), attrs.dims("dims")
    symbols = sorted(d.size for d in x.dims if isinstance(d.size, str))
    if symbols != sorted(d.size for d in dims if isinstance(d.size, str)):
        raise TypeRuleError(f"cannot reshape {dims_text(x.dims)} to {dims_text(dims)}")
    before = prod(d.size for d in x.dims if isinstance(d.size, int))
    if before != prod(d.size for d in dims if isinstance(d.size, int)):
        raise TypeRuleError(f"cannot reshape {dims_text(x.dims)} to {dims_text(dims)}")
    return (x.with_dims(dims),)


def _broadcast(types: Sequence[Type], attrs: Attrs) -> Result:
    x, dims = tensor(types[0]), attrs.dims("dims")
    if len(broadcast_dims(x.dims, dims)) != len(dims) or any(
        a.size != b.size for a, b in zip(broadcast_dims(x.dims, dims), dims, strict=True)
    ):
        raise TypeRuleError(f"cannot broadcast {dims_text(x.dims)} to {dims_text(dims)}")
    return (x.with_dims(dims),)


def _transpose(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    order = check_axes(attrs.integers("permutation"), x.rank)
    if len(order) != x.rank:
        raise TypeRuleError(f"permutation {list(order)} of an array with {x.rank} dimensions")
    return (x.with_dims([x.dims[i] for i in order]),)


def _concat(types: Sequence[Type], attrs: Attrs) -> Result:
    arrays = [tensor(t) for t in types]
    if not arrays:
        raise TypeRuleError("nothing to concatenate")
    first = arrays[0]
    (axis,) = check_axes((attrs.integer("axis"),), first.rank)
    dims, dtype = list(first.dims), first.dtype
    total: int = 0
    for x in arrays:
        if x.rank != first.rank:
            raise TypeRuleError(f"cannot concatenate {dims_text(first.dims)} and {dims_text(x.dims)}")
        dtype = promote(dtype, x.dtype)
        total += static_size(x.dims[axis].size, "`concat`")
        for i, d in enumerate(x.dims):
            if i != axis:
                if d.size != dims[i].size:
                    raise TypeRuleError(
                        f"cannot concatenate {dims_text(first.dims)} and {dims_text(x.dims)} along axis {axis}"
                    )
                dims[i] = join_dim(dims[i], d)
    dims[axis] = first.dims[axis] if len(arrays) == 1 else Dim(total)
    return (TensorType(dtype, tuple(dims)),)


def _slice(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    starts, limits, strides = attrs.integers("starts"), attrs["limits"], attrs.integers("strides")
    assert isinstance(limits, tuple)
    if not len(starts) == len(limits) == len(strides) == x.rank:
        raise TypeRuleError(f"a slice with {len(starts)} ranges of an array with {x.rank} dimensions")
    dims: list[Dim] = []
    for d, start, limit, stride in zip(x.dims, starts, limits, strides, strict=True):
        if start == 0 and stride == 1 and limit == d.size:
            dims.append(d)
            continue
        size = static_size(d.size, "slicing")
        if not 0 <= start <= limit <= size or stride < 1:
            raise TypeRuleError(f"slice {start}:{limit}:{stride} of a dimension of size {size}")
        dims.append(
            Dim(
                -(-(limit - start) // stride), None if d.is_plate else d.name, d.kind if not d.is_plate else Dim(1).kind
            )
        )
    return (x.with_dims(dims),)


def _reverse(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    check_axes(attrs.integers("axes"), x.rank)
    return (x,)


def _pad(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    low, high = attrs.integers("low"), attrs.integers("high")
    if not len(low) == len(high) == x.rank:
        raise TypeRuleError(f"padding for {len(low)} of {x.rank} dimensions")
    dims = [
        d if a == 0 and b == 0 else Dim(static_size(d.size, "padding") + a + b, d.name, d.kind)
        for d, a, b in zip(x.dims, low, high, strict=True)
    ]
    if any(isinstance(d.size, int) and d.size < 0 for d in dims):
        raise TypeRuleError("padding leaves a negative size")
    return (x.with_dims(dims),)


def _take(types: Sequence[Type], attrs: Attrs) -> Result:
    x, indices = tensor(types[0]), tensor(types[1])
    (axis,) = check_axes((attrs.integer("axis"),), x.rank)
    if not indices.dtype.is_integer:
        raise TypeRuleError(f"indices are {indices.dtype}, not integers")
    return (x.with_dims((*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :])),)


def _take_along(types: Sequence[Type], attrs: Attrs) -> Result:
    x, indices = tensor(types[0]), tensor(types[1])
    (axis,) = check_axes((attrs.integer("axis"),), x.rank)
    if not indices.dtype.is_integer:
        raise TypeRuleError(f"indices are {indices.dtype}, not integers")
    if indices.rank != x.rank:
        raise TypeRuleError(f"indices {dims_text(indices.dims)} for an array {dims_text(x.dims)}")
    dims = [indices.dims[i] if i == axis else join_dim(x.dims[i], indices.dims[i]) for i in range(x.rank)]
    return (x.with_dims(dims),)


def _one_hot(types: Sequence[Type], attrs: Attrs) -> Result:
    indices = tensor(types[0])
    if not indices.dtype.is_integer:
        raise TypeRuleError(f"indices are {indices.dtype}, not integers")
    return (TensorType(attrs.dtype("dtype"), (*indices.dims, Dim(attrs.integer("classes")))),)


def parse_einsum(spec: str) -> tuple[list[str], str]:
    """`"ab,bc->ac"` split into its operands' letters and the result's."""
    left, arrow, right = spec.partition("->")
    parts = left.split(",")
    if not arrow or not all(p.isalpha() or p == "" for p in [*parts, right]) or len(set(right)) < len(right):
        raise TypeRuleError(f"malformed einsum `{spec}`")
    return parts, right


def _einsum(types: Sequence[Type], attrs: Attrs) -> Result:
    parts, right = parse_einsum(attrs.text("spec"))
    if len(parts) != len(types):
        raise TypeRuleError(f"einsum `{attrs.text('spec')}` with {len(types)} operands")
    dims: dict[str, Dim] = {}
    dtype: DType | None = None
    for part, type_ in zip(parts, types, strict=True):
        x = tensor(type_)
        dtype = x.dtype if dtype is None else promote(dtype, x.dtype)
        if len(part) != x.rank:
            raise TypeRuleError(f"einsum `{attrs.text('spec')}`: operand {dims_text(x.dims)} for `{part}`")
        for letter, d in zip(part, x.dims, strict=True):
            known = dims.get(letter)
            if known is not None and known.size != d.size:
                raise TypeRuleError(f"dimensions {known} and {d} do not fit in a product")
            dims[letter] = d if known is None else join_dim(known, d)
    if any(letter not in dims for letter in right) or dtype is None:
        raise TypeRuleError(f"malformed einsum `{attrs.text('spec')}`")
    return (TensorType(dtype, tuple(dims[letter] for letter in right)),)


def _conv(types: Sequence[Type], attrs: Attrs) -> Result:
    x, kernel = tensor(types[0]), tensor(types[1])
    n, groups = len(attrs.integers("strides")), attrs.integer("groups")
    if x.rank != n + 2 or kernel.rank != n + 2:
        raise TypeRuleError(f"a {n}-D convolution of {dims_text(x.dims)} with {dims_text(kernel.dims)}")
    channels = static_size(x.dims[-1].size, "channels")
    if channels != static_size(kernel.dims[-2].size, "channels") * groups:
        raise TypeRuleError(f"{channels} channels in {groups} groups with a kernel {dims_text(kernel.dims)}")
    if static_size(kernel.dims[-1].size, "filters") % groups:
        raise TypeRuleError(f"{kernel.dims[-1]} filters do not divide into {groups} groups")
    spatial = conv_spatial(x.dims[1:-1], kernel.dims[:-2], attrs)
    return (TensorType(promote(x.dtype, kernel.dtype), (x.dims[0], *spatial, kernel.dims[-1])),)


def _pool(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    if x.rank != len(attrs.integers("window")) + 2:
        raise TypeRuleError(f"a {len(attrs.integers('window'))}-D pooling of {dims_text(x.dims)}")
    return (x.with_dims((x.dims[0], *pool_spatial(x.dims[1:-1], attrs), x.dims[-1])),)


def _avg_pool(types: Sequence[Type], attrs: Attrs) -> Result:
    dtype = tensor(types[0]).dtype
    if not dtype.is_float:
        raise TypeRuleError(f"a mean of {dtype}; cast it to floats first")
    return _pool(types, attrs)


def _square(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    if x.rank < 2 or x.dims[-1].size != x.dims[-2].size or not x.dtype.is_float:
        raise TypeRuleError(f"expected square matrices of floats, found {x}")
    return (x,)


def _triangular_solve(types: Sequence[Type], attrs: Attrs) -> Result:
    a, b = tensor(types[0]), tensor(types[1])
    _square(types, attrs)
    if b.rank < 2 or a.dims[-1].size != b.dims[-2].size:
        raise TypeRuleError(f"cannot solve {dims_text(a.dims)} for {dims_text(b.dims)}")
    return (TensorType(promote(a.dtype, b.dtype), (*broadcast_dims(a.dims[:-2], b.dims[:-2]), *b.dims[-2:])),)


_A, _P = PlateRule.AXES, PlateRule.POINTWISE
_CONV = {"strides": REQUIRED, "padding": REQUIRED, "lhs_dilation": REQUIRED, "rhs_dilation": REQUIRED, "groups": 1}
_POOL = {"window": REQUIRED, "strides": REQUIRED, "padding": REQUIRED}

TENSOR_OPS: tuple[OpSpec, ...] = (
    OpSpec("tensor.const", (), _const, "a literal", {"value": REQUIRED, "dtype": REQUIRED}, plates=PlateRule.NONE),
    OpSpec("tensor.full", (), _full, "one number everywhere", {"value": REQUIRED, "dtype": REQUIRED, "dims": REQUIRED}),
    OpSpec("tensor.iota", (), _iota, "0, 1, 2, …", {"dtype": REQUIRED, "dims": REQUIRED}, plates=PlateRule.MIXES),
    OpSpec(
        "tensor.reshape",
        ("x",),
        _reshape,
        "the same elements in row-major order",
        {"dims": REQUIRED},
        plates=_A,
        linear=("x",),
    ),
    OpSpec(
        "tensor.broadcast", ("x",), _broadcast, "repeated along new or unit axes", {"dims": REQUIRED}, linear=("x",)
    ),
    OpSpec(
        "tensor.transpose",
        ("x",),
        _transpose,
        "axis i is x's axis `permutation[i]`",
        {"permutation": REQUIRED},
        linear=("x",),
    ),
    OpSpec(
        "tensor.concat",
        ("x*",),
        _concat,
        "arrays end to end along `axis`",
        {"axis": REQUIRED},
        plates=_A,
        linear=("x*",),
    ),
    OpSpec(
        "tensor.slice",
        ("x",),
        _slice,
        "every `strides`-th element from `starts` below `limits`",
        {"starts": REQUIRED, "limits": REQUIRED, "strides": REQUIRED},
        plates=_A,
        linear=("x",),
    ),
    OpSpec("tensor.reverse", ("x",), _reverse, "reversed along `axes`", {"axes": REQUIRED}, plates=_A, linear=("x",)),
    OpSpec(
        "tensor.pad",
        ("x",),
        _pad,
        "`low` and `high` times `value` around",
        {"low": REQUIRED, "high": REQUIRED, "value": 0.0},
        plates=_A,
    ),
    OpSpec(
        "tensor.take",
        ("x", "indices"),
        _take,
        "elements of x by index along `axis`",
        {"axis": REQUIRED},
        plates=_A,
        linear=("x",),
    ),
    OpSpec(
        "tensor.take_along",
        ("x", "indices"),
        _take_along,
        "an element per position by index along `axis`",
        {"axis": REQUIRED},
        plates=_A,
        linear=("x",),
    ),
    OpSpec(
        "tensor.one_hot",
        ("indices",),
        _one_hot,
        "1 at the index on a new last axis",
        {"classes": REQUIRED, "dtype": REQUIRED},
    ),
    OpSpec(
        "linear.einsum", ("x*",), _einsum, "sum of products by `spec`", {"spec": REQUIRED}, plates=_A, linear=("x*",)
    ),
    OpSpec(
        "linear.conv",
        ("x", "kernel"),
        _conv,
        "n-D convolution, channels last; kernel [spatial…, in/groups, out]; `padding` is a pair per axis",
        _CONV,
        plates=_P,
        linear=("x", "kernel"),
    ),
    OpSpec("nn.max_pool", ("x",), _pool, "greatest in each window", _POOL),
    OpSpec("nn.avg_pool", ("x",), _avg_pool, "mean of each window, padding left out", _POOL, linear=("x",)),
    OpSpec("linalg.cholesky", ("x",), _square, "lower Cholesky factors", plates=_A),
    OpSpec(
        "linalg.triangular_solve",
        ("a", "b"),
        _triangular_solve,
        "x with a x = b, a triangular",
        {"lower": True, "transpose": False},
        plates=_A,
        linear=("b",),
    ),
)
