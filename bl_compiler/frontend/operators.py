"""Operators and indexing, on compile-time values and on arrays.

May import: floors 0-1, `ast`, `values`, `state`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from bl_compiler.frontend import ast
from bl_compiler.frontend.literals import INT_MAX, INT_MIN
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import PlateRef, describe, is_array, is_distribution, is_number
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DType
from bl_compiler.source import Span

MAX_ITEMS = 100_000
"""The longest list or string: sums of lists in a chain of `let` would double it each time."""

_STATIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARRAY = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floor_div",
    "%": "mod",
    "**": "pow",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "and": "and",
    "or": "or",
}


def apply_unary(state: State, op: str, value: object, at: Span) -> object:
    """`-x` or `not x`."""
    if isinstance(value, Value) and is_array(value):
        with state.typed(at):
            return state.b.unary("neg" if op == "-" else "not", value)
    if op == "-" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _checked(state, -value, at)
    if op == "not" and isinstance(value, bool):
        return not value
    state.fail("BLC0205", f"`{op}` cannot be applied to {describe(value)}", at)


def apply_binary(state: State, op: str, a: object, b: object, at: Span) -> object:
    """A binary operator on two values; numbers meet arrays as constants of the array's element type."""
    for side in (a, b):
        if is_distribution(side):
            state.fail(
                "BLC0205",
                f"`{op}` cannot be applied to {describe(side)}",
                at,
                help="draw a value with `.sample()`, or take its `.mean`",
            )
    if is_array(a) or is_array(b):
        return _on_arrays(state, op, a, b, at)
    if op in ("and", "or") and isinstance(a, bool) and isinstance(b, bool):
        return (a and b) if op == "and" else (a or b)
    if op in ("==", "!="):
        return (_comparable(a) == _comparable(b)) == (op == "==")
    if op in _STATIC and ((is_number(a) and is_number(b)) or _joinable(op, a, b)):
        return _on_numbers(state, op, a, b, at)
    state.fail("BLC0205", f"`{op}` cannot be applied to {describe(a)} and {describe(b)}", at)


def _comparable(value: object) -> object:
    return value.dim.size if isinstance(value, PlateRef) else value


def _joinable(op: str, a: object, b: object) -> bool:
    return op == "+" and type(a) is type(b) and isinstance(a, (str, list, tuple))


def _on_numbers(state: State, op: str, a: Any, b: Any, at: Span) -> object:
    if op == "+" and not is_number(a) and len(a) + len(b) > MAX_ITEMS:
        state.fail("BLC0203", f"more than {MAX_ITEMS} elements", at)
    try:
        # Python would compute all the digits of an integer power.
        if op == "**" and isinstance(a, int) and isinstance(b, int) and b > 0 and a.bit_length() * b > 256:
            raise OverflowError
        result = _STATIC[op](a, b)
    except ZeroDivisionError:
        state.fail("BLC0203", "division by zero", at)
    except OverflowError:
        state.fail("BLC0203", "this number is too large", at)
    if isinstance(result, complex):
        state.fail("BLC0203", f"{a} to the power {b} is not a real number", at)
    if is_number(result):
        return _checked(state, result, at)
    return result


def _checked(state: State, number: int | float, at: Span) -> int | float:
    """A computed number, if a literal could say it."""
    fits = math.isfinite(number) if isinstance(number, float) else INT_MIN <= number <= INT_MAX
    if not fits:
        state.fail("BLC0203", "this number is too large", at)
    return number


def _on_arrays(state: State, op: str, a: object, b: object, at: Span) -> Value:
    for side in (a, b):
        if not is_array(side) and not isinstance(side, (bool, int, float)):
            state.fail("BLC0205", f"`{op}` cannot be applied to {describe(a)} and {describe(b)}", at)
    with state.typed(at):
        if op == "@":
            found = state.layers["matmul"].function(_Plain(state), state.array(a, at), state.array(b, at))
            assert isinstance(found, Value)
            return found
        if isinstance(a, Value) and isinstance(b, Value):
            return state.b.binary(_ARRAY[op], a, b)
        left = _constant_like(state, a, b, at) if isinstance(b, Value) else a
        right = _constant_like(state, b, a, at) if isinstance(a, Value) else b
        assert isinstance(left, Value)
        assert isinstance(right, Value)
        return state.b.binary(_ARRAY[op], left, right)


def _constant_like(state: State, number: object, like: Value, at: Span) -> Value:
    if isinstance(number, Value):
        return number
    if isinstance(number, bool):
        return state.b.const(number, DType.BOOL)
    assert isinstance(number, (int, float))
    dtype = like.tensor.dtype
    if not dtype.is_float:
        dtype = DType.F32 if isinstance(number, float) else DType.I32 if dtype is DType.BOOL else dtype
    return state.number(number, dtype, at)


class _Plain:
    """The context of functions, which only build."""

    def __init__(self, state: State) -> None:
        self.b = state.b


