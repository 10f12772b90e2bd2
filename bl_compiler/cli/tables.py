"""Text tables for stdout, plain enough for `cut` and `grep`.

May import: the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, indent: str = "  ", right: str = "") -> str:
    """Columns padded to their widest cell; a column whose letter in `right` is `>` is aligned to the right.

    >>> print(table(["a", "n"], [["x", 10], ["yy", 5]], indent="", right="<>"), end="")
    a    n
    x   10
    yy   5
    """
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    sides = right.ljust(len(header), "<")
    lines = []
    for row in cells:
        parts = [f"{text:{side}{width}}" for text, width, side in zip(row, widths, sides, strict=True)]
        lines.append(f"{indent}{'  '.join(parts)}".rstrip())
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def size_text(count: float) -> str:
    """A number of bytes for people.

    >>> size_text(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
