"""How the strategies of `graphs` make distributions, densities, moments, draws and what models declare.

Invariant: in numeric mode parameters are moderate and values lie in the support. May import: the IR, `graph_state`.
"""

from __future__ import annotations

from bl_compiler.ir.constraints import PARAM_CONSTRAINTS
from bl_compiler.ir.families import FAMILIES, FamilyParam
from bl_compiler.ir.graph import Value
from bl_compiler.ir.improper import IMPROPER
from bl_compiler.ir.ops_dist import base_family, has_closed_form
from bl_compiler.ir.types import Dim, Dims, DistType, DType, TensorType
from tests.strategies.graph_state import PLATES, Build
from tests.strategies.recipes_math import Recipe

_HEAVY_TAILS = ("Cauchy", "StudentT", "InverseGamma")
_INITIALIZERS = (("constant", 0.5), ("normal", 0.0, 1.0), ("uniform", -1.0, 1.0), ("orthogonal", 1))
_VECTOR = Dim(3, "classes")
_JOINT = ("MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal")


def _family(b: Build, op: str) -> None:
    family = FAMILIES[op.removeprefix("dist.")]
    first = b.float_array(0, 2)
    if family.name == "Uniform" and b.numeric:
        low = b.make("tensor.full", value=-3.0, dtype=DType.F32, dims=first.tensor.dims)
        b.emit(op, low, b.builder.const(3.0, DType.F32))
        return
    b.emit(op, *[_parameter(b, param, first) for param in family.params])


def _parameter(b: Build, param: FamilyParam, first: Value) -> Value:
    if param.constraint == "nonnegative_integer":
        return b.builder.const(3, DType.I32)
    if param.constraint == "lower_cholesky":
        rows = tuple(tuple(0.7 if i >= j else 0.0 for j in range(3)) for i in range(3))
        return b.builder.const(rows, DType.F32)
    if param.event_ndim == 2:
        return b.fresh(TensorType(first.tensor.dtype, (*first.tensor.dims, _VECTOR, _VECTOR)))
    if param.event_ndim == 1:
        x = b.fresh(TensorType(first.tensor.dtype, (*first.tensor.dims, _VECTOR)))
    else:
        x = b.beside(first) if b.flag() else first
    return b.within(x, "positive") if param.constraint.startswith("positive") else x


def _some_distribution(b: Build, *, scalar: bool = False) -> Value:
    """Of the pool, or a new Normal."""
    found = [v for v in b.distributions() if not (scalar and isinstance(v.type, DistType) and v.type.event)]
    if found and b.integer(0, 4):
        return b.any_of(found[-6:])
    loc = b.float_array(0, 2)
    return b.make("dist.Normal", loc, b.within(b.beside(loc), "positive"))


def _dist_type(value: Value) -> DistType:
    assert isinstance(value.type, DistType)
    return value.type


def _expand(b: Build, op: str) -> None:
    d = _some_distribution(b)
    batch = _dist_type(d).batch
    outer = b.dims(0, 1, plates=not any(dim.is_plate for dim in batch))
    b.emit(op, d, dims=(*outer, *batch))


def _independent(b: Build, op: str) -> None:
    d = _some_distribution(b)
    b.emit(op, d, ndims=b.integer(0, len(_dist_type(d).batch)))


def _reshape_event(b: Build, op: str) -> None:
    """Of a Gaussian vector of size 3 or a matrix of 3 by 3."""
    found = [v for v in b.distributions() if _dist_type(v).family in _JOINT]
    if not found:
        _family(b, f"dist.{b.any_of(_JOINT)}")
        found = b.distributions()[-1:]
    d = b.any_of(found[-6:])
    sizes = (3, 1) if len(_dist_type(d).event) == 1 else b.any_of([(9,), (1, 9), (3, 1, 3)])
    b.emit(op, d, dims=tuple(Dim(size) for size in sizes))


