"""Python identifiers for SSA values.

Invariant: a supply never gives a name twice, and never one that Python or the emitted module uses.
May import: the standard library.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

_NOT_A_LETTER = re.compile(r"\W+", re.ASCII)
_RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)})


def identifier(hint: str) -> str:
    """The identifier most like `hint`.

    >>> identifier("logits/dense.kernel"), identifier("2x"), identifier("")
    ('logits_dense_kernel', '_2x', 'v')
    """
    cleaned = _NOT_A_LETTER.sub("_", hint).strip("_") or "v"
    return f"_{cleaned}" if cleaned[0].isdigit() else cleaned


class NameSupply:
    """Gives unique identifiers.

    Args:
        taken: names that must not be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def fresh(self, hint: str) -> str:
        """`hint` as an identifier, with a number if it is taken."""
        base = identifier(hint)
        found, number = base, self._next.get(base, 1)
        while found in self._taken or found in _RESERVED:
            found, number = f"{base}_{number}", number + 1
        self._next[base] = number
        self._taken.add(found)
        return found
