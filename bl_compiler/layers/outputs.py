"""Functions that turn a network's output into a distribution.

Invariant: each gives a `Value` of a distribution type, to observe with or to sample from. May import: floors 0-1,
`layers.{spec,check,operands}`.
"""

from __future__ import annotations

from bl_compiler.ir.graph import Value
from bl_compiler.layers import check, operands
from bl_compiler.layers.spec import LayerContext, LayerSpec, function


@function
def gaussian(ctx: LayerContext, x: Value, min_scale: float = 0.0) -> Value:
    """A Normal from a network's output: the first half of the last axis is loc, softplus of the second half the scale.

    `h |> dense(60) |> gaussian` is a distribution over 30 numbers for each example.

    Args:
        x: [..., 2k], floats.
        min_scale: added to the scale; at least 0. A small number such as 1e-3 keeps a scale from reaching 0.

    Returns:
        A Normal over [..., k].

    Raises:
        ArgumentError: if x holds no floats or its last axis has an odd size.
    """
    t, b = operands.floats("x", x, "gaussian"), ctx.b
    operands.channels("x", t, "gaussian")
    least = check.number("min_scale", min_scale, low=0.0)
    loc, raw = operands.halves(b, x, t.rank - 1, "gaussian")
    scale = b.unary("softplus", raw)
    return b.add("dist.Normal", loc, b.binary("add", scale, least) if least else scale)


OUTPUTS: tuple[LayerSpec, ...] = (gaussian,)