def _mixture(b: Build, op: str) -> None:
    batch = (*b.dims(0, 1), Dim(b.integer(1, 3), "component"))
    loc = b.fresh(TensorType(DType.F32, batch))
    components = b.make("dist.Normal", loc, b.within(loc, "positive"))
    b.emit(op, b.fresh(TensorType(DType.F32, batch)), components)


def _in_support(b: Build, d: DistType) -> Value | None:
    """A value to evaluate the density at."""
    dims, build = d.batch + d.event, b.builder
    if d.support in ("boolean", "nonnegative_integer", "count", "category"):
        x = b.fresh(TensorType(DType.I32, dims))
        return build.binary("min", x, 1) if b.numeric and d.support in ("boolean", "category") else x
    if d.support == "one_hot":
        index = build.binary("min", b.fresh(TensorType(DType.I32, d.batch)), 2)
        return build.add("tensor.one_hot", index, classes=3, dtype=DType.F32)
    if d.support == "count_vector":
        return (
            b.make("tensor.broadcast", build.const((3, 0, 0), DType.I32), dims=dims) if d.event[0].size == 3 else None
        )
    x = b.fresh(TensorType(DType.F32, dims))
    if d.support == "simplex" and b.numeric:
        return build.add("math.softmax", x, axis=len(dims) - 1)
    domain = {"positive": "positive", "nonnegative": "positive", "unit_interval": "unit", "interval": "small"}
    return b.within(x, domain.get(d.support, "real"))


def _log_prob(b: Build, op: str) -> None:
    d = _some_distribution(b)
    x = _in_support(b, _dist_type(d))
    if x is not None:
        b.emit(op, d, x, bound=40.0)


def _moment(b: Build, op: str) -> None:
    d = _some_distribution(b)
    if not (b.numeric and any(name in _dist_type(d).family for name in _HEAVY_TAILS)):
        b.emit(op, d, bound=20.0)


def _probs(b: Build, op: str) -> None:
    d = b.make("dist.Categorical", b.fresh(TensorType(DType.F32, (*b.dims(0, 1), _VECTOR))))
    b.emit(op, d, classes=3)


def _kl(b: Build, op: str) -> None:
    q = _some_distribution(b)
    within = len(_dist_type(q).event)
    if base_family(_dist_type(q)) in _JOINT and b.flag():
        # One law per element of the event, the prior that closed forms of joint posteriors are mostly for.
        loc = b.fresh(TensorType(DType.F32, _dist_type(q).event[b.integer(0, within) :]))
        wide = b.make("dist.expand", b.make("dist.Normal", loc, b.within(loc, "positive")), dims=_dist_type(q).event)
        b.emit(op, q, b.make("dist.independent", wide, ndims=within), bound=40.0)
        return
    others = [p for p in b.distributions() if has_closed_form(_dist_type(q), _dist_type(p))]
    b.emit(op, q, b.any_of([*others, q][-6:]), bound=40.0)


def _improper(b: Build, op: str) -> None:
    """There is nothing to draw from it, so it stays out of the pool: its divergence is what it is for."""
    loc = b.float_array(0, 2)
    q = b.make("dist.Normal", loc, b.within(b.beside(loc), "positive"))
    b.emit("prob.kl", q, b.builder.add(op), bound=40.0)


# --- what has an effect ----------------------------------------------------------------------------------------------


def _drawn(b: Build, op: str) -> None:
    b.emit(op, _some_distribution(b), site=b.unique("draw"))


def _sign(b: Build, op: str) -> None:
    b.emit(op, dims=b.dims(), dtype=b.float_type(), site=b.unique("signs"))


def _like(b: Build, dims: Dims) -> Value:
    return b.fresh(TensorType(DType.F32, dims))


def _sample(b: Build, op: str) -> None:
    prior = _some_distribution(b)
    dims = _dist_type(prior).sample_type.dims
    posterior = b.any_of([v for v in b.distributions() if _dist_type(v).sample_type.dims == dims])
    b.emit(op, prior, posterior, site=b.unique("logits/dense/kernel"))


