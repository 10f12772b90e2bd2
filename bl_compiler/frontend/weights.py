"""From a belief to IR: the parameters, the distributions and the site of one uncertain value.

Invariant: `PATH` with a point value is the parameter PATH; with a mean-field posterior it is the parameters PATH/loc
and PATH/scale and the site PATH. May import: floors 0-1, `values`, `state`, `distributions`, `library`.
"""

from __future__ import annotations

from bl_compiler.frontend.distributions import broadcast_to, make_distribution
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import Belief, FamilyRef, PosteriorForm, describe, is_number
from bl_compiler.ir.constraints import contains
from bl_compiler.ir.families import FAMILIES, Family
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, DistType, DType, TensorType
from bl_compiler.source import Span

_SUPPORT_CONSTRAINT = {
    "positive": "positive",
    "nonnegative": "positive",
    "unit_interval": "unit_interval",
    "simplex": "simplex",
    "interval": "interval",
}


def parameter(
    state: State,
    path: str,
    dims: tuple[Dim, ...],
    init: Initializer,
    at: Span,
    *,
    constraint: str = "real",
    bounds: tuple[float, float] = (0.0, 1.0),
    dtype: DType = DType.F32,
) -> Value:
    """A trained value in its constrained space."""
    state.claim(path, at)
    type_ = TensorType(dtype, dims)
    low, high = bounds
    with state.typed(at):
        raw = state.b.add("model.param", path=path, type=type_, init=init, constraint=constraint, low=low, high=high)
        state.b.hint(raw, path.rpartition("/")[2] + ("_raw" if constraint != "real" else ""))
        if constraint == "real":
            return raw
        value = state.b.add("param.constrain", raw, constraint=constraint, low=low, high=high)
    state.b.hint(value, path.rpartition("/")[2])
    return value


def is_point(state: State, posterior: PosteriorForm | Value) -> bool:
    """Whether a value with this posterior is a trained one, as everything is under the objectives `map` and `mle`."""
    if isinstance(posterior, Value):
        return False
    return posterior.name == "point" or state.objective.kind in ("map", "mle")


def point_value(
    state: State,
    path: str,
    dims: tuple[Dim, ...],
    init: Initializer,
    prior: Value | None,
    at: Span,
    *,
    constraint: str = "real",
    dtype: DType = DType.F32,
) -> Value:
    """A trained value, whose prior density joins the objective where there is a prior (MAP)."""
    bounds = (0.0, 1.0)
    if prior is not None and constraint == "real":
        assert isinstance(prior.type, DistType)
        constraint = _SUPPORT_CONSTRAINT.get(prior.type.support, "real")
        if constraint == "interval":
            bounds = _bounds(state, path, prior, at)
        init = _within(init, constraint, bounds)
    value = parameter(state, path, dims, init, at, constraint=constraint, bounds=bounds, dtype=dtype)
    if prior is None or state.objective.kind == "mle":
        return value
    spread = broadcast_to(state, prior, value.tensor.dims, at, what="the prior")
    with state.typed(at):
        found = state.b.add("model.point", spread, value, site=path)
    state.b.hint(found, path.rpartition("/")[2])
    return found


def _bounds(state: State, path: str, prior: Value, at: Span) -> tuple[float, float]:
    """The bounds of a uniform prior, which must be numbers for a trained value to stay within them."""
    node = state.b.producer(prior)
    while node is not None and node.op.name in ("dist.expand", "dist.independent"):
        node = state.b.producer(node.inputs[0])
    ends = [] if node is None else [state.b.producer(v) for v in node.inputs]
    values = [end.attrs["value"] for end in ends if end is not None and end.op.name == "tensor.const"]
    if len(values) != 2 or not all(isinstance(v, float) for v in values):
        state.fail("BLC0303", f"`{path}` is a trained value, and the bounds of its prior are no numbers", at)
    low, high = values
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


def _within(init: Initializer, constraint: str, bounds: tuple[float, float]) -> Initializer:
    """`init`, or a start inside the constraint where `init` could fall outside it."""
    low, high = bounds
    if constraint == "real" or (init[0] == "constant" and isinstance(init[1], float) and low < init[1] < high):
        return init
    return constant(1.0 if constraint == "positive" else (low + high) / 2)


def latent(
    state: State,
    path: str,
    dims: tuple[Dim, ...],
    init: Initializer,
    belief: Belief,
    at: Span,
) -> Value:
    """A random variable with its prior and posterior: the node of its site."""
    prior, posterior = belief.prior, belief.posterior
    assert prior is not None
    if isinstance(posterior, PosteriorForm):
        q = _mean_field(state, path, dims, init, prior, posterior, at)
    else:
        q = posterior
        state.claim(path, at)
    p = broadcast_to(state, prior, dims, at, what="the prior")
    q = broadcast_to(state, q, dims, belief.posterior_span, what="the posterior")
    _check_posterior(state, path, p, q, belief.posterior_span)
    with state.typed(at):
        value = state.b.add("model.sample", p, q, site=path, estimator=belief.estimator)
    state.b.hint(value, path.rpartition("/")[2])
    return value


