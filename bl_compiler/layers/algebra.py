"""Products of arrays (`matmul`, `einsum`, …) and reading by index (`take`, `one_hot`).

Invariant: every product becomes one `linear.einsum`, so passes see one form. May import: floors 0-1,
`layers.{spec,check,operands}`.
"""

from __future__ import annotations

from string import ascii_letters

from bl_compiler.ir.graph import Value
from bl_compiler.layers import check, operands
from bl_compiler.layers.spec import ArgumentError, LayerContext, LayerSpec, function


def _without_unit_axes(ctx: LayerContext, x: Value, letters: str, other: dict[str, object]) -> tuple[Value, str]:
    """Drop batch axes of size 1 that meet a longer one: a sum of products has no broadcasting."""
    drop = [
        i
        for i, (d, c) in enumerate(zip(x.tensor.dims, letters, strict=True))
        if d.size == 1 and not d.is_plate and other.get(c, 1) != 1
    ]
    if not drop:
        return x, letters
    kept = [d for i, d in enumerate(x.tensor.dims) if i not in drop]
    return ctx.b.reshape(x, kept), "".join(c for i, c in enumerate(letters) if i not in drop)


@function
def matmul(ctx: LayerContext, x: Value, y: Value) -> Value:
    """Matrix product, as `jax.numpy.matmul` and the operator `@`: axes before the last two broadcast.

    Args:
        x: [batch…, i, j], or a vector [j].
        y: [batch…, j, k], or a vector [j].

    Returns:
        [batch…, i, k]; without i or k where x or y is a vector.
    """
    a, c = operands.array("x", x), operands.array("y", y)
    for argument, t in (("x", a), ("y", c)):
        if not t.rank:
            raise ArgumentError(argument, "`matmul` needs arrays, found a scalar", "write `*` for it", code="BLC0206")
    inner, shared = a.dims[-1], c.dims[-2 if c.rank > 1 else -1]
    if inner.size != shared.size:
        raise ArgumentError(
            "y", f"`matmul` sums over {inner} of {a} and {shared} of {c}", "transpose one of them", code="BLC0206"
        )
    depth = max(a.rank, c.rank, 2) - 2
    batch = ascii_letters[3 : 3 + depth]
    left = batch[depth - (a.rank - 2) :] + "ab" if a.rank > 1 else "b"
    right = batch[depth - (c.rank - 2) :] + "bc" if c.rank > 1 else "b"
    sizes_x = dict(zip(left, a.shape, strict=True))
    sizes_y = dict(zip(right, c.shape, strict=True))
    x, left = _without_unit_axes(ctx, x, left, {k: v for k, v in sizes_y.items() if k in batch})
    y, right = _without_unit_axes(ctx, y, right, {k: v for k, v in sizes_x.items() if k in batch})
    result = batch + ("a" if a.rank > 1 else "") + ("c" if c.rank > 1 else "")
    return ctx.b.einsum(f"{left},{right}->{result}", x, y)


@function
def dot(ctx: LayerContext, x: Value, y: Value) -> Value:
    """Dot product, as `jax.numpy.dot`: the sum over x's last axis and y's last but one (y's only one for a vector).

    Unlike `matmul`, other axes do not broadcast but stand side by side in the result.

    Args:
        x: [a…, j], or a scalar.
        y: [c…, j, k] or a vector [j], or a scalar.

    Returns:
        [a…, c…, k]; x * y where one of them is a scalar.
    """
    a, c = operands.array("x", x), operands.array("y", y)
    if not a.rank or not c.rank:
        return ctx.b.binary("mul", x, y)
    inner, shared = a.dims[-1], c.dims[-2 if c.rank > 1 else -1]
    if inner.size != shared.size:
        raise ArgumentError(
            "y", f"`dot` sums over {inner} of {a} and {shared} of {c}", "transpose one of them", code="BLC0206"
        )
    left = ascii_letters[: a.rank]
    right = ascii_letters[a.rank : a.rank + c.rank - 1]
    right = right[:-1] + left[-1] + right[-1:] if c.rank > 1 else left[-1]
    return ctx.b.einsum(f"{left},{right}->{left[:-1]}{right.replace(left[-1], '')}", x, y)


