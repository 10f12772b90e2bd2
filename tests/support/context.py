"""A stand-in for the front end: what layers ask for becomes declarative nodes of one graph.

Invariant: weights are `model.param` nodes under the instance's path, noise `model.noise` sites; nothing is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.initializers import Initializer
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of
from bl_compiler.layers.registry import LAYERS
from bl_compiler.layers.spec import LayerContext, LayerSpec

BATCH = Dim(4, "batch", DimKind.PLATE)
"""A plate of four examples."""
DYNAMIC = Dim("B", "batch", DimKind.PLATE)
"""A plate whose size is known at run time only."""


def time(steps: int) -> Dim:
    """A sequence axis."""
    return Dim(steps, "time", DimKind.TIME)


class FakeContext:
    """The context of one layer instance, named `layer`."""

    def __init__(self) -> None:
        self.b = GraphBuilder(CORE_OPS, "model")
        self.weights: dict[str, Value] = {}
        self.inits: dict[str, Initializer] = {}
        self.updates: list[str] = []
        self.sites: list[str] = []
        self._asked: set[str] = set()
        self._inputs = 0

    def input(self, dtype: str, *dims: int | Dim) -> Value:
        """A new input; the first is called `x0`, the next `x1`, and so on."""
        key = f"x{self._inputs}"
        self._inputs += 1
        return self.b.add("model.input", key=key, type=TensorType(DType(dtype), dims_of(*dims)), name=key)

    def weight(
        self,
        role: str,
        dims: Sequence[int | Dim],
        init: Initializer,
        *,
        constraint: str = "real",
        dtype: DType = DType.F32,
    ) -> Value:
        """See `LayerContext.weight`."""
        if role not in self.weights:
            type_ = TensorType(dtype, dims_of(*dims))
            self.weights[role] = self.b.add(
                "model.param", path=f"layer/{role}", type=type_, init=init, constraint=constraint, name=role
            )
            self.inits[role] = init
        assert self.weights[role].tensor.shape == tuple(d.size for d in dims_of(*dims))
        return self.weights[role]

    def state(self, name: str, dims: Sequence[int | Dim], init: Initializer, *, dtype: DType = DType.F32) -> Value:
        """See `LayerContext.state`."""
        key = f"state:{name}"
        if key not in self.weights:
            type_ = TensorType(dtype, dims_of(*dims))
            self.weights[key] = self.b.add("model.state", path=f"layer/{name}", type=type_, init=init, name=name)
        return self.weights[key]

    def update(self, name: str, value: Value) -> None:
        """See `LayerContext.update`."""
        self.updates.append(name)
        self.b.emit("model.update", (value,), {"path": f"layer/{name}"})

    def noise(self, name: str, distribution: Value) -> Value:
        """See `LayerContext.noise`."""
        site = f"layer/{name}_{len(self.sites)}" if self.sites else f"layer/{name}"
        self.sites.append(site)
        return self.b.add("model.noise", distribution, site=site)

    def call(self, function: object, *args: Value) -> Value:
        """See `LayerContext.call`; functions of the library are called by their declaration."""
        if isinstance(function, LayerSpec):
            return one(function.function(self, *args))
        assert callable(function)
        return one(function(*args))

    def once(self, what: str) -> bool:
        """See `LayerContext.once`."""
        first = what not in self._asked
        self._asked.add(what)
        return first

    def apply(self, layer: str, *args: object, **named: object) -> Value:
        """The result of a layer or function that gives one value."""
        return one(LAYERS[layer].function(self, *args, **named))

    def graph(self, *results: Value) -> Graph:
        """What was built, with these results as its outputs `y0`, `y1` and so on."""
        return self.b.finish([(f"y{i}", value) for i, value in enumerate(results)])


def one(result: object) -> Value:
    """The value among what a layer may give."""
    assert isinstance(result, Value), result
    return result


def conforms(context: FakeContext) -> LayerContext:
    """The fake as the protocol, so that mypy compares the two."""
    return context
