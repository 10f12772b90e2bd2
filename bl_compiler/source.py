"""Source text and positions in it; the lowest floor, standard library only.

Invariant: lines and columns are 1-based and count characters; `end_column` is exclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of source text. `Span.NONE` stands for "made by the compiler"."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def known(self) -> bool:
        """Whether this points at real text."""
        return self.line > 0

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other` (of the same file)."""
        return Span(self.file, self.line, self.column, other.end_line, other.end_column)


NO_SPAN = Span("", 0, 0, 0, 0)


@dataclass(frozen=True)
class SourceFile:
    """One text with its name as the user gave it."""

    name: str
    text: str
    included_from: Span | None = field(default=None, compare=False)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines without their ends, so `lines[n - 1]` is line n."""
        return tuple(self.text.split("\n"))

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return tuple(starts)

    def line(self, number: int) -> str:
        """Line `number`, or an empty string past the end."""
        return self.lines[number - 1].rstrip("\r") if 0 < number <= len(self.lines) else ""

    def offset(self, line: int, column: int) -> int:
        """The 0-based character offset of a position."""
        return min(self._starts[min(line, len(self.lines)) - 1] + column - 1, len(self.text))
