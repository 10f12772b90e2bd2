"""Defects of the compiler itself, as against faults of the program it compiles.

Invariant: nothing a user writes raises one of these; the command line answers with exit code 70 and a reproducer.
May import: the standard library.
"""

from __future__ import annotations


class InternalError(Exception):
    """The compiler broke one of its own rules."""
