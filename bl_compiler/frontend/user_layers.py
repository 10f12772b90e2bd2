"""User layers: their bodies, inlined at each application.

Invariant: an instance keeps its frame, so that applying it again meets the same instances and weights.
May import: floors 0-1, the files of `frontend` below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bl_compiler.diagnostics import Abort
from bl_compiler.frontend.arguments import Arguments
from bl_compiler.frontend.state import Env, Leave, State
from bl_compiler.frontend.values import Bound, Instance, Scope, UserLayer
from bl_compiler.layers.spec import ParamSpec
from bl_compiler.source import Span

MAX_DEPTH = 64
MAX_APPLICATIONS = 20_000
MAX_NODES = 200_000
"""The largest programs: layers that use layers twice grow beyond any machine in a few lines."""


def takes_input(params: Sequence[ParamSpec], arguments: Arguments) -> bool:
    """Whether these arguments run a layer with these parameters; else they make an instance of it."""
    return (
        arguments.applied
        or not params
        or params[0].name in arguments.named
        or len(arguments.positional) >= len(params) > 0
    )


def bind_defaults(state: State, layer: UserLayer, instance: Instance, bound: dict[str, object], at: Span) -> None:
    """Give parameters without argument their defaults; a layer made by a default belongs to the instance."""
    for param in layer.definition.params:
        if param.name not in bound and param.default is not None:
            instance.frame.holder = param.name
            with _nested(state, layer.name, at):
                bound[param.name] = state.evaluate(param.default, Env(layer.scope, instance.frame, instance.beliefs))


def run_body(state: State, instance: Instance, bound: Mapping[str, object], at: Span) -> object:
    """What a layer's body gives for these arguments."""
    assert isinstance(instance.layer, UserLayer)
    definition = instance.layer.definition
    scope = Scope(instance.layer.scope)
    for param in definition.params:
        if param.name in scope.names:
            state.fail("BLC0202", f"two parameters `{param.name}`", param.span)
        scope.names[param.name] = Bound(bound[param.name], param.span, "parameter", used=True)
    try:
        with _nested(state, definition.name, at), state.b.at(scope=instance.path):
            found = state.run(definition.body, Env(scope, instance.frame, instance.beliefs))
    except Leave:
        if state.exhausted:
            raise
        raise Abort from None
    if found is None:
        at = state.word(definition.name, definition.span)
        state.fail("BLC0209", f"`{definition.name}` does not end with `return`", at)
    return found.value


@contextmanager
def _nested(state: State, name: str, at: Span) -> Iterator[None]:
    """One layer deeper, if that has an end."""
    state.applications += 1
    if state.depth >= MAX_DEPTH:
        state.give_up(f"`{name}` is nested more than {MAX_DEPTH} deep", at, "a layer must not use itself without end")
    if len(state.b.nodes) > MAX_NODES or state.applications > MAX_APPLICATIONS:
        state.give_up(
            "this model grows beyond all bounds", at, "layers that use layers more than once multiply: nest them less"
        )
    state.depth += 1
    try:
        yield
    finally:
        state.depth -= 1
