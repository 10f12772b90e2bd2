"""Reads the lexical level of the IR text: words, numbers, values, dimensions, types.

Invariant: every method either moves past what it read or raises `Fault` with the place of the fault; nothing else is
raised. Types are remembered by their text, since a program repeats a few of them thousands of times.
May import: floor 0, `types`, `text`.
"""

from __future__ import annotations

import json
import re

from bl_compiler.ir.text import WORD, family_traits
from bl_compiler.ir.types import Dim, DimKind, Dims, DistType, DType, MapType, Size, TensorType, Type

_SPACE = r"(?:[ \t\r\n]++|//[^\n]*+)*+"
_STRING = r'"(?:[^"\\\n]++|\\.)*+"'
_DEEPEST = 64
"""Nesting of tuples and regions that is read; more is refused instead of exhausting Python's stack."""


def pattern(text: str) -> re.Pattern[str]:
    """A token after white space and comments; group 1 is its text."""
    return re.compile(f"{_SPACE}({text})")


_SPACES = re.compile(_SPACE)
_PUNCTUATION = {mark: pattern(re.escape(mark)) for mark in ("->", *"()[]{}<>,:=@~!^-+")}
_KEYWORDS = {
    word: pattern(word + r"(?![\w.])")
    for word in ("module", "plate", "of", "objective", "optimizer", "option", "func", "return", "in", "by", "loc")
}
_WORDS = pattern(WORD)
_STRINGS = pattern(_STRING)
_NAMES = pattern(r"[A-Za-z_]\w*")
_FAMILIES = pattern(r"[A-Za-z_][\w()]*")
_INTEGERS = pattern(r"-?\d+(?![\w.])")
_NUMBERS = pattern(r"-?(?:inf\b|nan\b|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\w.])")
_VALUES = pattern(r"%(?:[A-Za-z_]\w*|\d+)")
_TENSORS = pattern(r"[a-z][a-z0-9]*\[[^\]\"/]*\]")
_DISTS = pattern(r"(?!map<)[A-Za-z_][\w()]*<[^>\"/]*>")
_FOUND = pattern(rf"{_STRING}|[%@!^]?[\w.]+|.")
_DTYPES = {dtype.value: dtype for dtype in DType}
_LITERALS: dict[str, object] = {"true": True, "false": False, "none": None}


