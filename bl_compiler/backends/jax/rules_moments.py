"""How moments of nonlinear functions are written. May import: floors 0-1, `pyexpr`, `context`."""

from __future__ import annotations

import ast

from bl_compiler.backends.jax.context import Context, Rule
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

MOMENT_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, moments")


@MOMENT_RULES.rule("moment.relu_covariance")
def _relu_covariance(cx: Context, node: Node) -> ast.expr:
    dtype = node.result.tensor.dtype
    return fill("relu_covariance({xs})", xs=[cx.array(value, dtype) for value in node.inputs])