def apply_index(state: State, value: object, indices: tuple[ast.Expr, ...], env: Env, at: Span) -> object:
    """`value[indices]` on lists, tuples, strings and arrays."""
    if isinstance(value, (list, tuple, str)):
        return _index_static(state, value, indices, env, at)
    if isinstance(value, Value) and is_array(value):
        return _index_array(state, value, indices, env, at)
    state.fail("BLC0205", f"{describe(value)} cannot be indexed", at)


def _index_static(state: State, value: Any, indices: tuple[ast.Expr, ...], env: Env, at: Span) -> object:
    if len(indices) != 1:
        state.fail("BLC0204", "a list takes one index", at)
    (index,) = indices
    if isinstance(index, ast.Slice):
        parts = [_bound(state, part, env) for part in (index.start, index.stop, index.step)]
        if parts[2] == 0:
            state.fail("BLC0203", "the step of a slice must not be 0", index.span)
        return value[slice(*parts)]
    position = state.evaluate(index, env)
    if not isinstance(position, int) or isinstance(position, bool):
        state.fail("BLC0205", f"an index is an integer, found {describe(position)}", index.span)
    if not -len(value) <= position < len(value):
        state.fail("BLC0203", f"index {position} is out of range: there are {len(value)} elements", index.span)
    return value[position]


def _bound(state: State, expr: ast.Expr | None, env: Env) -> int | None:
    if expr is None:
        return None
    value = state.evaluate(expr, env)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        state.fail("BLC0205", f"a slice takes integers known at compile time, found {describe(value)}", expr.span)
    return value


def _index_array(state: State, x: Value, indices: tuple[ast.Expr, ...], env: Env, at: Span) -> Value:
    """NumPy's basic indexing, and one integer array."""
    b = state.b
    values = [i if isinstance(i, (ast.Slice, ast.Ellipsis)) else state.evaluate(i, env) for i in indices]
    consumed = sum(not isinstance(v, ast.Ellipsis) and v is not None for v in values)
    rank = x.tensor.rank
    if consumed > rank or sum(isinstance(v, ast.Ellipsis) for v in values) > 1:
        state.fail("BLC0206", f"{consumed} indices for an array with {rank} dimensions", at)
    if not any(isinstance(v, ast.Ellipsis) for v in values):
        values.append(ast.Ellipsis())
    starts, limits, strides = [0] * rank, [d.size for d in x.tensor.dims], [1] * rank
    dropped, added, taken, axis = set[int](), list[int](), list[tuple[int, Value]](), 0
    reverse: list[int] = []
    for position, value in enumerate(values):
        span = indices[position].span if position < len(indices) else at
        if isinstance(value, ast.Ellipsis):
            axis += rank - consumed
        elif value is None:
            added.append(axis)
        elif isinstance(value, ast.Slice):
            parts = [_bound(state, part, env) for part in (value.start, value.stop, value.step)]
            if parts != [None, None, None] and parts not in ([0, None, None], [None, None, 1]):
                size = _static_axis(state, x.tensor.dims[axis], span)
                start, stop, step = slice(*parts).indices(size) if parts[2] != 0 else (0, 0, 0)
                if step == 0:
                    state.fail("BLC0203", "the step of a slice must not be 0", span)
                count = len(range(start, stop, step))
                if count == 0:
                    start, stop, step = 0, 0, 1
                elif step < 0:
                    reverse.append(axis)
                    start, stop, step = start + (count - 1) * step, start + 1, -step
                starts[axis], limits[axis], strides[axis] = start, stop, step
            axis += 1
        elif isinstance(value, Value) and is_array(value):
            taken.append((axis, value))
            axis += 1
        elif isinstance(value, int) and not isinstance(value, bool):
            size = _static_axis(state, x.tensor.dims[axis], span)
            if not -size <= value < size:
                state.fail("BLC0206", f"index {value} is out of range for an axis of size {size}", span)
            starts[axis], limits[axis] = value % size, value % size + 1
            dropped.add(axis)
            axis += 1
        else:
            state.fail("BLC0205", f"an index is an integer, a slice or an integer array, found {describe(value)}", span)
    with state.typed(at):
        if limits != [d.size for d in x.tensor.dims] or any(starts) or any(s != 1 for s in strides):
            x = b.add("tensor.slice", x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))
        if reverse:
            x = b.add("tensor.reverse", x, axes=tuple(reverse))
        if len(taken) > 1:
            state.not_yet("indexing with several arrays", at)
        if taken:
            if dropped or added:
                state.not_yet("mixing an index array with integers or `none`", at)
            x = b.add("tensor.take", x, taken[0][1], axis=taken[0][0])
        elif dropped or added:
            dims: list[Dim] = []
            for i, d in enumerate([*x.tensor.dims, None]):
                dims.extend(Dim(1) for a in added if a == i)
                if d is not None and i not in dropped:
                    dims.append(d)
            x = b.reshape(x, dims)
    return x


def _static_axis(state: State, dim: Dim, at: Span) -> int:
    if isinstance(dim.size, str):
        state.fail("BLC0208", f"the size of `{dim.name or dim.size}` is not known at compile time", at)
    return dim.size
