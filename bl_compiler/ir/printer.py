"""The text form of modules and graphs, made to be read and to parse back.

Invariant: printing is deterministic, `parse(print(m)) == m`, and printing the parsed module gives the same text; a
graph that does not verify prints too, since the verifier quotes it.
May import: floor 0, `attrs`, `graph`, `text`, `walk`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bl_compiler.ir.graph import Graph, Module, Node, Objective, Optimizer, Output, Value
from bl_compiler.ir.text import attrs_text, quoted, span_text, type_text, value_text
from bl_compiler.ir.walk import regions_of
from bl_compiler.source import NO_SPAN

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")
_ONE_LINE = 100
"""Longest `return` that stays on one line."""


@dataclass(slots=True)
class Namer:
    """Unique SSA names within a function and its regions, from the hints of the source."""

    used: set[str] = field(default_factory=set)
    unnamed: int = 0
    next_suffix: dict[str, int] = field(default_factory=dict)

    def name(self, hint: str) -> str:
        """A name that was not given before: the hint itself, else `hint_1`, `hint_2`, …; numbers without a hint."""
        if not hint:
            self.unnamed += 1
            return f"%{self.unnamed - 1}"
        base = hint if hint.isascii() and hint.isidentifier() else self._cleaned(hint)
        name, number = base, self.next_suffix.get(base, 1)
        while name in self.used:
            name, number = f"{base}_{number}", number + 1
            self.next_suffix[base] = number
        self.used.add(name)
        return f"%{name}"

    @staticmethod
    def _cleaned(hint: str) -> str:
        base = _NOT_IN_NAMES.sub("_", hint)
        return base if base[0].isalpha() or base[0] == "_" else f"_{base}"


@dataclass(slots=True)
class _Printer:
    """Prints one function; `lines` of nested regions come back to the caller, which indents nothing itself."""

    spans: bool
    elide: int | None
    namer: Namer = field(default_factory=Namer)

    def graph_lines(self, graph: Graph, indent: str, head: str) -> list[str]:
        """A header line, the nodes, the outputs, the closing brace."""
        names: dict[Value, str] = {}
        args = ", ".join(f"{self._define(v, names)}: {type_text(v.type)}" for v in graph.args)
        parens = f"({args})" if args or head.startswith("^") else ""
        lines = [f"{indent}{head}{parens} {{"]
        inner = indent + "  "
        for node in graph.nodes:
            lines += self.node_lines(node, inner, names)
        lines += _return_lines(graph.outputs, inner, names)
        lines.append(indent + "}")
        return lines

    def node_lines(self, node: Node, indent: str, names: dict[Value, str]) -> list[str]:
        """One line, and the lines of the node's regions."""
        operands = ", ".join([_read(v, names) for v in node.inputs])
        results = ", ".join([self._define(v, names) for v in node.results])
        text = f"{indent}{results}{' = ' if results else ''}{node.op.name}({operands})"
        text += attrs_text(node.op, node.attrs, self.elide)
        if node.site is not None:
            text += f" @{quoted(node.site)}"
        if node.results:
            text += " : " + ", ".join([type_text(v.type) for v in node.results])
        if node.scope:
            text += f" in {quoted(node.scope)}"
        if node.made_by:
            text += f" by {', '.join(map(quoted, node.made_by))}"
        if self.spans and node.span != NO_SPAN:
            text += f" {span_text(node.span)}"
        lines = [text]
        for key, region in node.attrs.items():
            if isinstance(region, Graph):
                name = "" if region.name == key else f" {json.dumps(region.name)}"
                lines += self.graph_lines(region, indent + "  ", f"^{key}{name}")
        return lines

    def _define(self, value: Value, names: dict[Value, str]) -> str:
        names[value] = name = self.namer.name(value.name)
        return name


def _read(value: Value, names: Mapping[Value, str]) -> str:
    """The value's name; one that is not in scope shows as `%?name`, which the parser refuses."""
    return names.get(value) or f"%?{_NOT_IN_NAMES.sub('_', value.name)}"


def _return_lines(outputs: Sequence[Output], indent: str, names: Mapping[Value, str]) -> list[str]:
    parts = [f"{quoted(o.name)} = {_read(o.value, names)}" if o.name else _read(o.value, names) for o in outputs]
    line = f"{indent}return {', '.join(parts)}".rstrip()
    if len(line) <= _ONE_LINE:
        return [line]
    return [f"{indent}return", *(f"{indent}  {p}," for p in parts[:-1]), f"{indent}  {parts[-1]}"]


def print_module(module: Module, *, spans: bool = True, elide: int | None = None) -> str:
    """The text of a module.

    Args:
        module: what to print.
        spans: show source positions.
        elide: cut constants of more elements than this; such text does not parse back.
    """
    lines = [f"module {quoted(module.name)}"]
    for plate in module.plates:
        total = "" if plate.total is None else f" of {plate.total}"
        size = plate.size if isinstance(plate.size, int) else quoted(plate.size)
        lines.append(f"plate {quoted(plate.name)}[{size}]{total}")
    lines.append(f"objective {_objective_text(module.objective)}")
    lines.append(f"optimizer {_optimizer_text(module.optimizer)}")
    lines += [f"option {quoted(name)} = {value_text(_frozen(value), elide)}" for name, value in module.options]
    for name, graph in module.functions.items():
        alias = "" if graph.name == name else f" {json.dumps(graph.name)}"
        lines += ["", *_Printer(spans, elide).graph_lines(graph, "", f"func {quoted(name)}{alias}")]
    return "\n".join(lines) + "\n"


def print_graph(graph: Graph, *, spans: bool = True, elide: int | None = None) -> str:
    """The text of one graph, as a function of a module prints."""
    return "\n".join(_Printer(spans, elide).graph_lines(graph, "", f"func {quoted(graph.name)}")) + "\n"


def print_window(graph: Graph, around: Node, *, radius: int = 5, elide: int | None = 16) -> str:
    """The lines around a node of `graph` or of one of its regions; `>` marks the node's own line."""
    home = _home(graph, around) or graph
    printer = _Printer(spans=True, elide=elide)
    names: dict[Value, str] = {value: printer._define(value, {}) for value in home.args}
    index = next((i for i, node in enumerate(home.nodes) if node is around), 0)
    lines: list[str] = []
    for i, node in enumerate(home.nodes):
        if i > index + radius:
            lines.append("  …")
            break
        text = printer.node_lines(node, "  ", names)
        if i < index - radius:
            lines = ["  …"]
        elif node is around:
            lines += [">" + text[0][1:], *text[1:]]
        else:
            lines += [text[0], *(["    …"] if len(text) > 1 else [])]
    return "\n".join(lines)


def _home(graph: Graph, wanted: Node) -> Graph | None:
    """The graph among `graph` and its regions that lists the node."""
    for node in graph.nodes:
        if node is wanted:
            return graph
        for region in regions_of(node):
            found = _home(region, wanted)
            if found is not None:
                return found
    return None


def _objective_text(objective: Objective) -> str:
    text = f"{quoted(objective.kind)}(samples={objective.samples}, kl_weight={value_text(objective.kl_weight)}"
    return text + ("" if objective.anneal is None else f", anneal={value_text(objective.anneal)}") + ")"


def _optimizer_text(optimizer: Optimizer) -> str:
    arguments = ", ".join(f"{quoted(key)}={value_text(value)}" for key, value in optimizer.arguments)
    return f"{quoted(optimizer.name)}({arguments})"


def _frozen(value: object) -> object:
    """Options may hold lists; the text form has tuples only."""
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value
