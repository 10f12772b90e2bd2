"""What the Python builder reads off its caller: where a call stands, and which name its result is given to.

Invariant: only looks at frames and their bytecode; never changes them. May import: floor 0.
"""

from __future__ import annotations

import contextlib
import dis
import linecache
import os
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from bl_compiler.source import NO_SPAN, SourceFile, Span

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_STORES = ("STORE_NAME", "STORE_FAST", "STORE_GLOBAL", "STORE_DEREF")
_FILES: dict[str, str] = {}
"""Paths of the files that spans have named."""


def user_frame() -> FrameType | None:
    """The innermost frame outside this package, and outside the `with` machinery that calls into it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(_PACKAGE) or name == contextlib.__file__


@lru_cache(maxsize=256)
def display_name(path: str) -> str:
    """A file's name for messages: relative to the working folder if it is inside, else its last part."""
    if path.startswith("<"):
        return path
    full = Path(path).absolute()
    return full.relative_to(Path.cwd()).as_posix() if full.is_relative_to(Path.cwd()) else full.name


def span_of(frame: FrameType | None) -> Span:
    """The place in the user's file that is being executed."""
    if frame is None:
        return NO_SPAN
    path = frame.f_code.co_filename
    name = display_name(path)
    _FILES[name] = path
    places, index = _places(frame.f_code), frame.f_lasti // 2
    line, end_line, column, end_column = places[index] if 0 <= index < len(places) else (None,) * 4
    if line is None or end_line is None or column is None or end_column is None:
        return Span(name, frame.f_lineno, 1, frame.f_lineno, 1)
    return Span(name, line, _characters(path, line, column), end_line, _characters(path, end_line, end_column))


@lru_cache(maxsize=256)
def _places(code: CodeType) -> tuple[tuple[int | None, int | None, int | None, int | None], ...]:
    return tuple(code.co_positions())


def _characters(path: str, line: int, column: int) -> int:
    """The 1-based column in characters of a 0-based one in bytes."""
    text = linecache.getline(path, line)
    return column + 1 if text.isascii() else len(text.encode()[:column].decode(errors="ignore")) + 1


def source_named(name: str) -> SourceFile | None:
    """The file that a span names, if its text can be had."""
    lines = linecache.getlines(_FILES[name]) if name in _FILES else []
    return SourceFile(name, "".join(lines)) if lines else None


# --- names of results ------------------------------------------------------------------------------------------------


class _Fate(NamedTuple):
    """What becomes of an instruction's results: the name or the parts it is stored to, or whether it is returned."""

    name: str | None = None
    parts: tuple[str, ...] = ()
    returned: bool = False


def target_name(frame: FrameType | None) -> str | None:
    """The name that the result of the running instruction is stored to as it is: `h` in `h = x | dense(3)`.

    None if the result goes elsewhere, as into another expression. The result of a function that returns it right away
    is stored where the call's is.
    """
    fate = _fate(frame)
    while frame is not None and fate.returned and frame.f_back is not None and not _is_ours(frame.f_back):
        frame = frame.f_back
        fate = _fate(frame)
    return fate.name


def unpacked_names(frame: FrameType | None) -> tuple[str, ...]:
    """The names that the running instruction takes a value apart to: `a` and `b` in `a, b = f(x)`."""
    return _fate(frame).parts


def _fate(frame: FrameType | None) -> _Fate:
    return _Fate() if frame is None else _fates(frame.f_code).get(frame.f_lasti, _Fate())


_SKIPPED = ("CACHE", "EXTENDED_ARG", "NOP")


