"""Small passes for tests of the machinery around passes.

Invariant: each pass does what its name says and nothing else. May import: the passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from bl_compiler.ir.graph import Module, Node
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_graph
from bl_compiler.passes.base import Fact, Instrument, Pass, PassContext
from bl_compiler.passes.registry import Registry


class Color(StrEnum):
    """A choice among words."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Nothing(Pass):
    """Changes nothing and has every kind of option."""

    name: ClassVar[str] = "nothing"

    sites: tuple[str, ...] = ("*",)
    sizes: tuple[int, ...] = ()
    fast: bool = False
    max_size: int | None = None
    rate: float = 1.0
    label: str = ""
    color: Color = Color.RED

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The same."""
        return module


@dataclass(frozen=True)
class SquareToMul(Pass):
    """Rewrites squares as products."""

    name: ClassVar[str] = "square-to-mul"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module without squares."""

        def change(node: Node, rewriter: Rewriter) -> bool:
            if node.op.name != "math.square":
                ctx.journal.refused("SquareToMul", "no square", node)
                return False
            ctx.journal.fired("SquareToMul", node)
            x = rewriter.value(node.inputs[0])
            rewriter.replace(node, lambda builder: [builder.binary("mul", x, x)])
            return True

        return map_functions(module, lambda name, graph: map_graph(graph, ctx.ops, change, made_by="SquareToMul"))


@dataclass(frozen=True)
class ReverseNodes(Pass):
    """Breaks every function."""

    name: ClassVar[str] = "reverse-nodes"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module in the wrong order."""
        return map_functions(module, lambda name, graph: graph.replace(nodes=graph.nodes[::-1]))


@dataclass(frozen=True)
class Crash(Pass):
    """Fails."""

    name: ClassVar[str] = "crash"

    message: str

    def run(self, module: Module, ctx: PassContext) -> Module:
        """Nothing."""
        raise RuntimeError(self.message)


@dataclass(frozen=True)
class NeedsEntries(Nothing):
    """Asks for entry points."""

    name: ClassVar[str] = "needs-entries"
    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})


@dataclass(frozen=True)
class MakesEntries(Nothing):
    """Says that it made entry points."""

    name: ClassVar[str] = "makes-entries"
    establishes: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})


TOYS = Registry(
    {
        kind.name: f"{__name__}:{kind.__name__}"
        for kind in (Nothing, SquareToMul, ReverseNodes, Crash, NeedsEntries, MakesEntries)
    },
    {"L1": "nothing", "L2": "L1,square-to-mul", "loop": "loop"},
)


def context(*instruments: Instrument) -> PassContext:
    """A context with these instruments."""
    return PassContext(CORE_OPS, instruments=instruments)
