"""Comments of a source, and the queue from which the formatter takes them.

Invariant: a queue hands out each comment once, in source order. May import: floor 0.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from bl_compiler.source import SourceFile, Span

# Only strings can hold a `#` that starts no comment.
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|(#[^\n]*)')


class Comment(NamedTuple):
    """One comment with its `#`, without trailing blanks; `own_line` tells it from one that follows code."""

    text: str
    line: int
    column: int
    own_line: bool


def comments_of(source: SourceFile) -> tuple[Comment, ...]:
    """The comments of a source without syntax errors, in order."""
    found: list[Comment] = []
    for number, line in enumerate(source.lines, start=1):
        if "#" not in line:
            continue
        for match in _STRING_OR_COMMENT.finditer(line):
            if match[1] is not None:
                own_line = not line[: match.start()].strip(" \t\f\r\ufeff")
                found.append(Comment(match[1].rstrip(), number, match.start() + 1, own_line))
    return tuple(found)


class CommentQueue:
    """The comments not yet printed."""

    def __init__(self, comments: Iterable[Comment]) -> None:
        self._left = deque(sorted(comments, key=lambda comment: (comment.line, comment.column)))

    def before(self, span: Span) -> list[Comment]:
        """Take the comments that start before `span` does; none if the span is unknown."""
        return self._until(span.line, span.column) if span.known else []

    def within(self, span: Span) -> list[Comment]:
        """Take the comments that start before the end of `span`; none if the span is unknown."""
        return self._until(span.end_line, span.end_column) if span.known else []

    def rest(self) -> list[Comment]:
        """Take all that is left."""
        taken = list(self._left)
        self._left.clear()
        return taken

    def _until(self, line: int, column: int) -> list[Comment]:
        taken: list[Comment] = []
        while self._left and (self._left[0].line, self._left[0].column) < (line, column):
            taken.append(self._left.popleft())
        return taken
