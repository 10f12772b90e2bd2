"""Parameters, trained values and sites: the nodes of one value under a belief.

Invariant: `PATH` with a point value is the parameter PATH.
May import: floors 0-1, `values`, `state`, `distributions`, `library`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.frontend.distributions import broadcast_to, refuse_improper
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import Belief, PosteriorForm
from bl_compiler.ir.constraints import contains
from bl_compiler.ir.graph import Value
from bl_compiler.ir.improper import is_improper
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, DistType, DType, TensorType
from bl_compiler.source import Span


@dataclass(frozen=True, slots=True)
class Wanted:
    """An uncertain value that is asked for.

    Attributes:
        path: its path; parameters and sites stand at it or under it.
        dims: its dimensions.
        init: the initial value of its location.
        belief: its prior, posterior and estimator.
        at: where it is asked for.
    """

    path: str
    dims: tuple[Dim, ...]
    init: Initializer
    belief: Belief
    at: Span


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
    if prior is not None and state.objective.kind != "mle":
        _refuse_pole(state, path, prior, at)
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


def _refuse_pole(state: State, path: str, prior: Value, at: Span) -> None:
    """Refuse a prior under which a trained value would run to where the density is infinite."""
    assert isinstance(prior.type, DistType)
    if is_improper(prior.type.family):
        words = f"the density of {prior.type.family} is infinite at 0, where the trained value `{path}` would go"
        state.fail("BLC0303", words, at, help="use it with `variational_dropout` or `mean_field`, under `elbo`")


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


def site(state: State, wanted: Wanted, posterior: Value, *, path: str = "", prior: Value | None = None) -> Value:
    """The node of a random variable: a prior and a posterior, both over all its elements.

    Args:
        state: The lowering in progress.
        wanted: What is asked for.
        posterior: A distribution that broadcasts to the dimensions of the site.
        path: The site's path where it is not that of the whole value.
        prior: Its prior where it is not that of the belief.
    """
    belief, at, where = wanted.belief, wanted.at, path or wanted.path
    given = belief.prior if prior is None else prior
    assert given is not None
    p = broadcast_to(state, given, wanted.dims, at, what="the prior")
    refuse_improper(state, posterior, belief.posterior_span)
    q = broadcast_to(state, posterior, wanted.dims, belief.posterior_span, what="the posterior")
    _check_posterior(state, where, p, q, belief.posterior_span)
    with state.typed(at):
        value = state.b.add("model.sample", p, q, site=where, estimator=belief.estimator)
    state.b.hint(value, where.rpartition("/")[2])
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
