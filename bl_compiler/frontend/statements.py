"""Executing statements of a block: an error in one leaves its names poisoned and goes on with the next.

May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bl_compiler.diagnostics import Abort
from bl_compiler.frontend import ast
from bl_compiler.frontend.beliefs import estimator_of, make_belief, posterior_of, prior_of
from bl_compiler.frontend.declarations import (
    lower_input,
    lower_objective,
    lower_optimize,
    lower_param,
    lower_plate,
    refuse_mesh,
)
from bl_compiler.frontend.distributions import broadcast_to, observation, refuse_improper
from bl_compiler.frontend.library import PLANNED_LAYERS
from bl_compiler.frontend.posteriors import latent
from bl_compiler.frontend.state import Env, Leave, State
from bl_compiler.frontend.types import lower_type
from bl_compiler.frontend.values import (
    POISON,
    Belief,
    Bound,
    Instance,
    Returned,
    UserLayer,
    describe,
    is_array,
    is_distribution,
)
from bl_compiler.frontend.weights import Wanted, is_point, point_value, refuse_local
from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import constant
from bl_compiler.ir.types import Dim, DistType, DType, TensorType, broadcast_dims
from bl_compiler.source import Span

Result = Returned | None


def run(state: State, block: ast.Block, env: Env) -> Returned | None:
    """Execute a block; what its `return` gave, if it has one.

    Raises:
        Leave: if the `return` failed.
    """
    for position, statement in enumerate(block.statements):
        env.frame.holder = ""
        try:
            found = _RULES[type(statement)](state, statement, env)
        except Leave:
            raise
        except Abort:
            if isinstance(statement, ast.Return):
                raise Leave from None
            _poison(statement, env)
            continue
        except RecursionError:
            if state.depth:
                raise
            state.give_up("nesting too deep", statement.span, "name parts of it with `let`, and nest layers less")
        if found is not None:
            if isinstance(statement, ast.Return) and position + 1 < len(block.statements):
                after = block.statements[position + 1]
                state.sink.error("BLC0209", "statements after `return` are never reached", at=after.span)
            return found
    return None


def _poison(statement: ast.Stmt, env: Env) -> None:
    names: tuple[str, ...] = ()
    if isinstance(statement, ast.Let):
        names = statement.names
    elif isinstance(statement, (ast.Sample, ast.Param, ast.Input, ast.Plate)):
        names = (statement.name,)
    for name in names:
        env.scope.names.setdefault(name, Bound(POISON, statement.span, used=True))


def bind(state: State, env: Env, name: str, value: object, at: Span, kind: str) -> None:
    """Give a name its meaning; a name is given one meaning in a block."""
    if name in env.scope.names:
        before = env.scope.names[name]
        at = state.word(name, at)
        found = state.sink.error("BLC0202", f"`{name}` is already defined in this block", at=at, label="defined again")
        found.label(state.word(name, before.span), "first defined here")
        found.help("choose another name; names are not reassigned")
        raise Abort
    env.scope.names[name] = Bound(value, at, kind)
    state.remember(env.frame.full(name), value)


def _let(state: State, statement: ast.Let, env: Env) -> Result:
    env.frame.holder = statement.names[0]
    value = state.evaluate(statement.value, env)
    if not statement.grouped and len(statement.names) == 1:
        bind(state, env, statement.names[0], value, statement.span, "let")
        return None
    if not isinstance(value, (tuple, list)) or len(value) != len(statement.names):
        size = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
        state.fail("BLC0205", f"{len(statement.names)} names for {describe(value)}{size}", statement.value.span)
    for name, item in zip(statement.names, value, strict=True):
        bind(state, env, name, item, statement.span, "let")
    return None


def _sample(state: State, statement: ast.Sample, env: Env) -> Result:
    env.frame.holder = statement.name
    prior = prior_of(state, statement.prior, env)
    type_ = None if statement.type is None else lower_type(state, statement.type, env)
    if statement.posterior is None:
        bind(state, env, statement.name, _noise(state, statement, prior, type_, env), statement.span, "sample")
        return None
    posterior = posterior_of(state, statement.posterior, env)
    estimator = estimator_of(state, statement.estimator, posterior, env)
    dims = _site_dims(state, prior, posterior if isinstance(posterior, Value) else None, type_, statement.span)
    shared = env.frame.shared.get(id(statement))
    if shared is not None and not shared.tensor.plates:
        bind(state, env, statement.name, shared, statement.span, "sample")
        return None
    path = env.frame.unique(statement.name)
    if is_point(state, posterior):
        refuse_local(state, path, dims, statement.posterior.span)
        value = point_value(state, path, dims, constant(0.0), prior, statement.span)
    elif isinstance(posterior, Value) and state.objective.kind in ("map", "mle"):
        state.fail(
            "BLC0306",
            f"the objective `{state.objective.kind}` has no place for the computed posterior of `{path}`",
            statement.posterior.span,
            help="use `objective elbo`, or `by point`",
        )
    else:
        where = statement.posterior.span
        belief = Belief((), (), prior, posterior, estimator, statement.span, where)
        value = latent(state, Wanted(path, dims, constant(0.0), belief, statement.span))
    env.frame.shared[id(statement)] = value
    bind(state, env, statement.name, value, statement.span, "sample")
    return None


def _noise(state: State, statement: ast.Sample, prior: Value, type_: TensorType | None, env: Env) -> Value:
    if statement.estimator is not None:
        state.fail("BLC0304", "noise has no estimator: it is drawn, never inferred", statement.estimator.span)
    if type_ is not None:
        _check_dtype(state, prior, type_, statement.span)
        prior = broadcast_to(state, prior, type_.dims, statement.span, what="the distribution")
    refuse_improper(state, prior, statement.prior.span)
    path = state.claim(env.frame.unique(statement.name), statement.span)
    with state.typed(statement.span):
        return state.b.add("model.noise", prior, site=path)


def _check_dtype(state: State, d: Value, type_: TensorType, at: Span) -> None:
    assert isinstance(d.type, DistType)
    if d.type.dtype.is_float != type_.dtype.is_float:
        state.fail(
            "BLC0207", f"the type is {type_.dtype} and the distribution {d.type.family} is over {d.type.dtype}", at
        )


def _site_dims(
    state: State, prior: Value, posterior: Value | None, type_: TensorType | None, at: Span
) -> tuple[Dim, ...]:
    if type_ is not None:
        _check_dtype(state, prior, type_, at)
        return type_.dims
    assert isinstance(prior.type, DistType)
    dims = prior.type.sample_type.dims
    if posterior is not None:
        assert isinstance(posterior.type, DistType)
        with state.typed(at):
            return broadcast_dims(dims, posterior.type.sample_type.dims)
    return dims


def _observe(state: State, statement: ast.Observe, env: Env) -> Result:
    target = _first_name(statement.value)
    env.frame.holder = target
    given = state.evaluate(statement.value, env)
    d = prior_of(state, statement.distribution, env)
    refuse_improper(state, d, statement.distribution.span)
    value = observation(state, given, d, statement.value.span, "an array to observe")
    operands = [value, d]
    if statement.mask is not None:
        operands.append(_mask(state, statement.mask, env))
    before = state.observed.get(value)
    if before is not None:
        found = state.sink.warning("BLC0353", f"`{target}` is observed twice, so it counts twice", at=statement.span)
        found.label(before, "first observed here").help("observe it once, with a mixture if it has two causes")
    state.observed[value] = statement.span
    assert isinstance(d.type, DistType)
    if d.type.dtype.is_float and not value.tensor.dtype.is_float:
        state.fail(
            "BLC0207",
            f"`{target}` is {value.tensor.dtype} and {d.type.family} is over real numbers",
            statement.value.span,
            help='cast it first: `observe x |> cast("f32") ~ …`',
        )
    path = env.frame.full(target)
    if path in state.paths and path not in state.observations:
        target = f"{target}/observed"
    site = env.frame.unique(target)
    state.observations.add(site)
    with state.typed(_together(statement)):
        state.b.ops.find("model.observe").infer([v.type for v in operands[:2]], Attrs())
    with state.typed(statement.span if statement.mask is None else statement.mask.span):
        state.b.emit("model.observe", operands, {}, site=state.claim(site, statement.span))
    return None


def _together(statement: ast.Observe) -> Span:
    """The place of the data and its distribution; in Python that of the call, in which both stand."""
    value, distribution = statement.value.span, statement.distribution.span
    in_order = value.file == distribution.file and value.line <= distribution.line and value != statement.span
    return value.to(distribution) if in_order else statement.span


def _mask(state: State, expr: ast.Expr, env: Env) -> Value:
    mask = state.array(state.evaluate(expr, env), expr.span, "a mask")
    if mask.tensor.dtype is not DType.BOOL:
        way_out = "compare it first, as in `where valid > 0`"
        state.fail("BLC0207", f"a mask is bool, this one is {mask.tensor.dtype}", expr.span, help=way_out)
    return mask


def _first_name(expr: ast.Expr) -> str:
    """The name an observation goes by: the innermost piped or indexed one."""
    while True:
        match expr:
            case ast.Name():
                return expr.id
            case ast.Pipe() | ast.Index() | ast.Attribute():
                expr = expr.value
            case ast.Call() if expr.arguments and isinstance(expr.arguments[0], ast.Argument):
                expr = expr.arguments[0].value
            case ast.Binary():
                expr = expr.left
            case ast.Unary():
                expr = expr.operand
            case _:
                return "observed"


def _believe(state: State, statement: ast.Believe, env: Env) -> Result:
    for role in statement.roles:
        if role not in state.roles:
            state.unknown("role of a weight", role, state.roles, statement.span)
    for layer in statement.layers:
        bound = env.scope.find(layer)
        if bound is not None and not isinstance(bound.value, UserLayer):
            at = state.word(layer, statement.span)
            state.fail("BLC0205", f"`{layer}` is no layer, but {describe(bound.value)}", at)
        if layer not in state.layers and layer not in PLANNED_LAYERS and bound is None:
            state.unknown("layer", layer, [*state.layers, *env.scope.visible()], statement.span)
    if statement.condition is not None:
        condition = state.evaluate(statement.condition, env)
        if not isinstance(condition, bool):
            _not_static(state, condition, statement.condition.span)
        if not condition:
            return None
    belief = make_belief(
        state,
        statement.roles,
        statement.layers,
        statement.prior,
        statement.posterior,
        statement.estimator,
        env,
        statement,
    )
    env.beliefs = env.beliefs.and_(belief)
    if belief.prior is not None:  # `= point` takes a belief back, which may rightly concern no weight
        state.beliefs.append((statement.span, lambda: belief.used))
    return None


def _not_static(state: State, value: object, at: Span) -> None:
    if is_array(value):
        state.fail(
            "BLC0208", "this condition depends on data", at, help="use `select(condition, a, b)` to choose per element"
        )
    state.fail("BLC0205", f"a condition is `true` or `false`, found {describe(value)}", at)


def _predict(state: State, statement: ast.Predict, env: Env) -> Result:
    env.frame.holder = statement.name
    value = state.evaluate(statement.value, env)
    if is_distribution(value):
        state.fail(
            "BLC0205",
            "a prediction is an array, found a distribution",
            statement.value.span,
            help="predict its `.mean` or `.stddev`",
        )
    array = state.array(value, statement.value.span)
    key = env.frame.full(statement.name)
    state.claim(f"predict:{key}", statement.span)
    with state.typed(statement.span):
        state.b.emit("model.predict", (array,), {"key": key})
    return None


def _if(state: State, statement: ast.If, env: Env) -> Result:
    condition = state.evaluate(statement.condition, env)
    if not isinstance(condition, bool):
        _not_static(state, condition, statement.condition.span)
    chosen = statement.then if condition else statement.otherwise
    return None if chosen is None else run(state, chosen, env.inner())


def _return(state: State, statement: ast.Return, env: Env) -> Result:
    if not env.frame.layers:
        state.fail("BLC0209", "`return` stands at the end of a `layer`", statement.span)
    env.frame.holder = ""
    value = state.evaluate(statement.value, env)
    if isinstance(value, Instance):
        state.fail("BLC0205", f"a layer returns a value, found {describe(value)}", statement.value.span)
    return Returned(value)


def _misplaced(what: str, where: str) -> Callable[[State, ast.Stmt, Env], Result]:
    def rule(state: State, statement: ast.Stmt, env: Env) -> Result:
        state.fail("BLC0209", f"`{what}` stands {where}", statement.span)

    return rule


def _expression(state: State, statement: ast.ExprStmt, env: Env) -> Result:
    state.evaluate(statement.value, env)
    return None


def _in_model(rule: Callable[..., object], word: str) -> Callable[[State, ast.Stmt, Env], Result]:
    """Declarations of the model do not stand in layers."""

    def checked(state: State, statement: ast.Stmt, env: Env) -> Result:
        if env.frame.layers:
            state.fail("BLC0209", f"`{word}` stands in a model, not in a layer", statement.span)
        rule(state, statement, env)
        return None

    return checked


def _bound(rule: Callable[..., object]) -> Callable[[State, ast.Stmt, Env], Result]:
    def bound(state: State, statement: ast.Stmt, env: Env) -> Result:
        assert isinstance(statement, (ast.Plate, ast.Input, ast.Param))
        if statement.name in env.scope.names:
            bind(state, env, statement.name, None, statement.span, "")
        bind(state, env, statement.name, rule(state, statement, env), statement.span, type(statement).__name__.lower())
        return None

    return bound


_RULES: Mapping[type[ast.Stmt], Callable[..., Result]] = {
    ast.Plate: _in_model(_bound(lower_plate), "plate"),
    ast.Input: _in_model(_bound(lower_input), "input"),
    ast.Param: _bound(lower_param),
    ast.Let: _let,
    ast.Sample: _sample,
    ast.Observe: _observe,
    ast.Believe: _believe,
    ast.Predict: _predict,
    ast.Objective: _in_model(lower_objective, "objective"),
    ast.Optimize: _in_model(lower_optimize, "optimize"),
    ast.Mesh: refuse_mesh,
    ast.Shard: refuse_mesh,
    ast.If: _if,
    ast.Next: _misplaced("next", "at the end of a `repeat` or `scan` body"),
    ast.Emit: _misplaced("emit", "within a `scan` body"),
    ast.Return: _return,
    ast.ExprStmt: _expression,
}
