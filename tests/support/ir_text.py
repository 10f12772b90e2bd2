"""Modules for tests, written as IR text without its frame.

Invariant: what is returned verifies, unless it was asked for unverified. May import: the IR.
"""

from __future__ import annotations

from textwrap import dedent, indent

from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_graph
from bl_compiler.ir.verify import verify

HEADER = "module m\nplate batch[4] of 100\n"


def module(body: str, *, function: str = "model", checked: bool = True) -> Module:
    """A module with one function of these lines."""
    text = f"{HEADER}\nfunc {function} {{\n{indent(dedent(body).strip(), '  ')}\n}}\n"
    found = parse_module(text, CORE_OPS)
    if checked:
        verify(found)
    return found


def graph(body: str, *, function: str = "model") -> Graph:
    """The one function of `module`."""
    return module(body, function=function).functions[function]


def lines(found: Module | Graph) -> list[str]:
    """The nodes and outputs of the one function as text, without indentation and positions."""
    if isinstance(found, Module):
        (found,) = found.functions.values()
    return [line.strip() for line in print_graph(found, spans=False).splitlines()[1:-1]]


def named(found: Graph, name: str) -> Node:
    """The node whose first result has this name."""
    return next(node for node in found.nodes if node.results and node.results[0].name == name)
