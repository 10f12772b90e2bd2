"""How constants, shape changes, indexing, products, windows and linear algebra are written.

May import: floors 0-1, `pyexpr`, `context`, `einsum`.
"""

from __future__ import annotations

import ast

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, Literal, Rule
from bl_compiler.backends.jax.einsum import product
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DType

TENSOR_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, tensor")


def _pair_attr(node: Node, key: str) -> tuple[tuple[int, int], ...]:
    value = node.attrs[key]
    assert isinstance(value, tuple), key
    return value


@TENSOR_RULES.rule("tensor.const")
def _const(cx: Context, node: Node) -> ast.expr | None:
    value, dtype = node.attrs["value"], node.attrs.dtype("dtype")
    if isinstance(value, (bool, int, float)):
        cx.bindings[node.result] = Literal(value, dtype)
        return None
    return fill("jnp.array({value}, {dtype})", value=pyexpr.nested(value, dtype), dtype=pyexpr.dtype(dtype))


@TENSOR_RULES.rule("tensor.full")
def _full(cx: Context, node: Node) -> ast.expr | None:
    value, dtype, dims = node.attrs["value"], node.attrs.dtype("dtype"), node.attrs.dims("dims")
    assert isinstance(value, (bool, int, float)), value
    if not dims:
        cx.bindings[node.result] = Literal(value, dtype)
        return None
    parts = {"shape": cx.shape(dims), "dtype": pyexpr.dtype(dtype)}
    if value in (0, 1) and dtype is not DType.BOOL:
        return fill("jnp.ones({shape}, {dtype})" if value else "jnp.zeros({shape}, {dtype})", **parts)
    return fill("jnp.full({shape}, {value}, {dtype})", value=pyexpr.literal(value, dtype), **parts)


@TENSOR_RULES.rule("tensor.iota")
def _iota(cx: Context, node: Node) -> ast.expr:
    (dim,) = node.attrs.dims("dims")
    return fill("jnp.arange({n}, dtype={dtype})", n=cx.size(dim), dtype=pyexpr.dtype(node.attrs.dtype("dtype")))


@TENSOR_RULES.rule("tensor.reshape")
def _reshape(cx: Context, node: Node) -> ast.expr:
    dims = node.attrs.dims("dims")
    if node.inputs[0].tensor.shape == node.result.tensor.shape:
        return cx.array(node.inputs[0])
    return fill("jnp.reshape({x}, {shape})", x=cx.array(node.inputs[0]), shape=cx.shape(dims))


@TENSOR_RULES.rule("tensor.broadcast")
def _broadcast(cx: Context, node: Node) -> ast.expr:
    if node.inputs[0].tensor.shape == node.result.tensor.shape:
        return cx.array(node.inputs[0])
    return fill("jnp.broadcast_to({x}, {shape})", x=cx.array(node.inputs[0]), shape=cx.shape(node.attrs.dims("dims")))


@TENSOR_RULES.rule("tensor.transpose")
def _transpose(cx: Context, node: Node) -> ast.expr:
    order = node.attrs.integers("permutation")
    if order == (1, 0):
        return fill("{x}.T", x=cx.array(node.inputs[0]))
    return fill("jnp.transpose({x}, {order})", x=cx.array(node.inputs[0]), order=pyexpr.integers(order))


@TENSOR_RULES.rule("tensor.concat")
def _concat(cx: Context, node: Node) -> ast.expr:
    arrays = [cx.array(x, node.result.tensor.dtype) for x in node.inputs]
    return fill("jnp.concatenate([{xs}], axis={axis})", xs=arrays, axis=pyexpr.number(node.attrs.integer("axis")))


@TENSOR_RULES.rule("tensor.slice")
def _slice(cx: Context, node: Node) -> ast.expr:
    (x,) = node.inputs
    limits = node.attrs["limits"]
    assert isinstance(limits, tuple)
    ranges: list[ast.expr] = []
    rows = zip(x.tensor.dims, node.attrs.integers("starts"), limits, node.attrs.integers("strides"), strict=True)
    for dim, start, limit, stride in rows:
        low = pyexpr.number(start) if start else None
        high = pyexpr.number(limit) if limit != dim.size else None
        ranges.append(ast.Slice(low, high, pyexpr.number(stride) if stride != 1 else None))
    while ranges and ast.unparse(ranges[-1]) == ":":
        ranges.pop()
    if not ranges:
        return cx.array(x)
    index = ranges[0] if len(ranges) == 1 else pyexpr.tuple_of(ranges)
    return ast.Subscript(cx.array(x), index, ast.Load())


