"""Helpers for tests about source text: spans found by the text they cover.

Invariant: a span made here covers exactly the text it was asked for.
"""

from __future__ import annotations

from bl_compiler.source import SourceFile, Span


def span_of(source: SourceFile, text: str, *, nth: int = 0) -> Span:
    """The span of the n-th occurrence of a text."""
    start = -1
    for _ in range(nth + 1):
        start = source.text.index(text, start + 1)
    return Span(source.name, *position(source, start), *position(source, start + len(text)))


def position(source: SourceFile, offset: int) -> tuple[int, int]:
    """The line and column of an offset."""
    before = source.text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def block(text: str) -> str:
    """A triple-quoted text without its first newline and its last."""
    return text.removeprefix("\n").removesuffix("\n")
