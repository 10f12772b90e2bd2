"""Rewrites for tests of the checker: two that keep every law it must keep, and many that break one.

Invariant: each pass does what its name says and nothing else, in every entry point; all verify as IR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_graph
from bl_compiler.passes.base import Pass, PassContext
from bl_compiler.passes.registry import Registry

Change = Callable[[Graph, Node, Rewriter], bool]


class _Everywhere(Pass):
    """A pass that looks at one node at a time."""

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """Whether the node was dealt with."""
        raise NotImplementedError

    def run(self, module: Module, ctx: PassContext) -> Module:
        """Every function but `init`, changed."""

        def changed(name: str, graph: Graph) -> Graph:
            if name == "init":
                return graph
            return map_graph(graph, CORE_OPS, lambda node, rewriter: self.change(graph, node, rewriter))

        return map_functions(module, changed)


def _after(node: Node, rewriter: Rewriter, make: Callable[[GraphBuilder, Value], Value]) -> bool:
    """Let what `make` gives of a node's result stand for it."""
    kept = rewriter.builder.emit(
        node.op.name, [rewriter.value(v) for v in node.inputs], dict(node.attrs), site=node.site
    )
    rewriter.substitute(node.result, make(rewriter.builder, kept.result))
    return True


# --- local reparameterization, right and wrong -----------------------------------------------------------------------


@dataclass(frozen=True)
class RightLocal(_Everywhere):
    """Local reparameterization of `einsum(x, w)` for normal weights (Kingma, Salimans and Welling 2015, section 2.3).

    It is right for products over features alone, and wrong where positions of one example share the weight: nothing is
    asked here, so models decide which it is.
    """

    name: ClassVar[str] = "right-local"
    power: ClassVar[int] = 2
    spread: ClassVar[float] = 1.0

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """Draw the product in place of the weight."""
        if node.op.name != "linear.einsum" or len(node.inputs) != 2 or not node.inputs[0].tensor.plates:
            return False
        draw = graph.producers.get(node.inputs[1])
        d = graph.producers.get(draw.inputs[0]) if draw is not None and draw.op.name == "random.draw" else None
        if draw is None or d is None or d.op.name != "dist.Normal" or len(graph.users[node.inputs[1]]) != 1:
            return False
        if any(output.value is node.inputs[1] for output in graph.outputs):
            return False
        x, loc, scale = (rewriter.value(v) for v in (node.inputs[0], *d.inputs))
        spec = node.attrs.text("spec")
        rewriter.replace(node, lambda b: [self.drawn(b, spec, x, loc, scale, draw)])
        return True

    def drawn(self, b: GraphBuilder, spec: str, x: Value, loc: Value, scale: Value, draw: Node) -> Value:
        """A draw of the product."""
        mean = b.einsum(spec, x, loc)
        widths = b.unary("square", scale) if self.power == 2 else scale
        variance = b.einsum(spec, b.unary("square", x), widths)
        spread = b.binary("mul", b.unary("sqrt", variance), self.spread)
        return b.add("random.draw", b.add("dist.Normal", mean, spread), site=f"{draw.site}/product")


@dataclass(frozen=True)
class Unsquared(RightLocal):
    """Takes scales for variances."""

    name: ClassVar[str] = "unsquared"
    power: ClassVar[int] = 1


@dataclass(frozen=True)
class TooWide(RightLocal):
    """Makes the noise a quarter too wide."""

    name: ClassVar[str] = "too-wide"
    spread: ClassVar[float] = 1.25


@dataclass(frozen=True)
class NoiseSharedByOutputs(RightLocal):
    """Draws one number for all outputs of an example."""

    name: ClassVar[str] = "noise-shared-by-outputs"

    def drawn(self, b: GraphBuilder, spec: str, x: Value, loc: Value, scale: Value, draw: Node) -> Value:
        """A draw whose outputs move together."""
        mean = b.einsum(spec, x, loc)
        spread = b.unary("sqrt", b.einsum(spec, b.unary("square", x), b.unary("square", scale)))
        one = b.reduce("mean", b.binary("mul", spread, 0.0), [spread.tensor.rank - 1], keepdims=True)
        ones = b.unary("exp", one)
        noise = b.add("random.draw", b.add("dist.Normal", one, ones), site=f"{draw.site}/product")
        return b.binary("add", mean, b.binary("mul", spread, noise))


