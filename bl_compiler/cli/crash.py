"""The report of an internal error: one file with all that is needed to look into it.

Invariant: writing the report never fails the second time: without a writable folder the text goes to stderr.
May import: floor 0, `cli`.
"""

from __future__ import annotations

import hashlib
import shlex
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from bl_compiler.cli.exits import Exit
from bl_compiler.cli.term import Terminal


def report_crash(fault: BaseException, arguments: Sequence[str], term: Terminal) -> int:
    """Write `blc-crash-HASH.txt` and say where it is; returns the exit code."""
    text = crash_text(fault, arguments)
    path = _write(text)
    if term.traceback or path is None:
        term.err(text)
    first = next(iter(str(fault).strip().splitlines()), "")
    term.err(f"error: internal compiler error: {type(fault).__name__}{': ' + first if first else ''}\n")
    term.err("  = note: this is a defect of blc, not of your model\n")
    reproducer = getattr(fault, "reproducer", None)
    if reproducer:
        term.err(f"  = note: `blc repro {reproducer}` replays the failing pass; attach that file, too\n")
    if path is not None:
        term.err(f"  = help: please attach this file to a bug report: {path}\n")
    return Exit.INTERNAL


def crash_text(fault: BaseException, arguments: Sequence[str]) -> str:
    """The report: command line, versions, traceback."""
    from bl_compiler.driver.versions import versions

    lines = [
        "blc crash report 1",
        f"command: {shlex.join(['blc', *arguments])}",
        *(f"{name}: {version}" for name, version in versions().items()),
        "",
        *traceback.format_exception(fault),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _write(text: str) -> Path | None:
    name = f"blc-crash-{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
    for folder in (Path(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return None
