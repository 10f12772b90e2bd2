"""Elementwise ops and reductions.

Invariant: elementwise ops broadcast as NumPy does. May import: floor 0, `types`, `attrs`, `opspec`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.opspec import REQUIRED, InferRule, OpSpec, PlateRule
from bl_compiler.ir.types import Dim, DType, TensorType, Type, TypeRuleError, broadcast_dims, promote, tensor

Result = tuple[Type, ...]

# name -> (doc, linear in its operand)
FLOAT_UNARY: dict[str, tuple[str, bool]] = {
    "exp": ("e to the x", False),
    "expm1": ("e to the x, less 1", False),
    "log": ("natural logarithm", False),
    "log1p": ("logarithm of 1 + x", False),
    "sqrt": ("square root", False),
    "rsqrt": ("reciprocal square root", False),
    "sin": ("sine", False),
    "cos": ("cosine", False),
    "tan": ("tangent", False),
    "arcsin": ("inverse sine", False),
    "arccos": ("inverse cosine", False),
    "arctan": ("inverse tangent", False),
    "sinh": ("hyperbolic sine", False),
    "cosh": ("hyperbolic cosine", False),
    "tanh": ("hyperbolic tangent", False),
    "sigmoid": ("logistic function", False),
    "log_sigmoid": ("logarithm of the logistic function", False),
    "softplus": ("log(1 + e^x)", False),
    "erf": ("error function", False),
    "lgamma": ("logarithm of the gamma function's absolute value", False),
    "digamma": ("derivative of lgamma", False),
    "gelu": ("Gaussian error linear unit; tanh form where `approximate`", False),
    "silu": ("x times its logistic function (swish)", False),
    "elu": ("exponential linear unit", False),
    "selu": ("scaled exponential linear unit", False),
}
ANY_UNARY: dict[str, tuple[str, bool]] = {
    "neg": ("negative", True),
    "abs": ("absolute value", False),
    "sign": ("-1, 0 or 1", False),
    "floor": ("greatest integer not above", False),
    "ceil": ("least integer not below", False),
    "round": ("nearest integer, halves to even", False),
    "square": ("square", False),
    "relu": ("max(x, 0)", False),
}
BINARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "add": ("sum", ()),
    "sub": ("difference", ()),
    "mul": ("product", ("a", "b")),
    "max": ("greater of two", ()),
    "min": ("lesser of two", ()),
    "mod": ("remainder with the divisor's sign", ()),
    "floor_div": ("quotient rounded down", ()),
}
FLOAT_BINARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "div": ("quotient", ("a",)),
    "pow": ("a to the b", ()),
    "arctan2": ("angle of (b, a)", ()),
}
COMPARE: dict[str, str] = {
    "eq": "equal",
    "ne": "unequal",
    "lt": "less",
    "le": "at most",
    "gt": "greater",
    "ge": "at least",
}
LOGICAL: dict[str, str] = {"and": "both", "or": "either"}
REDUCE: dict[str, tuple[str, bool]] = {
    "sum": ("sum", True),
    "mean": ("arithmetic mean", True),
    "prod": ("product", False),
    "reduce_max": ("greatest", False),
    "reduce_min": ("least", False),
    "logsumexp": ("log of the sum of exponentials", False),
    "any": ("whether any is true", False),
    "all": ("whether all are true", False),
}


def _floating(dtype: DType) -> DType:
    return dtype if dtype.is_float else DType.F32


def _float_unary(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    return (x.with_dtype(_floating(x.dtype)),)


def _any_unary(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    if x.dtype is DType.BOOL:
        raise TypeRuleError("arithmetic on bool; cast it first")
    return (x,)


def _binary(types: Sequence[Type], attrs: Attrs) -> Result:
    a, b = tensor(types[0]), tensor(types[1])
    dtype = promote(a.dtype, b.dtype)
    return (TensorType(DType.I32 if dtype is DType.BOOL else dtype, broadcast_dims(a.dims, b.dims)),)


def _float_binary(types: Sequence[Type], attrs: Attrs) -> Result:
    (found,) = _binary(types, attrs)
    return (tensor(found).with_dtype(_floating(tensor(found).dtype)),)


def _compare(types: Sequence[Type], attrs: Attrs) -> Result:
    return (TensorType(DType.BOOL, broadcast_dims(tensor(types[0]).dims, tensor(types[1]).dims)),)


def _logical(types: Sequence[Type], attrs: Attrs) -> Result:
    for type_ in types:
        if tensor(type_).dtype is not DType.BOOL:
            raise TypeRuleError(f"expected bool, found {tensor(type_).dtype}")
    return (TensorType(DType.BOOL, broadcast_dims(*(tensor(t).dims for t in types))),)


def _select(types: Sequence[Type], attrs: Attrs) -> Result:
    condition, a, b = map(tensor, types)
    if condition.dtype is not DType.BOOL:
        raise TypeRuleError(f"the condition of `select` is {condition.dtype}, not bool")
    return (TensorType(promote(a.dtype, b.dtype), broadcast_dims(condition.dims, a.dims, b.dims)),)


def check_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """`axes` if they are distinct and within `rank` (canonical: nonnegative)."""
    if any(not 0 <= a < rank for a in axes) or len(set(axes)) < len(axes):
        raise TypeRuleError(f"axes {list(axes)} of an array with {rank} dimensions")
    return tuple(axes)


def reduced_dims(dims: Sequence[Dim], axes: Sequence[int], *, keepdims: bool) -> tuple[Dim, ...]:
    """`dims` after reduction over `axes`."""
    if keepdims:
        return tuple(Dim(1) if i in axes else d for i, d in enumerate(dims))
    return tuple(d for i, d in enumerate(dims) if i not in axes)


def _reduce(name: str) -> InferRule:
    def infer(types: Sequence[Type], attrs: Attrs) -> Result:
        x = tensor(types[0])
        axes = check_axes(attrs.integers("axes"), x.rank)
        dtype = x.dtype
        if name in ("any", "all"):
            if dtype is not DType.BOOL:
                raise TypeRuleError(f"expected bool, found {dtype}")
        elif name in ("mean", "logsumexp"):
            dtype = _floating(dtype)
        elif name in ("sum", "prod") and dtype in (DType.BOOL, DType.U8):
            dtype = DType.I32
        return (TensorType(dtype, reduced_dims(x.dims, axes, keepdims=attrs.flag("keepdims"))),)

    return infer


def _arg_reduce(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    (axis,) = check_axes((attrs.integer("axis"),), x.rank)
    return (TensorType(DType.I32, reduced_dims(x.dims, (axis,), keepdims=False)),)


def _along(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    check_axes((attrs.integer("axis"),), x.rank)
    return (x.with_dtype(_floating(x.dtype)),)


def _cumsum(types: Sequence[Type], attrs: Attrs) -> Result:
    x = tensor(types[0])
    check_axes((attrs.integer("axis"),), x.rank)
    return (x.with_dtype(DType.I32) if x.dtype in (DType.BOOL, DType.U8) else x,)


def _cast(types: Sequence[Type], attrs: Attrs) -> Result:
    return (tensor(types[0]).with_dtype(attrs.dtype("dtype")),)


def _same(types: Sequence[Type], attrs: Attrs) -> Result:
    return (tensor(types[0]),)


_UNARY_ATTRS: dict[str, dict[str, object]] = {"gelu": {"approximate": True}, "elu": {"alpha": 1.0}}

MATH_OPS: tuple[OpSpec, ...] = (
    *(
        OpSpec(f"math.{n}", ("x",), _float_unary, doc, _UNARY_ATTRS.get(n, {}), linear=("x",) if lin else ())
        for n, (doc, lin) in FLOAT_UNARY.items()
    ),
    *(
        OpSpec(f"math.{n}", ("x",), _any_unary, doc, linear=("x",) if lin else ())
        for n, (doc, lin) in ANY_UNARY.items()
    ),
    *(OpSpec(f"math.{n}", ("a", "b"), _binary, doc, linear=lin) for n, (doc, lin) in BINARY.items()),
    *(OpSpec(f"math.{n}", ("a", "b"), _float_binary, doc, linear=lin) for n, (doc, lin) in FLOAT_BINARY.items()),
    *(OpSpec(f"math.{n}", ("a", "b"), _compare, doc) for n, doc in COMPARE.items()),
    *(OpSpec(f"math.{n}", ("a", "b"), _logical, doc) for n, doc in LOGICAL.items()),
    OpSpec("math.not", ("x",), _logical, "negation"),
    OpSpec("math.select", ("condition", "a", "b"), _select, "a where the condition holds, else b"),
    OpSpec("math.leaky_relu", ("x",), _float_unary, "x, or `slope` times x below 0", {"slope": 0.01}),
    *(
        OpSpec(
            f"math.{n}",
            ("x",),
            _reduce(n),
            f"{doc} over `axes`",
            {"axes": REQUIRED, "keepdims": False},
            plates=PlateRule.AXES,
            linear=("x",) if lin else (),
        )
        for n, (doc, lin) in REDUCE.items()
    ),
    *(
        OpSpec(
            f"math.{n}",
            ("x",),
            _arg_reduce,
            f"index of the {d} along `axis`",
            {"axis": REQUIRED},
            plates=PlateRule.AXES,
        )
        for n, d in (("argmax", "greatest"), ("argmin", "least"))
    ),
    OpSpec(
        "math.softmax",
        ("x",),
        _along,
        "exponentials scaled to sum to 1 along `axis`",
        {"axis": REQUIRED},
        plates=PlateRule.AXES,
    ),
    OpSpec(
        "math.log_softmax", ("x",), _along, "log of softmax along `axis`", {"axis": REQUIRED}, plates=PlateRule.AXES
    ),
    OpSpec(
        "math.cumsum",
        ("x",),
        _cumsum,
        "running sum along `axis`",
        {"axis": REQUIRED},
        plates=PlateRule.AXES,
        linear=("x",),
    ),
    OpSpec("math.cast", ("x",), _cast, "the same numbers in another element type", {"dtype": REQUIRED}, linear=("x",)),
    OpSpec("math.stop_gradient", ("x",), _same, "x, with derivative 0"),
)