def _point(b: Build, op: str) -> None:
    prior = _some_distribution(b)
    b.emit(op, prior, _like(b, _dist_type(prior).sample_type.dims), site=b.unique("point"))


def _observe(b: Build, op: str) -> None:
    d = _some_distribution(b)
    x = _like(b, _dist_type(d).sample_type.dims)
    mask = [b.bool_array(_dist_type(d).batch)] if b.flag() else []
    b.emit(op, x, d, *mask, site=b.unique("odd site"))


def _param(b: Build, op: str) -> None:
    type_ = TensorType(b.float_type(), b.dims(plates=False))
    attrs: dict[str, object] = {}
    if op == "model.param" and b.flag():
        attrs = {"constraint": b.any_of(PARAM_CONSTRAINTS), "low": -1.0}
    b.emit(op, path=b.unique("w"), type=type_, init=b.any_of(_INITIALIZERS), **attrs)


def _initialize(b: Build, op: str) -> None:
    path = b.unique("w")
    type_ = TensorType(DType.F32, b.dims(plates=False))
    b.emit(op, path=path, type=type_, init=b.any_of(_INITIALIZERS), site=path)


def _input(b: Build, op: str) -> None:
    b.fresh(TensorType(b.any_of([b.float_type(), b.integer_type(), DType.BOOL]), b.dims()))


def _constrain(b: Build, op: str) -> None:
    constraint = b.any_of(PARAM_CONSTRAINTS)
    if constraint == "lower_cholesky":
        x = b.fresh(TensorType(DType.F32, (*b.dims(0, 1), Dim(2), Dim(2))))
    else:
        x = b.float_array(1, 3)
    x = b.within(x, "small")
    attrs: dict[str, object] = {"constraint": constraint, "low": -2.0, "high": 3.0}
    if op == "param.unconstrain":
        x = b.builder.add("param.constrain", x, **attrs)
    b.emit(op, x, bound=20.0, **attrs)


def _predict(b: Build, op: str) -> None:
    b.emit(op, b.float_array(), key=b.unique("prediction"))


def _update(b: Build, op: str) -> None:
    state = b.make("model.state", path=b.unique("s"), type=TensorType(DType.F32, ()), init=("constant", 0.0))
    b.emit(op, state, path=b.builder.nodes[-1].attrs["path"])


def _phase(b: Build, op: str) -> None:
    x = b.float_array()
    same = [v for v in b.pool if v.type == x.type]
    b.emit(op, x, b.any_of(same[-6:]) if same else x, bound=b.bound(x))


def _plate_size(b: Build, op: str) -> None:
    b.emit(op, plate=b.any_of([plate.name for plate in PLATES]))


def _step(b: Build, op: str) -> None:
    b.emit(op)


DIST_RECIPES: dict[str, Recipe] = {
    **{family.op: _family for family in FAMILIES.values()},
    **{family.op: _improper for family in IMPROPER.values()},
    "dist.expand": _expand,
    "dist.independent": _independent,
    "dist.reshape_event": _reshape_event,
    "dist.mixture": _mixture,
    "prob.log_prob": _log_prob,
    "prob.mean": _moment,
    "prob.variance": _moment,
    "prob.probs": _probs,
    "prob.kl": _kl,
    "param.constrain": _constrain,
    "param.unconstrain": _constrain,
    "model.phase": _phase,
    "model.plate_size": _plate_size,
    "model.step": _step,
}
EFFECT_RECIPES: dict[str, Recipe] = {
    "random.draw": _drawn,
    "random.sign": _sign,
    "model.sample": _sample,
    "model.point": _point,
    "model.noise": _drawn,
    "model.observe": _observe,
}
DECLARATION_RECIPES: dict[str, Recipe] = {
    "model.input": _input,
    "model.param": _param,
    "model.state": _param,
    "param.initialize": _initialize,
    "model.predict": _predict,
    "model.update": _update,
}
"""These stand in functions only, not in regions."""

NOT_NUMERIC = ("model.phase", "model.plate_size", "model.step")
"""Ops whose value no feed alone decides."""
