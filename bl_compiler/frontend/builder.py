"""The graph builder of lowering, which refuses what no machine holds.

Invariant: whatever it appends, the verifier accepts. May import: floors 0-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.infer import MOST_ELEMENTS
from bl_compiler.ir.types import TensorType, TypeRuleError


class ModelBuilder(GraphBuilder):
    """Builds the function `model`."""

    def emit(
        self, op: str, inputs: Sequence[Value], attrs: dict[str, object], *, site: str | None = None, name: str = ""
    ) -> Node:
        """Append a node.

        Raises:
            TypeRuleError: also if a result has too many elements.
        """
        node = super().emit(op, inputs, attrs, site=site, name=name)
        for value in node.results:
            if isinstance(value.type, TensorType) and _elements(value.type) > MOST_ELEMENTS:
                raise TypeRuleError(f"an array {value.type} has more elements than any machine holds")
        return node


def _elements(type_: TensorType) -> int:
    return math.prod(size for size in type_.shape if isinstance(size, int))
