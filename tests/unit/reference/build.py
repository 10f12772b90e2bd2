"""Graphs of one op, built and evaluated: what the tests of single rules share.

Invariant: arrays enter as block arguments, so that nothing but the op under test is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import NoiseSource
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DType, TensorType

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Typed:
    """An operand with an element type that its NumPy type does not tell."""

    value: object
    dtype: DType


@dataclass(frozen=True)
class Case:
    """An op on operands and attributes, and what it must give."""

    operands: tuple[object, ...]
    expected: object
    attrs: tuple[tuple[str, object], ...] = ()


def case(*operands: object, gives: object, **attrs: object) -> Case:
    """A case."""
    return Case(operands, gives, tuple(attrs.items()))


def typed(operand: object) -> tuple[Array, DType]:
    """An operand as an array, and its element type: f32, i32 or bool unless stated."""
    if isinstance(operand, Typed):
        return np.asarray(operand.value), operand.dtype
    x = np.asarray(operand)
    return x, {"f": DType.F32, "i": DType.I32, "u": DType.U8, "b": DType.BOOL}[x.dtype.kind]


def argument(operand: object) -> Value:
    """A block argument of the operand's type."""
    x, dtype = typed(operand)
    return Value(TensorType(dtype, tuple(Dim(n) for n in x.shape)))


def graph_of(op: str, operands: Sequence[object], attrs: dict[str, object], site: str | None = None) -> Graph:
    """A graph that applies an op to its block arguments; outputs are numbered from 0."""
    args = [argument(x) for x in operands]
    b = GraphBuilder(CORE_OPS, "main", args)
    node = b.emit(op, args, attrs, site=site)
    return b.finish([(str(i), v) for i, v in enumerate(node.results)])


def apply(op: str, *operands: object, **attrs: object) -> Array:
    """The only result of an op."""
    graph = graph_of(op, operands, attrs)
    return evaluate(graph, args=[typed(x)[0] for x in operands])["0"]


def with_distribution(
    family: str,
    parameters: Sequence[object],
    op: str,
    *operands: object,
    site: str | None = None,
    noise: NoiseSource | None = None,
    **attrs: object,
) -> Array:
    """The only result of an op whose first operand is a distribution of this family."""
    args = [argument(x) for x in (*parameters, *operands)]
    b = GraphBuilder(CORE_OPS, "main", args)
    d = b.add(f"dist.{family}", *args[: len(parameters)])
    result = b.add(op, d, *args[len(parameters) :], site=site, **attrs)
    given = [typed(x)[0] for x in (*parameters, *operands)]
    return evaluate(b.finish([("0", result)]), args=given, noise=noise)["0"]
