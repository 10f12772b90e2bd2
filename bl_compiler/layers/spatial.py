"""What convolution and pooling share: the axes of an image, padding in numbers, windows that must fit, extra axes.

Invariant: the input is [leading…, spatial…, channels]; no spatial axis and no channel axis is a plate.
May import: floors 0-1, `layers.{spec,check,operands}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, Dims, TensorType
from bl_compiler.ir.windows import same_padding
from bl_compiler.layers import operands
from bl_compiler.layers.check import Pairs
from bl_compiler.layers.spec import ArgumentError

AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the spatial axes of an n-D layer are called, in messages and documentation."""


def layout(n: int, leading: str = "…, ") -> str:
    """`[…, height, width, channels]`."""
    return f"[{leading}{', '.join(AXES[n])}, channels]"


def spatial_sizes(layer: str, t: TensorType, n: int) -> tuple[int, ...]:
    """The sizes of the spatial axes.

    Raises:
        ArgumentError: if there are too few axes, or a plate is among those that count.
    """
    if t.rank < n + 1 or any(d.is_plate for d in t.dims[t.rank - n - 1 :]):
        raise ArgumentError(
            "x",
            f"`{layer}` needs {layout(n)}, found {t}",
            "images of one channel get their last axis by `expand_dims(-1)`" if t.rank >= n else "reshape it first",
            code="BLC0206",
        )
    operands.channels("x", t, layer)
    return tuple(operands.static("x", d, f"`{layer}`") for d in t.dims[t.rank - n - 1 : -1])


def reach(window: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How many elements a window spans with its holes."""
    return tuple((w - 1) * d + 1 for w, d in zip(window, dilation, strict=True))


def explicit(padding: str | Pairs, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> Pairs:
    """Padding in numbers.

    Args:
        padding: `"same"`, `"valid"`, `"causal"`, or numbers already.
        sizes: of the spatial axes.
        spans: of the window, holes included.
        strides: of the window.
    """
    if padding == "valid":
        return tuple((0, 0) for _ in sizes)
    if padding == "causal":
        return tuple((w - 1, 0) for w in spans)
    if padding == "same":
        return tuple(same_padding(s, w, k) for s, w, k in zip(sizes, spans, strides, strict=True))
    assert not isinstance(padding, str)
    return padding


def require_fit(argument: str, sizes: Sequence[int], spans: Sequence[int], padding: Pairs) -> None:
    """Raise `ArgumentError` unless a window fits into the padded input along every axis."""
    for name, size, span, (low, high) in zip(AXES[len(sizes)], sizes, spans, padding, strict=True):
        if span > size + low + high:
            padded = " with its padding" if low or high else ""
            raise ArgumentError(
                argument,
                f"a window over {span} elements does not fit into the input's {name} of {size + low + high}{padded}",
                'write a smaller window, or `padding="same"`',
                code="BLC0206",
            )


def fold(b: GraphBuilder, x: Value, n: int) -> tuple[Value, Dims]:
    """X with one leading axis, and the leading axes it had: none get an axis of size 1, several become one."""
    t = x.tensor
    leading, rest = t.dims[: t.rank - n - 1], t.dims[t.rank - n - 1 :]
    if len(leading) == 1:
        return x, leading
    size = operands.total("x", leading, "joining the leading axes into one")
    return b.reshape(x, (Dim(size), *rest)), leading


def unfold(b: GraphBuilder, y: Value, leading: Dims) -> Value:
    """Undo `fold` on a result."""
    return y if len(leading) == 1 else b.reshape(y, (*leading, *y.tensor.dims[1:]))
