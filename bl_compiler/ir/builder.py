"""Appends nodes to a graph: the only way front ends, layers and passes make nodes.

Invariant: every node's results have the types its op's rule infers. May import: floor 0, the rest of `ir`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.opspec import Effect, OpSet
from bl_compiler.ir.types import Dim, Dims, DType, TensorType, TypeRuleError
from bl_compiler.source import NO_SPAN, Span


class GraphBuilder:
    """Builds one graph.

    Attributes:
        span: the source position given to new nodes.
        scope: the layer instance given to new nodes.
        made_by: the provenance given to new nodes.
    """

    def __init__(self, ops: OpSet, name: str, args: Sequence[Value] = ()) -> None:
        self.ops = ops
        self.name = name
        self.args = tuple(args)
        self.nodes: list[Node] = []
        self._producers: dict[Value, Node] = {}
        self.span: Span = NO_SPAN
        self.scope: str = ""
        self.made_by: tuple[str, ...] = ()

    @contextmanager
    def at(self, *, span: Span | None = None, scope: str | None = None) -> Iterator[None]:
        """Give new nodes this span and scope for a while."""
        before = self.span, self.scope
        self.span = span if span is not None and span.known else self.span
        self.scope = self.scope if scope is None else scope
        try:
            yield
        finally:
            self.span, self.scope = before

    def emit(
        self, op: str, inputs: Sequence[Value], attrs: dict[str, object], *, site: str | None = None, name: str = ""
    ) -> Node:
        """Append a node.

        Raises:
            TypeRuleError: if the op refuses its operands, its attributes or the site.
        """
        spec = self.ops.find(op)
        spec.check_arity(len(inputs))
        full = spec.complete(attrs)
        if (site is not None) != (spec.effect in (Effect.DRAWS, Effect.OBSERVES)):
            raise TypeRuleError(f"`{op}` {'carries no' if site is not None else 'needs a'} site")
        types = spec.infer([v.type for v in inputs], full)
        results = tuple(Value(t, name) for t in types)
        node = Node(spec, tuple(inputs), full, results, site, self.scope, self.span, self.made_by)
        self.nodes.append(node)
        self._producers.update((result, node) for result in results)
        return node

    def producer(self, value: Value) -> Node | None:
        """The node of this builder that defines `value`; None for arguments."""
        return self._producers.get(value)

    @staticmethod
    def hint(value: Value, name: str, *, override: bool = False) -> None:
        """Name a value that has no name yet, or `override` its name.

        Hints serve readers only, so this is the one field ever set late.
        """
        if override or not value.name:
            object.__setattr__(value, "name", name)

    def add(self, op: str, *inputs: Value, site: str | None = None, name: str = "", **attrs: object) -> Value:
        """Append a node with one result and give that."""
        return self.emit(op, inputs, attrs, site=site, name=name).result

    def finish(self, outputs: Sequence[tuple[str, Value]] = ()) -> Graph:
        """The graph built so far."""
        return Graph(self.name, tuple(self.nodes), tuple(Output(n, v) for n, v in outputs), self.args)

    def const(self, value: object, dtype: DType) -> Value:
        """A literal: a number, a boolean, or nested tuples of them."""
        return self.add("tensor.const", value=value, dtype=dtype)

    def scalar(self, value: float, like: Value) -> Value:
        """A number in the element type of `like` (i32 for bool; f32 for integers where `value` is no integer)."""
        dtype = like.tensor.dtype
        if not dtype.is_float and isinstance(value, float):
            dtype = DType.F32
        elif dtype is DType.BOOL:
            dtype = DType.I32
        return self.const(float(value) if dtype.is_float else int(value), dtype)

    def unary(self, name: str, x: Value) -> Value:
        """`math.NAME(x)`."""
        return self.add(f"math.{name}", x)

    def binary(self, name: str, a: Value | float, b: Value | float) -> Value:
        """`math.NAME(a, b)`; a number takes the other operand's element type."""
        if not isinstance(a, Value):
            assert isinstance(b, Value)
            a = self.scalar(a, b)
        if not isinstance(b, Value):
            b = self.scalar(b, a)
        return self.add(f"math.{name}", a, b)

    def reduce(self, name: str, x: Value, axes: Sequence[int], *, keepdims: bool = False) -> Value:
        """`math.NAME(x)` over `axes` (negative ones count from the end); x itself without axes."""
        rank = x.tensor.rank
        canonical = tuple(sorted(a % rank for a in axes)) if rank else ()
        return self.add(f"math.{name}", x, axes=canonical, keepdims=keepdims) if canonical else x

    def reshape(self, x: Value, dims: Sequence[Dim]) -> Value:
        """X with other dimensions; x itself if they are the same."""
        return x if x.tensor.dims == tuple(dims) else self.add("tensor.reshape", x, dims=tuple(dims))

    def broadcast(self, x: Value, dims: Sequence[Dim]) -> Value:
        """X repeated to `dims`; x itself if they are the same."""
        return x if x.tensor.dims == tuple(dims) else self.add("tensor.broadcast", x, dims=tuple(dims))

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """X with its axes permuted."""
        return self.add("tensor.transpose", x, permutation=tuple(permutation))

    def cast(self, x: Value, dtype: DType) -> Value:
        """X in another element type; x itself if it has it."""
        return x if x.tensor.dtype is dtype else self.add("math.cast", x, dtype=dtype)

    def full(self, value: float, dims: Dims, dtype: DType = DType.F32) -> Value:
        """One number everywhere."""
        return self.add("tensor.full", value=value, dtype=dtype, dims=tuple(dims))

    def einsum(self, spec: str, *operands: Value) -> Value:
        """Sum of products."""
        return self.add("linear.einsum", *operands, spec=spec)


def input_type(node: Node) -> TensorType:
    """The declared type of a `model.input`, `model.param` or `model.state`."""
    return node.attrs.array_type("type")
