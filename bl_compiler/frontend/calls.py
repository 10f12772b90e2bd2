"""Calls and pipes: making layer instances, applying them, calling functions and user layers.

A layer called without its input is an instance; `x |> f(a)` is `f(x, a)`. May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bl_compiler.frontend import ast
from bl_compiler.frontend.beliefs import belief_argument
from bl_compiler.frontend.context import Context
from bl_compiler.frontend.distributions import call_method, make_combined, make_distribution
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import (
    Beliefs,
    BuiltinRef,
    Combinator,
    FamilyRef,
    Frame,
    Instance,
    Method,
    Poison,
    Scope,
    UserLayer,
    Belief,
    Bound,
    describe,
    is_array,
    is_distribution,
)
from bl_compiler.ir.graph import Value
from bl_compiler.layers.spec import LayerSpec, ParamSpec
from bl_compiler.source import Span

_MAX_DEPTH = 64
_COMBINATORS = {"Mixture": ("mixing", "components"), "Independent": ("base", "ndims")}


@dataclass(slots=True)
class Arguments:
    """Evaluated arguments of a call. `spans` names each by its keyword or position."""

    positional: list[object] = field(default_factory=list)
    named: dict[str, object] = field(default_factory=dict)
    beliefs: list[Belief] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)


def evaluate_call(state: State, call: ast.Call, env: Env, piped: tuple[object, Span] | None = None) -> object:
    """Evaluate a call; `piped` is the value a pipe puts before the arguments."""
    callee = state.evaluate(call.function, env)
    roles = callee.spec.roles if isinstance(callee, BuiltinRef) else None
    params = [p.name for p in callee.spec.params] if isinstance(callee, BuiltinRef) else []
    arguments = Arguments()
    if piped is not None:
        arguments.positional.append(piped[0])
        arguments.spans["0"] = piped[1]
    for item in call.arguments:
        if isinstance(item, ast.BeliefArgument) or (roles and item.name in roles and item.name not in params):
            arguments.beliefs.append(belief_argument(state, item, env))
        elif item.name:
            if item.name in arguments.named:
                state.fail("BLC0204", f"`{item.name}` is given twice", item.span)
            arguments.named[item.name] = state.evaluate(item.value, env)
            arguments.spans[item.name] = item.span
        elif arguments.named:
            state.fail("BLC0204", "a positional argument stands after a named one", item.span)
        else:
            arguments.spans[str(len(arguments.positional))] = item.span
            arguments.positional.append(state.evaluate(item.value, env))
    return apply(state, callee, arguments, env, call.span, key=id(call))


def apply(state: State, callee: object, arguments: Arguments, env: Env, at: Span, *, key: int) -> object:
    """Call a value. `key` identifies the place in the text, so that a place makes one instance."""
    if any(isinstance(v, Poison) for v in (callee, *arguments.positional, *arguments.named.values())):
        state.fail_quietly()
    if (
        arguments.positional
        and is_distribution(arguments.positional[0])
        and isinstance(callee, (BuiltinRef, UserLayer, Instance))
    ):
        _refuse_push_forward(state, callee, arguments, at)
    match callee:
        case BuiltinRef():
            return _call_builtin(state, callee.spec, arguments, env, at, key)
        case UserLayer():
            return _call_user_layer(state, callee, arguments, env, at, key)
        case Instance():
            return _apply_instance(state, callee, arguments, env, at)
        case FamilyRef():
            _no_beliefs(state, arguments)
            return make_distribution(state, callee.family, arguments.positional, arguments.named, arguments.spans, at)
        case Combinator():
            given = dict(zip(_COMBINATORS[callee.name], arguments.positional, strict=False)) | arguments.named
            return make_combined(state, callee, given, at)
        case Method():
            return call_method(state, callee, arguments.positional, env, at)
    state.fail("BLC0205", f"{describe(callee)} cannot be called", at)


def _refuse_push_forward(
    state: State, callee: BuiltinRef | UserLayer | Instance, arguments: Arguments, at: Span
) -> None:
    """A pipe from a distribution needs a reversible layer; `gaussian`-like functions of arrays are no such layers."""
    name = (
        callee.spec.name
        if isinstance(callee, BuiltinRef)
        else callee.definition.name
        if isinstance(callee, UserLayer)
        else callee.kind
    )
    found = state.sink.error("BLC0308", f"`{name}` is not reversible, so it cannot push a distribution forward", at=at)
    found.label(arguments.spans.get("0", at), f"this is {describe(arguments.positional[0])}")
    found.help("draw a value first with `.sample()`, or use a reversible layer")
    state.fail_quietly()


def _no_beliefs(state: State, arguments: Arguments) -> None:
    for belief in arguments.beliefs:
        state.fail("BLC0204", "beliefs are for the weights of layers", belief.span)


# --- library layers and functions ------------------------------------------------------------------------------------


def _call_builtin(state: State, spec: LayerSpec, arguments: Arguments, env: Env, at: Span, key: int) -> object:
    if spec.stateless:
        _no_beliefs(state, arguments)
        bound, spans = _bind(state, spec, arguments, at, with_inputs=True)
        return _run(state, spec, bound, spans, env, None, at)
    first = arguments.positional[0] if arguments.positional else None
    applied = is_array(first) or isinstance(first, list) or any(p.name in arguments.named for p in spec.inputs)
    name = arguments.named.pop("name", None) if all(p.name != "name" for p in spec.params) else None
    if key in env.frame.instances:
        instance = env.frame.instances[key]
    else:
        path = (
            _explicit_path(state, name, env, arguments, at) if name is not None else env.frame.instance_path(spec.name)
        )
        beliefs = env.beliefs.and_(*arguments.beliefs)
        instance = Instance(spec, path, {}, {}, beliefs, env.frame.layers, at)
        env.frame.instances[key] = instance
    bound, spans = _bind(state, spec, arguments, at, with_inputs=applied)
    if applied:
        return _run(state, spec, bound, spans, env, instance, at)
    instance.arguments, instance.spans = bound, spans
    return instance


def _explicit_path(state: State, name: object, env: Env, arguments: Arguments, at: Span) -> str:
    span = arguments.spans.get("name", at)
    if not isinstance(name, str) or not name or name.startswith("/") or name.endswith("/"):
        state.fail("BLC0203", f"`name` is a non-empty string, found {describe(name)}", span)
    path = env.frame.full(name)
    if any(i.path == path for i in env.frame.instances.values()):
        state.fail("BLC0213", f"a second layer instance named `{path}`", span, help="give one of them another name")
    return path


def _bind(
    state: State, spec: LayerSpec, arguments: Arguments, at: Span, *, with_inputs: bool
) -> tuple[dict[str, object], dict[str, Span]]:
    """Match arguments to a spec's parameters; without inputs, positional ones start after the array parameters."""
    params = [p for p in spec.params if with_inputs or not (p.takes_value or p.takes_values) or not p.required]
    return match_arguments(state, f"`{spec.name}`", params, arguments, at)


