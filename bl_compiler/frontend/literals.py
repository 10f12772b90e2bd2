"""Numbers and strings: from their spelling to their value and back.

Invariant: reading what `spell` writes gives the value back. May import: the standard library.
"""

from __future__ import annotations

import math
import re

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)

_INT = re.compile(r"(?:0(?:_?0)*|[1-9](?:_?[0-9])*)\Z")
_DIGITS = r"[0-9](?:_?[0-9])*"
_FLOAT = re.compile(rf"(?:(?:{_DIGITS})?\.{_DIGITS}|{_DIGITS}\.?)(?:[eE][+-]?{_DIGITS})?\Z")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_SPELLED = {value: f"\\{key}" for key, value in _ESCAPES.items()}


class LiteralError(ValueError):
    """A malformed literal: the message says what is wrong, `way_out` what to do."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.way_out = way_out


def read_number(text: str) -> int | float:
    """The value of a number, which may start with `-`.

    Raises:
        LiteralError: if the spelling is wrong or the value does not fit 64 bits.
    """
    digits = text.removeprefix("-")
    if _INT.match(digits):
        plain = digits.replace("_", "")
        # The length comes first, because Python refuses to convert very long runs of digits.
        value = int(text.replace("_", "")) if len(plain) <= 20 else INT_MAX + 1
        if not INT_MIN <= value <= INT_MAX:
            raise LiteralError("integer does not fit 64 bits", "write a float, such as `1e30`")
        return value
    if not _FLOAT.match(digits) or re.match(r"0[0-9_]+\Z", digits):
        raise LiteralError(f"malformed number `{_shorten(text)}`", _number_help(digits))
    number = float(text)
    if math.isinf(number):
        raise LiteralError(f"number `{_shorten(text)}` does not fit a 64-bit float")
    return number


def read_string(text: str) -> str:
    """The value of a string spelled with its quotes.

    Raises:
        LiteralError: on an unknown escape.
    """

    def value(match: re.Match[str]) -> str:
        escape = match[1]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        if len(escape) == 1:
            raise LiteralError(f"unknown escape `\\{escape}` in a string", "a backslash itself is written `\\\\`")
        code = int(escape[1:], 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise LiteralError(f"`\\{escape}` is not a character")
        return chr(code)

    return _ESCAPE.sub(value, text[1:-1])


def spell(value: int | float | str | None) -> str:
    """The canonical spelling of a value: `50_000`, `1e-05`, `"text"`, `true`, `none`."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if abs(value) >= 10_000 else str(value)
        case float():
            return repr(value)
        case str():
            return '"' + "".join(map(_spell_character, value)) + '"'


def _spell_character(character: str) -> str:
    if character in _SPELLED:
        return _SPELLED[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _number_help(text: str) -> str:
    if "__" in text or text.endswith("_"):
        return "one underscore at a time may stand between digits"
    if text[:2].lower() in {"0x", "0b", "0o"}:
        try:
            return f"integers are decimal: write `{int(text, 0)}`"
        except ValueError:
            return "integers are decimal"
    if re.match(r"0[0-9]", text) and text.isdigit():
        return f"integers have no leading zeros: write `{text.lstrip('0') or '0'}`"
    if text.count(".") > 1:
        return "a number has one decimal point"
    if re.match(r"[0-9.]+[A-Za-z_]", text) and not re.match(r"[0-9._]+[eE][-+0-9_]*\Z", text):
        return "a name cannot start with a digit"
    return "numbers are written `12`, `50_000`, `0.5` or `1e-3`"
