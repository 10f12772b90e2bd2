"""Constants for the pass `fold`, computed by the reference backend.

May import: floors 0-3; numpy through the reference backend inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.graph import Node
from bl_compiler.passes.base import Evaluator, Literal


def evaluator() -> Evaluator:
    """What evaluates one node on constants; imports numpy on first use."""

    def evaluate(node: Node, operands: Sequence[Literal]) -> Sequence[Literal] | None:
        from bl_compiler.backends.reference.folding import fold_table
        from bl_compiler.backends.reference.values import EvaluationError

        rule = fold_table().get(node.op.name)
        if rule is None:
            return None
        try:
            return (rule(node, operands),)
        except EvaluationError:
            return None

    return evaluate
