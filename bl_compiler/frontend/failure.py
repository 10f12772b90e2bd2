"""Where and why parsing stopped, and the report that is made of it; what `syntax_errors` and `syntax_hints` share.

Invariant: a failure only reads; a hint changes nothing but its report. May import: floor 0, `words`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bl_compiler.frontend.words import ITEM_KEYWORDS, STATEMENT_KEYWORDS, keyword_of
from bl_compiler.source import SourceFile, Span

if TYPE_CHECKING:
    from lark import Token, Tree

OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}


def span_at(source: SourceFile, start: int, end: int) -> Span:
    """The span of the characters from offset `start` up to `end`."""
    text = source.text
    line = text.count("\n", 0, start) + 1
    end_line = line + text.count("\n", start, end)
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    end_column = end - (text.rfind("\n", 0, end) + 1) + 1
    return Span(source.name, line, column, end_line, end_column)


class Repair(NamedTuple):
    """How the parser goes on: as if a token of this terminal, or nothing if it is empty, stood up to offset `end`."""

    end: int
    terminal: str = ""


@dataclass(frozen=True)
class Failure:
    """The text at which the parser stopped and what it would have accepted there.

    `terminal` is empty where the text is no token; `stack` holds what is parsed and not yet part of a whole item.
    """

    source: SourceFile
    start: int
    end: int
    terminal: str
    accepts: frozenset[str]
    stack: Sequence[Token | Tree[Token]]

    @property
    def text(self) -> str:
        """The offending text, empty at the end of the file."""
        return self.source.text[self.start : self.end]

    @property
    def span(self) -> Span:
        """Where the offending text is."""
        return span_at(self.source, self.start, self.end)

    @property
    def rest(self) -> str:
        """The text after the offending one."""
        return self.source.text[self.end :]

    @property
    def line_before(self) -> str:
        """The text of the same line before the offending one."""
        return self.source.text[self.source.text.rfind("\n", 0, self.start) + 1 : self.start]

    @property
    def first_on_line(self) -> bool:
        """Whether only blanks stand before the offending text on its line."""
        return not self.line_before.strip()

    @property
    def looks_like_start(self) -> bool:
        """Whether the offending text stands where people start statements."""
        return self.first_on_line or self.line_before.rstrip().endswith(("{", "}", ";"))

    @property
    def word(self) -> str:
        """The offending text if it is a word, else empty."""
        return self.text if re.fullmatch(r"[^\W\d]\w*", self.text) else ""

    @property
    def tokens(self) -> list[Token]:
        """The tokens on the stack that are not yet part of a tree."""
        return [entry for entry in self.stack if not hasattr(entry, "children")]

    @property
    def opener(self) -> Token | None:
        """The innermost bracket that is still open."""
        closed = 0
        for token in reversed(self.tokens):
            # A call at the end of the stack is not yet a tree: its brackets are a pair.
            closed += token.type in OPENERS.values()
            if token.type in OPENERS:
                if not closed:
                    return token
                closed -= 1
        return None

    @property
    def statement(self) -> str:
        """The keyword of the statement being parsed, empty between statements."""
        for token in reversed(self.tokens):
            word = keyword_of(token.type)
            if token.type == "LBRACE":
                break
            if word in STATEMENT_KEYWORDS or word in ITEM_KEYWORDS:
                return str(token)
        return ""

    @property
    def at_statement(self) -> bool:
        """Whether a statement could start here."""
        return "_LET" in self.accepts

    @property
    def at_item(self) -> bool:
        """Whether a file item could start here."""
        return "_MODEL" in self.accepts

    def token_span(self, token: Token) -> Span:
        """Where a token on the stack is."""
        start = token.start_pos or 0
        return span_at(self.source, start, start + len(token))


@dataclass
class Report:
    """What will be said; hints refine it."""

    code: str
    message: str
    span: Span
    label: str = ""
    labels: list[tuple[Span, str]] = field(default_factory=list)
    helps: list[tuple[str, tuple[Span, str] | None, bool]] = field(default_factory=list)
    repair: Repair | None = None

    def help(self, text: str, *, replace: tuple[Span, str] | None = None, sure: bool = False) -> None:
        """Add the way out, with a replacement where one is known."""
        self.helps.append((text, replace, sure))
