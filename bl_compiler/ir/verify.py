"""What every module must satisfy, checked after lowering and after each pass.

Invariant: checking never fails otherwise than by reporting; a module without violations can be printed, parsed,
evaluated and emitted. May import: floor 0, the rest of `ir`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.infer import check_site, infer_types
from bl_compiler.ir.liveness import Liveness, liveness
from bl_compiler.ir.opspec import REQUIRED, Effect
from bl_compiler.ir.printer import print_window
from bl_compiler.ir.text import type_text
from bl_compiler.ir.types import Dim, DistType, DType, MapType, TensorType, Type, TypeRuleError, plates_of
from bl_compiler.ir.walk import regions_of, walk
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule. `node` is None where an output or an argument breaks it."""

    message: str
    function: str
    node: Node | None = None


class VerifyError(InternalError):
    """A module that does not verify: a defect of the front end or of a pass."""

    def __init__(self, found: Violation, module: Module, after: str) -> None:
        self.violation = found
        self.node = found.node
        self.span: Span = found.node.span if found.node else NO_SPAN
        self.after = after
        super().__init__(_explained(found, module, after))


def _explained(found: Violation, module: Module, after: str) -> str:
    lines = [f"{f'after {after}: ' if after else ''}function `{found.function}`: {found.message}"]
    node = found.node
    if node is not None:
        if node.span.known:
            lines.append(f"source: {node.span}")
        if node.made_by:
            lines.append(f"made by: {', '.join(node.made_by)}")
        lines.append(print_window(module.functions[found.function], node))
    return "\n".join(lines)


def verify(module: Module, *, after: str = "", since: Module | None = None) -> None:
    """Check a module.

    Args:
        module: what to check.
        after: the pass that made it, for the message.
        since: a module that was checked: functions that are still the same objects are not checked again.

    Raises:
        VerifyError: on the first violation.
    """
    for found in violations(module, since):
        raise VerifyError(found, module, after)


def violations(module: Module, since: Module | None = None) -> Iterator[Violation]:
    """All violations, in program order; see `verify`."""
    plates = frozenset(plate.name for plate in module.plates)
    # What is right in a function depends on the module's plates alone.
    known = since.functions if since is not None and since.plates == module.plates else {}
    for name, graph in module.functions.items():
        if known.get(name) is graph:
            continue
        check = _Function(name, plates)
        yield from check.graph(graph, None)
        yield from check.declarations(graph)


@dataclass(slots=True)
class _Function:
    """The state of checking one function."""

    name: str
    plates: frozenset[str]
    sites: dict[str, Node] = field(default_factory=dict)
    typed: set[Type] = field(default_factory=set)

    def bad(self, message: str, node: Node | None = None) -> Violation:
        return Violation(message, self.name, node)

    def graph(self, graph: Graph, outer: Callable[[Value], bool] | None) -> Iterator[Violation]:
        """Structure, and each node. `outer` tells the values of enclosing graphs."""
        defined: set[Value] = set()

        def visible_outside(value: Value) -> bool:
            return value in defined or (outer is not None and outer(value))

        for value in graph.args:
            if value in defined:
                yield self.bad("an argument is listed twice")
            defined.add(value)
            yield from self._plates(value, None)
        for node in graph.nodes:
            for value in node.inputs:
                if value not in defined:
                    yield self._undefined(value, node, outer)
            yield from self._node(node)
            for region in node.attrs.values():
                if isinstance(region, Graph):
                    yield from self.graph(region, visible_outside)
            for value in node.results:
                if value in defined:
                    yield self.bad(f"`{node.op.name}` defines `%{value.name}` a second time", node)
                defined.add(value)
        names: set[str] = set()
        for output in graph.outputs:
            if output.value not in defined:
                yield self.bad(f"output `{output.name}` is not defined by any node")
            if output.name and output.name in names:
                yield self.bad(f"two outputs are named `{output.name}`")
            names.add(output.name)

    def _undefined(self, value: Value, node: Node, outer: Callable[[Value], bool] | None) -> Violation:
        if outer is not None and outer(value):
            return self.bad(f"a region reads `%{value.name}` of an enclosing graph; regions are closed", node)
        return self.bad(f"`{node.op.name}` reads `%{value.name}` before it is defined", node)

    def _node(self, node: Node) -> Iterator[Violation]:
        fault = _attribute_fault(node)
        if fault:
            yield self.bad(fault, node)
            return
        try:
            check_site(node.op, node.site)
        except TypeRuleError as refusal:
            yield self.bad(str(refusal), node)
        if node.site is not None:
            if node.site in self.sites:
                yield self.bad(f"site `{node.site}` appears twice", node)
            self.sites[node.site] = node
        try:
            inferred = infer_types(node.op, [value.type for value in node.inputs], node.attrs)
        except TypeRuleError as refusal:
            yield self.bad(str(refusal), node)
            return
        recorded = tuple([value.type for value in node.results])
        if recorded != inferred:
            text = f"`{node.op.name}` gives {_listed(inferred)} and is recorded as {_listed(recorded)}"
            yield self.bad(text, node)
        for value in node.results:
            yield from self._plates(value, node)

    def _plates(self, value: Value, node: Node | None) -> Iterator[Violation]:
        if value.type in self.typed:
            return
        self.typed.add(value.type)
        for name in _plates_in(value.type):
            if name not in self.plates:
                yield self.bad(f"plate `{name}` of {type_text(value.type)} is not declared", node)

    def declarations(self, graph: Graph) -> Iterator[Violation]:
        """Inputs, parameters and statistics: declared once, updated only if declared."""
        seen: dict[tuple[str, object], Node] = {}
        states: set[object] = set()
        updates: list[Node] = []
        for node in walk(graph):
            key = _declared(node)
            if key is not None:
                if key in seen:
                    yield self.bad(f"{key[0]} `{key[1]}` is declared twice", node)
                seen[key] = node
            if node.op.name == "model.state":
                states.add(node.attrs.get("path"))
            elif node.op.name == "model.update":
                updates.append(node)
            elif node.op.name == "model.plate_size" and node.attrs.get("plate") not in self.plates:
                yield self.bad(f"plate `{node.attrs.get('plate')}` is not declared", node)
        for node in updates:
            if node.attrs.get("path") not in states:
                yield self.bad(f"statistic `{node.attrs.get('path')}` is updated and not declared", node)


