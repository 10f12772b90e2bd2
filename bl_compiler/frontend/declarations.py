"""Declarations of a model: plates, inputs, parameters, objective, optimizer.

May import: floors 0-1, the files of `frontend` below, `layers.init`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from bl_compiler.frontend import ast
from bl_compiler.frontend.arguments import written_arguments
from bl_compiler.frontend.library import CONSTRAINT_WORDS, OBJECTIVES, OPTIMIZERS, SCHEDULES
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.types import lower_type
from bl_compiler.frontend.values import PlateRef, describe, is_number
from bl_compiler.frontend.weights import parameter
from bl_compiler.ir.graph import Objective, Optimizer, PlateInfo, Value
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, DimKind, TensorType
from bl_compiler.layers.init import resolve
from bl_compiler.source import Span


def _positive(state: State, expr: ast.Expr, env: Env, what: str) -> int:
    value = state.evaluate(expr, env)
    if isinstance(value, bool) or not isinstance(value, int):
        state.fail("BLC0205", f"{what} is an integer, found {describe(value)}", expr.span)
    if value < 1:
        state.fail("BLC0203", f"{what} must be at least 1", expr.span, label=f"this is {value}")
    return value


def lower_plate(state: State, statement: ast.Plate, env: Env) -> PlateRef:
    """`plate batch[256] of 50_000`."""
    size: int | str = _positive(state, statement.size, env, "the size of a plate")
    total = None if statement.total is None else _positive(state, statement.total, env, "the number of examples")
    state.claim(f"plate:{statement.name}", statement.span)
    if state.settings.batch is not None and not state.plates:
        size = statement.name if state.settings.batch == "dynamic" else state.settings.batch
        if isinstance(size, int) and size < 1:
            state.fail("BLC0203", f"the batch size must be at least 1, and is set to {size}", statement.size.span)
    if total is not None and isinstance(size, int) and total < size:
        span = statement.total.span if statement.total is not None else statement.span
        state.fail("BLC0203", f"a step sees {size} examples of `{statement.name}` and there are only {total}", span)
    state.plates.append(PlateInfo(statement.name, size, total))
    return PlateRef(Dim(size, statement.name, DimKind.PLATE))


def lower_input(state: State, statement: ast.Input, env: Env) -> Value:
    """`input images: f32[batch, 32]`."""
    type_ = lower_type(state, statement.type, env)
    state.claim(f"input:{statement.name}", statement.span)
    with state.typed(statement.span):
        return state.b.add("model.input", key=statement.name, type=type_)


def lower_param(state: State, statement: ast.Param, env: Env) -> Value:
    """`param noise: f32[] = 1.0 in positive`."""
    shared = env.frame.shared.get(id(statement))
    if shared is not None:
        return shared
    type_ = lower_type(state, statement.type, env)
    if not type_.dtype.is_float:
        state.fail("BLC0207", f"a parameter is trained, so it is a float, not {type_.dtype}", statement.type.span)
    if any(d.is_plate for d in type_.dims):
        state.fail(
            "BLC0206",
            f"a parameter has no plate, `{statement.name}` has {type_}",
            statement.type.span,
            help="a plate-local value is an input or a `sample`",
        )
    constraint, bounds = _constraint(state, statement.constraint, env)
    init = _initial(state, statement, type_, constraint, bounds, env)
    if constraint in ("simplex", "lower_cholesky") and type_.rank < (1 if constraint == "simplex" else 2):
        state.fail(
            "BLC0206",
            f"`{constraint}` needs {'a vector' if constraint == 'simplex' else 'a matrix'}, found {type_}",
            statement.type.span,
        )
    path = env.frame.unique(statement.name)
    state.declared.add(path)
    value = parameter(
        state, path, type_.dims, init, statement.span, constraint=constraint, bounds=bounds, dtype=type_.dtype
    )
    env.frame.shared[id(statement)] = value
    return value


def _constraint(state: State, expr: ast.Expr | None, env: Env) -> tuple[str, tuple[float, float]]:
    if expr is None:
        return "real", (0.0, 1.0)
    name = expr.function if isinstance(expr, ast.Call) else expr
    if not isinstance(name, ast.Name):
        state.fail("BLC0205", "expected the name of a constraint", expr.span)
    if name.id not in CONSTRAINT_WORDS:
        state.unknown("constraint", name.id, list(CONSTRAINT_WORDS), name.span)
    values = (
        [state.evaluate(a.value, env) for a in expr.arguments if isinstance(a, ast.Argument)]
        if isinstance(expr, ast.Call)
        else []
    )
    if name.id != "interval":
        if values:
            state.fail("BLC0204", f"`{name.id}` takes no arguments", expr.span)
        return name.id, (0.0, 1.0)
    if len(values) != 2 or not all(map(is_number, values)):
        state.fail("BLC0204", "`interval` takes its two bounds: `interval(0, 1)`", expr.span)
    low, high = (float(v) for v in values if isinstance(v, (int, float)))
    if not low < high:
        state.fail("BLC0203", f"the bounds {low} and {high} are not in order", expr.span)
    return "interval", (low, high)


def _initial(
    state: State, statement: ast.Param, type_: TensorType, constraint: str, bounds: tuple[float, float], env: Env
) -> Initializer:
    value = state.evaluate(statement.init, env)
    at = statement.init.span
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        state.check_range(value, type_.dtype, at)
        low, high = {"positive": (0.0, float("inf")), "unit_interval": (0.0, 1.0), "interval": bounds}.get(
            constraint, (None, None)
        )
        if low is not None and high is not None and not low < value < high:
            rule = "greater than 0" if constraint == "positive" else f"between {low} and {high}"
            state.fail("BLC0302", f"`{statement.name}` must start {rule}", at, label=f"this is {value}")
        if constraint == "lower_cholesky":
            return ("identity", float(value))
        if constraint == "simplex" and not value > 0:
            state.fail("BLC0302", f"`{statement.name}` must start greater than 0", at, label=f"this is {value}")
        return constant(float(value))
    if constraint not in ("real", "lower_cholesky") or (constraint == "lower_cholesky" and value != "identity"):
        state.fail(
            "BLC0302",
            f"`{statement.name}` is constrained, so it needs a number to start from",
            at,
            help="write a number inside the constraint",
        )
    with state.typed(at, {"init": at}):
        return resolve("init", value, [d.size for d in type_.dims if isinstance(d.size, int)])


# --- objective and optimizer -----------------------------------------------------------------------------------------


def _form(
    state: State, expr: ast.Expr, table: Mapping[str, tuple[str, ...]], what: str, env: Env
) -> tuple[str, dict[str, tuple[ast.Expr, Span]]]:
    name = expr.function if isinstance(expr, ast.Call) else expr
    if not isinstance(name, ast.Name):
        state.fail("BLC0205", f"expected the name of {'an' if what[0] in 'aeiou' else 'a'} {what}", expr.span)
    if name.id not in table:
        state.unknown(what, name.id, list(table), name.span)
    return name.id, written_arguments(state, expr, name.id, table[name.id])


def lower_objective(state: State, statement: ast.Objective, env: Env) -> None:
    """`objective elbo(samples=1, kl_weight=anneal(0.0, 1.0, steps=10_000))`.

    It was read before the model's other statements (`lower.py`), so here it is only checked for a second one.
    """
    if not state.objective_span.known:
        state.fail("BLC0209", "the objective stands among the model's own statements, not in a block", statement.span)
    if state.objective_span != statement.span:
        found = state.sink.error("BLC0202", "a second objective", at=statement.span)
        found.label(state.objective_span, "the first is here")
        state.fail_quietly()


def read_objective(state: State, statement: ast.Objective, env: Env) -> None:
    """Evaluate the objective, which decides how beliefs are lowered."""
    kind, given = _form(state, statement.value, OBJECTIVES, "objective", env)
    samples = _positive(state, given["samples"][0], env, "`samples`") if "samples" in given else 1
    weight, anneal = 1.0, None
    if "kl_weight" in given:
        weight, anneal = _kl_weight(state, given["kl_weight"][0], env)
    state.objective = Objective(kind, samples, weight, anneal)
    state.objective_span = statement.span


def _kl_weight(state: State, expr: ast.Expr, env: Env) -> tuple[float, tuple[float, float, int] | None]:
    if isinstance(expr, ast.Call) and isinstance(expr.function, ast.Name) and expr.function.id == "anneal":
        _, given = _form(state, expr, {"anneal": ("start", "end", "steps")}, "schedule", env)
        if set(given) != {"start", "end", "steps"}:
            state.fail(
                "BLC0204", "`anneal` takes `start`, `end` and `steps`: `anneal(0.0, 1.0, steps=10_000)`", expr.span
            )
        start, end = (_number(state, given[k][0], env, f"`{k}`") for k in ("start", "end"))
        if min(start, end) < 0:
            state.fail("BLC0203", "the weight of the KL term must not be negative", expr.span)
        return end, (start, end, _positive(state, given["steps"][0], env, "`steps`"))
    weight = _number(state, expr, env, "`kl_weight`")
    if weight < 0:
        state.fail("BLC0203", "`kl_weight` must not be negative", expr.span, label=f"this is {weight}")
    return weight, None


def _number(state: State, expr: ast.Expr, env: Env, what: str) -> float:
    value = state.evaluate(expr, env)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        state.fail("BLC0205", f"{what} is a number, found {describe(value)}", expr.span)
    return float(value)


def lower_optimize(state: State, statement: ast.Optimize, env: Env) -> None:
    """`optimize adam(learning_rate=1e-3)`."""
    if state.optimizer_span.known:
        found = state.sink.error("BLC0202", "a second optimizer", at=statement.span)
        found.label(state.optimizer_span, "the first is here")
        state.fail_quietly()
    state.optimizer_span = statement.span
    name, given = _form(state, statement.value, OPTIMIZERS, "optimizer", env)
    arguments = {key: _optimizer_argument(state, key, expr, env) for key, (expr, _) in given.items()}
    if "learning_rate" not in arguments and name != "adafactor":
        arguments["learning_rate"] = 1e-3
    state.optimizer = Optimizer(name, tuple(sorted(arguments.items(), key=lambda item: item[0])))


def _optimizer_argument(state: State, key: str, expr: ast.Expr, env: Env) -> object:
    called = expr.function if isinstance(expr, ast.Call) else None
    if key == "learning_rate" and isinstance(called, ast.Name):
        name, given = _form(state, expr, SCHEDULES, "schedule", env)
        numbers = {k: _optimizer_argument(state, k, e, env) for k, (e, _) in given.items()}
        return (name, tuple(sorted(numbers.items(), key=lambda item: item[0])))
    value = state.evaluate(expr, env)
    if not isinstance(value, (int, float, bool)) and value is not None:
        state.fail("BLC0205", f"`{key}` is a number, found {describe(value)}", expr.span)
    if key == "learning_rate" and (isinstance(value, bool) or value is None or value < 0):
        state.fail("BLC0203", "`learning_rate` must not be negative", expr.span, label=f"this is {value}")
    return value


def refuse_mesh(state: State, statement: ast.Mesh | ast.Shard, env: Env) -> NoReturn:
    """Sharding comes later."""
    word = "mesh" if isinstance(statement, ast.Mesh) else "shard"
    state.not_yet(f"`{word}`", state.word(word, statement.span))