@TENSOR_RULES.rule("tensor.reverse")
def _reverse(cx: Context, node: Node) -> ast.expr:
    axes = pyexpr.axes(node.attrs.integers("axes"))
    return fill("jnp.flip({x}, axis={axes})", x=cx.array(node.inputs[0]), axes=axes)


@TENSOR_RULES.rule("tensor.pad")
def _pad(cx: Context, node: Node) -> ast.expr:
    return fill(
        "pad({x}, {low}, {high}, {value})",
        x=cx.array(node.inputs[0]),
        low=pyexpr.integers(node.attrs.integers("low")),
        high=pyexpr.integers(node.attrs.integers("high")),
        value=pyexpr.number(node.attrs.number("value")),
    )


@TENSOR_RULES.rule("tensor.take", "tensor.take_along")
def _take(cx: Context, node: Node) -> ast.expr:
    function = fill("jnp.take" if node.op.name == "tensor.take" else "jnp.take_along_axis")
    x, indices = map(cx.array, node.inputs)
    axis = pyexpr.number(node.attrs.integer("axis"))
    return fill("{f}({x}, {indices}, axis={axis})", f=function, x=x, indices=indices, axis=axis)


@TENSOR_RULES.rule("tensor.one_hot")
def _one_hot(cx: Context, node: Node) -> ast.expr:
    return fill(
        "jax.nn.one_hot({x}, {classes}, dtype={dtype})",
        x=cx.array(node.inputs[0]),
        classes=pyexpr.number(node.attrs.integer("classes")),
        dtype=pyexpr.dtype(node.attrs.dtype("dtype")),
    )


@TENSOR_RULES.rule("linear.einsum")
def _einsum(cx: Context, node: Node) -> ast.expr:
    return product(node.attrs.text("spec"), [cx.array(x, node.result.tensor.dtype) for x in node.inputs])


@TENSOR_RULES.rule("linear.conv")
def _conv(cx: Context, node: Node) -> ast.expr:
    x, kernel = (cx.array(v, node.result.tensor.dtype) for v in node.inputs)
    strides, padding = pyexpr.integers(node.attrs.integers("strides")), pyexpr.pairs(_pair_attr(node, "padding"))
    call = fill("conv({x}, {kernel}, {strides}, {padding})", x=x, kernel=kernel, strides=strides, padding=padding)
    assert isinstance(call, ast.Call)
    for key in ("lhs_dilation", "rhs_dilation"):
        dilation = node.attrs.integers(key)
        if any(d != 1 for d in dilation):
            call.keywords.append(ast.keyword(key, pyexpr.integers(dilation)))
    if node.attrs.integer("groups") != 1:
        call.keywords.append(ast.keyword("groups", pyexpr.number(node.attrs.integer("groups"))))
    return call


@TENSOR_RULES.rule("nn.max_pool", "nn.avg_pool")
def _pool(cx: Context, node: Node) -> ast.expr:
    return fill(
        "{f}({x}, {window}, {strides}, {padding})",
        f=pyexpr.name(node.op.name.removeprefix("nn.")),
        x=cx.array(node.inputs[0]),
        window=pyexpr.integers(node.attrs.integers("window")),
        strides=pyexpr.integers(node.attrs.integers("strides")),
        padding=pyexpr.pairs(_pair_attr(node, "padding")),
    )


@TENSOR_RULES.rule("linalg.cholesky")
def _cholesky(cx: Context, node: Node) -> ast.expr:
    return fill("jnp.linalg.cholesky({x})", x=cx.array(node.inputs[0]))


@TENSOR_RULES.rule("linalg.triangular_solve")
def _triangular_solve(cx: Context, node: Node) -> ast.expr:
    a, b = (cx.array(v, node.result.tensor.dtype) for v in node.inputs)
    call = fill("triangular_solve({a}, {b})", a=a, b=b)
    assert isinstance(call, ast.Call)
    if not node.attrs.flag("lower"):
        call.keywords.append(ast.keyword("lower", pyexpr.number(value=False)))
    if node.attrs.flag("transpose"):
        call.keywords.append(ast.keyword("transpose", pyexpr.number(value=True)))
    return call
