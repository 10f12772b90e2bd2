"""Did-you-mean; standard library only."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None if none is close."""
    import difflib

    pool = {c.lower(): c for c in candidates}
    close = difflib.get_close_matches(word.lower(), pool, n=1, cutoff=0.6)
    return pool[close[0]] if close else None