def _check_posterior(state: State, path: str, p: Value, q: Value, at: Span) -> None:
    prior, posterior = p.type, q.type
    assert isinstance(prior, DistType)
    assert isinstance(posterior, DistType)
    if prior.dtype.is_float != posterior.dtype.is_float:
        state.fail(
            "BLC0303",
            f"the prior of `{path}` is {prior.family} and the posterior {posterior.family}: one is discrete",
            at,
        )
    if not posterior.reparameterized:
        found = state.sink.error(
            "BLC0305",
            f"the posterior of `{path}` is {posterior.family}, whose draws carry no gradient to its parameters",
            at=at,
        )
        found.help("use a continuous, reparameterized posterior such as Normal or Gamma")
        state.fail_quietly()
    # The point 0 has no probability under a density, so half-lines with and without it are one support here.
    reached = "positive" if posterior.support == "nonnegative" else posterior.support
    if not contains(prior.support, reached):
        found = state.sink.warning(
            "BLC0351",
            f"the posterior of `{path}` reaches where its prior has no density",
            at=at,
            label=f"{posterior.family} is over {posterior.support}, {prior.family} over {prior.support}",
        )
        found.help(
            "the KL term is infinite there: use a posterior with the prior's support, such as LogNormal for a positive "
            "one"
        )


def _mean_field(
    state: State, path: str, dims: tuple[Dim, ...], init: Initializer, prior: Value, form: PosteriorForm, at: Span
) -> Value:
    refuse_local(state, path, dims, form.span)
    assert isinstance(prior.type, DistType)
    family, extra = _family(state, path, prior.type, form)
    scale = form.get("init_scale", 1e-2)
    if not is_number(scale) or not isinstance(scale, (int, float)) or not scale > 0:
        state.fail("BLC0203", f"`init_scale` must be a number greater than 0, found {describe(scale)}", form.span)
    if family.name == "LogNormal":
        init = constant(0.0) if init[0] == "constant" else init
    state.claim(path, at)
    loc = parameter(state, f"{path}/loc", dims, init, at)
    spread = parameter(state, f"{path}/scale", dims, constant(float(scale)), at, constraint="positive")
    named: dict[str, object] = {**extra, "loc": loc, "scale": spread}
    return make_distribution(state, family, (), named, {}, at)


def refuse_local(state: State, path: str, dims: tuple[Dim, ...], at: Span) -> None:
    """Refuse trained values for each element of a plate of which a step sees a part."""
    plate = next((d for d in dims if d.is_plate), None)
    if plate is not None and not _whole(state, plate):
        words = f"`{path}` has one value per element of plate `{plate.name}` and a step sees only some of them"
        way_out = "compute its posterior from the data: `by Normal(…)` with an encoder's outputs"
        state.fail("BLC0303", words, at, help=way_out)


def _whole(state: State, plate: Dim) -> bool:
    info = next(p for p in state.plates if p.name == plate.name)
    return info.total is not None and info.total == info.size


def _family(state: State, path: str, prior: DistType, form: PosteriorForm) -> tuple[Family, dict[str, object]]:
    """The family asked for, or the one that fits the prior's support, with its other parameters."""
    asked = form.get("family", None)
    if asked is None:
        if prior.support in ("positive", "nonnegative"):
            return FAMILIES["LogNormal"], {}
        if prior.support != "real":
            found = state.sink.error(
                "BLC0303",
                f"`mean_field` has no family over {prior.support}, the support of {prior.family}",
                at=form.span,
            )
            found.help(f"write a posterior with that support for `{path}`, such as `by {prior.family}(…)`")
            state.fail_quietly()
        return FAMILIES["Normal"], {}
    if isinstance(asked, FamilyRef):
        family, extra = asked.family, {}
        if any(p.default is None for p in family.params) and family.location_scale:
            missing = next(p.name for p in family.params if p.default is None)
            state.fail(
                "BLC0204", f"`{family.name}` needs `{missing}`: write `family={family.name}({missing}=…)`", form.span
            )
    elif isinstance(asked, Value) and isinstance(asked.type, DistType) and asked.type.family in FAMILIES:
        family = FAMILIES[asked.type.family]
        node = state.b.producer(asked)
        assert node is not None
        extra = {p.name: v for p, v in zip(family.params, node.inputs, strict=True) if p.name not in ("loc", "scale")}
    else:
        state.fail("BLC0205", f"`family` is a distribution family such as `Normal`, found {describe(asked)}", form.span)
    if not family.location_scale and family.name != "LogNormal":
        names = ", ".join(f.name for f in FAMILIES.values() if f.location_scale)
        state.fail(
            "BLC0303",
            f"`mean_field` takes a location-scale family, and `{family.name}` is none",
            form.span,
            help=f"use one of {names}, LogNormal",
        )
    return family, dict(extra)
