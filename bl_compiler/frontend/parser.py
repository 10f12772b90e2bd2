"""From text to the syntax tree, reporting as many syntax errors as one run can tell apart.

Invariant: `parse` never raises on account of its input, and gives a tree only if it reported nothing. After an error
it goes on at the next statement keyword, closing brace or file item, with the parser's stack cut back to the block that
the text there belongs to. May import: floor 0, the frontend's syntax files; lark inside functions, because it is slow
to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.convert import MAX_DEPTH, Converter, too_deep
from bl_compiler.frontend.failure import Failure, Repair, span_at
from bl_compiler.frontend.grammar import parser
from bl_compiler.frontend.syntax_errors import report
from bl_compiler.frontend.words import ITEM_KEYWORDS, STATEMENT_KEYWORDS
from bl_compiler.source import SourceFile

if TYPE_CHECKING:
    from lark import Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_ERRORS = 20

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
_LANDMARK = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"?|#[^\n]*|\w+|[{}]|[^\s\w{}"#]')
_STATEMENT_FOLLOWS = re.compile(r"\s+[\w(\"\[-]|\s*[(]")


def parse(source: SourceFile, sink: Sink) -> ast.File | None:
    """Parse a source.

    Args:
        source: the text and its name, which the spans carry.
        sink: receives the errors, at most `MAX_ERRORS` of them.

    Returns:
        The tree, or None if anything was reported.
    """
    sink.add_source(source)
    if _has_forbidden_characters(source, sink):
        return None
    tree = _Reader(source, sink).read()
    if tree is None:
        return None
    deep = too_deep(tree)
    if deep is not None:
        at = span_at(source, deep.meta.start_pos, deep.meta.start_pos + 1)
        error = sink.error("BLC0215", "nesting too deep", at=at, label=f"more than {MAX_DEPTH} levels deep")
        error.help("name a part of it with `let`, or write a loop with `repeat`")
        return None
    converter = Converter(source, sink)
    file = converter.file(tree)
    return file if converter.ok else None


def _has_forbidden_characters(source: SourceFile, sink: Sink) -> bool:
    """Report characters that no part of a program may hold, not even a comment."""
    matches = [match for match, _ in zip(_FORBIDDEN.finditer(source.text), range(MAX_ERRORS), strict=False)]
    for match in matches:
        kind = "lone surrogate" if "\ud800" <= match[0] <= "\udfff" else "control character"
        at = span_at(source, match.start(), match.end())
        sink.error("BLC0102", f"{kind} U+{ord(match[0]):04X} in the text", at=at).help("remove it")
    return bool(matches)


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A statement keyword read as a name, because the parser wanted an expression; the stacks are from before it."""

    token: Token
    states: tuple[Any, ...]
    values: tuple[Any, ...]


