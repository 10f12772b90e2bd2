"""How the strategies of `graphs` make moments of nonlinear functions.

Invariant: in numeric mode variances are positive and correlations within 0.9. May import: the IR, `graph_state`.
"""

from __future__ import annotations

from bl_compiler.ir.graph import Value
from tests.strategies.graph_state import Build
from tests.strategies.recipes_math import Recipe


def _relu_covariance(b: Build, op: str) -> None:
    first = b.float_array()
    means = [first, b.beside(first) if b.flag() else first]
    variances = [b.within(b.beside(first) if b.flag() else first, "positive") for _ in range(2)]
    covariance: Value = b.beside(first)
    if b.numeric:
        build = b.builder
        scale = build.unary("sqrt", build.binary("mul", *variances))
        covariance = build.binary("mul", b.within(covariance, "small"), scale)
    b.emit(op, *means, *variances, covariance, bound=4.0)


MOMENT_RECIPES: dict[str, Recipe] = {"moment.relu_covariance": _relu_covariance}
