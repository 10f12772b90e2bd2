"""How the strategies of `graphs` make constants, shape changes, indexing, contractions, windows, linear algebra.

Invariant: indices are within bounds in numeric mode, matrices well conditioned. May import: the IR, `graph_state`.
"""

from __future__ import annotations

from math import prod

from hypothesis import strategies as st

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DType, TensorType
from tests.strategies.graph_state import Build, is_static
from tests.strategies.recipes_math import Recipe


def _const(b: Build, op: str) -> None:
    dtype = b.any_of([b.float_type(), b.integer_type(), DType.BOOL])
    rank = b.integer(0, 2)

    def value(depth: int, sizes: list[int]) -> object:
        if depth:
            return tuple([value(depth - 1, sizes[1:]) for _ in range(sizes[0])])
        return b.number() if dtype.is_float else b.flag() if dtype is DType.BOOL else b.integer(0, 3)

    b.emit(op, bound=2.0, value=value(rank, [b.integer(1, 3) for _ in range(rank)]), dtype=dtype)


def _full(b: Build, op: str) -> None:
    b.emit(op, bound=2.0, value=b.number(), dtype=b.float_type(), dims=b.dims())


def _iota(b: Build, op: str) -> None:
    b.emit(op, bound=4.0, dtype=b.any_of([b.float_type(), b.integer_type()]), dims=b.dims(1, 1))


def _array(b: Build, low: int = 0, high: int = 4) -> Value:
    """Any array."""
    return b.pick(lambda t: low <= t.rank <= high, lambda: TensorType(b.float_type(), b.dims(low, min(high, 3))))


def _static_array(b: Build, low: int = 0, high: int = 3) -> Value:
    return b.pick(
        lambda t: low <= t.rank <= high and is_static(t),
        lambda: TensorType(b.float_type(), b.dims(low, high, plates=b.numeric)),
    )


def _reshape(b: Build, op: str) -> None:
    x = _array(b)
    dims = list(x.tensor.dims)
    change = b.any_of(["merge", "split", "unit", "same", "flat"])
    static = all(isinstance(d.size, int) for d in dims)
    if change == "merge" and len(dims) > 1 and static:
        i = b.integer(0, len(dims) - 2)
        dims[i : i + 2] = [Dim(prod(d.size for d in dims[i : i + 2] if isinstance(d.size, int)))]
    elif change == "split" and any(d.size == 4 for d in dims):
        i = next(i for i, d in enumerate(dims) if d.size == 4)
        dims[i : i + 1] = [Dim(2), Dim(2, "part")]
    elif change == "unit":
        dims.insert(b.integer(0, len(dims)), Dim(1))
    elif change == "flat" and static:
        dims = [Dim(prod(d.size for d in dims if isinstance(d.size, int)))]
    b.emit(op, x, bound=b.bound(x), dims=tuple(dims))


def _broadcast(b: Build, op: str) -> None:
    x = _array(b, 0, 3)
    dims = tuple(Dim(b.integer(1, 3)) if d.size == 1 else d for d in x.tensor.dims)
    b.emit(op, x, bound=b.bound(x), dims=(*b.dims(0, 1, plates=not x.tensor.plates), *dims))


def _transpose(b: Build, op: str) -> None:
    x = _array(b)
    b.emit(op, x, bound=b.bound(x), permutation=tuple(b.draw(st.permutations(range(x.tensor.rank)))))


def _concat(b: Build, op: str) -> None:
    x = _static_array(b, 1)
    axis = b.integer(0, x.tensor.rank - 1)
    b.emit(op, *[x] * b.integer(1, 3), bound=b.bound(x), axis=axis)


def _slice(b: Build, op: str) -> None:
    x = _static_array(b)
    starts, limits, strides = [], [], []
    for size in x.tensor.shape:
        assert isinstance(size, int)
        start = b.integer(0, size - 1) if b.flag() else 0
        starts.append(start)
        limits.append(b.integer(start + 1, size) if b.flag() else size)
        strides.append(b.integer(1, 2) if not b.integer(0, 3) else 1)
    b.emit(op, x, bound=b.bound(x), starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))


def _reverse(b: Build, op: str) -> None:
    x = _array(b)
    b.emit(op, x, bound=b.bound(x), axes=tuple(i for i in range(x.tensor.rank) if b.flag()))


def _pad(b: Build, op: str) -> None:
    x = _static_array(b, 1)
    if b.numeric and not x.tensor.dtype.is_float:
        return
    low = tuple(0 if d.is_plate else b.integer(0, 1) for d in x.tensor.dims)
    high = tuple(0 if d.is_plate else b.integer(0, 1) for d in x.tensor.dims)
    b.emit(op, x, bound=max(b.bound(x), 2.0), low=low, high=high, value=b.number())


def _indices(b: Build, indices: Value, size: int | str) -> Value:
    """Within bounds, in numeric mode."""
    if not b.numeric or not isinstance(size, int):
        return indices
    build = b.builder
    return build.binary("min", build.binary("max", indices, 0), size - 1)


def _take(b: Build, op: str) -> None:
    x = _array(b, 1, 3)
    axis = b.integer(0, x.tensor.rank - 1)
    indices = b.int_array(0, 2)
    b.emit(op, x, _indices(b, indices, x.tensor.shape[axis]), bound=b.bound(x), axis=axis)


