"""Checks of what callers feed, before JAX sees it: names, shapes, element types, sizes.

A fault is an `InputError` that says what was fed, what the program takes, and the way out; where the source is known it
shows the declaration. Invariant: what passes has exactly the declared element types, and values are never changed by a
cast, rounding of floats aside. May import: floors 0-1, numpy, jax, `interface`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from bl_compiler.backends.jax.compat import is_used_up
from bl_compiler.backends.jax.interface import Feed, Parameter
from bl_compiler.diagnostics import CompileError, Diagnostic, Sink
from bl_compiler.ir.types import DType
from bl_compiler.source import NO_SPAN, SourceFile, Span
from bl_compiler.suggest import did_you_mean

CODE = "BLC0605"


class InputError(CompileError, ValueError):
    """What was fed to a program does not fit it."""


class Checker:
    """Checks the arguments of calls and reports the first fault.

    Args:
        sources: the texts that messages quote.
    """

    def __init__(self, sources: Mapping[str, SourceFile] | None = None) -> None:
        self._sources = dict(sources or {})

    def fault(self, message: str, help_text: str, at: Span = NO_SPAN, label: str = "") -> InputError:
        """The error for a fault."""
        sink = Sink()
        found: Diagnostic = sink.error(CODE, message, at=at, label=label).help(help_text)
        return InputError([found], self._sources)

    def names(self, what: str, given: object, known: Iterable[str], needed: Iterable[str]) -> None:
        """Raise unless all given names are known and all needed ones given."""
        if not isinstance(given, Mapping):
            message = f"a dict with a value for each {what} is expected, found `{type(given).__name__}`"
            raise self.fault(message, 'pass values by name: `{"x": x}`')
        known, given = list(known), list(given)
        for name in given:
            if name not in known:
                close = did_you_mean(name, known)
                listed = ", ".join(f"`{k}`" for k in known) or "none"
                way_out = f"did you mean `{close}`?" if close else f"it has: {listed}"
                raise self.fault(f"the program has no {what} `{name}`", way_out)
        for name in needed:
            if name not in given:
                raise self.fault(f"{what} `{name}` is missing", f'pass it by name: `{{"{name}": …}}`')

    def feeds(
        self, what: str, given: Mapping[str, Any], known: Mapping[str, Feed], needed: Iterable[str]
    ) -> dict[str, Any]:
        """The needed arrays in their declared element types.

        Raises:
            InputError: one is unknown, missing, or of another shape or kind.
        """
        needed = list(needed)
        self.names(what, given, known, needed)
        symbols: dict[str, tuple[int, str]] = {}
        found: dict[str, Any] = {}
        for name in needed:
            array = self.cast(what, known[name], name, given[name])
            self._shape(what, known[name], name, np.shape(array), symbols)
            found[name] = array
        return found

    def _shape(
        self, what: str, feed: Feed, name: str, shape: tuple[int, ...], symbols: dict[str, tuple[int, str]]
    ) -> None:
        dims = feed.type.dims
        fits = len(shape) == len(dims)
        for dim, size in zip(dims, shape, strict=False):
            if isinstance(dim.size, int):
                fits = fits and dim.size == size
            else:
                first, owner = symbols.setdefault(dim.size, (size, name))
                if first != size:
                    message = f"`{owner}` has {first} and `{name}` has {size} along `{dim.name or dim.size}`"
                    raise self.fault(message, "feed arrays of equally many examples", feed.span)
        if fits:
            return
        only_plates = len(shape) == len(dims) and all(
            d.is_plate or d.size == size for d, size in zip(dims, shape, strict=True)
        )
        wanted = ", ".join(str(d.size) for d in dims)
        message = f"{what} `{name}` has the shape {_text(shape)}, the program takes [{wanted}]"
        way_out = f"feed an array of shape [{wanted}]"
        if only_plates:
            size = next(s for d, s in zip(dims, shape, strict=True) if d.is_plate and d.size != s)
            way_out += f", or compile with `--batch {size}` or `--batch dynamic`"
        raise self.fault(message, way_out, feed.span, f"declared as {feed.type}")

    def cast(self, what: str, feed: Feed, name: str, value: Any) -> Any:
        """A value in the declared element type.

        Raises:
            InputError: its numbers would change.
        """
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        wanted = np.dtype(jax.numpy.dtype(_NUMPY[feed.type.dtype]))
        if array.dtype == wanted:
            return array
        kind = _kind(array.dtype)
        if kind not in _ACCEPTED[_kind(wanted)]:
            message = f"{what} `{name}` has the element type {array.dtype}, the program takes {feed.type.dtype}"
            raise self.fault(message, _way_out(name, wanted), feed.span, f"declared as {feed.type}")
        if _kind(wanted) == "integer" and kind == "integer" and isinstance(array, np.ndarray) and array.size:
            limits, low, high = np.iinfo(wanted), int(array.min()), int(array.max())
            if low < limits.min or high > limits.max:
                message = f"{what} `{name}` holds {low if low < limits.min else high}, which is no {feed.type.dtype}"
                raise self.fault(message, f"feed numbers from {limits.min} to {limits.max}", feed.span)
        return array.astype(wanted)

    def params(self, given: Mapping[str, Any], known: Mapping[str, Parameter]) -> None:
        """Raise unless these are the parameters of the program, each of its shape."""
        self.names("parameter", given, known, known)
        for path, parameter in known.items():
            shape = np.shape(given[path])
            if shape != parameter.type.shape:
                message = f"parameter `{path}` has the shape {_text(shape)}, the program takes {parameter.type}"
                raise self.fault(message, "pass parameters that `init` of this program gave")
            dtype = given[path].dtype if hasattr(given[path], "dtype") else np.asarray(given[path]).dtype
            if _kind(dtype) not in _ACCEPTED[_kind(np.dtype(_NUMPY[parameter.type.dtype]))]:
                message = f"parameter `{path}` has the element type {dtype}, the program takes {parameter.type.dtype}"
                raise self.fault(message, "pass parameters that `init` of this program gave")
        self.alive("parameters", given)

    def alive(self, what: str, tree: Any) -> None:
        """Raise if a training step has reused the memory of some array."""
        if any(map(is_used_up, jax.tree.leaves(tree))):
            message = f"the {what} were used up by a training step"
            raise self.fault(message, "go on with the state that `train_step` returned")

    def seed(self, given: Any) -> Any:
        """A seed or key.

        Raises:
            InputError: it is none, or JAX would take it for another number.
        """
        if isinstance(given, (int, np.integer)) and 0 <= given < 2**32:
            return given
        is_array = isinstance(given, (jax.Array, np.ndarray))
        if is_array and (given.ndim == 1 or _kind(given.dtype) == "integer" or jax.numpy.issubdtype(given.dtype, _KEY)):
            return given
        raise self.fault(f"the seed is {given!r}", f"pass an integer from 0 to {2**32 - 1}, or a key of `jax.random`")

    def examples(self, given: Mapping[str, Any], known: Mapping[str, Feed]) -> None:
        """Raise if a plate has no examples: their mean would be no number."""
        for name, array in given.items():
            for dim, size in zip(known[name].type.dims, np.shape(array), strict=True):
                if dim.is_plate and size == 0:
                    raise self.fault(f"input `{name}` holds no examples", "feed at least one", known[name].span)

    def sizes(self, given: Mapping[str, Any] | None, plates: Iterable[str], needed: Iterable[str]) -> dict[str, Any]:
        """Run-time sizes as numbers.

        Raises:
            InputError: a plate is unknown, or its size missing or not positive.
        """
        found = dict(given or {})
        needed = list(needed)
        for name in found:
            if name not in plates:
                raise self.fault(f"the program has no plate `{name}`", f"its plates: {', '.join(plates) or 'none'}")
        for name in needed:
            if name not in found:
                message = f"the number of examples along plate `{name}` is not known"
                raise self.fault(message, f'pass `sizes={{"{name}": N}}`, or write `plate {name}[…] of N`')
            if isinstance(found[name], (int, float)) and found[name] <= 0:
                raise self.fault(f"plate `{name}` has the size {found[name]}", "pass a positive number of examples")
        return {
            name: np.float32(v) if isinstance(v, (int, float)) else v for name, v in found.items() if name in needed
        }


_KEY = jax.dtypes.prng_key
_NUMPY = {
    DType.BOOL: "bool",
    DType.U8: "uint8",
    DType.I32: "int32",
    DType.I64: "int64",
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F32: "float32",
    DType.F64: "float64",
}
_ACCEPTED = {"float": ("float", "integer", "bool"), "integer": ("integer", "bool"), "bool": ("bool",)}
"""Kinds of arrays that a declared kind takes, since no number changes."""


def _kind(dtype: Any) -> str:
    if jax.numpy.issubdtype(dtype, np.floating):
        return "float"
    if dtype == np.bool_:
        return "bool"
    return "integer" if jax.numpy.issubdtype(dtype, np.integer) else str(dtype)


def _way_out(name: str, wanted: Any) -> str:
    if wanted == np.bool_:
        return f"feed truth values, such as `{name} != 0`"
    return (
        f'feed whole numbers: `{name}.astype("{wanted}")` if they are' if _kind(wanted) == "integer" else "feed numbers"
    )


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
