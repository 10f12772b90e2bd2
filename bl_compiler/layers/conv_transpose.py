"""Transposed convolutions in one, two and three dimensions, channels last.

Invariant: each is a `linear.conv` over the input with holes between its elements (`lhs_dilation`). May import: floors
0-1, `layers.{spec,check,operands,init,activations,spatial,dense}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.graph import Value
from bl_compiler.layers import check, init, operands, spatial
from bl_compiler.layers.activations import activate
from bl_compiler.layers.dense import add_bias
from bl_compiler.layers.spec import LayerContext, LayerSpec, layer

Ints = int | Sequence[int]
Init = str | float | tuple[str | float, ...]


def transposed_padding(mode: str, span: int, stride: int) -> tuple[int, int]:
    """The padding of the spread-out input that makes the result's size Keras's.

    `"same"` yields size · stride, `"valid"` yields size · stride + max(span - stride, 0). These are the paddings of the
    convolution's gradient, and those of `jax.lax.conv_transpose`.
    """
    if mode == "valid":
        return span - 1, span + stride - 2 + max(span - stride, 0) - (span - 1)
    total = span + stride - 2
    low = span - 1 if stride > span - 1 else -(-total // 2)
    return low, total - low


def _conv_transpose(n: int) -> LayerSpec:
    name = f"conv{n}d_transpose"

    def conv_transpose(
        ctx: LayerContext,
        x: Value,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: str = "valid",
        dilation: Ints = 1,
        use_bias: bool = True,  # noqa: FBT001, FBT002 -- Keras's signature
        activation: object = None,
        kernel_init: Init = "glorot_uniform",
        bias_init: Init = "zeros",
    ) -> Value:
        t = operands.floats("x", x, name)
        spatial.spatial_sizes(name, t, n)
        count = check.positive_int("filters", filters)
        window = check.int_tuple("kernel_size", kernel_size, n)
        steps = check.int_tuple("strides", strides, n)
        mode = check.one_of("padding", padding, ("same", "valid"))
        holes = check.int_tuple("dilation", dilation, n)
        biased = check.boolean("use_bias", use_bias)
        dims = (*window, operands.channels("x", t, name), count)
        folded, leading = spatial.fold(ctx.b, x, n)
        initial = init.resolve("kernel_init", kernel_init, dims)
        kernel = ctx.weight("kernel", dims, initial, dtype=operands.weight_dtype(t))
        spans = spatial.reach(window, holes)
        pairs = tuple(transposed_padding(mode, w, s) for w, s in zip(spans, steps, strict=True))
        y = ctx.b.add(
            "linear.conv",
            folded,
            kernel,
            strides=(1,) * n,
            padding=pairs,
            lhs_dilation=steps,
            rhs_dilation=holes,
            groups=1,
        )
        y = add_bias(ctx, y, bias_init, use_bias=biased)
        return activate(ctx, spatial.unfold(ctx.b, y, leading), activation)

    axes = ", ".join(spatial.AXES[n])
    conv_transpose.__name__ = name
    conv_transpose.__doc__ = f"""A {n}-D transposed convolution, channels last, which enlarges its input by `strides`.

    The result's sizes are those of `Conv{n}DTranspose` of Keras. The kernel is kept as in Flax's `ConvTranspose`, and
    not flipped. Keras keeps filters before channels and flips it, so a kernel from Keras must be reversed along the
    spatial axes, and its last two axes exchanged.

    Weights: kernel [{"size, " * n}channels, filters], bias [filters].

    Args:
        x: [..., {axes}, channels], floats.
        filters: the number of channels of the result.
        kernel_size: the window's size, an integer or one for each spatial axis.
        strides: by how much the result is larger, likewise.
        padding: "same" (an axis of size s becomes s · stride) or "valid" (s · stride + max(span - stride, 0), where
            span = (kernel_size - 1) · dilation + 1).
        dilation: the distance between the elements of a window, likewise.
        use_bias: whether a bias is added.
        activation: a function applied to the result, by name or in quotes; none for none.
        kernel_init: the kernel's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.
        bias_init: the bias's initial value, likewise.

    Returns:
        [..., {axes}, filters].

    Raises:
        ArgumentError: if x holds no floats or has too few axes.
    """
    return layer("kernel", "bias")(conv_transpose)


CONV_TRANSPOSE: tuple[LayerSpec, ...] = tuple(_conv_transpose(n) for n in (1, 2, 3))
