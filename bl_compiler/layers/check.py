"""Checks of the compile-time arguments of layers and functions.

Invariant: a check gives its argument in one canonical form or raises `ArgumentError`; the error says what is required
and what was found, its help what to write. May import: floors 0-1, `layers.spec`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import inf, isfinite

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.layers.spec import ArgumentError
from bl_compiler.suggest import did_you_mean

Pairs = tuple[tuple[int, int], ...]


def spell(value: object) -> str:
    """A compile-time value as one writes it in a model, or in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, DType):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spell, value)) + "]"
    if isinstance(value, Value):
        return "an array" if isinstance(value.type, TensorType) else "a distribution"
    return "a function or layer"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def integer(argument: str, value: object, *, least: int | None = None) -> int:
    """An integer, at least `least` if given."""
    example = 1 if least is None else max(least, 1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(
            argument,
            f"`{argument}` must be an integer, found {spell(value)}",
            f"write a whole number, such as `{argument}={example}`",
        )
    if least is not None and value < least:
        raise ArgumentError(
            argument, f"`{argument}` must be at least {least}, found {value}", f"write {least} or a greater number"
        )
    return value


def positive_int(argument: str, value: object) -> int:
    """An integer of at least 1."""
    return integer(argument, value, least=1)


def non_negative_int(argument: str, value: object) -> int:
    """An integer of at least 0."""
    return integer(argument, value, least=0)


def boolean(argument: str, value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ArgumentError(
            argument,
            f"`{argument}` must be true or false, found {spell(value)}",
            f"write `{argument}=true` or `{argument}=false`",
        )
    return value


def number(
    argument: str,
    value: object,
    *,
    low: float = -inf,
    high: float = inf,
    above: float = -inf,
    below: float = inf,
) -> float:
    """A finite number within bounds: at least `low`, at most `high`, above `above`, below `below`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ArgumentError(
            argument,
            f"`{argument}` must be a number, found {spell(value)}",
            f"write a number, such as `{argument}=0.5`",
        )
    if low <= value <= high and above < value < below:
        return float(value)
    bounds = (("at least", low), ("above", above), ("at most", high), ("below", below))
    words = " and ".join(f"{word} {bound:g}" for word, bound in bounds if isfinite(bound))
    raise ArgumentError(argument, f"`{argument}` must be {words}, found {value:g}", f"write a number {words}")


def fraction(argument: str, value: object) -> float:
    """A number of at least 0 and below 1."""
    return number(argument, value, low=0.0, below=1.0)


def string(argument: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ArgumentError(
            argument, f"`{argument}` must be a string, found {spell(value)}", f'write it in quotes: `{argument}="…"`'
        )
    return value


def one_of(argument: str, value: object, choices: Iterable[str]) -> str:
    """One of some strings; the help suggests a close one."""
    names = sorted(choices)
    if isinstance(value, str) and value in names:
        return value
    close = did_you_mean(value, names) if isinstance(value, str) else None
    listed = ", ".join(spell(n) for n in names)
    raise ArgumentError(
        argument,
        f"`{argument}` cannot be {spell(value)}",
        f'did you mean "{close}"?' if close else f"write one of {listed}",
    )


def int_tuple(argument: str, value: object, count: int, *, least: int = 1) -> tuple[int, ...]:
    """`count` integers of at least `least`, from a list of them or from one that stands for all."""
    if _is_integer(value):
        return (integer(argument, value, least=least),) * count
    if isinstance(value, list | tuple) and len(value) == count and all(map(_is_integer, value)):
        return tuple(integer(argument, v, least=least) for v in value)
    wanted = "an integer" if count == 1 else f"an integer or a list of {count} integers"
    raise ArgumentError(
        argument,
        f"`{argument}` must be {wanted}, found {spell(value)}",
        f"write `{argument}={least + 1}`"
        + ("" if count == 1 else f" or `{argument}={spell([least + 1] * count)}`, one for each spatial axis"),
    )


def ints(argument: str, value: object, *, least: int | None = None) -> tuple[int, ...]:
    """Any number of integers, from a list or a single one."""
    if isinstance(value, list | tuple):
        return tuple(integer(argument, v, least=least) for v in value)
    return (integer(argument, value, least=least),)


def pair(argument: str, value: object) -> tuple[int, int]:
    """How many elements before and after: from a pair, or an integer that stands for both."""
    if _is_integer(value):
        size = non_negative_int(argument, value)
        return size, size
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_integer, value)):
        return non_negative_int(argument, value[0]), non_negative_int(argument, value[1])
    raise ArgumentError(
        argument,
        f"`{argument}` must hold an integer or a pair for each axis, found {spell(value)}",
        "write `1` for one element on both sides or `(1, 0)` for one before and none after",
    )


def padding(argument: str, value: object, count: int, modes: Sequence[str] = ("same", "valid")) -> str | Pairs:
    """One of the modes, or an explicit (before, after) pair for each of `count` spatial axes.

    An integer pads both sides of every axis; a list holds an integer or a pair per axis. For one axis a pair will do.
    """
    if isinstance(value, str):
        return one_of(argument, value, modes)
    if _is_integer(value):
        return (pair(argument, value),) * count
    if isinstance(value, list | tuple):
        if count == 1 and len(value) == 2 and all(map(_is_integer, value)):
            return (pair(argument, value),)
        if len(value) == count:
            return tuple(pair(argument, v) for v in value)
    listed = ", ".join(spell(m) for m in modes)
    raise ArgumentError(
        argument,
        f"`{argument}` must be {listed} or explicit for {count} spatial {'axis' if count == 1 else 'axes'}, "
        f"found {spell(value)}",
        f"write `{argument}={spell(modes[0])}`, `{argument}=1` or a list with a pair (before, after) per axis",
    )


def dtype(argument: str, value: object) -> DType:
    """An element type by its name."""
    return DType(one_of(argument, value, [str(d) for d in DType]))
