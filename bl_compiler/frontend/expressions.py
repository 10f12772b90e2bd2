"""Evaluating expressions: compile-time values stay values, the rest becomes IR.

May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bl_compiler.diagnostics import Abort
from bl_compiler.frontend import ast
from bl_compiler.frontend.arguments import Arguments
from bl_compiler.frontend.calls import apply, evaluate_call
from bl_compiler.frontend.distributions import attribute, expand
from bl_compiler.frontend.library import PLANNED_LAYERS, PLANNED_POSTERIORS, POSTERIORS
from bl_compiler.frontend.operators import apply_binary, apply_index, apply_unary
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.types import dims_of_indices
from bl_compiler.frontend.values import (
    BuiltinRef,
    Combinator,
    FamilyRef,
    Filler,
    Poison,
    describe,
    is_array,
    is_distribution,
    size_of,
)
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Value
from bl_compiler.ir.improper import IMPROPER
from bl_compiler.ir.types import DType

_FILLERS = {"zeros": Filler("zeros", 0.0), "ones": Filler("ones", 1.0)}
_COMBINATORS = {name: Combinator(name) for name in ("Mixture", "Independent")}


def evaluate(state: State, expr: ast.Expr, env: Env) -> object:
    """The meaning of an expression; new nodes point at it."""
    return _RULES[type(expr)](state, expr, env)


def _literal(state: State, expr: ast.Literal, env: Env) -> object:
    return expr.value


def _name(state: State, expr: ast.Name, env: Env) -> object:
    found = env.scope.find(expr.id)
    if found is not None:
        found.used = True
        if isinstance(found.value, Poison):
            raise Abort
        return found.value
    if expr.id in state.layers:
        return BuiltinRef(state.layers[expr.id])
    if expr.id in FAMILIES:
        return FamilyRef(FAMILIES[expr.id])
    if expr.id in IMPROPER:
        return FamilyRef(IMPROPER[expr.id])
    if expr.id in _COMBINATORS:
        return _COMBINATORS[expr.id]
    if expr.id in _FILLERS:
        return _FILLERS[expr.id]
    if expr.id in PLANNED_LAYERS:
        state.not_yet(f"`{expr.id}`", expr.span)
    if expr.id in POSTERIORS or expr.id in PLANNED_POSTERIORS:
        state.fail("BLC0205", f"`{expr.id}` is a posterior", expr.span, help="a posterior stands after `by`")
    known = [*env.scope.visible(), *state.layers, *FAMILIES, *IMPROPER, *_FILLERS, *_COMBINATORS]
    state.unknown("name", expr.id, known, expr.span)


def _list(state: State, expr: ast.ListExpr, env: Env) -> object:
    return [evaluate(state, item, env) for item in expr.items]


def _tuple(state: State, expr: ast.TupleExpr, env: Env) -> object:
    return tuple(evaluate(state, item, env) for item in expr.items)


def _unary(state: State, expr: ast.Unary, env: Env) -> object:
    return apply_unary(state, expr.op, evaluate(state, expr.operand, env), expr.span)


def _binary(state: State, expr: ast.Binary, env: Env) -> object:
    # A long sum leans to the left; its spine is walked, not recursed into.
    spine: list[ast.Binary] = []
    left: ast.Expr = expr
    while isinstance(left, ast.Binary):
        spine.append(left)
        left = left.left
    value = evaluate(state, left, env)
    for link in reversed(spine):
        value = apply_binary(state, link.op, value, evaluate(state, link.right, env), link.span)
    return value


def _attribute(state: State, expr: ast.Attribute, env: Env) -> object:
    value = evaluate(state, expr.value, env)
    if isinstance(value, Value) and is_distribution(value):
        return attribute(state, value, expr.name, expr.span)
    if isinstance(value, Value) and is_array(value):
        type_ = value.tensor
        match expr.name:
            case "shape":
                return [size_of(d) for d in type_.dims]
            case "ndim":
                return type_.rank
            case "dtype":
                return str(type_.dtype)
            case "size":
                sizes = [d.size for d in type_.dims]
                total = 1
                for size in sizes:
                    if isinstance(size, str):
                        state.fail("BLC0208", f"the size of `{size}` is not known at compile time", expr.span)
                    total *= size
                return total
            case "T":
                with state.typed(expr.span):
                    return state.b.transpose(value, tuple(reversed(range(type_.rank))))
        state.unknown("attribute of an array", expr.name, ["shape", "ndim", "dtype", "size", "T"], expr.span)
    state.fail("BLC0205", f"{describe(value)} has no attribute `{expr.name}`", expr.span)


def _index(state: State, expr: ast.Index, env: Env) -> object:
    value = evaluate(state, expr.value, env)
    if isinstance(value, Filler):
        dims = dims_of_indices(state, expr.indices, env)
        with state.typed(expr.span):
            return state.b.full(value.value, dims, DType.F32)
    if isinstance(value, Value) and is_distribution(value):
        return expand(state, value, dims_of_indices(state, expr.indices, env), expr.span)
    return apply_index(state, value, expr.indices, env, expr.span)


def _call(state: State, expr: ast.Call, env: Env) -> object:
    return evaluate_call(state, expr, env)


def _pipe(state: State, expr: ast.Pipe, env: Env) -> object:
    stages: list[ast.Pipe] = []
    source: ast.Expr = expr
    while isinstance(source, ast.Pipe):
        stages.append(source)
        source = source.value
    value, span = evaluate(state, source, env), source.span
    for link in reversed(stages):
        stage = link.stage
        if isinstance(stage, ast.Call):
            value = evaluate_call(state, stage, env, piped=(value, span))
        else:
            arguments = Arguments()
            arguments.pipe(value, span)
            value = apply(state, evaluate(state, stage, env), arguments, env, stage.span, key=id(link))
        span = link.span
    return value


def _planned(word: str) -> Callable[[State, ast.Expr, Env], object]:
    return lambda state, expr, env: state.not_yet(f"`{word}`", state.word(word, expr.span))


def _stray(state: State, expr: ast.Expr, env: Env) -> object:
    state.fail("BLC0209", "slices, `...` and named sizes stand within brackets only", expr.span)


_RULES: Mapping[type[ast.Expr], Callable[..., object]] = {
    ast.Literal: _literal,
    ast.Name: _name,
    ast.ListExpr: _list,
    ast.TupleExpr: _tuple,
    ast.Unary: _unary,
    ast.Binary: _binary,
    ast.Attribute: _attribute,
    ast.Index: _index,
    ast.Call: _call,
    ast.Pipe: _pipe,
    ast.Repeat: _planned("repeat"),
    ast.Scan: _planned("scan"),
    ast.Slice: _stray,
    ast.Ellipsis: _stray,
    ast.Named: _stray,
}