def match_arguments(
    state: State, what: str, params: list[ParamSpec], arguments: Arguments, at: Span
) -> tuple[dict[str, object], dict[str, Span]]:
    """Positional and named arguments by parameter name, with their places."""
    bound: dict[str, object] = {}
    spans: dict[str, Span] = {}
    rest = list(arguments.positional)
    position = 0
    for param in params:
        if param.variadic:
            bound[param.name] = rest
            rest = []
        elif rest:
            bound[param.name] = rest.pop(0)
            spans[param.name] = arguments.spans.get(str(position), at)
            position += 1
    if rest:
        takes = f"{len(params)} argument{'s' * (len(params) != 1)}"
        state.fail(
            "BLC0204", f"{what} takes {takes}, not {len(arguments.positional)}", arguments.spans.get(str(position), at)
        )
    known = [p.name for p in params]
    for name, value in arguments.named.items():
        if name not in known:
            state.unknown(f"argument of {what}", name, known, arguments.spans.get(name, at), code="BLC0204")
        if name in bound and name in spans:
            state.fail("BLC0204", f"`{name}` of {what} is given twice", arguments.spans.get(name, at))
        bound[name], spans[name] = value, arguments.spans.get(name, at)
    for param in params:
        if param.name not in bound and param.required:
            state.fail(
                "BLC0204", f"{what} needs `{param.name}`", at, help=f"it takes {', '.join(f'`{k}`' for k in known)}"
            )
    return bound, spans


