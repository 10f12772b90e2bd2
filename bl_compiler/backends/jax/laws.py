"""Densities, draws, moments and divergences of distributions as expressions over their parameters.

A distribution is no value at run time: expansions broadcast, independent axes are summed over, mixtures are reduced
over their last axis, and a family is a call of its function in `runtime`. Invariant: an expression of this file has the
dimensions that the op's type rule states. May import: floors 0-1, `pyexpr`, `context`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, FamilyLaw, Law, MixtureLaw
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.types import Dim, Dims, DType, broadcast_dims

UNDEFINED_MOMENTS = {
    ("Cauchy", "mean"): nan,
    ("Cauchy", "variance"): nan,
    ("HalfCauchy", "mean"): inf,
    ("HalfCauchy", "variance"): inf,
    ("LogUniform", "mean"): nan,
    ("LogUniform", "variance"): nan,
}
"""Moments that are one number whatever the parameters."""

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def snake(family: str) -> str:
    """The name of a family within the names of its functions.

    >>> snake("MultivariateNormal"), snake("StudentT")
    ('multivariate_normal', 'student_t')
    """
    return _WORD.sub("_", family).lower()


def density_dtype(law: Law) -> DType:
    """The element type of log densities and moments."""
    return law.dtype if law.dtype.is_float else DType.F32


def log_prob(cx: Context, law: Law, x: ast.expr, dims: Dims) -> tuple[ast.expr, Dims]:
    """The log density of `x`, whose dimensions are `dims`, and its dimensions."""
    split = len(dims) - law.event_ndim + law.independent
    if isinstance(law, MixtureLaw):
        found, has = _mixture_log_prob(cx, law, x, dims)
    else:
        params = cx.together(law.params, density_dtype(law), meets_array=True)
        if law.reshaped is not None:
            x = _reshaped(cx, x, dims[:split] + law.event)
        found = fill("{f}({x}, {params})", f=_function(law, "log_prob"), x=x, params=params)
        has = broadcast_dims(dims[:split], *_param_batches(law))
    wanted = broadcast_dims(law.batch, dims[:split])
    return _summed(cx, _spread(cx, found, has, wanted), wanted, law.independent)


def _mixture_log_prob(cx: Context, law: MixtureLaw, x: ast.expr, dims: Dims) -> tuple[ast.expr, Dims]:
    within = law.components.event_ndim
    split = len(dims) - within
    widened = fill("jnp.expand_dims({x}, {axis})", x=x, axis=pyexpr.number(-1 - within))
    each, has = log_prob(cx, law.components, widened, (*dims[:split], Dim(1), *dims[split:]))
    logits = cx.array(law.logits, density_dtype(law))
    found = fill("mixture_log_prob({logits}, {each})", logits=logits, each=each)
    return found, broadcast_dims(law.logits.tensor.dims, has)[:-1]


def sample(cx: Context, law: Law, key: ast.expr) -> ast.expr:
    """A draw, of the dimensions batch and event."""
    if isinstance(law, MixtureLaw):
        return _mixture_sample(cx, law, key)
    dtype = density_dtype(law)
    params = cx.together(law.params, dtype, meets_array=True)
    shape = cx.shape(law.batch + law.event)
    parts = {"f": _function(law, "sample"), "key": key, "shape": shape, "dtype": pyexpr.dtype(dtype)}
    if law.family.discrete or dtype is DType.F32:
        found = fill("{f}({key}, {params}, {shape})", params=params, **parts)
    else:
        found = fill("{f}({key}, {params}, {shape}, {dtype})", params=params, **parts)
    return found if law.reshaped is None else _reshaped(cx, found, law.batch + law.reshaped)


def _mixture_sample(cx: Context, law: MixtureLaw, key: ast.expr) -> ast.expr:
    components, logits = law.components, law.logits
    at = len(components.batch) - components.independent
    (axis,) = broadcast_dims(logits.tensor.dims[-1:], components.batch[at - 1 : at])
    whole = replace(components, batch=(*law.batch, axis, *components.batch[at:]))
    stream = pyexpr.name(cx.variable("key", key))
    return fill(
        "mixture_choose(jax.random.fold_in({key}, 0), {logits}, {draws}, {event_ndim})",
        key=stream,
        logits=cx.array(logits),
        draws=sample(cx, whole, fill("jax.random.fold_in({key}, 1)", key=stream)),
        event_ndim=pyexpr.number(components.event_ndim),
    )


def moment(cx: Context, law: Law, which: str) -> tuple[ast.expr, Dims]:
    """The expectation or variance per element, and its dimensions."""
    dtype = density_dtype(law)
    if isinstance(law, MixtureLaw):
        found, has, wanted = *_mixture_moment(cx, law, which), law.batch + _event_dims(law)
    else:
        wanted = law.batch + law.event
        undefined = UNDEFINED_MOMENTS.get((law.family.name, which))
        if undefined is not None:
            assert law.reshaped is None, law
            parts = {"shape": cx.shape(wanted), "value": pyexpr.number(undefined), "dtype": pyexpr.dtype(dtype)}
            return fill("jnp.full({shape}, {value}, {dtype})", **parts), wanted
        # No bare literals: a moment may be one of the parameters as it stands.
        found = fill("{f}({params})", f=_function(law, which), params=[cx.array(v, dtype) for v in law.params])
        has = _common_dims(law)
    found = _spread(cx, found, has, wanted)
    if isinstance(law, FamilyLaw) and law.reshaped is not None:
        wanted = law.batch + law.reshaped
        found = _reshaped(cx, found, wanted)
    return found, wanted


def _common_dims(law: FamilyLaw) -> Dims | None:
    """The dimensions of any function of the parameters; None where one that ignores some of them is smaller."""
    batches = _param_batches(law)
    if len({tuple(_sizes(dims)) for dims in batches}) > 1:
        return None
    whole = dict(zip(law.family.letters, _sizes(law.event), strict=True))
    for param, value in zip(law.family.params, law.params, strict=True):
        own = zip(param.letters, _sizes(value.tensor.dims[value.tensor.rank - param.event_ndim :]), strict=True)
        if any(whole.get(letter, size) != size for letter, size in own):
            return None
    return batches[0] + law.event


def _mixture_moment(cx: Context, law: MixtureLaw, which: str) -> tuple[ast.expr, Dims | None]:
    means, dims = moment(cx, law.components, "mean")
    logits = cx.array(law.logits, density_dtype(law))
    event_ndim = law.components.event_ndim
    parts = {"logits": logits, "event_ndim": pyexpr.number(event_ndim)}
    split = len(dims) - event_ndim
    has = broadcast_dims(law.logits.tensor.dims, dims[:split])[:-1] + dims[split:]
    if which == "mean":
        return fill("mixture_average({logits}, {means}, {event_ndim})", means=means, **parts), has
    means = pyexpr.name(cx.variable("means", means))
    variances, _ = moment(cx, law.components, "variance")
    call = "mixture_variance({logits}, {means}, {variances}, {event_ndim})"
    return fill(call, means=means, variances=variances, **parts), has


def _event_dims(law: Law) -> Dims:
    """The event dimensions without those that `independent` made."""
    if isinstance(law, FamilyLaw):
        return law.shown
    within = law.components
    return within.batch[len(within.batch) - within.independent :] + _event_dims(within)


def probs(cx: Context, law: Law) -> tuple[ast.expr, Dims]:
    """The probabilities of the classes of a categorical distribution, and their dimensions."""
    assert isinstance(law, FamilyLaw), law
    (logits,) = law.params
    has = logits.tensor.dims
    found = fill("categorical_probs({logits})", logits=cx.array(logits, DType.F32))
    wanted = (*law.batch, has[-1])
    return _spread(cx, found, has, wanted), wanted


def divergence(cx: Context, q: Law, p: Law) -> tuple[ast.expr, Dims]:
    """The closed-form KL(q ‖ p) per batch element, and its dimensions."""
    assert isinstance(q, FamilyLaw), q
    assert isinstance(p, FamilyLaw), p
    params = cx.together([*q.params, *p.params], density_dtype(q))
    # A joint law over an event against one law per element: the elements' parameters take the event's shape.
    within, own = 0, len(q.params)
    if q.family.event_ndim and not p.family.event_ndim:
        within = len(q.shown)
        params[own:] = [_over_event(cx, x, v.tensor.dims, q) for x, v in zip(params[own:], p.params, strict=True)]
    function = pyexpr.name(f"kl_{snake(q.family.name)}_{snake(p.family.name)}")
    found = fill("{f}({params})", f=function, params=params)
    has = broadcast_dims(*_param_batches(q), *(_outer(dims, within) for dims in _param_batches(p)))
    wanted = broadcast_dims(q.batch, _outer(p.batch, within))
    return _summed(cx, _spread(cx, found, has, wanted), wanted, q.independent)


def _over_event(cx: Context, x: ast.expr, dims: Dims, q: FamilyLaw) -> ast.expr:
    """A parameter of one law per element of q's draws, in the shape of the family's event; one number as it is."""
    if q.reshaped is None or not dims:
        return x
    outer = _outer(dims, len(q.reshaped))
    return _reshaped(cx, _spread(cx, x, dims, outer + q.reshaped), outer + q.event)


def _outer(dims: Dims, within: int) -> Dims:
    """The dimensions before the last `within`."""
    return dims[: max(len(dims) - within, 0)]


def _reshaped(cx: Context, x: ast.expr, dims: Dims) -> ast.expr:
    return fill("{x}.reshape({shape})", x=x, shape=cx.shape(dims))


def _function(law: FamilyLaw, what: str) -> ast.expr:
    return pyexpr.name(f"{snake(law.family.name)}_{what}")


def _param_batches(law: FamilyLaw) -> list[Dims]:
    return [
        value.tensor.dims[: value.tensor.rank - param.event_ndim]
        for param, value in zip(law.family.params, law.params, strict=True)
    ]


def _spread(cx: Context, x: ast.expr, has: Dims | None, wanted: Dims) -> ast.expr:
    """`x` of dimensions `has` (None: unknown) broadcast to `wanted`."""
    if has is not None and _sizes(has) == _sizes(wanted):
        return x
    return fill("jnp.broadcast_to({x}, {shape})", x=x, shape=cx.shape(wanted))


def _summed(cx: Context, x: ast.expr, dims: Dims, count: int) -> tuple[ast.expr, Dims]:
    """`x` summed over its last `count` axes."""
    if not count:
        return x, dims
    if count == len(dims):
        return fill("jnp.sum({x})", x=x), ()
    axes = pyexpr.axes(tuple(range(-count, 0)))
    return fill("jnp.sum({x}, axis={axes})", x=x, axes=axes), dims[: len(dims) - count]


def _sizes(dims: Sequence[Dim]) -> list[int | str]:
    return [d.size for d in dims]
