"""Exit codes, and which one an error means.

May import: floor 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from bl_compiler.diagnostics import Diagnostic, Severity


class Exit(IntEnum):
    """The exit codes of `blc`."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNAVAILABLE = 3
    BACKEND = 4
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done, warnings allowed",
    Exit.FINDINGS: "errors in the model or its data, denied warnings, or a check that found a difference",
    Exit.USAGE: "bad command line or options file, or a file that cannot be read or written",
    Exit.UNAVAILABLE: "the target or a tool is not available here",
    Exit.BACKEND: "XLA refused a valid program, or memory ran out",
    Exit.INTERNAL: "internal compiler error; a report was written",
    Exit.INTERRUPTED: "interrupted",
}

_CODES: dict[str, Exit] = {
    **dict.fromkeys(("BLC0001", "BLC0003", "BLC0004", "BLC0005", "BLC0006", "BLC0010", "BLC0018"), Exit.USAGE),
    **dict.fromkeys(("BLC0402", "BLC0601", "BLC0901", "BLC0902", "BLC0903"), Exit.USAGE),
    "BLC0602": Exit.UNAVAILABLE,
    "BLC0603": Exit.BACKEND,
}
# The file that diagnostics about the text of a pipeline point into.
_COMMAND_LINE = "<pipeline>"


def exit_of(diagnostics: Iterable[Diagnostic]) -> Exit:
    """The exit code for these diagnostics: the highest that one of the errors means.

    An unreadable file is bad usage when the command line names it, and a finding when a line of a model does.
    """
    worst = Exit.OK
    for diagnostic in diagnostics:
        if diagnostic.severity is not Severity.ERROR:
            continue
        code = _CODES.get(diagnostic.code, Exit.FINDINGS)
        if code is Exit.USAGE and diagnostic.span.known and diagnostic.span.file != _COMMAND_LINE:
            code = Exit.FINDINGS
        worst = max(worst, code)
    return worst
