"""How a region op's operands, its body's arguments and outputs, and its results correspond.

Operands and arguments are carries, sliced values, captured values, in this order; outputs and results are carries, then
stacked values. Invariant: what is said here is what `ops_region` infers. May import: `graph`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bl_compiler.ir.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a region op's operands; the rest is captured.

    Attributes:
        carries: how many values go from round to round, the first operands and the first results.
        sliced: how many operands are cut along their first axis.
        sliced_attr: the attribute that counts the sliced operands, if the op has it.
    """

    body: Graph
    carries: int
    sliced: int
    sliced_attr: str | None


def layout(node: Node) -> Layout | None:
    """The layout of a region op; None for other ops, and for region ops that are laid out otherwise."""
    if node.op.name == "region.draws":
        return Layout(node.attrs.graph("body"), 0, 0, None)
    sliced_attr = {"region.repeat": "stacked", "region.scan": "walked"}.get(node.op.name)
    if sliced_attr is None:
        return None
    carries, sliced = node.attrs.integer("carries"), node.attrs.integer(sliced_attr)
    return Layout(node.attrs.graph("body"), carries, sliced, sliced_attr)


def narrowed(node: Node, body: Graph, outputs: Collection[int], args: Collection[int]) -> Node:
    """The node with only those outputs and arguments; `body` has been cut down to them already."""
    parts = layout(node)
    assert parts is not None
    attrs: dict[str, object] = {"body": body}
    if parts.sliced_attr is not None:
        attrs["carries"] = sum(i < parts.carries for i in outputs)
        attrs[parts.sliced_attr] = sum(parts.carries <= i < parts.carries + parts.sliced for i in args)
    return Node(
        node.op,
        tuple(value for i, value in enumerate(node.inputs) if i in args),
        node.attrs.with_(**attrs),
        tuple(value for i, value in enumerate(node.results) if i in outputs),
        node.site,
        node.scope,
        node.span,
        node.made_by,
    )
