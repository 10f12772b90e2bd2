"""Values, nodes, graphs and modules: the immutable SSA form.

Invariant: a graph's nodes stand in an order in which every value is defined before it is used, and a value has one
definition. Values and nodes have identity; graphs compare by structure: names, spans, scopes and provenance take no
part.
May import: floor 0, `types`, `attrs`, `opspec`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from bl_compiler.ir.attrs import Attrs, attr_key
from bl_compiler.ir.opspec import OpSpec
from bl_compiler.ir.types import TensorType, Type
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One SSA value. `name` is a hint from the source, made unique by the printer."""

    type: Type
    name: str = ""

    @property
    def tensor(self) -> TensorType:
        """The type of a value known to be an array."""
        assert isinstance(self.type, TensorType), self.type
        return self.type


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation.

    Attributes:
        site: the identity of a draw or an observation, else None.
        scope: the layer instance it belongs to; for readers and profiles only.
        made_by: the rules that made or rewrote it, oldest first.
    """

    op: OpSpec
    inputs: tuple[Value, ...]
    attrs: Attrs
    results: tuple[Value, ...]
    site: str | None = None
    scope: str = ""
    span: Span = NO_SPAN
    made_by: tuple[str, ...] = ()

    @property
    def result(self) -> Value:
        """The only result."""
        assert len(self.results) == 1, self.op.name
        return self.results[0]


@dataclass(frozen=True, slots=True)
class Output:
    """A named result of a graph."""

    name: str
    value: Value


@dataclass(frozen=True, eq=False)
class Graph:
    """A function or a region. Regions are closed: they see their `args` only."""

    name: str
    nodes: tuple[Node, ...] = ()
    outputs: tuple[Output, ...] = ()
    args: tuple[Value, ...] = ()

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        """The node that defines each value (arguments have none)."""
        return {result: node for node in self.nodes for result in node.results}

    @cached_property
    def positions(self) -> Mapping[Node, int]:
        """The place of each node in program order."""
        return {node: index for index, node in enumerate(self.nodes)}

    @cached_property
    def users(self) -> Mapping[Value, tuple[Node, ...]]:
        """The nodes that read each value, each named once per operand position; outputs are not nodes."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in found.items()}

    def output(self, name: str) -> Value:
        """The output of that name; KeyError if absent."""
        for output in self.outputs:
            if output.name == name:
                return output.value
        raise KeyError(name)

    def of(self, *ops: str) -> Iterator[Node]:
        """The nodes with one of these ops, in order."""
        return (node for node in self.nodes if node.op.name in ops)

    @cached_property
    def structure(self) -> tuple[object, ...]:
        """A hashable value equal exactly for equal graphs."""
        number: dict[Value, int] = {}
        for value in self.args:
            number[value] = len(number)
        rows: list[object] = [tuple(value.type for value in self.args)]
        for node in self.nodes:
            for value in node.results:
                number[value] = len(number)
            attrs = tuple((k, v.structure if isinstance(v, Graph) else attr_key(v)) for k, v in node.attrs.items())
            types = tuple(value.type for value in node.results)
            rows.append((node.op.name, tuple(number[v] for v in node.inputs), attrs, types, node.site))
        rows.append(tuple((output.name, number[output.value]) for output in self.outputs))
        return tuple(rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.structure == other.structure

    def __hash__(self) -> int:
        return hash(self.structure)

    def __repr__(self) -> str:
        from bl_compiler.ir.printer import print_graph

        return print_graph(self)

    def replace(self, *, nodes: Sequence[Node] | None = None, outputs: Sequence[Output] | None = None) -> Graph:
        """A copy with other nodes or outputs."""
        return Graph(
            self.name,
            self.nodes if nodes is None else tuple(nodes),
            self.outputs if outputs is None else tuple(outputs),
            self.args,
        )


@dataclass(frozen=True, slots=True)
class PlateInfo:
    """A plate: `size` examples in one step out of `total` (None: a run-time scalar)."""

    name: str
    size: int | str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """What training minimizes. `anneal` is (start, end, steps) of the KL weight, or None."""

    kind: str = "elbo"
    samples: int = 1
    kl_weight: float = 1.0
    anneal: tuple[float, float, int] | None = None


def is_optimizer_argument(value: object) -> bool:
    """Whether an optimizer can have this argument: a number, string, truth value or none, or a schedule of such."""
    if isinstance(value, tuple):
        pairs = value[1] if len(value) == 2 and isinstance(value[0], str) else None
        return isinstance(pairs, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and is_optimizer_argument(pair[1])
            for pair in pairs
        )
    return value is None or isinstance(value, (bool, int, float, str))


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optax optimizer by name with its arguments, sorted by name; a schedule is `(name, arguments)`."""

    name: str = "adam"
    arguments: tuple[tuple[str, object], ...] = (("learning_rate", 1e-3),)


@dataclass(frozen=True)
class Module:
    """A whole program. Lowering makes the function `model`; the pass `entries` derives the entry points."""

    name: str
    functions: Mapping[str, Graph]
    plates: tuple[PlateInfo, ...] = ()
    objective: Objective = Objective()
    optimizer: Optimizer = Optimizer()
    options: tuple[tuple[str, object], ...] = field(default=(), compare=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.functions)))

    def __repr__(self) -> str:
        from bl_compiler.ir.printer import print_module

        return print_module(self)

    def _key(self) -> tuple[object, ...]:
        return self.name, dict(self.functions), self.plates, self.objective, self.optimizer

    def with_functions(self, functions: Mapping[str, Graph]) -> Module:
        """A copy with other functions."""
        return replace(self, functions=dict(functions))

    def plate(self, name: str) -> PlateInfo:
        """The plate of that name; KeyError if absent."""
        for plate in self.plates:
            if plate.name == name:
                return plate
        raise KeyError(name)
