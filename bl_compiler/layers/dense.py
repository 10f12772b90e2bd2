"""The fully connected layer.

Invariant: its kernel enters one `linear.einsum`, whatever the rank of the input. May import: floors 0-1,
`layers.{spec,check,operands,init,activations}`.
"""

from __future__ import annotations

from string import ascii_lowercase

from bl_compiler.ir.graph import Value
from bl_compiler.layers import check, init, operands
from bl_compiler.layers.activations import activate
from bl_compiler.layers.spec import LayerContext, LayerSpec, layer


def add_bias(ctx: LayerContext, y: Value, bias_init: object, *, use_bias: bool) -> Value:
    """Y plus a trained vector over its last axis."""
    if not use_bias:
        return y
    size = operands.channels("x", y.tensor, "bias")
    initial = init.resolve("bias_init", bias_init, (size,))
    return ctx.b.binary("add", y, ctx.weight("bias", (size,), initial, dtype=operands.weight_dtype(y.tensor)))


@layer("kernel", "bias")
def dense(
    ctx: LayerContext,
    x: Value,
    units: int,
    use_bias: bool = True,  # noqa: FBT001, FBT002 -- Keras's signature
    activation: object = None,
    kernel_init: str | float | tuple[str | float, ...] = "glorot_uniform",
    bias_init: str | float | tuple[str | float, ...] = "zeros",
) -> Value:
    """A fully connected layer: activation(x · kernel + bias), over the last axis.

    All axes of x but the last stay as they are; the kernel is shared by them. As `Dense` of Keras and Flax; the default
    initializer is Keras's (Flax has lecun_normal).

    Weights: kernel [k, units], bias [units].

    Args:
        x: [..., k], floats.
        units: the size of the result's last axis.
        use_bias: whether a bias is added.
        activation: a function applied to the result, by name or in quotes; none for none.
        kernel_init: the kernel's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.
        bias_init: the bias's initial value, likewise.

    Returns:
        [..., units].

    Raises:
        ArgumentError: if `units` is below 1, or x holds no floats or is a scalar.
    """
    t = operands.floats("x", x, "dense", 'cast it first with `cast(…, "f32")`, or use `embedding` for indices')
    size = operands.channels("x", t, "dense")
    dims = (size, check.positive_int("units", units))
    biased = check.boolean("use_bias", use_bias)
    kernel = ctx.weight("kernel", dims, init.resolve("kernel_init", kernel_init, dims), dtype=operands.weight_dtype(t))
    letters = ascii_lowercase[: t.rank]
    result = letters[:-1] + ascii_lowercase[t.rank]
    y = ctx.b.einsum(f"{letters},{letters[-1]}{result[-1]}->{result}", x, kernel)
    return activate(ctx, add_bias(ctx, y, bias_init, use_bias=biased), activation)


DENSE: tuple[LayerSpec, ...] = (dense,)
