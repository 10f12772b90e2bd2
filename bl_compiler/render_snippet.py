"""Source excerpts with their marks: the middle part of a human-readable diagnostic.

Invariant: a mark stands under the characters it means, whatever tabs and wide characters come before them; the text of
every label is shown. May import: `source`, `diagnostics`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bl_compiler.diagnostics import Label
from bl_compiler.source import SourceFile

Paint = Callable[[str, str], str]
"""Gives a text (first argument) a style (second argument)."""

TAB_STOP = 4
# Characters that reorder what follows them would let an excerpt show something else than the compiler read.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ELISION = "..."
_MAX_INNER_LINES = 4


def visible(char: str) -> str:
    """The character, or a replacement where printing it would disturb the terminal."""
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _REORDERING else char


def clean(text: str) -> str:
    """A text safe to print: only newlines survive among the control characters."""
    return "".join(char if char == "\n" else visible(char) for char in text)


def _cells(char: str, column: int) -> list[str]:
    """The terminal cells of a character standing at a 0-based column; none for one that joins the cell before it."""
    if char == "\t":
        return [" "] * (TAB_STOP - column % TAB_STOP)
    shown = visible(char)
    if column and unicodedata.category(shown) in ("Mn", "Me", "Cf"):
        return []
    return [shown, ""] if unicodedata.east_asian_width(shown) in ("W", "F") else [shown]


@dataclass
class _Row:
    """One line of output as terminal cells; a wide character is followed by an empty cell."""

    texts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)

    def put(self, column: int, cells: Iterable[str], style: str = "") -> None:
        for at, cell in enumerate(cells, column):
            missing = at + 1 - len(self.texts)
            self.texts.extend(" " * missing)
            self.styles.extend([""] * missing)
            self.texts[at], self.styles[at] = cell, style

    def elide(self, column: int) -> None:
        """Write `...` over the text; wide characters cut in half become spaces."""
        end = column + len(_ELISION)
        for half, whole in ((column, column - 1), (end, end)):
            if half < len(self.texts) and self.texts[half] == "":
                self.texts[whole] = " "
        self.put(column, _ELISION)

    def text(self, paint: Paint) -> str:
        end = len(self.texts)
        while end and self.texts[end - 1] == " ":
            end -= 1
        parts: list[str] = []
        start = 0
        for at in range(1, end + 1):
            if at == end or self.styles[at] != self.styles[start]:
                parts.append(paint("".join(self.texts[start:at]), self.styles[start]))
                start = at
        return "".join(parts)


@dataclass(frozen=True)
class _Line:
    """A source line laid out in cells; `starts` holds the cell of each character, and last the cell past the end."""

    cells: tuple[str, ...]
    starts: tuple[int, ...]

    @staticmethod
    def of(text: str) -> _Line:
        cells: list[str] = []
        starts: list[int] = []
        for char in text:
            new = _cells(char, len(cells))
            starts.append(len(cells) if new else len(cells) - 1)
            if not new:
                # The glyph's own cell, which for a wide character is not the last one.
                base = -2 if cells[-1] == "" and len(cells) > 1 else -1
                cells[base] += visible(char)
            cells.extend(new)
        return _Line(tuple(cells), (*starts, len(cells)))

    def cell(self, column: int) -> int:
        """The cell of a 1-based column; columns past the end stand right after the text."""
        return self.starts[min(max(column, 1), len(self.starts)) - 1]


@dataclass(frozen=True)
class _Mark:
    """A label with its span brought into the text: 1-based, ordered, not ending on an empty stretch of a line."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    primary: bool
    depth: int = 0

    @staticmethod
    def of(label: Label, source: SourceFile) -> _Mark:
        line, column, end_line, end_column = label.span[1:]
        while end_line > line and end_column <= 1:
            end_line -= 1
            end_column = len(source.line(end_line)) + 1
        if (end_line, end_column) < (line, column):
            end_line, end_column = line, column
        return _Mark(line, column, end_line, end_column, clean(label.text), label.primary)

    @property
    def multiline(self) -> bool:
        return self.end_line > self.line

    @property
    def char(self) -> str:
        return "^" if self.primary else "-"

    @property
    def style(self) -> str:
        return "primary" if self.primary else "secondary"

    def cells(self, line: _Line) -> tuple[int, int]:
        """The cells under a single-line mark, at least one."""
        start = line.cell(self.column)
        return start, max(line.cell(self.end_column), start + 1)


