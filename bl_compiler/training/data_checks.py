"""The checks of one array against one input: shape, dtype, finite values, support of its distribution.

Invariant: an array that passes converts to the input's dtype without changing what it says (floats may round).
May import: floors 0-1, numpy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bl_compiler.diagnostics import Diagnostic, Sink
from bl_compiler.ir.types import DType
from bl_compiler.training.npz import Array
from bl_compiler.training.specs import NUMPY_DTYPES, InputSpec, Support


def describe(array: Array) -> str:
    """An array's type as the language would write it: `f32[60000, 28, 28]`."""
    names = {numpy_name: str(dtype) for dtype, numpy_name in NUMPY_DTYPES.items()}
    name = names.get(array.dtype.name, array.dtype.name)
    return f"{name}[{', '.join(map(str, array.shape))}]"


# --- shape -----------------------------------------------------------------------------------------------------------


def shape_fits(array: Array, spec: InputSpec, axis: int | None, path: str, sink: Sink) -> bool:
    """Whether the array has the input's shape; the axis of examples may have any length."""
    wanted = spec.type.shape
    fits = array.ndim == len(wanted) and all(
        i == axis or isinstance(size, str) or size == found
        for i, (size, found) in enumerate(zip(wanted, array.shape, strict=True))
    )
    if fits:
        return True
    error = sink.error(
        "BLC0012",
        f"array `{spec.name}` of `{path}` is {describe(array)} and the input is {spec}",
        at=spec.span,
        label=f"needs {spec}",
    )
    hint = _shape_hint(array, spec, axis)
    if hint:
        error.help(hint)
    return False


def _shape_hint(array: Array, spec: InputSpec, axis: int | None) -> str:
    sizes = [size for i, size in enumerate(spec.type.shape) if i != axis]
    if axis != 0 or array.ndim == 0 or not all(isinstance(size, int) for size in sizes):
        return ""
    rest = [size for size in sizes if isinstance(size, int)]
    count = array.shape[0]
    if math.prod(array.shape[1:]) == math.prod(rest):
        return f"`{spec.name}.reshape({', '.join(map(str, [count, *rest]))})` has the right shape"
    if array.ndim == len(rest) + 2 and list(array.shape[1:-1]) == rest and not spec.type.dtype.is_float:
        return f"if it is one-hot, `{spec.name}.argmax(-1)` gives the labels"
    if list(array.shape) == rest:
        return f"a single example needs an axis of length 1: `{spec.name}[None]`"
    return ""


# --- dtype -----------------------------------------------------------------------------------------------------------


def converted(array: Array, spec: InputSpec, path: str, sink: Sink) -> Array | None:
    """The array in the input's dtype, or None after an error: floats stay floats, integers must be in range."""
    dtype = spec.type.dtype
    target = _dtype(dtype)
    if array.dtype == target:
        return array
    kind = array.dtype.kind
    # Kind V is how NumPy knows bfloat16.
    if kind not in "biufV" or (kind == "V" and array.dtype.name != "bfloat16"):
        _refuse(array, spec, path, sink).help("store an array of numbers")
        return None
    if kind in "fV":
        return _from_floats(array, spec, target, path, sink)
    if dtype.is_float:
        return array.astype(target)
    low, high = (0, 1) if dtype is DType.BOOL else _range(target)
    if array.size:
        least, most = int(array.min()), int(array.max())
        if least < low or most > high:
            _refuse(array, spec, path, sink).note(
                f"its values go from {least} to {most}, and {dtype} holds {low} to {high}"
            )
            return None
    return array.astype(target)


def _from_floats(array: Array, spec: InputSpec, target: np.dtype[np.generic], path: str, sink: Sink) -> Array | None:
    if not spec.type.dtype.is_float:
        error = _refuse(array, spec, path, sink)
        whole = array.dtype.kind == "f" and bool(np.all(array == np.floor(array.astype(np.float64))))
        if whole:
            error.help(f"its values are whole: `{spec.name}.astype('{target.name}')` loses nothing")
        else:
            error.help("a float is never rounded to an integer silently: round it, or declare the input `f32`")
        return None
    with np.errstate(over="ignore"):
        ready = array.astype(target)
    lost = np.isinf(ready.astype(np.float64)) & np.isfinite(array.astype(np.float64))
    if lost.any():
        _refuse(array, spec, path, sink).note(
            f"{int(lost.sum())} values are too large for {spec.type.dtype}, the first at {_index(lost)}"
        )
        return None
    return ready


