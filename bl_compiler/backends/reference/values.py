"""Run-time arrays of the interpreter, and how IR element types map to them.

Invariant: floats are held as float64, integers as int64 reduced to their type's range, booleans as bool; the element
type of the IR says which numbers an integer may take, never how precisely a float is computed (only `round_to` does).
May import: floors 0-1, numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bl_compiler.ir.types import DType

Array = npt.NDArray[Any]
"""An array whose element type the IR type beside it states."""
FloatArray = npt.NDArray[np.float64]

_WIDTHS: dict[DType, type[np.integer[Any]]] = {DType.U8: np.uint8, DType.I32: np.int32, DType.I64: np.int64}
_FLOATS = {DType.F16: np.float16, DType.F32: np.float32, DType.F64: np.float64}


class EvaluationError(Exception):
    """A graph that cannot be evaluated: a feed is missing or misshapen, or a rule broke its node's type."""


def kind_of(dtype: DType) -> npt.DTypeLike:
    """The NumPy type that holds elements of `dtype`."""
    if dtype.is_float:
        return np.float64
    return np.int64 if dtype.is_integer else np.bool_


def as_kind(x: npt.ArrayLike, dtype: DType) -> Array:
    """`x` held as elements of `dtype` are: booleans become 0 and 1, integers floats; nothing is rounded."""
    return np.asarray(x).astype(kind_of(dtype))


def wrap(x: Array, dtype: DType) -> Array:
    """Integers reduced modulo 2^bits into the range of `dtype`, as two's complement does; others unchanged."""
    if not dtype.is_integer:
        return x
    return x.astype(_WIDTHS[dtype]).astype(np.int64)


def convert(x: Array, dtype: DType) -> Array:
    """The numbers of `x` as elements of `dtype`: what `math.cast` means.

    Floats become integers by dropping the fraction, those out of range the nearest integer in it, NaN 0 (as XLA does);
    a boolean is whether the number differs from 0.
    """
    if dtype is DType.BOOL:
        return np.asarray(x != 0)
    if dtype.is_integer and x.dtype.kind == "f":
        limits = np.iinfo(_WIDTHS[dtype])
        whole = np.trunc(np.where(np.isnan(x), 0.0, x))
        # 2^63 - 1 is no float64: numbers at or above the limit are set apart, so that no conversion overflows.
        inside = np.where((whole >= limits.max) | (whole <= limits.min), 0.0, whole).astype(np.int64)
        return np.where(whole >= limits.max, limits.max, np.where(whole <= limits.min, limits.min, inside))
    return wrap(as_kind(x, dtype), dtype)


def feed(x: npt.ArrayLike, dtype: DType, what: str) -> Array:
    """An array from outside, held as elements of `dtype`.

    Raises:
        EvaluationError: if that changed a number.
    """
    found = np.asarray(x)
    if found.dtype.kind not in "biuf":
        # Element types of other packages, such as ml_dtypes' bfloat16, are floats that NumPy does not know.
        found = found.astype(np.float64)
    held = convert(found, dtype)
    if not dtype.is_float and not np.array_equal(held, found):
        raise EvaluationError(f"{what} holds numbers that are no {dtype}")
    return held


def round_to(x: Array, dtype: DType) -> Array:
    """The nearest numbers that `dtype` can represent, ties to even."""
    if dtype is DType.BF16:
        return _round_bf16(x)
    if dtype.is_float:
        with np.errstate(over="ignore", under="ignore"):
            return x.astype(_FLOATS[dtype]).astype(np.float64)
    return wrap(x, dtype)


def _round_bf16(x: Array) -> Array:
    """Rounding to the 8 significant bits of bfloat16, whose exponents are float32's."""
    _, exponent = np.frexp(x)
    # The unit in the last place: 2^(e - 8) for a normal number, the constant 2^-133 below 2^-126.
    unit = np.maximum(exponent - 8, -133)
    rounded = np.ldexp(np.round(np.ldexp(x, -unit)), unit)
    largest = np.ldexp(255.0, 120)
    return np.where(np.isfinite(x), np.where(np.abs(rounded) > largest, np.copysign(np.inf, x), rounded), x)
