"""Rules: a pattern, a check that gives a reason, a rewrite; all functions of a node and what stands above it.

Invariant: a rule reads only a node and the nodes that its operands come from, so one sweep in program order applies a
set of rules until none fires. May import: floors 0-1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import TensorType, Type


class View(Protocol):
    """What a rule sees of the graph that is being rewritten."""

    def producer(self, value: Value) -> Node | None:
        """The node that defines a value; None for arguments."""

    def uniform(self, value: Value) -> float | int | bool | None:
        """The number that all elements of a constant are, if they are."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a pattern found.

    Attributes:
        root: the node to replace.
        values: the values the rewrite uses, by their names in the pattern.
        nodes: other nodes of the pattern; their histories go into the new nodes'.
    """

    root: Node
    values: Mapping[str, Value] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def __getitem__(self, name: str) -> Value:
        return self.values[name]


def no_objection(match: Match, view: View) -> str | None:
    """The check of a rule whose pattern says it all."""
    return None


@dataclass(frozen=True)
class Rule:
    """One rewrite.

    Attributes:
        name: CamelCase, after what it turns into what; new nodes carry it in `made_by`.
        roots: the ops at which the pattern starts.
        match: the pattern: what it found, or None.
        rewrite: appends nodes and gives what stands for the root's results. If the builder refuses a node, or a type
            comes out other than it was, the rule counts as refused.
        check: why a match is not to be rewritten; None if it is.
    """

    name: str
    roots: tuple[str, ...]
    match: Callable[[Node, View], Match | None]
    rewrite: Callable[[Match, GraphBuilder], Sequence[Value]]
    check: Callable[[Match, View], str | None] = no_objection

    @property
    def where(self) -> str:
        """File and line where the pattern was written."""
        code = getattr(self.match, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def same_value(name: str, roots: tuple[str, ...], find: Callable[[Node, View], Value | None]) -> Rule:
    """A rule that replaces a node by a value that is there already; the pattern gives it.

    Where the node also broadcast or promoted that value, a broadcast or a cast takes its place.
    """

    def match(node: Node, view: View) -> Match | None:
        found = find(node, view)
        return None if found is None else Match(node, {"value": found})

    def rewrite(match: Match, builder: GraphBuilder) -> Sequence[Value]:
        return [conform(builder, match["value"], match.root.result.type)]

    return Rule(name, roots, match, rewrite)


def conform(builder: GraphBuilder, value: Value, wanted: Type) -> Value:
    """`value` cast and broadcast to a type; itself if it has it."""
    if value.type == wanted or not isinstance(wanted, TensorType) or not isinstance(value.type, TensorType):
        return value
    return builder.broadcast(builder.cast(value, wanted.dtype), wanted.dims)


def made_by(view: View, value: Value, *ops: str) -> Node | None:
    """The node that defines a value, if its op is one of these."""
    node = view.producer(value)
    return node if node is not None and node.op.name in ops else None