class _Reader:
    """Drives lark's parser over one text, so that errors can be repaired in place."""

    def __init__(self, source: SourceFile, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._parser: Any = parser().parse_interactive(source.text)
        self._state = self._parser.parser_state
        self._suspect: _Suspect | None = None
        self._errors = 0

    def read(self) -> Tree[Token] | None:
        """The tree of the whole text, or None after errors."""
        from lark.exceptions import UnexpectedInput

        while True:
            try:
                for token in self._parser.lexer_thread.lex(self._state):
                    self._watch(token)
                    self._state.feed_token(token)
                tree: Tree[Token] = self._parser.feed_eof(self._parser.lexer_thread.state.last_token)
            except UnexpectedInput as error:
                self._errors += 1
                if not self._recover(error) or self._errors >= MAX_ERRORS:
                    return None
            else:
                return None if self._errors else tree

    def _watch(self, token: Token) -> None:
        """Remember a statement keyword at the start of a line that is about to be taken for a name."""
        if token.type != "NAME" or token not in STATEMENT_KEYWORDS:
            return
        text, start = self._source.text, token.start_pos or 0
        first_on_line = not text[text.rfind("\n", 0, start) + 1 : start].strip()
        if first_on_line and "NUMBER" in self._parser.choices() and _STATEMENT_FOLLOWS.match(text, start + len(token)):
            self._suspect = _Suspect(token, tuple(self._state.state_stack), tuple(self._state.value_stack))

    # --- errors ------------------------------------------------------------------------------------------------------

    def _recover(self, error: UnexpectedInput) -> bool:
        """Report an error and bring the parser to where it can go on; False if that is nowhere."""
        failure = self._blamed() or self._failure(error)
        self._suspect = None
        repair = report(failure, self._sink)
        if repair is not None:
            self._apply(repair, failure)
            return True
        if failure.terminal == "$END":
            return False
        return self._resume(failure.start)

    def _failure(self, error: UnexpectedInput) -> Failure:
        from lark.exceptions import UnexpectedToken

        if isinstance(error, UnexpectedToken):
            token = error.token
            if token.type == "$END":
                end = len(self._source.text.rstrip())
                return self._failure_at(end, end, "$END")
            start = token.start_pos or 0
            return self._failure_at(start, start + len(token), token.type)
        where: Any = error
        start = where.pos_in_stream
        word = re.compile(r"\w+|.", re.DOTALL).match(self._source.text, start)
        return self._failure_at(start, word.end() if word else start, "")

    def _failure_at(self, start: int, end: int, terminal: str) -> Failure:
        accepts = frozenset(self._parser.accepts())
        return Failure(self._source, start, end, terminal, accepts, tuple(self._state.value_stack))

    def _blamed(self) -> Failure | None:
        """The failure moved to a keyword that was taken for a name in the statement that failed, if there is one."""
        suspect = self._suspect
        if suspect is None or not _is_prefix(suspect.values, self._state.value_stack):
            return None
        self._state.state_stack[:] = suspect.states
        self._state.value_stack[:] = suspect.values
        start = suspect.token.start_pos or 0
        return self._failure_at(start, start + len(suspect.token), f"_{suspect.token.upper()}")

    def _apply(self, repair: Repair, failure: Failure) -> None:
        from lark import Token

        if repair.terminal:
            text = self._source.text[failure.start : repair.end]
            at = span_at(self._source, failure.start, repair.end)
            place = (failure.start, at.line, at.column, at.end_line, at.end_column, repair.end)
            self._state.feed_token(Token(repair.terminal, text, *place))
        self._seek(repair.end)

    def _seek(self, offset: int) -> None:
        """Let the lexer go on at an offset."""
        counter = self._parser.lexer_thread.state.line_ctr
        at = span_at(self._source, offset, offset)
        counter.char_pos, counter.line, counter.column = offset, at.line, at.column
        counter.line_start_pos = offset - at.column + 1

    # --- going on after an error -------------------------------------------------------------------------------------

    def _resume(self, offset: int) -> bool:
        """Go on at the next landmark after `offset` at which a block or the file can continue."""
        text = self._source.text
        block, top = self._level("statement"), self._level("item")
        depth, previous = 0, ""
        for match in _LANDMARK.finditer(text, offset):
            mark, line_start = match[0], text.rfind("\n", 0, match.start()) + 1
            level = None
            if mark in ITEM_KEYWORDS:
                first_on_line = not text[line_start : match.start()].strip()
                outside = block is None and depth == 0 and (first_on_line or previous in {"", "}"})
                if match.start() == line_start or outside:
                    level = top
            elif mark == "{":
                depth += 1
            elif mark == "}":
                level = block if depth == 0 else None
                depth = max(depth - 1, 0)
            elif mark in STATEMENT_KEYWORDS and depth == 0:
                first_on_line = not text[line_start : match.start()].strip()
                if _STATEMENT_FOLLOWS.match(text, match.end()) and (first_on_line or previous not in _CONTINUES):
                    level = block
            if level is not None:
                del self._state.state_stack[level + 1 :]
                del self._state.value_stack[level:]
                self._seek(match.start())
                return True
            previous = mark
        return False

    def _level(self, nonterminal: str) -> int | None:
        """The topmost place on the stack where a `statement` or `item` can come next."""
        table, states = self._state.parse_conf.states, self._state.state_stack
        return next((n for n in range(len(states) - 1, -1, -1) if nonterminal in table[states[n]]), None)


# After these, a keyword within a line is a name: an argument, an attribute, an operand.
_CONTINUES = frozenset(".,([=~+-*/%@<>|:")


def _is_prefix(earlier: tuple[Any, ...], now: list[Any]) -> bool:
    """Whether the statement parsed now is the one parsed earlier: the stack up to its keyword is the same."""
    last = max((n for n, value in enumerate(earlier) if str(value) in STATEMENT_KEYWORDS), default=None)
    return last is not None and len(now) > last and now[last] is earlier[last]