_DECLARES = {
    "model.input": ("input", "key"),
    "model.param": ("parameter", "path"),
    "model.state": ("parameter", "path"),
    "model.predict": ("prediction", "key"),
    "model.update": ("update of", "path"),
}


def _declared(node: Node) -> tuple[str, object] | None:
    """What may be declared once only; parameters and statistics live in one space of paths."""
    kind = _DECLARES.get(node.op.name)
    return None if kind is None else (kind[0], node.attrs.get(kind[1]))


def _attribute_fault(node: Node) -> str | None:
    """What is wrong with the attributes' names and values, if anything."""
    if node.attrs.keys() != node.op.attrs.keys():
        missing = sorted(node.op.attrs.keys() - node.attrs.keys())
        extra = sorted(node.attrs.keys() - node.op.attrs.keys())
        return f"`{node.op.name}` {f'needs `{missing[0]}`' if missing else f'has no attribute `{extra[0]}`'}"
    for key, value in node.attrs.items():
        if value is REQUIRED:
            return f"`{node.op.name}` needs `{key}`"
        if not (isinstance(value, Graph) or _is_attribute(value)):
            return f"attribute `{key}` of `{node.op.name}` is no attribute value: {value!r}"
    return None


_ATTRIBUTES = frozenset({int, float, bool, str, type(None), DType, Dim, TensorType})


def _is_attribute(value: object) -> bool:
    return all(map(_is_attribute, value)) if isinstance(value, tuple) else type(value) in _ATTRIBUTES


def _plates_in(type_: Type) -> tuple[str, ...]:
    match type_:
        case TensorType():
            return plates_of(type_.dims)
        case DistType():
            return plates_of(type_.batch + type_.event)
        case MapType():
            return plates_of(type_.domain.dims + type_.codomain.dims)


def _listed(types: Sequence[Type]) -> str:
    return ", ".join(map(type_text, types)) or "nothing"


def unreached_sites(graph: Graph) -> list[Node]:
    """The latent variables of the function `model` that no observation, prediction or statistic depends on.

    A variable that only enters another's prior counts as reached if that other one is.
    """
    goals = (Effect.OBSERVES, Effect.UPDATES)
    return list(_unreached(graph, liveness(graph, lambda node: node.op.effect in goals)))


def _unreached(graph: Graph, live: Liveness | None) -> Iterator[Node]:
    """Without liveness, nothing of the graph is needed."""
    for node in graph.nodes:
        needed = live is not None and node in live.nodes
        if node.op.name == "model.sample" and not needed:
            yield node
        for region in regions_of(node):
            inner = live.regions.get(node) if live is not None else None
            if inner is not None or not needed:
                yield from _unreached(region, inner)
