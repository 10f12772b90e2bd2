"""Makes a module smaller while something about it stays true: the search behind `blc repro --shrink`.

Functions, outputs and nodes are left out in ever smaller groups; what a node that stays reads of one that goes becomes
an input of the same type. Regions stay whole. Invariant: every step leaves fewer functions, outputs, or nodes that are
no inputs, so the search ends. May import: floors 0-3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.liveness import liveness
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import TensorType

T = TypeVar("T")
Holds = Callable[[Module], bool]

_INPUT = "model.input"
MOST_TRIES = 2_000
"""After so many modules tried the best one so far is taken."""


def shrink(module: Module, holds: Holds, *, tries: int = MOST_TRIES) -> Module:
    """A smaller module for which `holds` is still true; the module itself if there is none.

    Args:
        module: One for which it is true.
        holds: Whether a module is still of interest.
        tries: How often to ask at most.
    """
    search = _Search(holds, tries)
    while True:
        before = module
        module = search.functions(module)
        for name in module.functions:
            module = search.swept(module, name)
            module = search.outputs(module, name)
            module = search.swept(module, name)
            module = search.nodes(module, name)
        if module is before or search.left <= 0:
            return search.plates(module)


class _Search:
    """The steps; each returns the module itself if nothing can go."""

    def __init__(self, holds: Holds, tries: int) -> None:
        self._holds = holds
        self.left = tries

    def _better(self, candidate: Module) -> bool:
        self.left -= 1
        return self.left >= 0 and self._holds(candidate)

    def functions(self, module: Module) -> Module:
        """Leave out functions."""

        def without(gone: Sequence[str], of: Module) -> Module:
            return of.with_functions({name: graph for name, graph in of.functions.items() if name not in gone})

        return self._thin(module, tuple(module.functions), without)

    def outputs(self, module: Module, name: str) -> Module:
        """Leave out outputs of a function."""

        def without(gone: Sequence[str], of: Module) -> Module:
            graph = of.functions[name]
            return _with(of, name, graph.replace(outputs=[each for each in graph.outputs if each.name not in gone]))

        return self._thin(module, tuple(each.name for each in module.functions[name].outputs), without)

    def swept(self, module: Module, name: str) -> Module:
        """Leave out what no output depends on."""
        graph = module.functions[name]
        live = liveness(graph, lambda _: False).nodes
        if len(live) == len(graph.nodes):
            return module
        candidate = _with(module, name, graph.replace(nodes=[node for node in graph.nodes if node in live]))
        return candidate if self._better(candidate) else module

    def nodes(self, module: Module, name: str) -> Module:
        """Leave out nodes of a function, the last first: what only they need goes with the next sweep."""

        def without(gone: Sequence[Node], of: Module) -> Module | None:
            graph = _cut(of.functions[name], frozenset(gone))
            return None if graph is None else _with(of, name, graph)

        return self._thin(module, tuple(reversed(module.functions[name].nodes)), without)

    def plates(self, module: Module) -> Module:
        """Leave out plates."""

        def without(gone: Sequence[str], of: Module) -> Module:
            return replace(of, plates=tuple(plate for plate in of.plates if plate.name not in gone))

        return self._thin(module, tuple(plate.name for plate in module.plates), without)

    def _thin(
        self, module: Module, parts: tuple[T, ...], without: Callable[[Sequence[T], Module], Module | None]
    ) -> Module:
        """Leave out parts in groups: all, halves, quarters, single ones."""
        size = len(parts)
        while size:
            for group in _groups(parts, size):
                candidate = without(group, module)
                if candidate is not None and self._better(candidate):
                    module = candidate
                    parts = tuple(part for part in parts if part not in group)
            size = min(size // 2, len(parts))
        return module


def _groups(parts: tuple[T, ...], size: int) -> Iterator[tuple[T, ...]]:
    return (parts[i : i + size] for i in range(0, len(parts), size))


def _with(module: Module, name: str, graph: Graph) -> Module:
    return module.with_functions({**module.functions, name: graph})


def _cut(graph: Graph, gone: frozenset[Node]) -> Graph | None:
    """The graph without these nodes, inputs in place of what the others read of them.

    None where no input can be, and where nothing but inputs that are read would go.
    """
    read = {value for node in graph.nodes if node not in gone for value in node.inputs}
    read.update(output.value for output in graph.outputs)
    gone = frozenset(node for node in gone if node.op.name != _INPUT or node.result not in read)
    taken = {node.attrs["key"] for node in graph.of(_INPUT)}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node not in gone:
            nodes.append(node)
            continue
        for value in node.results:
            if value not in read:
                continue
            if not isinstance(value.type, TensorType):
                return None
            key = next(key for i in range(len(taken) + 1) if (key := f"cut{i}") not in taken)
            taken.add(key)
            nodes.append(_input(value, key, node))
    return graph.replace(nodes=nodes) if gone else None


def _input(value: Value, key: str, instead: Node) -> Node:
    spec = CORE_OPS[_INPUT]
    return Node(spec, (), spec.complete({"key": key, "type": value.type}), (value,), span=instead.span)
