"""From syntax trees to a module with the function `model`.

Invariant: the module is None exactly when an error went to the sink.
May import: floors 0-1, `layers`, the files of `frontend`.
"""

from __future__ import annotations

from functools import partial

from bl_compiler.diagnostics import Abort, Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.builder import ModelBuilder
from bl_compiler.frontend.declarations import read_objective
from bl_compiler.frontend.expressions import evaluate
from bl_compiler.frontend.lints import run_lints, unused_names
from bl_compiler.frontend.sources import Sources
from bl_compiler.frontend.state import Env, LowerSettings, State
from bl_compiler.frontend.statements import run
from bl_compiler.frontend.values import Beliefs, Bound, Frame, Scope, UserLayer, describe
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import OpSet
from bl_compiler.layers.registry import LAYERS
from bl_compiler.layers.spec import LayerSet
from bl_compiler.source import Span

Options = dict[str, Bound]


def lower(
    sources: Sources, settings: LowerSettings, sink: Sink, *, layers: LayerSet = LAYERS, ops: OpSet = CORE_OPS
) -> Module | None:
    """Lower one model of a file.

    Args:
        sources: the file and its imports.
        settings: which model, option values, batch size.
        sink: where errors and lints go.
        layers: the layers and functions the language knows.
        ops: the ops of the IR.
    """
    state = State(sink, ModelBuilder(ops, "model"), layers, settings)
    model = _pick(state, sources.main, settings.model)
    state.evaluate = partial(evaluate, state)
    state.run = partial(run, state)
    before = len(sink.errors)
    options: Options = {}
    try:
        scope = _file_scope(state, sources, options)
    except Abort:
        return None
    _unknown_defines(state, options)
    if model is None or len(sink.errors) > before:
        return None
    env = Env(Scope(scope), Frame("", ()), Beliefs())
    _lower_body(state, model, env)
    if len(sink.errors) > before:
        return None
    _finish(state, sources, model, env, options)
    if len(sink.errors) > before:
        return None
    values = tuple((name, bound.value) for name, bound in sorted(options.items()))
    return Module(
        model.name, {"model": state.b.finish()}, tuple(state.plates), state.objective, state.optimizer, values
    )


def _pick(state: State, file: ast.File, name: str | None) -> ast.ModelDef | None:
    sink = state.sink
    models = [item for item in file.items if isinstance(item, ast.ModelDef)]
    seen: dict[str, Span] = {}
    for item in models:
        at = state.word(item.name, item.span)
        if item.name in seen:
            found = sink.error("BLC0202", f"a second model `{item.name}`", at=at)
            found.label(seen[item.name], "the first is here")
            return None
        seen[item.name] = at
    if name is not None:
        chosen = next((m for m in models if m.name == name), None)
        if chosen is None:
            found = sink.error("BLC0005", f"`{file.name}` has no model `{name}`")
            State.suggest(found, name, list(seen), file.span)
        return chosen
    if len(models) == 1:
        return models[0]
    if not models:
        sink.error("BLC0005", f"`{file.name}` has no model", at=file.span).help("write `model NAME { … }`")
    else:
        sink.error("BLC0005", f"`{file.name}` has {len(models)} models", at=seen[models[1].name]).help(
            "choose one with `--model`: " + ", ".join(f"`{m.name}`" for m in models)
        )
    return None


def _file_scope(state: State, sources: Sources, options: Options) -> Scope:
    """Names of options and layers of all files; imported ones first."""
    scope = Scope()
    for file in (*sources.imported, sources.main):
        for item in file.items:
            if isinstance(item, ast.ModelDef) and file is not sources.main:
                at = state.word(item.name, item.span)
                state.sink.error("BLC0212", f"`{file.name}` is imported and holds the model `{item.name}`", at=at).help(
                    "keep what is shared in a file of its own: imports bring in layers and options"
                )
            elif isinstance(item, (ast.Option, ast.LayerDef)):
                if item.name in scope.names:
                    at = state.word(item.name, item.span)
                    found = state.sink.error(
                        "BLC0202", f"`{item.name}` is already defined", at=at, label="defined again"
                    )
                    found.label(state.word(item.name, scope.names[item.name].span), "first defined here")
                elif isinstance(item, ast.Option):
                    options[item.name] = Bound(_option_value(state, item, scope), item.span, "option")
                    scope.names[item.name] = options[item.name]
                else:
                    scope.names[item.name] = Bound(UserLayer(item, scope), item.span, "layer", used=True)
    return scope


def _option_value(state: State, item: ast.Option, scope: Scope) -> object:
    value = evaluate(state, item.value, Env(scope, Frame("", ()), Beliefs()))
    if not _is_literal(value):
        state.fail("BLC0205", f"an option is a literal, found {describe(value)}", item.value.span)
    if item.name not in state.settings.defines:
        return value
    given = state.settings.defines[item.name]
    if isinstance(value, float) and isinstance(given, int) and not isinstance(given, bool):
        given = float(given)
    if value is not None and type(given) is not type(value):
        state.fail(
            "BLC0004",
            f"the option `{item.name}` is {describe(value)} in the file and was set to {describe(given)}",
            item.value.span,
            help=f"give it a value of the same type, as in `-D {item.name}={_spelled(value)}`",
        )
    return given


def _is_literal(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, (int, float, str, bool))


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unknown_defines(state: State, options: Options) -> None:
    for name in state.settings.defines:
        if name not in options:
            found = state.sink.error("BLC0003", f"the file has no option `{name}`")
            State.suggest(found, name, list(options), Span("", 0, 0, 0, 0))


def _lower_body(state: State, model: ast.ModelDef, env: Env) -> None:
    for statement in model.body.statements:
        if isinstance(statement, ast.Objective) and not state.objective_span.known:
            try:
                read_objective(state, statement, env)
            except Abort:
                return
    try:
        run(state, model.body, env)
    except Abort:
        return


def _finish(state: State, sources: Sources, model: ast.ModelDef, env: Env, options: Options) -> None:
    if not any(node.op.name in ("model.observe", "model.predict") for node in state.b.nodes):
        at = state.word(model.name, model.span)
        state.sink.error("BLC0307", f"`{model.name}` observes and predicts nothing", at=at).help(
            "add `observe labels ~ …`"
        )
        return
    run_lints(state)
    unused_names(state, env.scope.names)
    for name, bound in options.items():
        if not bound.used and bound.span.file == sources.main.name:
            at = state.word(name, bound.span)
            state.sink.warning("BLC0355", f"the option `{name}` is never used", at=at)
