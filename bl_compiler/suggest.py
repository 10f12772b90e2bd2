"""Did-you-mean; standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None if none is close."""
    import difflib

    pool = {c.lower(): c for c in candidates}
    close = difflib.get_close_matches(word.lower(), pool, n=1, cutoff=0.6)
    return pool[close[0]] if close else None


def similar_file(path: str) -> str | None:
    """The file beside a missing `path` whose name is most like it, or None."""
    missing = Path(path)
    try:
        beside = sorted(found.name for found in missing.parent.iterdir())
    except (OSError, ValueError):
        return None
    close = did_you_mean(missing.name, beside) if missing.name not in beside else None
    return str(missing.with_name(close)) if close else None
