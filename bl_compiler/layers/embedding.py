"""Tables of trained vectors, read by index or by position.

Invariant: a row is read by one `tensor.take`; the variance of fresh rows does not depend on their number.
May import: floors 0-1, `layers.{spec,check,operands,init}`.
"""

from __future__ import annotations

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim
from bl_compiler.layers import check, init, operands
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, layer

Init = str | float | tuple[str | float, ...]


@layer("embedding")
def embedding(ctx: LayerContext, x: Value, vocab: int, features: int, embedding_init: Init = "lecun_normal") -> Value:
    """A trained vector for each index: row x of a table.

    An index out of range is a fault of the data: the reference interpreter refuses it, and a compiled program reads
    another row (Flax gives NaN). The default initial values have variance 1 / features, as Flax's (there without the
    cut at two standard deviations).

    Weights: embedding [vocab, features].

    Args:
        x: indices from 0 to vocab - 1, of any shape, integers.
        vocab: the number of rows.
        features: the size of a row.
        embedding_init: the table's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.

    Returns:
        [x's axes…, features], f32.

    Raises:
        ArgumentError: if x holds no integers.
    """
    operands.integers("x", x, "embedding", 'cast it first with `cast(…, "i32")`, or use `dense` for numbers')
    rows, size = check.positive_int("vocab", vocab), check.positive_int("features", features)
    initial = init.resolve("embedding_init", embedding_init, (rows, size), (size, rows))
    table = ctx.weight("embedding", (rows, size), initial)
    return ctx.b.add("tensor.take", table, x, axis=0)


@layer("embedding")
def positional_embedding(
    ctx: LayerContext,
    x: Value,
    max_length: int | None = None,
    axis: int | str | None = None,
    embedding_init: Init = ("normal", 0.0, 0.02),
) -> Value:
    """X plus a trained vector for each position of the sequence (Gehring et al. 2017).

    Weights: embedding [max_length, features].

    Args:
        x: [..., steps, ..., features], floats.
        max_length: the number of positions in the table; none means the number of steps of x. A longer table serves
            sequences of several lengths.
        axis: the sequence axis, by number or name; none means the first that stands for time, or else the first after
            the plates.
        embedding_init: the table's initial value: a name, a number, or a tuple such as `("normal", 0, 0.02)`.

    Returns:
        An array of the shape of x.

    Raises:
        ArgumentError: if x holds no floats, has no axis of features besides the sequence, or is longer than the table.
    """
    t, b = operands.floats("x", x, "positional_embedding", "embed indices first with `embedding`"), ctx.b
    size = operands.channels("x", t, "positional_embedding")
    along = operands.sequence_axis(t, "positional_embedding") if axis is None else operands.axis(t, axis, ordered=True)
    if along == t.rank - 1:
        raise ArgumentError(
            "x" if axis is None else "axis",
            f"`positional_embedding` needs [..., steps, features], found {t}",
            "the last axis holds the features; add one with `expand_dims(-1)`",
            code="BLC0206",
        )
    steps = operands.static("x", t.dims[along], "`positional_embedding`")
    length = steps if max_length is None else check.positive_int("max_length", max_length)
    if length < steps:
        raise ArgumentError(
            "max_length", f"`max_length` is {length}, and the sequence has {steps} steps", f"write {steps} or more"
        )
    initial = init.resolve("embedding_init", embedding_init, (length, size), (size, length))
    table = ctx.weight("embedding", (length, size), initial, dtype=operands.weight_dtype(t))
    rows = operands.part(b, table, 0, 0, steps)
    between = (Dim(1),) * (t.rank - along - 2)
    return b.binary("add", x, b.reshape(rows, (Dim(steps), *between, Dim(size))))


EMBEDDING: tuple[LayerSpec, ...] = (embedding, positional_embedding)
