"""The pass `fold`: pure nodes of constants become constants.

Invariant: values are computed by the evaluator in the context, never here; a folded value keeps its type, names of
dimensions included. May import: floors 0-1, `base`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, cast

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_regions
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.ir.walk import is_pure
from bl_compiler.passes.base import Evaluator, Literal, Pass, PassContext

_RULE = "fold"
_SHAPE_ONLY = ("tensor.reshape", "tensor.broadcast")
"""What makes no number: folding it would only write the same constant at greater length."""


@dataclass(frozen=True)
class Fold(Pass):
    """Evaluate what is known.

    Attributes:
        limit: the most elements that an operand or a result may have.
    """

    name: ClassVar[str] = "fold"

    limit: int = 1024

    def run(self, module: Module, ctx: PassContext) -> Module:
        """The module with constants folded; as it is if the context has no evaluator."""
        evaluate = ctx.evaluate
        if evaluate is None:
            ctx.journal.refused(_RULE, "nothing to evaluate constants with")
            return module

        def change(name: str, graph: Graph) -> Graph:
            ctx.journal.function = name
            return self._fold(graph, ctx, evaluate)

        return map_functions(module, change)

    def _fold(self, graph: Graph, ctx: PassContext, evaluate: Evaluator) -> Graph:
        known: dict[Value, Literal] = {}
        rewriter = Rewriter(ctx.ops, graph, made_by=_RULE)
        for node in graph.nodes:
            inside = map_regions(node, lambda region: self._fold(region, ctx, evaluate))
            literal = self._constant(inside, known)
            if literal is not None:
                known[inside.result] = literal
                rewriter.keep(inside)
                continue
            results = self._evaluated(inside, known, ctx, evaluate)
            if results is None:
                rewriter.keep(inside)
                continue
            known.update(zip(inside.results, results, strict=True))
            _replace(rewriter, inside, results)
            ctx.journal.fired(_RULE, inside)
        return rewriter.finish()

    def _constant(self, node: Node, known: dict[Value, Literal]) -> Literal | None:
        """The value of a node that is a constant as it stands."""
        if node.op.name == "tensor.const":
            return cast(Literal, node.attrs["value"]) if self._fits(node.result) else None
        if node.op.name == "tensor.full":
            return _filled(node.attrs["value"], node.result.tensor) if self._fits(node.result) else None
        if node.op.name == "tensor.reshape" and node.inputs[0] in known and self._fits(node.result):
            return _shaped(list(_flat(known[node.inputs[0]])), _sizes(node.result.tensor))
        return None

    def _fits(self, value: Value) -> bool:
        type_ = value.type
        if not isinstance(type_, TensorType):
            return False
        sizes = [size for size in type_.shape if isinstance(size, int)]
        return len(sizes) == type_.rank and prod(sizes) <= self.limit

    def _evaluated(
        self, node: Node, known: dict[Value, Literal], ctx: PassContext, evaluate: Evaluator
    ) -> list[Literal] | None:
        if not node.inputs or node.op.name in _SHAPE_ONLY or any(value not in known for value in node.inputs):
            return None
        ctx.journal.attempted(_RULE)
        if not is_pure(node):
            return None
        if not all(map(self._fits, node.results)):
            ctx.journal.refused(_RULE, f"a result is no array of at most {self.limit} elements", node)
            return None
        found = evaluate(node, [known[value] for value in node.inputs])
        if found is None:
            ctx.journal.refused(_RULE, f"no value known for `{node.op.name}`", node)
            return None
        return [_checked(value, result.tensor) for value, result in zip(found, node.results, strict=True)]


def _sizes(type_: TensorType) -> list[int]:
    return [size for size in type_.shape if isinstance(size, int)]


def _flat(value: Literal) -> Iterator[bool | int | float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _shaped(items: list[bool | int | float], sizes: list[int]) -> Literal:
    """The items in row-major order, nested."""
    nested: list[Literal] = list(items)
    for size in reversed(sizes[1:]):
        nested = [tuple(nested[i : i + size]) for i in range(0, len(nested), size)] if size else []
    return tuple(nested) if sizes else nested[0]


def _filled(value: object, type_: TensorType) -> Literal | None:
    if not isinstance(value, (bool, int, float)):
        return None
    result: Literal = value
    for size in reversed(_sizes(type_)):
        result = (result,) * size
    return result


def _checked(value: Literal, type_: TensorType) -> Literal:
    """A value from the evaluator in the element type and shape that the IR says."""
    kind = _KIND.get(type_.dtype, int if type_.dtype.is_integer else float)
    items: list[bool | int | float] = [kind(item) for item in _flat(value)]
    if len(items) != prod(_sizes(type_)):
        raise InternalError(f"the evaluator gave {len(items)} numbers for {type_}")
    return _shaped(items, _sizes(type_)) if items else value


_KIND: dict[DType, type[bool]] = {DType.BOOL: bool}


def _replace(rewriter: Rewriter, node: Node, literals: Sequence[Literal]) -> None:
    def make(builder: GraphBuilder) -> list[Value]:
        return [_written(builder, each, value.tensor) for each, value in zip(literals, node.results, strict=True)]

    rewriter.replace(node, make)


def _written(builder: GraphBuilder, value: Literal, type_: TensorType) -> Value:
    """The nodes of a constant: one number everywhere is a `full`, else a `const`, reshaped where axes have names."""
    items = list(_flat(value))
    if type_.rank and items and all(type(item) is type(items[0]) and repr(item) == repr(items[0]) for item in items):
        return builder.add("tensor.full", value=items[0], dtype=type_.dtype, dims=type_.dims)
    return builder.reshape(builder.const(value, type_.dtype), type_.dims)