class Fault(Exception):
    """The text between two offsets is wrong."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


class Scanner:
    """A position in a text and the readers that move it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self._types: dict[str, Type] = {}

    # --- tokens ------------------------------------------------------------------------------------------------------

    def take(self, wanted: re.Pattern[str]) -> str | None:
        """The token if it comes next, else None."""
        found = wanted.match(self.text, self.pos)
        if found is None:
            return None
        self.pos = found.end()
        return found[1]

    def mark(self, mark: str) -> bool:
        """Whether this punctuation mark comes next; it is passed."""
        found = _PUNCTUATION[mark].match(self.text, self.pos)
        if found is None:
            return False
        self.pos = found.end()
        return True

    def expect(self, mark: str) -> None:
        """Pass a punctuation mark."""
        if not self.mark(mark):
            raise self.unexpected(f"`{mark}`")

    def unexpected(self, wanted: str) -> Fault:
        """The fault of finding something else than `wanted` next."""
        start = self.here()
        found = _FOUND.match(self.text, self.pos)
        if found is None:
            return Fault(f"expected {wanted}, found the end of the text", start, start)
        return Fault(f"expected {wanted}, found `{found[1]}`", start, found.end())

    def here(self) -> int:
        """The offset of the next token."""
        found = _SPACES.match(self.text, self.pos)
        return found.end() if found else self.pos

    def at_end(self) -> bool:
        """Whether only white space and comments are left."""
        return self.here() == len(self.text)

    def keyword(self, word: str) -> bool:
        """Whether this word comes next; it is passed."""
        found = _KEYWORDS[word].match(self.text, self.pos)
        if found is None:
            return False
        self.pos = found.end()
        return True

    def name(self, what: str) -> str:
        """A word or a string in quotes."""
        word = self.take(_WORDS)
        if word is not None:
            return word
        text = self.string()
        if text is None:
            raise self.unexpected(what)
        return text

    def identifier(self, what: str) -> str:
        """A plain name."""
        found = self.take(_NAMES)
        if found is None:
            raise self.unexpected(what)
        return found

    def string(self) -> str | None:
        """The content of a string in quotes, or None."""
        start, found = self.here(), self.take(_STRINGS)
        if found is None:
            return None
        try:
            text = json.loads(found)
        except ValueError:
            raise Fault("malformed string", start, self.pos) from None
        assert isinstance(text, str)
        return text

    def integer(self, what: str) -> int:
        """A whole number."""
        start, found = self.here(), self.take(_INTEGERS)
        if found is None:
            raise self.unexpected(what)
        return self._int(found, start)

    def _int(self, text: str, start: int) -> int:
        try:
            return int(text)
        except ValueError:  # Python refuses numbers of thousands of digits
            raise Fault("number too long", start, self.pos) from None

    def value_name(self) -> str | None:
        """`%x` without its mark, or None."""
        found = self.take(_VALUES)
        return None if found is None else found[1:]

    # --- attribute values --------------------------------------------------------------------------------------------

    def attribute(self, depth: int = 0) -> object:
        """An attribute value."""
        if depth > _DEEPEST:
            raise Fault("tuples nested too deep", self.here(), self.here() + 1)
        number = self._number()
        if number is not None:
            return number
        if self.mark("("):
            return self._tuple(depth)
        if self.mark("!"):
            return self.dtype()
        if self.mark("<"):
            dim = self.dim()
            self.expect(">")
            return dim
        text = self.string()
        if text is not None:
            return text
        start, before, word = self.here(), self.pos, self.take(_NAMES)
        if word is not None and word in _LITERALS:
            return _LITERALS[word]
        if word == "elided":
            raise Fault("an elided constant cannot be read back; print the module in full", start, self.pos)
        if word is not None and word in _DTYPES:
            self.pos = before
            return self.tensor_type()
        self.pos = before
        raise self.unexpected("an attribute value")

    def _number(self) -> int | float | None:
        start, text = self.here(), self.take(_NUMBERS)
        if text is None:
            return None
        return self._int(text, start) if text.lstrip("-").isdecimal() else float(text)

    def _tuple(self, depth: int) -> tuple[object, ...]:
        items: list[object] = []
        while not self.mark(")"):
            items.append(self.attribute(depth + 1))
            if not self.mark(","):
                self.expect(")")
                break
        return tuple(items)

    # --- types -------------------------------------------------------------------------------------------------------

    def type(self) -> Type:
        """Any type."""
        for short in (_TENSORS, _DISTS):  # the usual forms, without quotes in them: remembered by their text
            found = short.match(self.text, self.pos)
            if found is None:
                continue
            known = self._types.get(found[1])
            if known is None:
                known = self._types[found[1]] = self._type()
            self.pos = found.end()
            return known
        return self._type()

    def _type(self) -> Type:
        before = self.pos
        family = self.take(_FAMILIES)
        if family is not None and self.mark("<"):
            return self._map_type() if family == "map" else self._dist_type(family)
        self.pos = before
        return self.tensor_type()

    def _map_type(self) -> MapType:
        domain = self.tensor_type()
        self.expect("->")
        codomain = self.tensor_type()
        self.expect(",")
        rank = self.integer("the number of event axes")
        self.expect(">")
        return MapType(domain, codomain, rank)

    def _dist_type(self, family: str) -> DistType:
        dtype, batch, event = self.dtype(), self.dims(), self.dims()
        support, pathwise = family_traits(family)
        while self.mark(","):
            start, key = self.here(), self.identifier("`support` or `reparameterized`")
            self.expect("=")
            if key == "support":
                support = self.name("the name of a constraint")
            elif key == "reparameterized":
                pathwise = bool(self.attribute())
            else:
                raise Fault(f"a distribution type has no `{key}`", start, start + len(key))
        self.expect(">")
        return DistType(family, dtype, batch, event, support, pathwise)

    def tensor_type(self) -> TensorType:
        """An array type."""
        return TensorType(self.dtype(), self.dims())

    def dtype(self) -> DType:
        """An element type."""
        start, word = self.here(), self.take(_NAMES)
        if word is None:
            raise self.unexpected("an element type such as `f32`")
        if word not in _DTYPES:
            raise Fault(f"unknown element type `{word}`", start, self.pos)
        return _DTYPES[word]

    def dims(self) -> Dims:
        """`[batch@256, 10]`."""
        self.expect("[")
        found: list[Dim] = []
        while not self.mark("]"):
            found.append(self.dim())
            if not self.mark(","):
                self.expect("]")
                break
        return tuple(found)

    def dim(self) -> Dim:
        """`10`, `heads=8`, `batch@256`, `time~50`; sizes may be symbols."""
        if self.mark("@"):
            return Dim(self._size(), None, DimKind.PLATE)
        if self.mark("~"):
            return Dim(self._size(), None, DimKind.TIME)
        first = self._size()
        if isinstance(first, int):
            return Dim(first)
        for mark, kind in (("@", DimKind.PLATE), ("~", DimKind.TIME), ("=", DimKind.PLAIN)):
            if self.mark(mark):
                return Dim(self._size(), first, kind)
        return Dim(first)

    def _size(self) -> Size:
        before, word = self.pos, self.take(_NAMES)
        if word is not None:
            return word
        text = self.string()
        if text is not None:
            return text
        self.pos = before
        size = self.integer("a size")
        if size < 0:
            raise Fault("a size cannot be negative", self.here() - len(str(size)), self.pos)
        return size
