"""A small document language for laying text out in lines, after Wadler's "A prettier printer" (2003).

Invariant: a group is printed on one line if it fits and holds no forced line end, else all its own lines are broken.
May import: the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line end; within a group printed on one line it is `flat`, and where that is None the line end is forced."""

    flat: str | None


@dataclass(frozen=True, slots=True)
class Suffix:
    """Text held back until the line ends, for comments after code."""

    text: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Text that only a broken group shows, such as the comma behind a last item."""

    text: str


@dataclass(frozen=True, slots=True)
class Cat:
    """Documents one after the other."""

    parts: tuple[Doc, ...]
    forced: bool


@dataclass(frozen=True, slots=True)
class Nest:
    """A document whose lines are indented further."""

    by: int
    doc: Doc
    forced: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A document to print on one line if it fits."""

    doc: Doc
    forced: bool


Doc = str | Line | Suffix | Broken | Cat | Nest | Group

LINE = Line(" ")
SOFT = Line("")
HARD = Line(None)


def forced(doc: Doc) -> bool:
    """Whether a document cannot be printed on one line."""
    match doc:
        case str() | Broken():
            return False
        case Line(flat):
            return flat is None
        case Suffix():
            return True
        case Cat() | Nest() | Group():
            return doc.forced


def cat(*parts: Doc) -> Cat:
    """Documents one after the other."""
    return Cat(parts, any(map(forced, parts)))


def nest(by: int, *parts: Doc) -> Nest:
    """Documents whose lines are indented by `by` more columns."""
    doc = cat(*parts)
    return Nest(by, doc, doc.forced)


def group(*parts: Doc) -> Group:
    """Documents to print on one line if they fit."""
    doc = cat(*parts)
    return Group(doc, doc.forced)


def join(separator: Doc, docs: Iterable[Doc]) -> Cat:
    """Documents with a separator between."""
    parts: list[Doc] = []
    for doc in docs:
        if parts:
            parts.append(separator)
        parts.append(doc)
    return cat(*parts)


def render(doc: Doc, width: int) -> str:
    """Lay a document out within `width` columns where it can be done; lines end without blanks."""
    lines: list[str] = []
    line: list[str] = []
    suffixes: list[str] = []
    column = 0
    stack: list[tuple[int, bool, Doc]] = [(0, False, doc)]
    while stack:
        indent, flat, head = stack.pop()
        match head:
            case str():
                line.append(head)
                column += len(head)
            case Suffix(text):
                suffixes.append(text)
            case Broken(text):
                line.append("" if flat else text)
                column += 0 if flat else len(text)
            case Line(spelled):
                if flat and spelled is not None:
                    line.append(spelled)
                    column += len(spelled)
                else:
                    lines.append(_finish(line, suffixes))
                    line, suffixes, column = [" " * indent], [], indent
            case Cat(parts, _):
                stack.extend((indent, flat, part) for part in reversed(parts))
            case Nest(by, inner, _):
                stack.append((indent + by, flat, inner))
            case Group(inner, is_forced):
                fits = not is_forced and (flat or _fits(width - column, stack, inner))
                stack.append((indent, fits, inner))
    lines.append(_finish(line, suffixes))
    return "\n".join(lines)


def _finish(line: list[str], suffixes: list[str]) -> str:
    text = "".join(line).rstrip(" ")
    return "  ".join([text, *suffixes]) if text else " ".join(suffixes)


def _fits(room: int, after: Sequence[tuple[int, bool, Doc]], doc: Doc) -> bool:
    """Whether a document on one line, with what follows it up to the next line end, fits into `room` columns."""
    rest = len(after)
    stack: list[tuple[bool, Doc]] = [(True, doc)]
    while room >= 0:
        if not stack:
            if rest == 0:
                return True
            rest -= 1
            _, flat, following = after[rest]
            stack.append((flat, following))
        flat, head = stack.pop()
        match head:
            case str():
                room -= len(head)
            case Suffix():
                pass
            case Broken(text):
                room -= 0 if flat else len(text)
            case Line(spelled):
                if not flat or spelled is None:
                    return True
                room -= len(spelled)
            case Cat(parts, _):
                stack.extend((flat, part) for part in reversed(parts))
            case Nest(_, inner, _):
                stack.append((flat, inner))
            case Group(inner, is_forced):
                stack.append((flat and not is_forced, inner))
    return False
