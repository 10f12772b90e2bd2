"""What the derivation of entry points raises.

Invariant: `EntriesError` is the user's fault and carries what a diagnostic needs; `UnsupportedRegionError` is a limit
of the compiler that earlier phases should have reported. May import: floor 0, `ir.errors`.
"""

from __future__ import annotations

from bl_compiler.ir.errors import InternalError
from bl_compiler.source import NO_SPAN, Span


class EntriesError(Exception):
    """The model and its objective do not fit together; the driver turns it into a diagnostic.

    Attributes:
        code: A key of `codes.CODES`.
        message: The text of the error line.
        span: Where the fault is, or `NO_SPAN`.
    """

    def __init__(self, code: str, message: str, span: Span = NO_SPAN) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.span = span


class UnsupportedRegionError(InternalError):
    """A declaration stands in the body of a region op, where no entry point can be derived from it."""
