"""Evaluates nodes on constants, for the pass `fold`.

Invariant: results are what the node's element types can represent: operands and results are rounded to them, and in
between the arithmetic is float64. May import: floors 0-1, numpy, `frame`, `tables`, `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bl_compiler.backends.reference.frame import Frame, Runtime
from bl_compiler.backends.reference.noise import FixedNoise
from bl_compiler.backends.reference.tables import ARRAY_RULES
from bl_compiler.backends.reference.values import Array, EvaluationError, as_kind, round_to
from bl_compiler.ir.graph import Graph, Node
from bl_compiler.ir.types import DType

Constant = bool | int | float | tuple["Constant", ...]
"""A number or nested tuples of them: the attribute `value` of `tensor.const`."""


def fold_table() -> Mapping[str, Callable[[Node, Sequence[Constant]], Constant]]:
    """By op, what evaluates its nodes on constants; ops that are not here cannot be folded.

    Example:
        >>> sorted(set(fold_table()) & {"math.add", "random.draw"})
        ['math.add']
    """
    return dict.fromkeys(ARRAY_RULES, evaluate_constant)


def evaluate_constant(node: Node, operands: Sequence[Constant]) -> Constant:
    """The result of a pure node between arrays on constant operands.

    Args:
        node: what to evaluate.
        operands: values of the node's operands, in order.

    Returns:
        Python numbers that the result's element type represents exactly; they may be infinite or NaN.

    Raises:
        EvaluationError: if the op is none of `fold_table`, a size is symbolic, or there is no result (the greatest of
            no numbers).
    """
    if node.op.name not in ARRAY_RULES:
        raise EvaluationError(f"`{node.op.name}` cannot be evaluated on constants")
    arrays = [_held(x, v.tensor.dtype) for x, v in zip(operands, node.inputs, strict=True)]
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(ARRAY_RULES[node.op.name](_FRAME, node, *arrays))
    except ValueError as fault:
        raise EvaluationError(str(fault)) from fault
    type_ = node.result.tensor
    return nested(round_to(result.reshape(_FRAME.shape(type_.dims)), type_.dtype))


def nested(x: Array) -> Constant:
    """An array as a constant."""
    return tuple(nested(row) for row in x) if x.ndim else x.item()


def _held(x: Constant, dtype: DType) -> Array:
    return round_to(as_kind(np.asarray(x), dtype), dtype)


def _no_regions(frame: Frame, graph: Graph, args: Sequence[Runtime]) -> tuple[Runtime, ...]:
    raise EvaluationError("regions are not evaluated on constants")


_FRAME = Frame(interpret=_no_regions, noise=FixedNoise({}))
