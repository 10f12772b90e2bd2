"""Convolutions in one, two and three dimensions, channels last: ordinary, depthwise and separable.

Invariant: every kernel is stored as it enters `linear.conv`, [spatial…, in / groups, out], and is not flipped (the
operation is a cross-correlation, as in every deep learning library). May import: floors 0-1,
`layers.{spec,check,operands,init,activations,spatial,dense}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import TensorType
from bl_compiler.layers import check, init, operands, spatial
from bl_compiler.layers.activations import activate
from bl_compiler.layers.dense import add_bias
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, layer

Ints = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]
Init = str | float | tuple[str | float, ...]

_WINDOW = """\
kernel_size: the window's size, an integer or one for each spatial axis.
strides: the step from window to window, likewise.
padding: "valid" (none), "same" (the result has size ceil(size / stride); an odd element goes to the end),
{causal}    an integer for all sides, or a pair (before, after) for each spatial axis.
dilation: the distance between the elements of a window, likewise.
"""

_CAUSAL = '    "causal" (all in front, so that step t sees no later step),\n'


def _window_arguments(n: int) -> str:
    """The arguments about the window, indented for a docstring."""
    return _WINDOW.format(causal=_CAUSAL if n == 1 else "").replace("\n", "\n        ")


def _modes(n: int) -> tuple[str, ...]:
    return ("same", "valid", "causal") if n == 1 else ("same", "valid")


def _check_groups(groups: int, size: int, filters: int) -> None:
    for name, count in (("channels", size), ("filters", filters)):
        if count % groups:
            raise ArgumentError(
                "groups" if name == "channels" else "filters",
                f"{count} {name} do not divide into {groups} groups",
                f"write one of {operands.divisors(size)} for `groups`, and a multiple of it for `filters`",
            )


def _convolve(
    ctx: LayerContext,
    x: Value,
    kernel: Value,
    n: int,
    *,
    strides: Sequence[int],
    padding: str | check.Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Value:
    sizes = tuple(d.size for d in x.tensor.dims[1:-1])
    window = tuple(d.size for d in kernel.tensor.dims[:n])
    known = [s for s in sizes if isinstance(s, int)]
    spans = spatial.reach([w for w in window if isinstance(w, int)], dilation)
    pairs = spatial.explicit(padding, known, spans, strides)
    spatial.require_fit("kernel_size", known, spans, pairs)
    return ctx.b.add(
        "linear.conv",
        x,
        kernel,
        strides=tuple(strides),
        padding=pairs,
        lhs_dilation=(1,) * n,
        rhs_dilation=tuple(dilation),
        groups=groups,
    )


def _weight(
    ctx: LayerContext, t: TensorType, role: str, dims: Sequence[int], value: object, fan: tuple[int, int] | None = None
) -> Value:
    initial = init.resolve(f"{role}_init", value, dims, fan)
    return ctx.weight(role, dims, initial, dtype=operands.weight_dtype(t))


def _conv(n: int) -> LayerSpec:
    name = f"conv{n}d"

    def conv(
        ctx: LayerContext,
        x: Value,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: Padding = "valid",
        dilation: Ints = 1,
        groups: int = 1,
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
        border = check.padding("padding", padding, n, _modes(n))
        holes = check.int_tuple("dilation", dilation, n)
        parts = check.positive_int("groups", groups)
        biased = check.boolean("use_bias", use_bias)
        size = operands.channels("x", t, name)
        _check_groups(parts, size, count)
        folded, leading = spatial.fold(ctx.b, x, n)
        kernel = _weight(ctx, t, "kernel", (*window, size // parts, count), kernel_init)
        y = _convolve(ctx, folded, kernel, n, strides=steps, padding=border, dilation=holes, groups=parts)
        y = add_bias(ctx, y, bias_init, use_bias=biased)
        return activate(ctx, spatial.unfold(ctx.b, y, leading), activation)

    axes = ", ".join(spatial.AXES[n])
    conv.__name__ = name
    conv.__doc__ = f"""A {n}-D convolution, channels last: activation(conv(x, kernel) + bias).

    As `Conv{n}D` of Keras, whose default padding is "valid"; Flax's is "SAME". Axes before the spatial ones are folded
    into one and restored; the kernel is shared by them.

    Weights: kernel [{"size, " * n}channels / groups, filters], bias [filters].

    Args:
        x: [..., {axes}, channels], floats.
        filters: the number of channels of the result.
        {_window_arguments(n)}groups: how many groups of channels are convolved apart.
        use_bias: whether a bias is added.
        activation: a function applied to the result, by name or in quotes; none for none.
        kernel_init: the kernel's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.
        bias_init: the bias's initial value, likewise.

    Returns:
        [..., {axes}, filters]; an axis of size s becomes floor((s + padding - span) / stride) + 1,
        where span = (kernel_size - 1) · dilation + 1.

    Raises:
        ArgumentError: if x holds no floats or has too few axes, `groups` does not divide, or no window fits.
    """
    return layer("kernel", "bias")(conv)


def _depthwise_kernel(
    ctx: LayerContext, t: TensorType, role: str, window: Sequence[int], times: int, value: object
) -> Value:
    size = operands.channels("x", t, "depthwise convolution")
    # A filter sees one channel, so its fan in is the window; the kernel's shape alone would overstate the fan out.
    fan = (prod(window), prod(window) * times)
    return _weight(ctx, t, role, (*window, 1, size * times), value, fan)


def _depthwise(n: int) -> LayerSpec:
    name = f"depthwise_conv{n}d"

    def depthwise(
        ctx: LayerContext,
        x: Value,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: Padding = "valid",
        dilation: Ints = 1,
        depth_multiplier: int = 1,
        use_bias: bool = True,  # noqa: FBT001, FBT002 -- Keras's signature
        activation: object = None,
        kernel_init: Init = "glorot_uniform",
        bias_init: Init = "zeros",
    ) -> Value:
        t = operands.floats("x", x, name)
        spatial.spatial_sizes(name, t, n)
        window = check.int_tuple("kernel_size", kernel_size, n)
        steps = check.int_tuple("strides", strides, n)
        border = check.padding("padding", padding, n, _modes(n))
        holes = check.int_tuple("dilation", dilation, n)
        times = check.positive_int("depth_multiplier", depth_multiplier)
        biased = check.boolean("use_bias", use_bias)
        size = operands.channels("x", t, name)
        folded, leading = spatial.fold(ctx.b, x, n)
        kernel = _depthwise_kernel(ctx, t, "kernel", window, times, kernel_init)
        y = _convolve(ctx, folded, kernel, n, strides=steps, padding=border, dilation=holes, groups=size)
        y = add_bias(ctx, y, bias_init, use_bias=biased)
        return activate(ctx, spatial.unfold(ctx.b, y, leading), activation)

    axes = ", ".join(spatial.AXES[n])
    depthwise.__name__ = name
    depthwise.__doc__ = f"""A {n}-D convolution of each channel by itself, channels last.

    As `DepthwiseConv{n}D` of Keras, with the kernel kept as [{"size, " * n}1, channels · depth_multiplier] rather than
    [{"size, " * n}channels, depth_multiplier]: the same numbers in the same order. Channel c gives the channels
    c · depth_multiplier and following. Initializers count one channel as fan in; Keras counts all.

    Weights: kernel [{"size, " * n}1, channels · depth_multiplier], bias [channels · depth_multiplier].

    Args:
        x: [..., {axes}, channels], floats.
        {_window_arguments(n)}depth_multiplier: how many filters each channel has.
        use_bias: whether a bias is added.
        activation: a function applied to the result, by name or in quotes; none for none.
        kernel_init: the kernel's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.
        bias_init: the bias's initial value, likewise.

    Returns:
        [..., {axes}, channels · depth_multiplier].

    Raises:
        ArgumentError: if x holds no floats or has too few axes, or no window fits.
    """
    return layer("kernel", "bias")(depthwise)


def _separable(n: int) -> LayerSpec:
    name = f"separable_conv{n}d"

    def separable(
        ctx: LayerContext,
        x: Value,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: Padding = "valid",
        dilation: Ints = 1,
        depth_multiplier: int = 1,
        use_bias: bool = True,  # noqa: FBT001, FBT002 -- Keras's signature
        activation: object = None,
        depthwise_kernel_init: Init = "glorot_uniform",
        pointwise_kernel_init: Init = "glorot_uniform",
        bias_init: Init = "zeros",
    ) -> Value:
        t = operands.floats("x", x, name)
        spatial.spatial_sizes(name, t, n)
        count = check.positive_int("filters", filters)
        window = check.int_tuple("kernel_size", kernel_size, n)
        steps = check.int_tuple("strides", strides, n)
        border = check.padding("padding", padding, n, _modes(n))
        holes = check.int_tuple("dilation", dilation, n)
        times = check.positive_int("depth_multiplier", depth_multiplier)
        biased = check.boolean("use_bias", use_bias)
        size = operands.channels("x", t, name)
        folded, leading = spatial.fold(ctx.b, x, n)
        one = (1,) * n
        kernel = _depthwise_kernel(ctx, t, "depthwise_kernel", window, times, depthwise_kernel_init)
        y = _convolve(ctx, folded, kernel, n, strides=steps, padding=border, dilation=holes, groups=size)
        mix = _weight(ctx, t, "pointwise_kernel", (*one, size * times, count), pointwise_kernel_init)
        y = _convolve(ctx, y, mix, n, strides=one, padding="valid", dilation=one, groups=1)
        y = add_bias(ctx, y, bias_init, use_bias=biased)
        return activate(ctx, spatial.unfold(ctx.b, y, leading), activation)

    axes = ", ".join(spatial.AXES[n])
    separable.__name__ = name
    separable.__doc__ = f"""A {n}-D depthwise convolution and then a mix of channels at each position (Chollet 2016).

    As `SeparableConv{n}D` of Keras; the depthwise kernel is kept as in `depthwise_conv{n}d`.

    Weights: depthwise_kernel [{"size, " * n}1, channels · depth_multiplier],
    pointwise_kernel [{"1, " * n}channels · depth_multiplier, filters], bias [filters].

    Args:
        x: [..., {axes}, channels], floats.
        filters: the number of channels of the result.
        {_window_arguments(n)}depth_multiplier: how many filters each channel has.
        use_bias: whether a bias is added.
        activation: a function applied to the result, by name or in quotes; none for none.
        depthwise_kernel_init: that kernel's initial value: a name, a number, or a tuple like `("normal", 0, 0.02)`.
        pointwise_kernel_init: that kernel's initial value, likewise.
        bias_init: the bias's initial value, likewise.

    Returns:
        [..., {axes}, filters].

    Raises:
        ArgumentError: if x holds no floats or has too few axes, or no window fits.
    """
    return layer("depthwise_kernel", "pointwise_kernel", "bias")(separable)


CONV: tuple[LayerSpec, ...] = (
    *(_conv(n) for n in (1, 2, 3)),
    *(_depthwise(n) for n in (1, 2)),
    *(_separable(n) for n in (1, 2)),
)
