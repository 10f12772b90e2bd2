"""How the strategies of `graphs` make elementwise ops and reductions.

Invariant: in numeric mode operands are mapped into a domain where the op is smooth, and only integers meet ops that
jump.
May import: the IR, `graph_state`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from bl_compiler.ir.ops_math import ANY_UNARY, COMPARE, FLOAT_UNARY, LOGICAL
from bl_compiler.ir.types import DType
from tests.strategies.graph_state import Build

Recipe = Callable[[Build, str], None]

_DOMAINS = {
    "exp": "small",
    "expm1": "small",
    "log": "positive",
    "log1p": "positive",
    "sqrt": "positive",
    "rsqrt": "positive",
    "tan": "small",
    "arcsin": "small",
    "arccos": "small",
    "sinh": "small",
    "cosh": "small",
    "lgamma": "positive",
    "digamma": "positive",
}
_JUMPS = ("sign", "floor", "ceil", "round")
_GROWS = ("square",)


def _short(op: str) -> str:
    return op.partition(".")[2]


def _unary(b: Build, op: str) -> None:
    name = _short(op)
    if b.numeric and name in _JUMPS:
        b.emit(op, b.int_array(), bound=10.0)
        return
    x = b.float_array() if b.numeric or b.integer(0, 3) else b.int_array()
    x = b.within(x, _DOMAINS.get(name, "real"))
    bound = b.bound(x)
    attrs: dict[str, object] = {}
    if name == "gelu" and not b.numeric:
        attrs["approximate"] = b.flag()
    b.emit(op, x, bound=bound**2 if name in _GROWS else max(bound + 1.0, 5.0), **attrs)


def _binary(b: Build, op: str) -> None:
    name = _short(op)
    if b.numeric and name in ("mod", "floor_div"):
        b.emit(op, b.int_array(), b.builder.const(b.integer(1, 3), DType.I32))
        return
    if not b.numeric and not b.integer(0, 3):
        x = b.int_array()
        b.emit(op, x, b.beside(x, floats=False))
        return
    left = b.float_array()
    right = b.beside(left)
    if not b.integer(0, 4):
        right = b.make("tensor.const", value=b.number(), dtype=left.tensor.dtype)
    if b.numeric and name == "div":
        right = b.within(right, "positive")
    elif b.numeric and name == "pow":
        left, right = b.within(left, "positive"), b.within(right, "small")
    elif b.numeric and name == "arctan2":
        right = b.within(right, "positive")
    if b.flag() and name not in ("div", "pow", "arctan2"):
        left, right = right, left
    bounds = b.bound(left), b.bound(right)
    grown = {"mul": bounds[0] * bounds[1], "div": bounds[0] * 4, "pow": 5.0, "arctan2": 4.0}
    b.emit(op, left, right, bound=grown.get(name, sum(bounds)))


def _compare(b: Build, op: str) -> None:
    x = b.int_array() if b.numeric or b.flag() else b.float_array()
    b.emit(op, x, b.beside(x, floats=x.tensor.dtype.is_float))


def _logical(b: Build, op: str) -> None:
    x = b.bool_array()
    b.emit(op, *([x] if op == "math.not" else [x, b.bool_array(x.tensor.dims)]))


def _select(b: Build, op: str) -> None:
    x = b.float_array()
    y = b.beside(x)
    condition = b.bool_array(x.tensor.dims)
    if not b.integer(0, 3):
        condition = b.builder.const(b.flag(), DType.BOOL)
    b.emit(op, condition, x, y, bound=b.bound(x, y))


def _reduce(b: Build, op: str) -> None:
    name = _short(op)
    x = b.bool_array() if name in ("any", "all") else b.float_array(0, 4)
    if not b.integer(0, 5) and name not in ("any", "all", "logsumexp"):
        x = b.int_array()
    rank = x.tensor.rank
    axes = tuple(i for i in range(rank) if b.flag())
    sizes = [size for i, size in enumerate(x.tensor.shape) if i in axes and isinstance(size, int)]
    if b.numeric and name == "prod":
        x = b.within(x, "small") if x.tensor.dtype.is_float else x
    grown = {"sum": b.bound(x) * prod(sizes), "logsumexp": b.bound(x) + 5.0}
    b.emit(op, x, bound=grown.get(name, b.bound(x)), axes=axes, keepdims=b.flag())


def _along(b: Build, op: str) -> None:
    name = _short(op)
    x = b.int_array(1, 3) if name in ("argmax", "argmin") and b.numeric else b.float_array(1, 3)
    axis = b.integer(0, x.tensor.rank - 1)
    size = x.tensor.shape[axis]
    grown = {"cumsum": b.bound(x) * (size if isinstance(size, int) else 1), "log_softmax": 2 * b.bound(x) + 5.0}
    b.emit(op, x, bound=grown.get(name, 2.0), axis=axis)


def _cast(b: Build, op: str) -> None:
    if b.numeric:
        x = b.int_array() if b.flag() else b.bool_array()
        b.emit(op, x, bound=4.0, dtype=b.any_of([DType.F32, DType.I32]))
        return
    x = b.any_of([b.float_array, b.int_array, b.bool_array])()
    b.emit(op, x, dtype=b.any_of(list(DType)))


def _same(b: Build, op: str) -> None:
    x = b.float_array()
    b.emit(op, x, bound=b.bound(x))


MATH_RECIPES: dict[str, Recipe] = {
    **{f"math.{name}": _unary for name in (*FLOAT_UNARY, *ANY_UNARY, "leaky_relu")},
    **{f"math.{name}": _binary for name in ("add", "sub", "mul", "max", "min", "mod", "floor_div")},
    **{f"math.{name}": _binary for name in ("div", "pow", "arctan2")},
    **{f"math.{name}": _compare for name in COMPARE},
    **{f"math.{name}": _logical for name in (*LOGICAL, "not")},
    "math.select": _select,
    **{
        f"math.{name}": _reduce
        for name in ("sum", "mean", "prod", "reduce_max", "reduce_min", "logsumexp", "any", "all")
    },
    **{f"math.{name}": _along for name in ("argmax", "argmin", "softmax", "log_softmax", "cumsum")},
    "math.cast": _cast,
    "math.stop_gradient": _same,
}
