"""Pooling over windows in one, two and three dimensions, channels last.

Invariant: axes before the spatial ones are pooled by windows of size 1, so plates stay plates.
May import: floors 0-1, `layers.{spec,check,operands,spatial}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim
from bl_compiler.layers import check, operands, spatial
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, layer

Ints = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]

_KINDS = {
    "max_pool": ("nn.max_pool", "Greatest element", "Padding never is the greatest element."),
    "avg_pool": (
        "nn.avg_pool",
        "Mean",
        "Padding is left out of the mean, as in Keras; Flax counts it as zeros by default.",
    ),
}


def _check_padding(padding: check.Pairs, window: Sequence[int]) -> None:
    """A window that sees padding only would have no greatest element and no mean."""
    for (low, high), size in zip(padding, window, strict=True):
        if max(low, high) >= size:
            raise ArgumentError(
                "padding",
                f"padding of {max(low, high)} holds a whole window of size {size}",
                "write less padding than the window's size",
            )


def _pool(kind: str, n: int) -> LayerSpec:
    name = f"{kind}{n}d"
    op, what, note = _KINDS[kind]

    def pool(
        ctx: LayerContext, x: Value, window: Ints = 2, strides: Ints | None = None, padding: Padding = "valid"
    ) -> Value:
        t = operands.floats("x", x, name) if kind == "avg_pool" else operands.array("x", x)
        sizes = spatial.spatial_sizes(name, t, n)
        spans = check.int_tuple("window", window, n)
        steps = spans if strides is None else check.int_tuple("strides", strides, n)
        pairs = spatial.explicit(check.padding("padding", padding, n), sizes, spans, steps)
        _check_padding(pairs, spans)
        spatial.require_fit("window", sizes, spans, pairs)
        extra = t.rank - n - 2
        before = max(extra, 0)
        batched = x if extra >= 0 else ctx.b.reshape(x, (Dim(1), *t.dims))
        y = ctx.b.add(
            op,
            batched,
            window=(1,) * before + spans,
            strides=(1,) * before + steps,
            padding=((0, 0),) * before + pairs,
        )
        return y if extra >= 0 else ctx.b.reshape(y, y.tensor.dims[1:])

    axes = ", ".join(spatial.AXES[n])
    pool.__name__ = name
    pool.__doc__ = f"""{what} of each window, channel by channel, channels last.

    {note}

    Args:
        x: [..., {axes}, channels]{", floats" if kind == "avg_pool" else ""}.
        window: the window's size, an integer or one for each spatial axis.
        strides: the step from window to window, likewise; none means the window's size.
        padding: "valid" (none), "same" (the result has size ceil(size / stride); an odd element goes to the end), an
            integer for all sides, or a pair (before, after) for each spatial axis.

    Returns:
        [..., {axes}, channels]; an axis of size s becomes floor((s + padding - window) / stride) + 1.

    Raises:
        ArgumentError: if x has too few axes, no window fits, or a window would hold padding only.
    """
    return layer()(pool)


POOLING: tuple[LayerSpec, ...] = tuple(_pool(kind, n) for kind in _KINDS for n in (1, 2, 3))
