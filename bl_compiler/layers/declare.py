"""Helpers that declare families of similar functions from tables, each with its docstring.

Invariant: what they declare is indistinguishable from a function written out. May import: floors 0-1,
`layers.{spec,operands}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.layers import operands
from bl_compiler.layers.spec import LayerContext, LayerSpec, function

Unary = Callable[[GraphBuilder, Value], Value]
Binary = Callable[[GraphBuilder, Value, Value], Value]


def elementwise(name: str, doc: str, build: str | Unary) -> LayerSpec:
    """Declare a function of one array, from the name of its `math` op or from what builds it."""

    def apply(ctx: LayerContext, x: Value) -> Value:
        operands.array("x", x)
        return ctx.b.unary(build, x) if isinstance(build, str) else build(ctx.b, x)

    apply.__name__ = name
    apply.__doc__ = f"""{doc}, elementwise.

    Args:
        x: an array of any shape.

    Returns:
        An array of the same shape.
    """
    return function(apply)


def pairwise(name: str, doc: str, build: str | Binary) -> LayerSpec:
    """Declare a function of two arrays that broadcast, from the name of its `math` op or from what builds it."""

    def apply(ctx: LayerContext, x: Value, y: Value) -> Value:
        operands.array("x", x)
        operands.array("y", y)
        return ctx.b.binary(build, x, y) if isinstance(build, str) else build(ctx.b, x, y)

    apply.__name__ = name
    apply.__doc__ = f"""{doc}, elementwise; the shapes broadcast as in NumPy.

    Args:
        x: an array or a number.
        y: an array or a number.

    Returns:
        An array of the common shape.
    """
    return function(apply)


def alias(name: str, spec: LayerSpec) -> LayerSpec:
    """Declare another name of a function."""
    return replace(spec, name=name, doc=f"Another name of `{spec.name}`.\n\n{spec.doc}")