def _with_depths(marks: Iterable[_Mark]) -> list[_Mark]:
    """Give multi-line marks that overlap different columns of the margin, outer ones further left."""
    placed: list[_Mark] = []
    for mark in sorted(marks, key=lambda m: (m.line, m.column, -m.end_line, -m.end_column)):
        taken = {p.depth for p in placed if p.multiline and p.end_line >= mark.line}
        depth = next(d for d in range(len(taken) + 1) if d not in taken) if mark.multiline else 0
        placed.append(_Mark(*_fields(mark), depth=depth))
    return placed


def _fields(mark: _Mark) -> tuple[int, int, int, int, str, bool]:
    return mark.line, mark.column, mark.end_line, mark.end_column, mark.text, mark.primary


def _shown_lines(marks: Iterable[_Mark]) -> list[int]:
    """The line numbers to print; long multi-line spans keep their two first and their last line."""
    numbers: set[int] = set()
    for mark in marks:
        if mark.end_line - mark.line - 1 <= _MAX_INNER_LINES:
            numbers.update(range(mark.line, mark.end_line + 1))
        else:
            numbers.update((mark.line, mark.line + 1, mark.end_line))
    numbers.update(n + 1 for n in tuple(numbers) if n + 2 in numbers)
    return sorted(numbers)


def last_line(labels: Iterable[Label]) -> int:
    """The largest line number an excerpt of these labels prints; the gutter is as wide as it."""
    return max((max(label.span.line, label.span.end_line) for label in labels), default=1)


def snippet(source: SourceFile, labels: Sequence[Label], *, digits: int, width: int, paint: Paint) -> list[str]:
    """The excerpt for labels of one file.

    Args:
        source: The file.
        labels: What to mark; at least one.
        digits: The width of the line-number gutter.
        width: The width to cut long lines to.
        paint: Gives a text a style: `gutter`, `primary`, `secondary` or none.
    """
    return _Excerpt(source, _with_depths(_Mark.of(label, source) for label in labels), digits, width, paint).lines()