def _take_along(b: Build, op: str) -> None:
    x = _static_array(b, 1)
    axis = b.integer(0, x.tensor.rank - 1)
    dims = tuple(Dim(2) if i == axis else d for i, d in enumerate(x.tensor.dims))
    indices = b.fresh(TensorType(DType.I32, dims))
    b.emit(op, x, _indices(b, indices, x.tensor.shape[axis]), bound=b.bound(x), axis=axis)


def _one_hot(b: Build, op: str) -> None:
    b.emit(op, b.int_array(0, 2), classes=b.integer(1, 4), dtype=b.float_type())


def _einsum(b: Build, op: str) -> None:
    x = b.float_array(1, 3)
    letters = "abc"[: x.tensor.rank]
    sizes = [size for size in x.tensor.shape if isinstance(size, int)]
    bound = b.bound(x) * prod(sizes)
    kind = b.any_of(["same", "sum", "transpose", "product", "outer"])
    if kind in ("product", "outer"):
        inner = x.tensor.dims[-1]
        y = b.fresh(TensorType(b.float_type(), (Dim(inner.size), Dim(b.integer(1, 3), "out"))))
        right = letters[:-1] + "z" if kind == "product" else letters + "z"
        b.emit(op, x, y, bound=bound * b.bound(y), spec=f"{letters},{letters[-1]}z->{right}")
        return
    right = {"same": letters, "sum": letters[1:], "transpose": letters[::-1]}[kind]
    b.emit(op, x, bound=bound, spec=f"{letters}->{right}")


def _window_attrs(b: Build, spatial: int) -> dict[str, object]:
    return {
        "strides": tuple(b.integer(1, 2) for _ in range(spatial)),
        "padding": tuple((b.integer(0, 1), b.integer(0, 1)) for _ in range(spatial)),
    }


def _conv(b: Build, op: str) -> None:
    spatial = b.integer(1, 2)
    groups = b.integer(1, 2)
    batch = b.dims(1, 1)[0]
    x = b.fresh(TensorType(b.float_type(), (batch, *[Dim(b.integer(3, 4)) for _ in range(spatial)], Dim(2))))
    window = [Dim(b.integer(1, 2)) for _ in range(spatial)]
    kernel = b.fresh(TensorType(x.tensor.dtype, (*window, Dim(2 // groups), Dim(2 * b.integer(1, 2)))))
    attrs = _window_attrs(b, spatial)
    attrs["lhs_dilation"] = tuple(b.integer(1, 2) for _ in range(spatial))
    attrs["rhs_dilation"] = tuple(b.integer(1, 2) for _ in range(spatial))
    b.emit(op, x, kernel, bound=LARGE_SUM * b.bound(x) * b.bound(kernel), groups=groups, **attrs)


LARGE_SUM = 8.0


def _pool(b: Build, op: str) -> None:
    spatial = b.integer(1, 2)
    batch = b.dims(1, 1)[0]
    x = b.fresh(TensorType(b.float_type(), (batch, *[Dim(b.integer(3, 4)) for _ in range(spatial)], Dim(2))))
    b.emit(op, x, bound=b.bound(x), window=tuple(b.integer(2, 3) for _ in range(spatial)), **_window_attrs(b, spatial))


def _cholesky_factor(b: Build) -> Value:
    """Of a matrix that is far from singular."""
    size = b.integer(1, 3)
    build = b.builder
    batch = b.dims(0, 1)
    x = b.within(b.fresh(TensorType(DType.F32, (*batch, Dim(size), Dim(size)))), "small")
    letters = "b" if batch else ""
    gram = build.einsum(f"{letters}ij,{letters}kj->{letters}ik", x, x)
    eye = build.const(tuple(tuple(2.0 if i == j else 0.0 for j in range(size)) for i in range(size)), DType.F32)
    return b.make("linalg.cholesky", build.binary("add", gram, eye), bound=4.0)


def _cholesky(b: Build, op: str) -> None:
    _cholesky_factor(b)


def _triangular_solve(b: Build, op: str) -> None:
    factor = _cholesky_factor(b)
    rows = factor.tensor.dims[-1]
    right = b.fresh(TensorType(DType.F32, (*factor.tensor.dims[:-2], Dim(rows.size), Dim(2))))
    b.emit(op, factor, right, bound=10.0, lower=True, transpose=b.flag())


TENSOR_RECIPES: dict[str, Recipe] = {
    "tensor.const": _const,
    "tensor.full": _full,
    "tensor.iota": _iota,
    "tensor.reshape": _reshape,
    "tensor.broadcast": _broadcast,
    "tensor.transpose": _transpose,
    "tensor.concat": _concat,
    "tensor.slice": _slice,
    "tensor.reverse": _reverse,
    "tensor.pad": _pad,
    "tensor.take": _take,
    "tensor.take_along": _take_along,
    "tensor.one_hot": _one_hot,
    "linear.einsum": _einsum,
    "linear.conv": _conv,
    "nn.max_pool": _pool,
    "nn.avg_pool": _pool,
    "linalg.cholesky": _cholesky,
    "linalg.triangular_solve": _triangular_solve,
}
