"""How products are written: as plain products of two matrices wherever a product is one.

XLA's CPU backend has fast code for plain products only, and the form in which a product is written decides whether it
is seen as one (see `runtime/linear.py`). May import: `pyexpr`, `ir.ops_tensor`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.ops_tensor import parse_einsum


def product(spec: str, operands: Sequence[ast.expr]) -> ast.expr:
    """The sum of products of arrays of one element type."""
    parts, result = parse_einsum(spec)
    if len(parts) == 2:
        for order in ((0, 1), (1, 0)):
            left, right = (parts[i] for i in order)
            found = _matmul(left, right, result, *(operands[i] for i in order))
            if found is not None:
                return found
    if len(parts) == 1 and sorted(parts[0]) == sorted(result):
        return _transposed(operands[0], [parts[0].index(letter) for letter in result])
    return fill("jnp.einsum({spec}, {xs})", spec=pyexpr.string(spec), xs=list(operands))


def _transposed(x: ast.expr, permutation: Sequence[int]) -> ast.expr:
    if list(permutation) == sorted(permutation):
        return x
    if list(permutation) == [1, 0]:
        return fill("{x}.T", x=x)
    return fill("jnp.transpose({x}, {axes})", x=x, axes=pyexpr.integers(permutation))


def _matmul(left: str, right: str, result: str, x: ast.expr, w: ast.expr) -> ast.expr | None:
    """The product as a matrix product, if the letters are rows·inner and inner·columns, or the same in a batch."""
    if len({*left}) < len(left) or len({*right}) < len(right):
        return None
    shared = {*left} & {*right}
    if not {*left, *right} - {*result} <= shared:
        return None
    batch = "".join(letter for letter in result if letter in shared)
    if batch:
        return _batched(left, right, result, batch, x, w)
    inner = "".join(letter for letter in left if letter in shared)
    rows, columns = (part.translate({ord(c): None for c in inner}) for part in (left, right))
    if not inner or left != rows + inner or result != rows + columns or not rows or not columns:
        return None
    if right == columns + inner and len(right) == 2:
        right, w = inner + columns, fill("{w}.T", w=w)
    if right != inner + columns:
        return None
    if len(left) == len(right) == 2:
        return fill("{x} @ {w}", x=x, w=w)
    if len(inner) == 1:
        return fill("contract({x}, {w})", x=x, w=w)
    return fill("contract({x}, {w}, {axes})", x=x, w=w, axes=pyexpr.number(len(inner)))


def _batched(left: str, right: str, result: str, batch: str, x: ast.expr, w: ast.expr) -> ast.expr | None:
    """A stack of matrix products over leading axes."""
    n = len(batch)
    if not (left.startswith(batch) and right.startswith(batch) and result.startswith(batch)):
        return None
    a, b, c = left[n:], right[n:], result[n:]
    if not len(a) == len(b) == len(c) == 2 or a[0] != c[0] or b[-1] != c[-1] or a[1] != b[0] or a[1] in c:
        return None
    return fill("{x} @ {w}", x=x, w=w)