class _Excerpt:
    """Draws the rows of one file's excerpt from top to bottom."""

    def __init__(self, source: SourceFile, marks: list[_Mark], digits: int, width: int, paint: Paint) -> None:
        self._source = source
        self._marks = marks
        self._paint = paint
        self._digits = digits
        depths = [mark.depth for mark in marks if mark.multiline]
        self._margin = max(depths) + 2 if depths else 0
        self._room = max(width - digits - 3 - self._margin, 40)
        self._open: dict[int, _Mark] = {}

    def lines(self) -> list[str]:
        rows = [self._prefix("")]
        before = 0
        for number in _shown_lines(self._marks):
            if before and number > before + 1:
                bars = self._bars().text(self._paint)
                rows.append((self._paint(_ELISION, "gutter") + " " * self._digits + bars).rstrip())
            rows.extend(self._line(number))
            before = number
        return rows

    def _prefix(self, number: str, rest: str = "") -> str:
        head = self._paint(f"{number:>{self._digits}} |", "gutter")
        return f"{head} {rest}" if rest else head

    def _bars(self) -> _Row:
        row = _Row()
        for depth, mark in self._open.items():
            row.put(depth, "|", mark.style)
        return row

    def _line(self, number: int) -> list[str]:
        text = self._source.line(number)
        line = _Line.of(text)
        single = [m for m in self._marks if m.line == number and not m.multiline]
        starting = [m for m in self._marks if m.line == number and m.multiline]
        ending = [m for m in self._marks if m.end_line == number and m.multiline]
        code = self._bars()
        code.put(self._margin, line.cells)
        for mark in tuple(starting):
            if not text[: mark.column - 1].strip():
                code.put(mark.depth, "/", mark.style)
                self._open[mark.depth] = mark
                starting.remove(mark)
        rows = [code, *self._single_rows(line, single)]
        rows += [self._start_row(line, mark) for mark in sorted(starting, key=lambda m: m.depth)]
        rows += [self._end_row(line, mark) for mark in sorted(ending, key=lambda m: -m.depth)]
        self._cut(rows, line, [*single, *(m for m in self._marks if m.multiline and number in (m.line, m.end_line))])
        texts = [row.text(self._paint) for row in rows]
        return [self._prefix(str(number), texts[0]), *(self._prefix("", text) for text in texts[1:])]

    def _single_rows(self, line: _Line, marks: list[_Mark]) -> list[_Row]:
        """The row of `^^^` and `---`, the rightmost label beside it, the other labels hanging below."""
        if not marks:
            return []
        rows = [self._bars()]
        for mark in sorted(marks, key=lambda m: m.primary):
            start, end = mark.cells(line)
            rows[0].put(self._margin + start, mark.char * (end - start), mark.style)
        hanging = sorted((m for m in marks if m.text), key=lambda m: m.cells(line))
        beside = max(marks, key=lambda m: (m.cells(line)[1], m.cells(line)[0]))
        overlapped = any(m is not beside and m.text and m.cells(line)[1] > beside.cells(line)[0] for m in marks)
        if beside.text and "\n" not in beside.text and not overlapped:
            rows[0].put(self._margin + beside.cells(line)[1], " " + beside.text, beside.style)
            hanging.remove(beside)
        while hanging:
            mark = hanging.pop()
            for part in mark.text.split("\n"):
                row = self._bars()
                for left in hanging:
                    row.put(self._margin + left.cells(line)[0], "|", left.style)
                row.put(self._margin + mark.cells(line)[0], part, mark.style)
                rows.append(row)
        return rows

    def _start_row(self, line: _Line, mark: _Mark) -> _Row:
        row = self._arm(mark, line.cell(mark.column), self._bars())
        self._open[mark.depth] = mark
        return row

    def _end_row(self, line: _Line, mark: _Mark) -> _Row:
        row = self._arm(mark, max(line.cell(mark.end_column) - 1, 0), self._bars())
        row.put(len(row.texts), " " + mark.text.replace("\n", " ") if mark.text else "", mark.style)
        del self._open[mark.depth]
        return row

    def _arm(self, mark: _Mark, cell: int, row: _Row) -> _Row:
        """Draw the `____^` that joins a multi-line mark's bar to its first or last character."""
        for at in range(mark.depth + 1, self._margin + cell):
            if at >= len(row.texts) or row.texts[at] != "|":
                row.put(at, "_", mark.style)
        row.put(self._margin + cell, mark.char, mark.style)
        return row

    def _cut(self, rows: list[_Row], line: _Line, marks: list[_Mark]) -> None:
        """Cut a line too long for the terminal to the part around its marks; it stays whole if those are far apart."""
        if len(line.cells) <= self._room or not marks or any(m.multiline for m in marks):
            return
        ranges = [m.cells(line) for m in marks]
        first, last = min(start for start, _ in ranges), max(end for _, end in ranges)
        if last + len(_ELISION) <= self._room:
            low = 0
        elif last - first + 4 * len(_ELISION) <= self._room:
            low = max(0, min(first - self._room // 3, len(line.cells) - self._room))
        else:
            return
        high = low + self._room
        code = rows[0]
        if high < len(line.cells):
            code.elide(self._margin + high - len(_ELISION))
            del code.texts[self._margin + high :], code.styles[self._margin + high :]
        if low:
            code.elide(self._margin + low)
            for row in rows:
                del row.texts[self._margin : self._margin + low], row.styles[self._margin : self._margin + low]
