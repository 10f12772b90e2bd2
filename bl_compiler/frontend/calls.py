"""Calls and pipes: what is called, with which arguments; library layers and functions.

A layer called without its input is an instance; `x |> f(a)` is `f(x, a)`.
May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bl_compiler.frontend import ast
from bl_compiler.frontend.arguments import Arguments, match_arguments, plain
from bl_compiler.frontend.beliefs import belief_argument
from bl_compiler.frontend.context import Context
from bl_compiler.frontend.distributions import call_method, make_combined, make_distribution
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.user_layers import bind_defaults, run_body, takes_input
from bl_compiler.frontend.values import (
    Belief,
    BuiltinRef,
    Combinator,
    FamilyRef,
    Frame,
    Instance,
    Method,
    Poison,
    UserLayer,
    describe,
    is_array,
    is_distribution,
)
from bl_compiler.ir.graph import Value
from bl_compiler.layers.spec import LayerSpec, ParamSpec
from bl_compiler.source import Span

_COMBINATORS = {
    "Mixture": [ParamSpec("mixing", "object", True), ParamSpec("components", "object", True)],
    "Independent": [ParamSpec("base", "object", True), ParamSpec("ndims", "object", False, 1)],
}
_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*\Z")


def evaluate_call(state: State, call: ast.Call, env: Env, piped: tuple[object, Span] | None = None) -> object:
    """Evaluate a call; `piped` is the value a pipe puts before the arguments."""
    callee = state.evaluate(call.function, env)
    arguments = Arguments()
    if piped is not None:
        arguments.pipe(*piped)
    for item in call.arguments:
        if _is_belief(state, callee, item):
            # A place in the text makes one instance, and its beliefs once.
            if id(call) not in env.frame.instances:
                arguments.beliefs.append(_belief_argument(state, callee, item, env))
            continue
        assert isinstance(item, ast.Argument)
        value = state.evaluate(item.value, env)
        if item.name:
            if item.name in arguments.named:
                state.fail("BLC0204", f"`{item.name}` is given twice", item.span)
            arguments.named[item.name] = value
            arguments.spans[item.name] = item.span
        elif arguments.named:
            state.fail("BLC0204", "a positional argument stands after a named one", item.span)
        else:
            arguments.add(value, item.span)
    return apply(state, callee, arguments, env, call.span, key=id(call))


def apply(state: State, callee: object, arguments: Arguments, env: Env, at: Span, *, key: object) -> object:
    """Call a value. `key` identifies the place in the text, so that a place makes one instance."""
    if any(isinstance(v, Poison) for v in (callee, *arguments.positional, *arguments.named.values())):
        state.fail_quietly()
    _refuse_push_forward(state, callee, arguments, at)
    if not isinstance(callee, (BuiltinRef, UserLayer)):
        for belief in arguments.beliefs:
            state.fail("BLC0204", "beliefs are for the weights of layers", belief.span)
    match callee:
        case BuiltinRef():
            return _call_builtin(state, callee.spec, arguments, env, at, key)
        case UserLayer():
            return _call_user_layer(state, callee, arguments, env, at, key)
        case Instance():
            return _apply_instance(state, callee, arguments, env, at)
        case FamilyRef():
            return make_distribution(state, callee.family, arguments.positional, arguments.named, arguments.spans, at)
        case Combinator():
            given, spans = match_arguments(state, f"`{callee.name}`", _COMBINATORS[callee.name], arguments, at)
            return make_combined(state, callee, given, spans, at)
        case Method():
            return call_method(state, callee, arguments, env, at)
    state.fail("BLC0205", f"{describe(callee)} cannot be called", at)


def _refuse_push_forward(state: State, callee: object, arguments: Arguments, at: Span) -> None:
    """A pipe from a distribution needs a reversible layer; `gaussian`-like functions of arrays are no such layers."""
    first = arguments.positional[0] if arguments.positional else None
    if not is_distribution(first) or not isinstance(callee, (BuiltinRef, UserLayer, Instance)):
        return
    if isinstance(callee, UserLayer) and not arguments.piped:
        return
    name = callee.spec.name if isinstance(callee, BuiltinRef) else callee.kind
    found = state.sink.error("BLC0308", f"`{name}` is not reversible, so it cannot push a distribution forward", at=at)
    found.label(arguments.spans.get("0", at), f"this is {describe(first)}")
    found.help("draw a value first with `.sample()`, or use a reversible layer")
    state.fail_quietly()


# --- beliefs among the arguments -------------------------------------------------------------------------------------


def _is_belief(state: State, callee: object, item: ast.Argument | ast.BeliefArgument) -> bool:
    """Whether an argument is about a weight: it is written so, or its name is a role and no parameter."""
    if isinstance(item, ast.BeliefArgument):
        return True
    match callee:
        case BuiltinRef():
            return item.name in callee.spec.roles and all(p.name != item.name for p in callee.spec.params)
        case UserLayer():
            return item.name in state.roles and all(p.name != item.name for p in callee.definition.params)
    return False


def _belief_argument(state: State, callee: object, item: ast.Argument | ast.BeliefArgument, env: Env) -> Belief:
    role = item.role if isinstance(item, ast.BeliefArgument) else item.name
    match callee:
        case BuiltinRef() if not callee.spec.stateless and role not in callee.spec.roles:
            state.unknown(f"weight of `{callee.spec.name}`", role, callee.spec.roles, item.span, code="BLC0204")
        case UserLayer() if role not in state.roles:
            state.unknown("role of a weight", role, state.roles, item.span)
    belief = belief_argument(state, item, env)
    if belief.prior is not None:
        state.beliefs.append((item.span, lambda: belief.used))
    return belief


# --- library layers and functions ------------------------------------------------------------------------------------


def _call_builtin(state: State, spec: LayerSpec, arguments: Arguments, env: Env, at: Span, key: object) -> object:
    if spec.stateless:
        for belief in arguments.beliefs:
            state.fail("BLC0204", f"the function `{spec.name}` has no weights", belief.span)
        bound, spans = match_arguments(state, f"`{spec.name}`", spec.params, arguments, at)
        return _run(state, spec, bound, spans, env, None, at)
    applied = arguments.applied or any(p.name in arguments.named for p in spec.inputs if p.required)
    instance = env.frame.instances.get(key)
    name = _explicit_name(state, arguments, spec.params, at)
    if instance is None:
        path = _path(state, name, spec.name, env, arguments, at)
        beliefs = env.beliefs.and_(*arguments.beliefs)
        instance = Instance(spec, path, {}, {}, beliefs, env.frame.layers, at, Frame(path, env.frame.layers))
        env.frame.instances[key] = instance
    # Without inputs, positional arguments start after the array parameters.
    params = [p for p in spec.params if applied or not (p.takes_value or p.takes_values) or not p.required]
    bound, spans = match_arguments(state, f"`{spec.name}`", params, arguments, at)
    if applied:
        return _run(state, spec, bound, spans, env, instance, at)
    instance.arguments, instance.spans = bound, spans
    return instance


def _explicit_name(state: State, arguments: Arguments, params: tuple[ParamSpec, ...], at: Span) -> str | None:
    """The value of `name=`, taken out of the arguments; None if it is not given."""
    if "name" not in arguments.named or any(p.name == "name" for p in params):
        return None
    name = arguments.named.pop("name")
    if not isinstance(name, str) or not _PATH.match(name):
        state.fail(
            "BLC0203",
            f"`name` cannot be {describe(name)}",
            arguments.spans.get("name", at),
            help='names have letters, digits, `_`, `-`, `.`, and `/` between parts: `name="encoder/first"`',
        )
    return name


def _path(state: State, name: str | None, kind: str, env: Env, arguments: Arguments, at: Span) -> str:
    """The path of a new instance."""
    if name is None:
        return env.frame.instance_path(kind)
    path = env.frame.full(name)
    before = next((i for i in env.frame.instances.values() if i.path == path), None)
    if before is not None:
        found = state.sink.error(
            "BLC0213", f"a second layer instance named `{path}`", at=arguments.spans.get("name", at)
        )
        found.label(before.span, "the first is here").help("give one of them another name")
        state.fail_quietly()
    return path


def _run(
    state: State,
    spec: LayerSpec,
    bound: Mapping[str, object],
    spans: Mapping[str, Span],
    env: Env,
    instance: Instance | None,
    at: Span,
) -> object:
    context = Context(state, instance, lambda f, args: _call_function_value(state, f, args, env, instance, at))
    positional: list[object] = []
    named: dict[str, object] = {}
    for param in spec.params:
        if param.name not in bound:
            continue
        value = bound[param.name]
        span = spans.get(param.name, at)
        if param.takes_value and not (value is None and not param.required):
            value = state.array(value, span, f"an array for `{param.name}`")
        elif param.takes_values:
            if not isinstance(value, (list, tuple)):
                state.fail("BLC0205", f"`{param.name}` is a list of arrays, found {describe(value)}", span)
            value = [state.array(v, span, "an array") for v in value]
        else:
            value = plain(value, keep_plates=param.name == "dims")
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


def _call_function_value(
    state: State, function: object, args: tuple[Value, ...], env: Env, owner: Instance | None, at: Span
) -> Value:
    """Call an argument, such as `activation=relu`; the weights of such a layer belong to the layer it serves."""
    arguments = Arguments(list(args), spans={str(i): at for i in range(len(args))})
    if owner is not None:
        env = Env(env.scope, owner.frame, owner.beliefs)
    name = function.spec.name if isinstance(function, BuiltinRef) else getattr(function, "name", "")
    found = apply(state, function, arguments, env, at, key=("function", name))
    if not isinstance(found, Value) or not is_array(found):
        state.fail("BLC0205", f"the function gives {describe(found)}, not an array", at)
    return found


def _apply_instance(state: State, instance: Instance, arguments: Arguments, env: Env, at: Span) -> object:
    if isinstance(instance.layer, UserLayer):
        if len(arguments.positional) != 1 or arguments.named:
            state.fail(
                "BLC0204", f"the instance `{instance.path}` takes its input only: its other arguments are given", at
            )
        first = instance.layer.definition.params[0]
        return run_body(state, instance, {**instance.arguments, first.name: arguments.positional[0]}, at)
    bound, spans = match_arguments(state, f"`{instance.path}`", instance.layer.inputs, arguments, at)
    spans = {**instance.spans, **spans}
    return _run(state, instance.layer, {**instance.arguments, **bound}, spans, env, instance, at)


def _call_user_layer(state: State, layer: UserLayer, arguments: Arguments, env: Env, at: Span, key: object) -> object:
    params = tuple(ParamSpec(p.name, "object", p.default is None) for p in layer.definition.params)
    applied = takes_input(params, arguments)
    instance = env.frame.instances.get(key)
    name = _explicit_name(state, arguments, params, at)
    if instance is None:
        path = _path(state, name, layer.name, env, arguments, at)
        layers = (*env.frame.layers, layer.name)
        beliefs = env.beliefs.and_(*arguments.beliefs)
        instance = Instance(layer, path, {}, {}, beliefs, layers, at, Frame(path, layers))
        env.frame.instances[key] = instance
    bound, spans = match_arguments(state, f"`{layer.name}`", params if applied else params[1:], arguments, at)
    bind_defaults(state, layer, instance, bound, at)
    if applied:
        return run_body(state, instance, bound, at)
    instance.arguments, instance.spans = bound, spans
    return instance
