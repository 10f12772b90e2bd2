"""Posteriors with members that share a weight: `rank1` and `batch_ensemble`.

A member is the shared weight W times a factor r per input unit and a factor s per output unit, W · (r sᵀ). Which member
is in force is one draw for the whole model, so that the layers of a member belong together.

Invariant: all values with K members share the index at the site `member_K`, drawn uniformly: its posterior is its
prior, so it has no part in the objective. May import: floors 0-1, `distributions`, `state`, `values`, `weights`,
`forms`, `factors`.
"""

from __future__ import annotations

from dataclasses import replace

from bl_compiler.frontend.distributions import make_distribution
from bl_compiler.frontend.factors import as_point, scaled, whole_line
from bl_compiler.frontend.forms import count, positive_number
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm
from bl_compiler.frontend.weights import Wanted, parameter, point_value, site
from bl_compiler.ir.estimators import AUTO
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, DType
from bl_compiler.source import Span

_FACTORS = (("r", -2), ("s", -1))
"""Names of factors and their axes."""


def member(state: State, members: int, at: Span, estimator: str = str(AUTO)) -> Value:
    """The index of the member in force, one draw for all values with as many members.

    Args:
        state: The state of lowering.
        members: How many there are.
        at: Where it is needed.
        estimator: How to draw it; two values that ask for different ones are an error (BLC0304).
    """
    if members not in state.members:
        with state.b.at(scope=""), state.typed(at):
            law = state.b.add("dist.Categorical", state.b.full(0.0, (Dim(members),)))
            path = state.claim(f"member_{members}", at)
            state.members[members] = state.b.add("model.noise", law, site=path, estimator=estimator)
        state.b.hint(state.members[members], "member")
    drawn = state.b.producer(state.members[members])
    found = estimator if drawn is None else drawn.attrs.text("estimator")
    if estimator not in (found, str(AUTO)):
        message = f"`member_{members}` is one draw for all weights, `{found}` for some and `{estimator}` for others"
        state.fail("BLC0304", message, at, help=f"write the same `using` for all weights with {members} members")
    return state.members[members]


def rank1(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """W · (r sᵀ) with a trained W and Gaussian factors (Dusenberry et al. 2020, section 3).

    W is a point with the written prior. The factors have the priors N(1, prior_scale), as there, and a mean-field
    Gaussian posterior for each of `components`: the index of the component is a latent variable with a uniform
    posterior and prior, so the bound has the mean of the components' divergences. Vectors are trained for each
    component.
    """
    prior, members = whole_line(state, wanted), count(state, form, "components", 1)
    width = positive_number(state, form, "prior_scale", 0.1)
    scale = positive_number(state, form, "init_scale", 1e-2)
    if len(wanted.dims) < 2:
        return _own(state, wanted, prior, members, str(AUTO))
    weight = point_value(state, wanted.path, wanted.dims, wanted.init, prior, wanted.at)
    for name, axis in _FACTORS:
        with state.typed(wanted.at):
            ones = state.b.add("dist.Normal", state.b.const(1.0, DType.F32), state.b.const(width, DType.F32))
        part = replace(wanted, path=f"{wanted.path}/{name}", dims=(wanted.dims[axis],))
        init = constant(1.0) if members == 1 else ("normal", 1.0, width)
        factor = _component(state, part, ones, members, init, scale)
        with state.typed(wanted.at):
            weight = scaled(state, weight, factor, axis)
    return weight


def _component(state: State, part: Wanted, prior: Value, members: int, init: Initializer, init_scale: float) -> Value:
    """A Gaussian vector of the component in force: a site whose posterior is that of the component."""
    at, dims = part.at, (part.dims if members == 1 else (Dim(members), *part.dims))
    state.claim(part.path, at)
    loc = parameter(state, f"{part.path}/loc", dims, init, at)
    spread = parameter(state, f"{part.path}/scale", dims, constant(init_scale), at, constraint="positive")
    if members > 1:
        index = member(state, members, at)
        loc, spread = (state.b.add("tensor.take", x, index, axis=0) for x in (loc, spread))
    named: dict[str, object] = {"loc": loc, "scale": spread}
    posterior = make_distribution(state, FAMILIES["Normal"], (), named, {}, at)
    return site(state, part, posterior, prior=prior)


def batch_ensemble(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """Members W · (r_k s_kᵀ), all trained; vectors are trained for each member (Wen, Tran and Ba 2020).

    The posterior is uniform over the members. The prior's density of the member drawn joins the objective, so the
    objective's expectation is the mean of the members' own; the entropy log K of the posterior is a constant.
    """
    prior, members = whole_line(state, wanted), count(state, form, "members")
    spread = positive_number(state, form, "init_scale", 0.5)
    path, dims, at = wanted.path, wanted.dims, wanted.at
    if members == 1 or len(dims) < 2:
        return _own(state, wanted, prior, members, wanted.belief.estimator)
    index, weight = member(state, members, at, wanted.belief.estimator), parameter(state, path, dims, wanted.init, at)
    for name, axis in _FACTORS:
        factors = parameter(state, f"{path}/{name}", (Dim(members), dims[axis]), ("normal", 1.0, spread), at)
        with state.typed(at):
            weight = scaled(state, weight, state.b.add("tensor.take", factors, index, axis=0), axis)
    return as_point(state, wanted, prior, weight)


def _own(state: State, wanted: Wanted, prior: Value, members: int, estimator: str) -> Value:
    """A trained value for each member."""
    path, dims, at = wanted.path, wanted.dims, wanted.at
    if members == 1:
        return point_value(state, path, dims, wanted.init, prior, at)
    index = member(state, members, at, estimator)
    own = parameter(state, path, (Dim(members), *dims), wanted.init, at)
    with state.typed(at):
        chosen = state.b.add("tensor.take", own, index, axis=0)
    return as_point(state, wanted, prior, chosen)
