"""Reading priors, posteriors and estimators from the tree.

May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from typing import NoReturn

from bl_compiler.frontend import ast
from bl_compiler.frontend.arguments import written_arguments
from bl_compiler.frontend.library import ESTIMATORS, PLANNED_POSTERIORS, POSTERIORS
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import Belief, FamilyRef, Instance, Poison, PosteriorForm, describe, is_distribution
from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.estimators import AUTO, Estimator
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import DistType
from bl_compiler.source import Span


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
    if isinstance(name, ast.Name) and env.scope.find(name.id) is None:
        if name.id in PLANNED_POSTERIORS:
            state.not_yet(f"the posterior `{name.id}`", expr.span)
        if name.id in POSTERIORS:
            given = written_arguments(state, expr, name.id, POSTERIORS[name.id])
            values = {key: state.evaluate(value, env) for key, (value, _) in given.items()}
            return PosteriorForm(name.id, tuple(sorted(values.items())), expr.span)
        if name.id[:1].islower() and name.id not in state.layers:
            state.unknown("posterior", name.id, [*POSTERIORS, *PLANNED_POSTERIORS], name.span)
    found = state.evaluate(expr, env)
    if isinstance(found, Poison):
        state.fail_quietly()
    if isinstance(found, Instance) and found.kind in POSTERIORS:
        # A layer of the same name that a `let` holds, as Python variables do: `let half = dropout(0.5)`.
        return PosteriorForm(found.kind, tuple(sorted(found.arguments.items())), expr.span)
    if not isinstance(found, Value) or not is_distribution(found):
        state.fail(
            "BLC0301",
            f"expected a posterior, found {describe(found)}",
            expr.span,
            help="write `mean_field`, `point` or a distribution",
        )
    return found


def estimator_of(state: State, expr: ast.Expr | None, posterior: PosteriorForm | Value, env: Env) -> str:
    """The estimator asked for with `using`, in the text form of `ir.estimators`."""
    if expr is None:
        return str(AUTO)
    if isinstance(posterior, PosteriorForm) and posterior.name == "point":
        state.fail("BLC0304", "a trained value has no estimator: it is not random", expr.span)
    name = expr.function if isinstance(expr, ast.Call) else expr
    if not isinstance(name, ast.Name):
        known = ", ".join(f"`{each}`" for each in sorted(ESTIMATORS))
        state.fail("BLC0304", "expected the name of an estimator", expr.span, help=f"known: {known}")
    if name.id not in ESTIMATORS:
        state.unknown("estimator", name.id, list(ESTIMATORS), name.span)
    if isinstance(expr, ast.Call) and expr.arguments and not ESTIMATORS[name.id]:
        state.fail("BLC0204", f"`{name.id}` takes no arguments", expr.span)
    given = written_arguments(state, expr, name.id, ESTIMATORS[name.id])
    values = {key: (state.evaluate(value, env), at) for key, (value, at) in given.items()}
    groups, at = values.get("groups", (0, expr.span))
    if name.id == "grouped" and (isinstance(groups, bool) or not isinstance(groups, int) or groups < 1):
        found = describe(groups) if "groups" in values else "nothing"
        way_out = "write how many draws a step makes, as in `grouped(8)`"
        state.fail("BLC0204", f"`groups` must be a positive integer, found {found}", at, help=way_out)
    approximate, at = values.get("approximate", (False, expr.span))
    if not isinstance(approximate, bool):
        state.fail("BLC0205", f"`approximate` must be true or false, found {describe(approximate)}", at)
    return str(Estimator(name.id, groups=int(groups) if isinstance(groups, int) else 0, approximate=approximate))


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
        if prior is not None and CONSTRAINTS[found_prior.type.support].discrete:
            state.fail("BLC0303", f"a weight cannot have the discrete prior `{found_prior.type.family}`", prior.span)
    form = PosteriorForm("mean_field", (), at.span) if posterior is None else posterior_of(state, posterior, env)
    if found_prior is None and not (isinstance(form, PosteriorForm) and form.name == "point"):
        assert posterior is not None
        _only_point(state, roles[0], posterior.span)
    where = at.span if posterior is None else posterior.span
    return Belief(roles, layers, found_prior, form, estimator_of(state, estimator, form, env), at.span, where)


def belief_argument(state: State, item: ast.Argument | ast.BeliefArgument, env: Env) -> Belief:
    """`kernel ~ Laplace(0, 1) by mean_field` or `bias = point` among a layer's arguments."""
    if isinstance(item, ast.BeliefArgument):
        return make_belief(state, (item.role,), (), item.prior, item.posterior, item.estimator, env, item)
    if not isinstance(item.value, ast.Name) or item.value.id != "point":
        _only_point(state, item.name, item.span)
    return Belief((item.name,), (), None, PosteriorForm("point", (), item.value.span), "auto", item.span)


def _only_point(state: State, role: str, at: Span) -> NoReturn:
    way_out = f"to give it a prior, write `{role} ~ Normal(0, 1) by mean_field`"
    state.fail("BLC0204", f"`{role} = …` takes `point`", at, help=way_out)