# --- draws -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OtherSite(_Everywhere):
    """Draws the same laws from other streams: no draw stays, every law does."""

    name: ClassVar[str] = "other-site"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """Another site for a draw."""
        if node.op.name != "random.draw":
            return False
        rewriter.replace(
            node,
            lambda b: [b.add("random.draw", rewriter.value(node.inputs[0]), site=f"{node.site}/other", **node.attrs)],
        )
        return True


@dataclass(frozen=True)
class MeanForDraw(_Everywhere):
    """Puts the mean in the place of a draw."""

    name: ClassVar[str] = "mean-for-draw"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """The mean of a normal."""
        d = graph.producers.get(node.inputs[0]) if node.op.name == "random.draw" else None
        if d is None or d.op.name != "dist.Normal":
            return False
        rewriter.replace(node, lambda b: [b.add("prob.mean", rewriter.value(node.inputs[0]))])
        return True


@dataclass(frozen=True)
class ShiftedDraw(_Everywhere):
    """Adds 0.1 to every draw of a weight."""

    name: ClassVar[str] = "shifted-draw"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """The draw, moved."""
        if node.op.name != "random.draw" or not str(node.site).endswith("kernel"):
            return False
        return _after(node, rewriter, lambda b, x: b.binary("add", x, 0.1))


# --- densities -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScaledKL(_Everywhere):
    """Counts every divergence 1.001 times."""

    name: ClassVar[str] = "scaled-kl"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """A product."""
        if node.op.name != "prob.kl":
            return False
        return _after(node, rewriter, lambda b, x: b.binary("mul", x, 1.001))


@dataclass(frozen=True)
class StoppedKL(_Everywhere):
    """Keeps the value of every divergence and loses its gradient."""

    name: ClassVar[str] = "stopped-kl"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """The gradient stopped."""
        if node.op.name != "prob.kl":
            return False
        return _after(node, rewriter, lambda b, x: b.unary("stop_gradient", x))


@dataclass(frozen=True)
class StoppedDensity(_Everywhere):
    """Halves the gradient of every log density, and keeps its value."""

    name: ClassVar[str] = "stopped-density"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """Half the gradient stopped."""
        if node.op.name != "prob.log_prob":
            return False

        def half(b: GraphBuilder, x: Value) -> Value:
            part = b.binary("mul", x, 0.5)
            return b.binary("add", part, b.unary("stop_gradient", part))

        return _after(node, rewriter, half)


@dataclass(frozen=True)
class ScaledDensity(_Everywhere):
    """Counts every log density 1.001 times."""

    name: ClassVar[str] = "scaled-density"

    def change(self, graph: Graph, node: Node, rewriter: Rewriter) -> bool:
        """A product."""
        if node.op.name != "prob.log_prob":
            return False
        return _after(node, rewriter, lambda b, x: b.binary("mul", x, 1.001))


@dataclass(frozen=True)
class LostOutput(Pass):
    """Leaves out the output `kl`."""

    name: ClassVar[str] = "lost-output"

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module without it."""

        def changed(name: str, graph: Graph) -> Graph:
            kept: Sequence[object] = [o for o in graph.outputs if o.name != "kl"]
            return Graph(graph.name, graph.nodes, tuple(kept), graph.args)  # type: ignore[arg-type]

        return map_functions(module, changed)


RIGHT = ("right-local", "other-site")
WRONG = {
    "unsquared": Unsquared,
    "too-wide": TooWide,
    "noise-shared-by-outputs": NoiseSharedByOutputs,
    "mean-for-draw": MeanForDraw,
    "shifted-draw": ShiftedDraw,
    "scaled-kl": ScaledKL,
    "stopped-kl": StoppedKL,
    "stopped-density": StoppedDensity,
    "scaled-density": ScaledDensity,
    "lost-output": LostOutput,
}
_ALL: dict[str, type[Pass]] = {"right-local": RightLocal, "other-site": OtherSite, **WRONG}
_CLEAN = {name: f"bl_compiler.passes.{name}:{name.capitalize()}" for name in ("canonicalize", "fold", "cse", "dce")}

REGISTRY = Registry({**_CLEAN, **{name: f"{__name__}:{kind.__name__}" for name, kind in _ALL.items()}}, {"O1": ""})
"""The passes of this file, and those that clean up."""