@function
def vecdot(ctx: LayerContext, x: Value, y: Value, axis: int | str = -1) -> Value:
    """Sum over one axis of the elementwise product, as `jax.numpy.vecdot`; the other axes broadcast.

    Args:
        x: an array.
        y: an array.
        axis: the axis, by number or name, of the product.

    Returns:
        An array without that axis.
    """
    operands.array("x", x)
    operands.array("y", y)
    product = ctx.b.binary("mul", x, y)
    return ctx.b.reduce("sum", product, [operands.axis(product.tensor, axis)])


def _expand_ellipsis(spec: str, ranks: list[int]) -> str:
    """The spec with letters for `...`, aligned at the right, and with its result spelled out."""
    left, arrow, right = spec.replace(" ", "").partition("->")
    parts = left.split(",")
    free = [c for c in ascii_letters if c not in spec]
    extra = [max(0, r - len(p.replace("...", ""))) if "..." in p else 0 for p, r in zip(parts, ranks, strict=True)]
    dots = free[: max(extra, default=0)]
    if not arrow:
        named = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(named)
    filled = [p.replace("...", "".join(dots[len(dots) - n :])) for p, n in zip(parts, extra, strict=True)]
    return ",".join(filled) + "->" + right.replace("...", "".join(dots))


@function
def einsum(ctx: LayerContext, spec: str, *arrays: Value) -> Value:
    """Sum of products by Einstein's convention, as `jax.numpy.einsum`: `einsum("bik,bkj->bij", x, y)`.

    Letters name axes; those missing from the result are summed over. `...` stands for any axes, which must have equal
    sizes: unlike in NumPy, size 1 does not broadcast. `spec` comes first, so arrays are not piped in.

    Args:
        spec: the letters of each array's axes, `->`, and those of the result.
        *arrays: the arrays.

    Returns:
        An array with the axes that the right side of `spec` names.
    """
    text = check.string("spec", spec)
    types = [operands.array("arrays", x) for x in arrays]
    count = text.partition("->")[0].count(",") + 1
    if count != len(types):
        raise ArgumentError(
            "spec",
            f"`spec` describes {count} array{'s' * (count > 1)}, and there are {len(types)}",
            "write the axes of each array, with commas between them",
        )
    return ctx.b.einsum(_expand_ellipsis(text, [t.rank for t in types]), *arrays)


@function
def take(ctx: LayerContext, x: Value, indices: Value, axis: int | str | None = None) -> Value:
    """Elements of x by index along an axis, as `jax.numpy.take`.

    Negative indices count from the end. An index out of range is a fault of the data: the reference interpreter refuses
    it, and a compiled program reads another element. A table of trained vectors is `embedding`.

    Args:
        x: an array.
        indices: an array of integers.
        axis: the axis, by number or name; none means along x as a vector.

    Returns:
        x with the axes of `indices` in place of that axis.
    """
    t = operands.array("x", x)
    operands.integers("indices", indices, "take")
    if axis is None:
        return ctx.b.add("tensor.take", operands.flattened(ctx.b, x, "`take` without an axis"), indices, axis=0)
    return ctx.b.add("tensor.take", x, indices, axis=operands.axis(t, axis))


@function
def take_along_axis(ctx: LayerContext, x: Value, indices: Value, axis: int | str = -1) -> Value:
    """One element per position by index along an axis, as `jax.numpy.take_along_axis`.

    Negative indices count from the end; for one out of range see `take`.

    Args:
        x: an array.
        indices: integers, with as many axes as x; axes other than `axis` broadcast.
        axis: the axis, by number or name.

    Returns:
        An array of the shape of `indices`.
    """
    t = operands.array("x", x)
    operands.integers("indices", indices, "take_along_axis")
    return ctx.b.add("tensor.take_along", x, indices, axis=operands.axis(t, axis))


@function
def one_hot(ctx: LayerContext, x: Value, classes: int, dtype: str = "f32") -> Value:
    """Indices as unit vectors: 1 at the index and 0 elsewhere, on a new last axis; all 0 for an index out of range.

    Args:
        x: an array of integers.
        classes: the size of the new axis.
        dtype: the element type of the result.

    Returns:
        An array [x's axes…, classes].
    """
    operands.integers("x", x, "one_hot")
    size = check.positive_int("classes", classes)
    return ctx.b.add("tensor.one_hot", x, classes=size, dtype=check.dtype("dtype", dtype))


ALGEBRA: tuple[LayerSpec, ...] = (matmul, dot, vecdot, einsum, take, take_along_axis, one_hot)
