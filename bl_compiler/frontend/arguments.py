"""Arguments of calls, and their matching to parameters.

May import: floors 0-1, `layers.spec`, `ast`, `values`, `state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bl_compiler.frontend import ast
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import Belief, PlateRef, PlateSize, is_array
from bl_compiler.layers.spec import ParamSpec
from bl_compiler.source import Span


@dataclass(slots=True)
class Arguments:
    """Evaluated arguments of a call. `spans` names each by keyword or position; `piped`: the first came by a pipe."""

    positional: list[object] = field(default_factory=list)
    named: dict[str, object] = field(default_factory=dict)
    beliefs: list[Belief] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)
    piped: bool = False

    def add(self, value: object, at: Span) -> None:
        """Append a positional argument."""
        self.spans[str(len(self.positional))] = at
        self.positional.append(value)

    def pipe(self, value: object, at: Span) -> None:
        """Put the value of a pipe first."""
        self.piped = True
        self.add(value, at)

    @property
    def applied(self) -> bool:
        """Whether the first argument is an input, which makes a layer run instead of giving an instance."""
        return self.piped or (bool(self.positional) and holds_array(self.positional[0]))


def holds_array(value: object) -> bool:
    """Whether this is an array or a list with arrays in it."""
    return any(map(holds_array, value)) if isinstance(value, (list, tuple)) else is_array(value)


def match_arguments(
    state: State, what: str, params: Sequence[ParamSpec], arguments: Arguments, at: Span
) -> tuple[dict[str, object], dict[str, Span]]:
    """Positional and named arguments by parameter name, with their places."""
    bound: dict[str, object] = {}
    spans: dict[str, Span] = {}
    rest = list(arguments.positional)
    position = 0
    for param in params:
        if param.variadic:
            bound[param.name] = rest
            spans[param.name] = arguments.spans.get(str(position), at)
            rest = []
        elif rest:
            bound[param.name] = rest.pop(0)
            spans[param.name] = arguments.spans.get(str(position), at)
            position += 1
    known = [p.name for p in params if not p.variadic]
    if rest:
        takes = f"{len(params)} argument{'s' * (len(params) != 1)}" if params else "no arguments"
        state.fail(
            "BLC0204", f"{what} takes {takes}, not {len(arguments.positional)}", arguments.spans.get(str(position), at)
        )
    for name, value in arguments.named.items():
        if name not in known:
            state.unknown(f"argument of {what}", name, known, arguments.spans.get(name, at), code="BLC0204")
        if name in bound:
            state.fail("BLC0204", f"`{name}` of {what} is given twice", arguments.spans.get(name, at))
        bound[name], spans[name] = value, arguments.spans.get(name, at)
    for param in params:
        if param.name not in bound and param.required:
            listed = ", ".join(f"`{k}`" for k in known)
            state.fail("BLC0204", f"{what} needs `{param.name}`", at, help=f"it takes {listed}")
    return bound, spans


def written_arguments(
    state: State, expr: ast.Expr, name: str, known: Sequence[str]
) -> dict[str, tuple[ast.Expr, Span]]:
    """The arguments of a form that is read and not called, such as `mean_field(init_scale=0.1)`, by name."""
    given: dict[str, tuple[ast.Expr, Span]] = {}
    keyword = False
    for position, item in enumerate(expr.arguments if isinstance(expr, ast.Call) else ()):
        if isinstance(item, ast.BeliefArgument):
            state.fail("BLC0204", f"`{name}` takes no beliefs", item.span)
        if not item.name and keyword:
            state.fail("BLC0204", "a positional argument stands after a named one", item.span)
        if not item.name and position >= len(known):
            listed = ", ".join(f"`{k}`" for k in known) or "no arguments"
            state.fail("BLC0204", f"`{name}` takes {listed}", item.span)
        key, keyword = item.name or known[position], bool(item.name)
        if key not in known:
            state.unknown(f"argument of `{name}`", key, known, item.span, code="BLC0204")
        if key in given:
            state.fail("BLC0204", f"`{key}` of `{name}` is given twice", item.span)
        given[key] = (item.value, item.span)
    return given


def plain(value: object, *, keep_plates: bool) -> object:
    """A compile-time value as layers take it: plates as sizes, or as dimensions where they may stay what they are."""
    match value:
        case list():
            return [plain(v, keep_plates=keep_plates) for v in value]
        case tuple():
            return tuple(plain(v, keep_plates=keep_plates) for v in value)
        case PlateSize():
            return value.dim if keep_plates else int(value)
        case PlateRef():
            return value.dim
        case _:
            return value
