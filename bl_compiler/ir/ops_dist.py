"""Distributions as values, their densities and moments, and draws from them.

Invariant: a distribution's batch dimensions broadcast its parameters'.
May import: floor 0, `types`, `attrs`, `opspec`, `families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES, Family
from bl_compiler.ir.improper import IMPROPER
from bl_compiler.ir.opspec import REQUIRED, Effect, InferRule, OpSpec, PlateRule
from bl_compiler.ir.types import (
    Dim,
    Dims,
    DistType,
    DType,
    TensorType,
    Type,
    TypeRuleError,
    broadcast_dims,
    dims_text,
    distribution,
    promote,
    static_size,
    tensor,
)

Result = tuple[Type, ...]


def family_dtype(family: Family, dtype: DType) -> DType:
    """The element type of draws from a family whose parameters have `dtype`."""
    return DType.I32 if family.discrete else dtype


def _family(family: Family) -> InferRule:
    def infer(types: Sequence[Type], attrs: Attrs) -> Result:
        dtype: DType | None = None
        batches: list[Dims] = []
        spans: list[Dims] = []
        for param, type_ in zip(family.params, types, strict=True):
            x = tensor(type_)
            if x.rank < param.event_ndim:
                raise TypeRuleError(
                    f"`{param.name}` of {family.name} needs {param.event_ndim} dimensions, found {dims_text(x.dims)}"
                )
            split = x.rank - param.event_ndim
            batches.append(x.dims[:split])
            spans.append(x.dims[split:])
            if param.name != "total_count" or family.name == "NegativeBinomial":
                found = x.dtype if x.dtype.is_float else DType.F32
                dtype = found if dtype is None else promote(dtype, found)
        batch, event = broadcast_dims(*batches), _event(family, spans)
        assert dtype is not None
        return (
            DistType(family.name, family_dtype(family, dtype), batch, event, family.support, family.reparameterized),
        )

    return infer


def _event(family: Family, spans: Sequence[Dims]) -> Dims:
    """The dimensions of one draw, from those that one element of each parameter spans."""
    known: dict[str, Dim] = {}
    rows = list(zip(family.params, spans, strict=True)) if family.letters else []
    for _, dims in (row for row in rows if row[0].letters == family.letters):
        for letter, dim in zip(family.letters, dims, strict=True):
            known[letter] = _join_event(known.get(letter), dim, family, dims)
    # Arrays of one number per element broadcast to the event; matrices do not, as the result would be singular.
    for param, dims in (row for row in rows if row[0].letters != family.letters):
        for letter, dim in zip(param.letters, dims, strict=True):
            known[letter] = dim if letter not in known or known[letter].size == 1 else known[letter]
        wanted = [known[letter].size for letter in param.letters]
        if [d.size for d in dims] != wanted:
            shape = f"square matrices of size {wanted[0]}" if len(set(param.letters)) == 1 else f"{wanted[0]} rows"
            raise TypeRuleError(f"`{param.name}` of {family.name} needs {shape}, found {dims_text(dims)}")
    return tuple(known[letter] for letter in family.letters)


def _join_event(known: Dim | None, found: Dim, family: Family, dims: Dims) -> Dim:
    if known is None or known.size == 1:
        return found
    if found.size not in (known.size, 1):
        raise TypeRuleError(f"parameters of {family.name} have events of size {known} and {dims_text(dims)}")
    return known


def _improper(family: Family) -> InferRule:
    made = DistType(family.name, DType.F32, support=family.support, reparameterized=family.reparameterized)
    return lambda types, attrs: (made,)


def _expand(types: Sequence[Type], attrs: Attrs) -> Result:
    d, dims = distribution(types[0]), attrs.dims("dims")
    if len(broadcast_dims(d.batch, dims)) != len(dims) or broadcast_dims(d.batch, dims) != broadcast_dims(
        dims, d.batch
    ):
        raise TypeRuleError(f"cannot expand a batch {dims_text(d.batch)} to {dims_text(dims)}")
    if any(a.size != b.size for a, b in zip(broadcast_dims(d.batch, dims), dims, strict=True)):
        raise TypeRuleError(f"cannot expand a batch {dims_text(d.batch)} to {dims_text(dims)}")
    return (DistType(d.family, d.dtype, tuple(dims), d.event, d.support, d.reparameterized),)


def _independent(types: Sequence[Type], attrs: Attrs) -> Result:
    d, count = distribution(types[0]), attrs.integer("ndims")
    if not 0 <= count <= len(d.batch):
        raise TypeRuleError(f"{count} event dimensions from a batch {dims_text(d.batch)}")
    if count == 0:
        return (d,)
    split = len(d.batch) - count
    family = d.family if d.family.startswith("Independent(") else f"Independent({d.family})"
    return (
        DistType(
            family,
            d.dtype,
            d.batch[:split],
            d.batch[split:] + d.event,
            d.support,
            d.reparameterized,
        ),
    )


def _reshape_event(types: Sequence[Type], attrs: Attrs) -> Result:
    d, dims = distribution(types[0]), attrs.dims("dims")
    family = FAMILIES.get(d.family)
    if family is None or family.support not in ("real_vector", "real_matrix"):
        raise TypeRuleError(f"only the event of a Gaussian vector or matrix can be reshaped, found {d}")
    sizes = [[static_size(s.size, "an event that is reshaped") for s in shape] for shape in (d.event, dims)]
    if prod(sizes[0]) != prod(sizes[1]):
        raise TypeRuleError(f"cannot reshape an event {dims_text(d.event)} to {dims_text(dims)}")
    return (DistType(f"Reshaped({d.family})", d.dtype, d.batch, tuple(dims), d.support, d.reparameterized),)


def _mixture(types: Sequence[Type], attrs: Attrs) -> Result:
    logits, d = tensor(types[0]), distribution(types[1])
    if logits.rank < 1 or not d.batch:
        raise TypeRuleError("a mixture needs a last axis of components in its weights and in its components' batch")
    if logits.dims[-1].size not in (d.batch[-1].size, 1) and d.batch[-1].size != 1:
        raise TypeRuleError(f"{logits.dims[-1]} mixture weights for {d.batch[-1]} components")
    batch = broadcast_dims(logits.dims[:-1], d.batch[:-1])
    return (DistType(f"Mixture({d.family})", d.dtype, batch, d.event, d.support, reparameterized=False),)


def _log_prob(types: Sequence[Type], attrs: Attrs) -> Result:
    d, x = distribution(types[0]), tensor(types[1])
    check_event(d, x)
    dtype = d.dtype if d.dtype.is_float else DType.F32
    return (TensorType(dtype, broadcast_dims(d.batch, x.dims[: x.rank - len(d.event)])),)


def check_event(d: DistType, x: TensorType) -> None:
    """Raise `TypeRuleError` unless `x` can be a value of `d`, as far as its events' sizes and numbers' kind tell."""
    if x.rank < len(d.event):
        raise TypeRuleError(f"a value {dims_text(x.dims)} for events {dims_text(d.event)}")
    for a, b in zip(d.event, x.dims[x.rank - len(d.event) :], strict=True):
        if a.size != b.size:
            raise TypeRuleError(f"a value {dims_text(x.dims)} for events {dims_text(d.event)}")
    if CONSTRAINTS[d.support].discrete and x.dtype.is_float and not d.dtype.is_float:
        return
    if not CONSTRAINTS[d.support].discrete and not x.dtype.is_float:
        raise TypeRuleError(f"{d.family} is a distribution over real numbers and the value is {x.dtype}")


def _moment(types: Sequence[Type], attrs: Attrs) -> Result:
    d = distribution(types[0])
    dtype = d.dtype if d.dtype.is_float else DType.F32
    if d.family.rpartition("(")[2].rstrip(")") == "Categorical":
        raise TypeRuleError("class labels have no mean or variance; use `probs`")
    return (TensorType(dtype, d.batch + d.event),)


def _probs(types: Sequence[Type], attrs: Attrs) -> Result:
    d = distribution(types[0])
    if d.family != "Categorical":
        raise TypeRuleError(f"{d.family} has no class probabilities")
    return (TensorType(DType.F32, (*d.batch, Dim(attrs.integer("classes")))),)


def _kl(types: Sequence[Type], attrs: Attrs) -> Result:
    q, p = distribution(types[0]), distribution(types[1])
    if not has_closed_form(q, p):
        raise TypeRuleError(f"no closed form for KL({q.family} ‖ {p.family})")
    if [d.size for d in q.event] != [d.size for d in p.event]:
        raise TypeRuleError(f"events {dims_text(q.event)} and {dims_text(p.event)} differ")
    return (TensorType(q.dtype if q.dtype.is_float else DType.F32, broadcast_dims(q.batch, p.batch)),)


_WRAPPERS = ("Independent(", "Reshaped(")


def base_family(d: DistType) -> str:
    """The family under `Independent` and `Reshaped`.

    >>> base_family(DistType("Independent(Reshaped(MatrixNormal))", DType.F32))
    'MatrixNormal'
    """
    name = d.family
    while name.startswith(_WRAPPERS):
        name = name.partition("(")[2][:-1]
    return name


def base_pair(q: DistType, p: DistType) -> tuple[str, str]:
    """The families of a pair, to look up its closed form."""
    return base_family(q), base_family(p)


def has_closed_form(q: DistType, p: DistType) -> bool:
    """Whether KL(q ‖ p) has a closed form, as far as families tell.

    One family's joint law over an event meets another's element by element, or axis by axis of the family's own event:
    not where one of two joint laws was reshaped.
    """
    family = FAMILIES.get(base_family(p))
    joint = family is not None and family.event_ndim > 0
    return base_pair(q, p) in CLOSED_FORM_KL and not (joint and "Reshaped(" in q.family + p.family)


def _draw(types: Sequence[Type], attrs: Attrs) -> Result:
    return (distribution(types[0]).sample_type,)


def _sign(types: Sequence[Type], attrs: Attrs) -> Result:
    dtype = attrs.dtype("dtype")
    if not dtype.is_float:
        raise TypeRuleError(f"signs are floats, not {dtype}")
    return (TensorType(dtype, attrs.dims("dims")),)


DIST_OPS: tuple[OpSpec, ...] = (
    *(OpSpec(f.op, tuple(p.name for p in f.params), _family(f), f"{f.doc} distribution") for f in FAMILIES.values()),
    *(OpSpec(f.op, (), _improper(f), f"{f.doc} prior", plates=PlateRule.NONE) for f in IMPROPER.values()),
    OpSpec("dist.expand", ("d",), _expand, "independent copies over batch `dims`", {"dims": REQUIRED}),
    OpSpec(
        "dist.independent",
        ("d",),
        _independent,
        "the last `ndims` batch axes made event axes",
        {"ndims": REQUIRED},
        plates=PlateRule.AXES,
    ),
    OpSpec(
        "dist.reshape_event",
        ("d",),
        _reshape_event,
        "the same elements, of a Gaussian vector or matrix, with event dimensions `dims` (the last index fastest)",
        {"dims": REQUIRED},
        plates=PlateRule.AXES,
    ),
    OpSpec("dist.mixture", ("logits", "components"), _mixture, "mixture over the last batch axis of `components`"),
    OpSpec("prob.log_prob", ("d", "x"), _log_prob, "log density or log mass"),
    OpSpec("prob.mean", ("d",), _moment, "expectation, per element (NaN where it does not exist)"),
    OpSpec("prob.variance", ("d",), _moment, "variance, per element (NaN or infinite where it does not exist)"),
    OpSpec("prob.probs", ("d",), _probs, "probabilities of the classes on a new last axis", {"classes": REQUIRED}),
    OpSpec("prob.kl", ("q", "p"), _kl, "closed-form Kullback-Leibler divergence KL(q ‖ p) per batch element"),
    OpSpec(
        "random.draw",
        ("d",),
        _draw,
        "one draw, reparameterized where the family can be; `estimator` is the one asked for, or chosen by a pass",
        {"estimator": "auto"},
        Effect.DRAWS,
    ),
    OpSpec(
        "random.sign",
        (),
        _sign,
        "independent signs, -1.0 or 1.0 with equal probability",
        {"dims": REQUIRED, "dtype": DType.F32},
        Effect.DRAWS,
    ),
)
