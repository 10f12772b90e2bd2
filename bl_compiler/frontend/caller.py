"""What the Python builder reads off its caller: where a call stands, and which name its result is given to.

Invariant: only looks at frames and their bytecode; never changes them. May import: floor 0.
"""

from __future__ import annotations

import dis
import linecache
import os
import sys
from functools import lru_cache
from types import CodeType, FrameType

from bl_compiler.source import NO_SPAN, SourceFile, Span

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STORES = ("STORE_NAME", "STORE_FAST", "STORE_GLOBAL", "STORE_DEREF")


def user_frame() -> FrameType | None:
    """The innermost frame outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def display_name(path: str) -> str:
    """A file's name for messages: relative to the working folder if it is inside, else its last part."""
    if path.startswith("<"):
        return path
    relative = os.path.relpath(path)
    return os.path.basename(path) if relative.startswith("..") else relative


def span_of(frame: FrameType | None) -> Span:
    """The place in the user's file that is being executed."""
    if frame is None:
        return NO_SPAN
    positions = list(frame.f_code.co_positions())
    index = frame.f_lasti // 2
    line, end_line, column, end_column = positions[index] if 0 <= index < len(positions) else (None,) * 4
    name = display_name(frame.f_code.co_filename)
    if line is None or end_line is None or column is None or end_column is None:
        return Span(name, frame.f_lineno, 1, frame.f_lineno, 1)
    return Span(name, line, column + 1, end_line, end_column + 1)


def source_of(frame: FrameType) -> SourceFile:
    """The text of the user's file, as far as it can be had."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    return SourceFile(display_name(frame.f_code.co_filename), "".join(lines))


def target_names(frame: FrameType | None) -> tuple[str, ...]:
    """The names that the result of the running instruction is stored to right away: `h` in `h = x | dense(3)`.

    Several for `a, b = …`; none if the result goes elsewhere, as into another expression.
    """
    if frame is None:
        return ()
    return _targets(frame.f_code).get(frame.f_lasti, ())


@lru_cache(maxsize=256)
def _targets(code: CodeType) -> dict[int, tuple[str, ...]]:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]
    found: dict[int, tuple[str, ...]] = {}
    for position, instruction in enumerate(instructions[:-1]):
        names = _stored(instructions, position + 1)
        if names:
            found[instruction.offset] = names
    return found


def _stored(instructions: list[dis.Instruction], position: int) -> tuple[str, ...]:
    following = instructions[position]
    if following.opname == "UNPACK_SEQUENCE":
        count, names = int(following.arg or 0), list[str]()
        while len(names) < count and position + 1 < len(instructions):
            position += 1
            stored = _names(instructions[position])
            if not stored:
                return ()
            names.extend(stored)
        return tuple(names[:count])
    return _names(following)[:1]


def _names(instruction: dis.Instruction) -> tuple[str, ...]:
    """Names an instruction stores to; Python 3.13 fuses two stores, or a store and a load, into one instruction."""
    if instruction.opname in _STORES:
        return (str(instruction.argval),)
    if instruction.opname == "STORE_FAST_STORE_FAST":
        return tuple(map(str, instruction.argval))
    if instruction.opname in ("STORE_FAST_LOAD_FAST", "STORE_FAST_MAYBE_NULL"):
        value = instruction.argval
        return (str(value[0] if isinstance(value, tuple) else value),)
    return ()
