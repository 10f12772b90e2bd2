"""NumPy rules of constants, shape changes, indexing, contractions, small linear algebra and constrained parameters.

Invariant: rules ask the frame for sizes only. May import: floors 0-1, numpy, scipy, `frame`, `values`.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from bl_compiler.backends.reference.frame import ArrayRule, Frame
from bl_compiler.backends.reference.values import Array, EvaluationError, as_kind
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

TENSOR_RULES: RuleTable[ArrayRule] = RuleTable("numpy tensor")


@TENSOR_RULES.rule("tensor.const")
def _const(frame: Frame, node: Node) -> Array:
    value = node.attrs["value"]
    assert isinstance(value, (tuple, bool, int, float)), value
    return as_kind(np.asarray(value), node.attrs.dtype("dtype"))


@TENSOR_RULES.rule("tensor.full")
def _full(frame: Frame, node: Node) -> Array:
    value = as_kind(np.asarray(node.attrs.number("value")), node.attrs.dtype("dtype"))
    return np.full(frame.shape(node.attrs.dims("dims")), value)


@TENSOR_RULES.rule("tensor.iota")
def _iota(frame: Frame, node: Node) -> Array:
    (size,) = frame.shape(node.attrs.dims("dims"))
    return as_kind(np.arange(size), node.attrs.dtype("dtype"))


@TENSOR_RULES.rule("tensor.reshape")
def _reshape(frame: Frame, node: Node, x: Array) -> Array:
    return x.reshape(frame.shape(node.attrs.dims("dims")))


@TENSOR_RULES.rule("tensor.broadcast")
def _broadcast(frame: Frame, node: Node, x: Array) -> Array:
    return np.broadcast_to(x, frame.shape(node.attrs.dims("dims")))


@TENSOR_RULES.rule("tensor.transpose")
def _transpose(frame: Frame, node: Node, x: Array) -> Array:
    return np.transpose(x, node.attrs.integers("permutation"))


@TENSOR_RULES.rule("tensor.concat")
def _concat(frame: Frame, node: Node, *xs: Array) -> Array:
    dtype = node.result.tensor.dtype
    # Dimensions of the other axes are equal in size: the type rule says so.
    return np.concatenate([as_kind(x, dtype) for x in xs], axis=node.attrs.integer("axis"))


@TENSOR_RULES.rule("tensor.slice")
def _slice(frame: Frame, node: Node, x: Array) -> Array:
    limits = node.attrs["limits"]
    assert isinstance(limits, tuple)
    # A symbolic limit is the whole of its dimension: the type rule says so.
    stops = [limit if isinstance(limit, int) else size for limit, size in zip(limits, x.shape, strict=True)]
    starts, strides = node.attrs.integers("starts"), node.attrs.integers("strides")
    return x[tuple(slice(a, b, s) for a, b, s in zip(starts, stops, strides, strict=True))]


@TENSOR_RULES.rule("tensor.reverse")
def _reverse(frame: Frame, node: Node, x: Array) -> Array:
    return np.flip(x, node.attrs.integers("axes"))


@TENSOR_RULES.rule("tensor.pad")
def _pad(frame: Frame, node: Node, x: Array) -> Array:
    low, high = node.attrs.integers("low"), node.attrs.integers("high")
    value = as_kind(np.asarray(node.attrs.number("value")), node.result.tensor.dtype)
    return pad(x, list(zip(low, high, strict=True)), value)


def pad(x: Array, widths: list[tuple[int, int]], value: Array | float) -> Array:
    """`x` with `value` added around it; negative widths cut elements off."""
    grown = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, grown.shape, strict=True))
    return grown[cut]


def _checked(indices: Array, size: int) -> Array:
    """Indices from the end made nonnegative; others than NumPy's would do something else on each backend."""
    if np.any((indices < -size) | (indices >= size)):
        raise EvaluationError(f"an index lies outside of a dimension of size {size}")
    return np.where(indices < 0, indices + size, indices)


@TENSOR_RULES.rule("tensor.take")
def _take(frame: Frame, node: Node, x: Array, indices: Array) -> Array:
    axis = node.attrs.integer("axis")
    return np.take(x, _checked(indices, x.shape[axis]), axis=axis)


@TENSOR_RULES.rule("tensor.take_along")
def _take_along(frame: Frame, node: Node, x: Array, indices: Array) -> Array:
    axis = node.attrs.integer("axis")
    return np.take_along_axis(x, _checked(indices, x.shape[axis]), axis=axis)