def _refuse(array: Array, spec: InputSpec, path: str, sink: Sink) -> Diagnostic:
    return sink.error(
        "BLC0013",
        f"array `{spec.name}` of `{path}` holds {describe(array).split('[')[0]} and the input is {spec}",
        at=spec.span,
        label=f"needs {spec.type.dtype}",
    )


def _dtype(dtype: DType) -> np.dtype[np.generic]:
    if dtype is DType.BF16:
        import ml_dtypes

        found: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(NUMPY_DTYPES[dtype])


def _range(dtype: np.dtype[np.generic]) -> tuple[int, int]:
    info = np.iinfo(dtype.name)
    return int(info.min), int(info.max)


# --- values ----------------------------------------------------------------------------------------------------------


def check_values(array: Array, spec: InputSpec, path: str, sink: Sink, *, supports: bool) -> bool:
    """Whether all values are finite and, unless told otherwise, within what the model's distributions support."""
    if array.dtype.kind in "fV" and not _finite(array, spec, path, sink):
        return False
    if not supports:
        return True
    before = len(sink.errors)
    for support in spec.supports:
        _check_support(array, support, spec, path, sink)
    return len(sink.errors) == before


def _finite(array: Array, spec: InputSpec, path: str, sink: Sink) -> bool:
    values = array.astype(np.float32) if array.dtype.kind == "V" else array
    nans, infinite = np.isnan(values), np.isinf(values)
    bad = nans | infinite
    if not bad.any():
        return True
    endless = int(infinite.sum())
    words = "infinite value" if endless == 1 else "infinite values"
    counts = [f"{n} {word}" for n, word in ((int(nans.sum()), "NaN"), (endless, words)) if n]
    sink.error(
        "BLC0014",
        f"array `{spec.name}` of `{path}` holds {' and '.join(counts)}, the first at {_index(bad)}",
        at=spec.span,
        label=f"input `{spec.name}`",
    ).help("drop or fill in these examples, or mark them and leave them out with `observe … where MASK`")
    return False


def _check_support(array: Array, support: Support, spec: InputSpec, path: str, sink: Sink) -> None:
    bad = _outside(array, support)
    if bad is None or not bad.any():
        return
    index = _index(bad)
    places = bad.nonzero()
    value = array[tuple(int(axis[0]) for axis in places)]
    shown = f"{value.item()!r}" if value.ndim == 0 else "such a vector"
    count = int(bad.sum())
    error = sink.error(
        "BLC0016",
        f"array `{spec.name}` of `{path}` holds {count} {'value' if count == 1 else 'values'} that "
        f"{support.family} cannot produce, the first {shown} at {index}",
        at=support.span,
        label=f"needs {support.words}",
    )
    if support.classes is not None:
        most = int(array.max())
        if int(array.min()) == 1 and most == support.classes:
            error.help(f"these labels count from 1: `{spec.name} - 1` counts from 0")
        elif most >= support.classes:
            error.help(f"the largest label is {most}: the model needs {most + 1} classes, or the data other labels")
    if not error.helps:
        error.help("correct or drop these examples, leave them out with `where MASK`, or observe another distribution")


def _outside(array: Array, support: Support) -> NDArray[np.bool_] | None:
    """Where the values lie outside the support; None if that cannot be told element by element."""
    x = array.astype(np.float64)
    fraction = x != np.floor(x)
    bad: NDArray[np.bool_]
    match support.constraint:
        case "positive":
            bad = x <= 0
        case "nonnegative":
            bad = x < 0
        case "unit_interval":
            bad = (x < 0) | (x > 1)
        case "interval":
            low = -np.inf if support.low is None else support.low
            high = np.inf if support.high is None else support.high
            bad = (x < low) | (x > high)
        case "boolean":
            # Gray values as Bernoulli means are common practice (a VAE on images), so floats between 0 and 1 pass.
            bad = (x < 0) | (x > 1) | (fraction & (array.dtype.kind in "biu"))
        case "category":
            most = np.inf if support.classes is None else support.classes - 1
            bad = (x < 0) | (x > most) | fraction
        case "nonnegative_integer" | "count":
            bad = (x < 0) | fraction
        case "integer":
            bad = fraction
        case "simplex":
            bad = np.any(x < 0, axis=-1) | (np.abs(x.sum(-1) - 1) > 1e-4)
        case "one_hot":
            bad = np.any((x != 0) & (x != 1), axis=-1) | (x.sum(-1) != 1)
        case _:
            return None
    return bad


def _index(bad: NDArray[np.bool_]) -> str:
    first = [int(axis[0]) for axis in bad.nonzero()]
    return f"[{', '.join(map(str, first))}]"
