"""What a model asks of its data: the inputs with their types and source lines, and the values each may take.

Invariant: a support is stated only where the model compares the input itself with a distribution, unmasked.
May import: floors 0-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.types import DistType, DType, TensorType
from bl_compiler.source import NO_SPAN, Span

# Ops that move elements without changing them, so the input's elements are the observed values.
_MOVES = ("tensor.reshape", "tensor.transpose", "tensor.reverse", "tensor.slice", "math.stop_gradient")


@dataclass(frozen=True, slots=True)
class Support:
    """The values that a distribution gives a density to.

    Attributes:
        constraint: The name in `CONSTRAINTS`.
        family: The distribution, for messages.
        classes: For labels, how many classes there are.
        low: For intervals, the lower bound where it is known.
        high: For intervals, the upper bound where it is known.
        span: The `observe` statement.
    """

    constraint: str
    family: str
    classes: int | None = None
    low: float | None = None
    high: float | None = None
    span: Span = NO_SPAN

    @property
    def words(self) -> str:
        """The condition in words, for messages."""
        if self.classes is not None:
            return f"a class from 0 to {self.classes - 1}"
        if self.constraint == "interval" and self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        return CONSTRAINTS[self.constraint].doc


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input: its name, its type, where it is declared, and what its values must satisfy."""

    name: str
    type: TensorType
    span: Span = NO_SPAN
    supports: tuple[Support, ...] = ()

    def axis(self, plate: str) -> int | None:
        """The axis that walks the examples of `plate`, or None if every example shares this input."""
        return next((i for i, dim in enumerate(self.type.dims) if dim.is_plate and dim.name == plate), None)

    def __str__(self) -> str:
        dims = ", ".join(dim.name or "" if dim.is_plate else str(dim) for dim in self.type.dims)
        return f"{self.type.dtype}[{dims}]"


def input_specs(module: Module) -> dict[str, InputSpec]:
    """The inputs of the function `model`, by name, in the order of the source."""
    graph = module.functions["model"]
    supports: dict[str, list[Support]] = {}
    for key, support in _observations(graph, {}):
        supports.setdefault(key, []).append(support)
    return {
        node.attrs.text("key"): InputSpec(
            node.attrs.text("key"),
            node.attrs.array_type("type"),
            node.span,
            tuple(supports.get(node.attrs.text("key"), ())),
        )
        for node in graph.of("model.input")
    }


def _observations(graph: Graph, outer: Mapping[Value, str]) -> Iterator[tuple[str, Support]]:
    """Each input observed as it is, with the support of its distribution; `outer` names a region's arguments."""
    keys = dict(outer)
    for node in graph.nodes:
        if node.op.name == "model.input":
            keys[node.result] = node.attrs.text("key")
        elif node.op.name in _MOVES and node.inputs[0] in keys:
            keys[node.result] = keys[node.inputs[0]]
        elif node.op.name == "model.observe" and len(node.inputs) == 2 and node.inputs[0] in keys:
            key = keys[node.inputs[0]]
            support = _support(graph, node)
            if support is not None:
                yield key, support
        elif "body" in node.attrs:
            body = node.attrs.graph("body")
            inner = {arg: keys[value] for arg, value in zip(body.args, node.inputs, strict=False) if value in keys}
            yield from _observations(body, inner)


def _support(graph: Graph, node: Node) -> Support | None:
    value = node.inputs[1]
    dist = value.type
    assert isinstance(dist, DistType), dist
    if dist.support in ("real", "real_vector", "real_matrix"):
        return None
    source = _base(graph, value)
    family = source.op.name.removeprefix("dist.") if source is not None else dist.family
    classes = None
    low = high = None
    if dist.support == "category" and source is not None and source.op.name == "dist.Categorical":
        size = source.inputs[0].tensor.dims[-1].size
        classes = size if isinstance(size, int) else None
    if dist.support == "interval" and source is not None and source.op.name == "dist.Uniform":
        low, high = (_constant(graph, bound) for bound in source.inputs)
    return Support(dist.support, family, classes, low, high, node.span)


def _base(graph: Graph, value: Value) -> Node | None:
    """The node that constructs the family under `expand` and `independent`."""
    node = graph.producers.get(value)
    while node is not None and node.op.name in ("dist.expand", "dist.independent"):
        node = graph.producers.get(node.inputs[0])
    return node


def _constant(graph: Graph, value: Value) -> float | None:
    node = graph.producers.get(value)
    while node is not None and node.op.name in ("tensor.broadcast", "tensor.reshape", "math.cast"):
        node = graph.producers.get(node.inputs[0])
    if node is None or node.op.name not in ("tensor.const", "tensor.full"):
        return None
    found = node.attrs["value"]
    return float(found) if isinstance(found, int | float) else None


NUMPY_DTYPES: dict[DType, str] = {
    DType.BOOL: "bool",
    DType.U8: "uint8",
    DType.I32: "int32",
    DType.I64: "int64",
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F32: "float32",
    DType.F64: "float64",
}
"""The names of the element types in NumPy; bfloat16 needs `ml_dtypes`, which JAX brings."""
