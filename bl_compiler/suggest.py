"""Did-you-mean; standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None if none is close."""
    import difflib

    pool = {c.lower(): c for c in candidates}
    close = difflib.get_close_matches(word.lower(), pool, n=1, cutoff=0.6)
    return pool[close[0]] if close else None


def similar_file(path: str) -> str | None:
    """The file beside a missing `path` whose name is most like it, or None."""
    folder, name = os.path.split(path)
    try:
        beside = os.listdir(folder or ".")
    except (OSError, ValueError):
        return None
    close = did_you_mean(name, beside) if name not in beside else None
    return os.path.join(folder, close) if close else None