@TENSOR_RULES.rule("tensor.one_hot")
def _one_hot(frame: Frame, node: Node, indices: Array) -> Array:
    """Indices of no class give zeros."""
    hot = indices[..., None] == np.arange(node.attrs.integer("classes"))
    return as_kind(hot, node.attrs.dtype("dtype"))


@TENSOR_RULES.rule("linear.einsum")
def _einsum(frame: Frame, node: Node, *xs: Array) -> Array:
    dtype = node.result.tensor.dtype
    # The order of contraction is left to NumPy: with three and more operands the naive order is out of reach.
    return np.asarray(np.einsum(node.attrs.text("spec"), *(as_kind(x, dtype) for x in xs), optimize=len(xs) > 1))


@TENSOR_RULES.rule("linalg.cholesky")
def _cholesky(frame: Frame, node: Node, x: Array) -> Array:
    """Factors of the symmetric parts, as XLA does; NaN for a matrix that is not positive definite."""
    symmetric = (x + x.swapaxes(-1, -2)) / 2
    result = np.empty_like(symmetric)
    for position in np.ndindex(x.shape[:-2]):
        try:
            result[position] = np.linalg.cholesky(symmetric[position])
        except np.linalg.LinAlgError:
            result[position] = np.nan
    return result


@TENSOR_RULES.rule("linalg.triangular_solve")
def _triangular_solve(frame: Frame, node: Node, a: Array, b: Array) -> Array:
    """Substitution, row by row; the other triangle of `a` is not read."""
    dtype, lower = node.result.tensor.dtype, node.attrs.flag("lower")
    a, b = as_kind(a, dtype), as_kind(b, dtype)
    if node.attrs.flag("transpose"):
        a, lower = a.swapaxes(-1, -2), not lower
    size = a.shape[-1]
    result = np.zeros(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + b.shape[-2:])
    for i in range(size) if lower else reversed(range(size)):
        done = slice(0, i) if lower else slice(i + 1, size)
        known = np.einsum("...j,...jk->...k", a[..., i, done], result[..., done, :])
        result[..., i, :] = (b[..., i, :] - known) / a[..., i, i, None]
    return result


# --- constrained parameters -------------------------------------------------------------------------------------------


@TENSOR_RULES.rule("param.constrain")
def _constrain(frame: Frame, node: Node, x: Array) -> Array:
    return constrain(x, node.attrs.text("constraint"), node.attrs.number("low"), node.attrs.number("high"))


@TENSOR_RULES.rule("param.unconstrain")
def _unconstrain(frame: Frame, node: Node, x: Array) -> Array:
    return unconstrain(x, node.attrs.text("constraint"), node.attrs.number("low"), node.attrs.number("high"))


def constrain(x: Array, constraint: str, low: float = 0.0, high: float = 1.0) -> Array:
    """Any numbers mapped into a space of `ir/constraints.PARAM_CONSTRAINTS`."""
    match constraint:
        case "real":
            return x
        case "positive":
            return np.asarray(np.logaddexp(0.0, x))
        case "unit_interval":
            return np.asarray(special.expit(x))
        case "interval":
            return np.asarray(low + (high - low) * special.expit(x))
        case "simplex":
            return np.asarray(special.softmax(x, axis=-1))
        case "lower_cholesky":
            return _with_diagonal(x, np.logaddexp(0.0, np.diagonal(x, axis1=-2, axis2=-1)))
    raise EvaluationError(f"parameters cannot be constrained to `{constraint}`")


def unconstrain(x: Array, constraint: str, low: float = 0.0, high: float = 1.0) -> Array:
    """Numbers that `constrain` maps to `x`."""
    match constraint:
        case "real":
            return x
        case "positive":
            return _softplus_inverse(x)
        case "unit_interval":
            return np.asarray(special.logit(x))
        case "interval":
            return np.asarray(special.logit((x - low) / (high - low)))
        case "simplex":
            return np.log(x)
        case "lower_cholesky":
            return _with_diagonal(x, _softplus_inverse(np.diagonal(x, axis1=-2, axis2=-1)))
    raise EvaluationError(f"parameters cannot be constrained to `{constraint}`")


def _softplus_inverse(x: Array) -> Array:
    return np.asarray(x + np.log(-np.expm1(-x)))


def _with_diagonal(x: Array, diagonal: Array) -> Array:
    """The strictly lower triangle of `x` with another diagonal."""
    return np.where(np.eye(x.shape[-1], dtype=np.bool_), diagonal[..., None], np.tril(x, -1))
