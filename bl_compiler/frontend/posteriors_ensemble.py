"""Posteriors with members that share a weight: `rank1`, `batch_ensemble` and `hyper_batch_ensemble`.

A member is the shared weight W times a factor r per input unit and a factor s per output unit, W · (r sᵀ). Which member
is in force is one draw for the whole model, so that the layers of a member belong together; how strong its prior is,
too.

Invariant: all values with K members share the index at the site `member_K` and the strength at `strength_K`, each drawn
uniformly: the posterior is the prior, so they have no part in the objective. May import: floors 0-1, `distributions`,
`state`, `values`, `weights`, `forms`, `factors`, `fitted_priors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

from bl_compiler.frontend.distributions import make_distribution
from bl_compiler.frontend.factors import as_point, scaled, whole_line
from bl_compiler.frontend.fitted_priors import written_law
from bl_compiler.frontend.forms import count, positive_number
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm
from bl_compiler.frontend.weights import Wanted, parameter, point_value, site
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.estimators import AUTO
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, DType
from bl_compiler.source import Span

_FACTORS = (("r", -2), ("s", -1))
"""Names of factors and their axes."""

_POWERS = {"Normal": -0.5, "Laplace": -1.0}
"""Families of which a power λ of the density is a density of the same family, and its scale's power of λ."""


def member(state: State, members: int, at: Span, estimator: str = str(AUTO)) -> Value:
    """The index of the member in force, i32, one draw for all values with as many members.

    Args:
        state: The state of lowering.
        members: How many there are.
        at: Where it is needed.
        estimator: How to draw it; two values that ask for different ones are an error (BLC0304).
    """

    def law(b: GraphBuilder) -> Value:
        return b.add("dist.Categorical", b.full(0.0, (Dim(members),)))

    return _one_draw(state, "member", members, law, at, estimator)


def strength(state: State, members: int, at: Span, estimator: str = str(AUTO)) -> Value:
    """How strong the prior of the member in force is, from -1 to 1; arguments and errors as those of `member`."""

    def law(b: GraphBuilder) -> Value:
        return b.add("dist.Uniform", b.const(-1.0, DType.F32), b.const(1.0, DType.F32))

    return _one_draw(state, "strength", members, law, at, estimator)


def _one_draw(
    state: State, name: str, members: int, law: Callable[[GraphBuilder], Value], at: Span, estimator: str
) -> Value:
    """Noise at `NAME_K` that all values with K members share, drawn where it is first needed."""
    path = f"{name}_{members}"
    if path not in state.model_noise:
        with state.b.at(scope=""), state.typed(at):
            where = state.claim(path, at)
            state.model_noise[path] = state.b.add("model.noise", law(state.b), site=where, estimator=estimator)
        state.b.hint(state.model_noise[path], name)
    drawn = state.b.producer(state.model_noise[path])
    found = estimator if drawn is None else drawn.attrs.text("estimator")
    if estimator not in (found, str(AUTO)):
        message = f"`{path}` is one draw for all weights, `{found}` for some and `{estimator}` for others"
        state.fail("BLC0304", message, at, help=f"write the same `using` for all weights with {members} members")
    return state.model_noise[path]


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
        return as_point(state, wanted, prior, _of_member(state, wanted, members, 1.0, str(AUTO)))
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
    estimator = wanted.belief.estimator
    return as_point(state, wanted, prior, _of_member(state, wanted, members, spread, estimator))


def hyper_batch_ensemble(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """Members trained for a range of strengths of their prior: hyper-batch ensembles (Wenzel et al. 2020).

    The strength λ has the log-uniform distribution over [low, high]; at λ the prior is the written one with the density
    to the power λ: for a Gaussian, λ multiplies its precision, and so the L2 penalty. A member's weight follows λ as
    W · (r_k s_kᵀ) + t · V · (u_k v_kᵀ), with t the logarithm of λ scaled to [-1, 1] and all but t trained; vectors are
    trained for each member. There is one λ for all weights with as many members. The objective's expectation is the
    mean over members and strengths of their own MAP objectives, and prediction averages over both. The range is given,
    not trained.
    """
    prior, members = whole_line(state, wanted), count(state, form, "members")
    spread = positive_number(state, form, "init_scale", 0.5)
    low, high = positive_number(state, form, "low", 0.1), positive_number(state, form, "high", 10.0)
    if low >= high:
        words = f"`low` must be less than `high`, found {low:g} and {high:g}"
        state.fail("BLC0203", words, form.span, help="without a range it is `batch_ensemble`")
    law, at = written_law(state, wanted, form.span, f"`{form.name}`", tuple(_POWERS)), wanted.at
    power = _POWERS[law.op.name.removeprefix("dist.")]
    estimator = wanted.belief.estimator
    weight = _of_member(state, wanted, members, spread, estimator)
    response = replace(wanted, path=f"{wanted.path}/response", init=constant(0.0))
    change = _of_member(state, response, members, spread, estimator)
    where, (loc, scale) = strength(state, members, at, estimator), law.inputs
    b = state.b
    with state.typed(at):
        weight = b.binary("add", weight, b.binary("mul", change, where))
        exponent = b.binary("add", b.binary("mul", where, power * log(high / low) / 2), power * log(low * high) / 2)
        prior = b.add(law.op.name, loc, b.binary("mul", scale, b.unary("exp", exponent)))
    return as_point(state, wanted, prior, weight)


def _of_member(state: State, wanted: Wanted, members: int, spread: float, estimator: str) -> Value:
    """What the member in force has: the shared value times its factors, or for a vector its own."""
    path, dims, at = wanted.path, wanted.dims, wanted.at
    if members == 1:
        return parameter(state, path, dims, wanted.init, at)
    index = member(state, members, at, estimator)
    if len(dims) < 2:
        own = parameter(state, path, (Dim(members), *dims), wanted.init, at)
        with state.typed(at):
            return state.b.add("tensor.take", own, index, axis=0)
    weight = parameter(state, path, dims, wanted.init, at)
    for name, axis in _FACTORS:
        factors = parameter(state, f"{path}/{name}", (Dim(members), dims[axis]), ("normal", 1.0, spread), at)
        with state.typed(at):
            weight = scaled(state, weight, state.b.add("tensor.take", factors, index, axis=0), axis)
    return weight
