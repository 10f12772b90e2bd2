"""Reading priors, posteriors and estimators from the tree.

May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from bl_compiler.frontend import ast
from bl_compiler.frontend.library import ESTIMATORS, PLANNED_ESTIMATORS, PLANNED_POSTERIORS, POSTERIORS
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import Belief, FamilyRef, Poison, PosteriorForm, describe, is_distribution
from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import DistType


def prior_of(state: State, expr: ast.Expr, env: Env) -> Value:
    """The distribution an expression stands for."""
    found = state.evaluate(expr, env)
    if isinstance(found, Poison):
        state.fail_quietly()
    if not isinstance(found, Value) or not is_distribution(found):
        family = f"{expr.id}(…)" if isinstance(found, FamilyRef) and isinstance(expr, ast.Name) else "Normal(…)"
        state.fail(
            "BLC0301",
            f"expected a distribution, found {describe(found)}",
            expr.span,
            help=f"write a distribution with its parameters: `{family}`",
        )
    return found


def posterior_of(state: State, expr: ast.Expr, env: Env) -> PosteriorForm | Value:
    """A posterior by name (`mean_field(init_scale=0.1)`), or a distribution computed from other values."""
    name = expr.function if isinstance(expr, ast.Call) else expr
    arguments = expr.arguments if isinstance(expr, ast.Call) else ()
    if isinstance(name, ast.Name) and env.scope.find(name.id) is None:
        if name.id in PLANNED_POSTERIORS:
            state.not_yet(f"the posterior `{name.id}`", expr.span)
        if name.id in POSTERIORS:
            return _posterior_form(state, name, arguments, expr, env)
        if name.id[:1].islower() and name.id not in state.layers:
            state.unknown("posterior", name.id, [*POSTERIORS, *PLANNED_POSTERIORS], name.span)
    found = state.evaluate(expr, env)
    if isinstance(found, Poison):
        state.fail_quietly()
    if not isinstance(found, Value) or not is_distribution(found):
        state.fail(
            "BLC0301",
            f"expected a posterior, found {describe(found)}",
            expr.span,
            help="write `mean_field`, `point` or a distribution",
        )
    return found


def _posterior_form(
    state: State, name: ast.Name, arguments: tuple[ast.Argument | ast.BeliefArgument, ...], expr: ast.Expr, env: Env
) -> PosteriorForm:
    known = POSTERIORS[name.id]
    given: dict[str, object] = {}
    for position, item in enumerate(arguments):
        if isinstance(item, ast.BeliefArgument):
            state.fail("BLC0204", "a posterior takes no beliefs", item.span)
        if not item.name and position >= len(known):
            state.fail("BLC0204", f"`{name.id}` takes {len(known) or 'no'} arguments", item.span)
        key = item.name or known[position]
        if key not in known:
            state.unknown(f"argument of `{name.id}`", key, list(known), item.span, code="BLC0204")
        given[key] = state.evaluate(item.value, env)
    return PosteriorForm(name.id, tuple(sorted(given.items())), expr.span)


def estimator_of(state: State, expr: ast.Expr | None) -> str:
    """The estimator asked for with `using`."""
    if expr is None:
        return "auto"
    name = expr.function if isinstance(expr, ast.Call) else expr
    if not isinstance(name, ast.Name):
        state.fail("BLC0304", "expected the name of an estimator", expr.span)
    if name.id in PLANNED_ESTIMATORS:
        state.not_yet(f"the estimator `{name.id}`", expr.span)
    if name.id not in ESTIMATORS:
        state.unknown("estimator", name.id, [*ESTIMATORS, *PLANNED_ESTIMATORS], name.span)
    if isinstance(expr, ast.Call) and expr.arguments:
        state.fail("BLC0204", f"`{name.id}` takes no arguments", expr.span)
    return name.id


def make_belief(
    state: State,
    roles: tuple[str, ...],
    layers: tuple[str, ...],
    prior: ast.Expr | None,
    posterior: ast.Expr | None,
    estimator: ast.Expr | None,
    env: Env,
    at: ast.Syntax,
) -> Belief:
    """A belief from its parts; without `by` the posterior is `mean_field`, as in `believe kernel ~ Normal(0, 1)`."""
    found_prior = None if prior is None else prior_of(state, prior, env)
    if found_prior is not None:
        assert isinstance(found_prior.type, DistType)
        if CONSTRAINTS[found_prior.type.support].discrete:
            state.fail("BLC0303", f"a weight cannot have the discrete prior `{found_prior.type.family}`", at.span)
    form = PosteriorForm("mean_field", (), at.span) if posterior is None else posterior_of(state, posterior, env)
    return Belief(roles, layers, found_prior, form, estimator_of(state, estimator), at.span)


def belief_argument(state: State, item: ast.Argument | ast.BeliefArgument, env: Env) -> Belief:
    """`kernel ~ Laplace(0, 1) by mean_field` or `bias = point` among a layer's arguments."""
    if isinstance(item, ast.BeliefArgument):
        return make_belief(state, (item.role,), (), item.prior, item.posterior, item.estimator, env, item)
    form = posterior_of(state, item.value, env)
    if isinstance(form, Value) or form.name != "point":
        state.fail(
            "BLC0204",
            f"`{item.name} = …` takes `point`",
            item.span,
            help=f"to give it a prior, write `{item.name} ~ Normal(0, 1) by mean_field`",
        )
    return Belief((item.name,), (), None, form, "auto", item.span)
