"""The arguments of posteriors: numbers, counts and switches, each checked where it is read.

May import: floors 0-1, `values`, `state`.
"""

from __future__ import annotations

from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm, describe, is_number

MOST_MEMBERS = 1024
"""More members than anybody trains are a slip of the pen."""


def positive_number(state: State, form: PosteriorForm, name: str, default: float) -> float:
    """An argument that is a number greater than 0."""
    found = form.get(name, default)
    if not is_number(found) or not isinstance(found, (int, float)) or not 0 < found < float("inf"):
        state.fail("BLC0203", f"`{name}` must be a number greater than 0, found {describe(found)}", form.span)
    return float(found)


def fraction(state: State, form: PosteriorForm, name: str) -> float:
    """An argument that must be given: a number between 0 and 1, and neither."""
    found = form.get(name, None)
    if found is None:
        state.fail("BLC0204", f"`{form.name}` needs `{name}`", form.span, help=f"as in `{form.name}(0.1)`")
    if not is_number(found) or not isinstance(found, (int, float)) or not 0 < found < 1:
        way_out = "at 0 it is `point`" if found == 0 and is_number(found) else ""
        message = f"`{name}` must be a number between 0 and 1, found {describe(found)}"
        state.fail("BLC0203", message, form.span, help=way_out)
    return float(found)


def count(state: State, form: PosteriorForm, name: str, default: int | None = None) -> int:
    """An argument that is a whole number from 1 on; without a default it must be given."""
    found = form.get(name, default)
    if found is None:
        state.fail("BLC0204", f"`{form.name}` needs `{name}`", form.span, help=f"as in `{form.name}(4)`")
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST_MEMBERS:
        message = f"`{name}` must be a whole number from 1 to {MOST_MEMBERS}, found {describe(found)}"
        state.fail("BLC0203", message, form.span)
    return int(found)


def switch(state: State, form: PosteriorForm, name: str) -> bool:
    """An argument that is true or false, and false if left out."""
    found = form.get(name, False)
    if not isinstance(found, bool):
        state.fail("BLC0205", f"`{name}` is `true` or `false`, found {describe(found)}", form.span)
    return found