def _run(
    state: State,
    spec: LayerSpec,
    bound: Mapping[str, object],
    spans: Mapping[str, Span],
    env: Env,
    instance: Instance | None,
    at: Span,
) -> object:
    context = Context(state, env, instance, lambda f, args: _call_function_value(state, f, args, env, at))
    positional: list[object] = []
    named: dict[str, object] = {}
    for param in spec.params:
        if param.name not in bound:
            continue
        value = bound[param.name]
        span = spans.get(param.name, at)
        if param.takes_value and not (value is None and not param.required):
            value = state.array(value, span, f"an array for `{param.name}`")
        elif param.takes_values or (param.variadic and param.kind == "Value"):
            if not isinstance(value, (list, tuple)):
                state.fail("BLC0205", f"`{param.name}` is a list of arrays, found {describe(value)}", span)
            value = [state.array(v, span, "an array") for v in value]
        if param.variadic:
            assert isinstance(value, list)
            positional = [
                *(named.pop(p.name) for p in spec.params[: spec.params.index(param)] if p.name in named),
                *value,
            ]
        else:
            named[param.name] = value
    scope = instance.path if instance is not None else state.b.scope
    with state.b.at(scope=scope), state.typed(at, spans):
        result = spec.function(context, *positional, **named)
    for value in result if isinstance(result, tuple) else (result,):
        if isinstance(value, Value):
            state.b.hint(value, spec.name)
    return result


def _call_function_value(state: State, function: object, args: tuple[Value, ...], env: Env, at: Span) -> Value:
    found = apply(state, function, Arguments(list(args)), env, at, key=id(function))
    if not isinstance(found, Value):
        state.fail("BLC0205", f"the function gives {describe(found)}, not an array", at)
    return found


def _apply_instance(state: State, instance: Instance, arguments: Arguments, env: Env, at: Span) -> object:
    _no_beliefs(state, arguments)
    if isinstance(instance.layer, UserLayer):
        first, *others = instance.layer.definition.params or (None,)
        if first is None or len(arguments.positional) != 1 or arguments.named:
            state.fail(
                "BLC0204", f"the instance `{instance.path}` takes its input only: its other arguments are given", at
            )
        return _run_body(state, instance, {**instance.arguments, first.name: arguments.positional[0]}, at)
    inputs = [p for p in instance.layer.params if p.takes_value or p.takes_values]
    bound, spans = match_arguments(state, f"`{instance.path}`", inputs, arguments, at)
    spans = {**instance.spans, **spans}
    return _run(state, instance.layer, {**instance.arguments, **bound}, spans, env, instance, at)


# --- user layers -----------------------------------------------------------------------------------------------------


def _call_user_layer(state: State, layer: UserLayer, arguments: Arguments, env: Env, at: Span, key: int) -> object:
    definition = layer.definition
    params = [ParamSpec(p.name, "object", p.default is None) for p in definition.params]
    first = arguments.positional[0] if arguments.positional else None
    applied = is_array(first) or (bool(params) and params[0].name in arguments.named) or not params
    name = arguments.named.pop("name", None) if all(p.name != "name" for p in params) else None
    if key in env.frame.instances:
        instance = env.frame.instances[key]
    else:
        path = (
            _explicit_path(state, name, env, arguments, at)
            if name is not None
            else env.frame.instance_path(definition.name)
        )
        layers = (*env.frame.layers, definition.name)
        instance = Instance(layer, path, {}, {}, env.beliefs.and_(*arguments.beliefs), layers, at, Frame(path, layers))
        env.frame.instances[key] = instance
    taken = params if applied else params[1:]
    bound, spans = match_arguments(state, f"`{definition.name}`", taken, arguments, at)
    for param in definition.params:
        if param.name not in bound and param.default is not None:
            bound[param.name] = state.evaluate(param.default, Env(layer.scope, env.frame, Beliefs()))
    if applied:
        return _run_body(state, instance, bound, at)
    instance.arguments, instance.spans = bound, spans
    return instance


def _run_body(state: State, instance: Instance, bound: Mapping[str, object], at: Span) -> object:
    assert isinstance(instance.layer, UserLayer) and instance.frame is not None
    definition = instance.layer.definition
    if state.depth >= _MAX_DEPTH:
        state.fail(
            "BLC0215",
            f"`{definition.name}` is nested more than {_MAX_DEPTH} deep",
            at,
            help="a layer must not use itself",
        )
    scope = Scope(instance.layer.scope)
    for param in definition.params:
        scope.names[param.name] = Bound(bound[param.name], param.span, "parameter", used=True)
    state.depth += 1
    try:
        with state.b.at(scope=instance.path):
            found = state.run(definition.body, Env(scope, instance.frame, instance.beliefs))
    finally:
        state.depth -= 1
    if found is None:
        state.fail("BLC0209", f"`{definition.name}` does not end with `return`", definition.span)
    return found