@lru_cache(maxsize=256)
def _fates(code: CodeType) -> dict[int, _Fate]:
    """The fates of all instructions, by every offset that a frame may report while it executes them."""
    instructions = list(dis.get_instructions(code))
    ends = [i.offset for i in instructions[1:]] + [len(code.co_code)]
    steps = [(i, end) for i, end in zip(instructions, ends, strict=True) if i.opname not in _SKIPPED]
    following = [i for i, _ in steps]
    found: dict[int, _Fate] = {}
    for position, (instruction, end) in enumerate(steps[:-1]):
        if instruction.opname == "UNPACK_SEQUENCE":
            fate = _Fate(parts=_unpacked(following, position))
        else:
            returned = following[position + 1].opname == "RETURN_VALUE"
            fate = _Fate(_stored(following, position + 1), returned=returned)
        if fate != _Fate():
            # A frame in a call stands at the caches behind the instruction, in some versions of Python.
            found.update(dict.fromkeys(range(instruction.offset, end, 2), fate))
    return found


def _unpacked(instructions: list[dis.Instruction], position: int) -> tuple[str, ...]:
    count, names = int(instructions[position].arg or 0), list[str]()
    while len(names) < count and position + 1 < len(instructions):
        position += 1
        stored = _names(instructions[position])
        if not stored:
            return ()
        names.extend(stored)
    return tuple(names[:count]) if len(names) >= count else ()


def _stored(instructions: list[dis.Instruction], position: int) -> str | None:
    """The name a value on top of the stack is stored to by the instructions from `position` on, if it is."""
    above = 0
    while position < len(instructions):
        instruction = instructions[position]
        names, size = _names(instruction), int(instruction.arg or 0)
        if names:
            if above < len(names):
                return names[above]
            above += (instruction.opname == "STORE_FAST_LOAD_FAST") - len(names)
        elif instruction.opname == "COPY" and size == 1 and above == 0:
            # `a = b = …` and `(a := …)`: the first name.
            return next(iter(_names(instructions[position + 1])), None)
        elif instruction.opname == "SWAP" and above < size:
            above = {0: size - 1, size - 1: 0}.get(above, above)
        elif _rebuilds(instructions, position) and above < size:
            above, position = size - 1 - above, position + 1
        elif instruction.opname == "JUMP_FORWARD":
            # The first branch of `h = a if condition else b`.
            targets = (i for i, other in enumerate(instructions) if other.offset >= instruction.argval)
            position = next(targets, len(instructions))
            continue
        else:
            popped, pushed = _effect(instruction)
            if popped > above:
                return None
            above += pushed - popped
        position += 1
    return None


def _rebuilds(instructions: list[dis.Instruction], position: int) -> bool:
    """Whether this is the middle of `a, b, c, d = w, x, y, z`: a tuple made and taken apart."""
    if instructions[position].opname != "BUILD_TUPLE" or position + 1 == len(instructions):
        return False
    following = instructions[position + 1]
    return following.opname == "UNPACK_SEQUENCE" and following.arg == instructions[position].arg


_NEVER = 1 << 20


def _effect(instruction: dis.Instruction) -> tuple[int, int]:
    """How many values an instruction pops and pushes; one that may go elsewhere pops all."""
    name = instruction.opname
    if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs or name.startswith(("RETURN", "YIELD")):
        return _NEVER, 0
    net = dis.stack_effect(instruction.opcode, instruction.arg)
    if name in _PUSH_ONLY or (name.startswith("LOAD_") and name not in ("LOAD_ATTR", "LOAD_METHOD")):
        return 0, net
    pushed = net + 1 if net > 0 else 0 if name in _POP_ONLY else 1
    return pushed - net, pushed


_PUSH_ONLY = ("COPY", "PUSH_NULL")
_POP_ONLY = ("PRECALL", "KW_NAMES", "POP_TOP", "STORE_ATTR", "STORE_SUBSCR")


def _names(instruction: dis.Instruction) -> tuple[str, ...]:
    """Names an instruction stores to; Python 3.13 fuses two stores, or a store and a load, into one instruction."""
    if instruction.opname in _STORES:
        return (str(instruction.argval),)
    if instruction.opname == "STORE_FAST_STORE_FAST":
        return tuple(map(str, instruction.argval))
    if instruction.opname == "STORE_FAST_LOAD_FAST":
        return (str(instruction.argval[0]),)
    return ()
