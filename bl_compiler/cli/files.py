"""Input files as the command line names them: paths, folders, patterns, `-`; and outputs that appear only when whole.

Invariant: an output file is either what it was before or complete. May import: floor 0.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bl_compiler.options import OptionError

STDIN = "-"


def expand(names: Sequence[str], suffix: str = ".blg") -> list[str]:
    """The files that names stand for: folders give the files below with `suffix`, patterns what they match."""
    found: list[str] = []
    for name in names:
        if name == STDIN:
            found.append(name)
        elif not name:
            # Python takes it for the working folder; more often it is a shell variable that is not set.
            raise OptionError("the name of a file is empty", help="`.` is the working folder", code="BLC0001")
        elif Path(name).is_dir():
            inside = sorted(str(path) for path in Path(name).rglob(f"*{suffix}") if path.is_file())
            if not inside:
                raise OptionError(f"the folder `{name}` holds no {suffix} file", code="BLC0001")
            found += inside
        elif any(mark in name for mark in "*?[") and not Path(name).exists():
            matched = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - the pattern may be absolute
            if not matched:
                raise OptionError(f"no file matches `{name}`", code="BLC0001")
            found += matched
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def reader_for(stdin_name: str) -> StdinReader:
    """A reader of files that reads stdin under `stdin_name`."""
    return StdinReader(stdin_name)


class StdinReader:
    """Reads files, and stdin (once) for one name.

    Args:
        name: How messages name stdin.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._text: str | None = None

    def __call__(self, path: str) -> str:
        """The text of a file or of stdin."""
        if path != self.name:
            return Path(path).read_bytes().decode("utf-8-sig")
        if self._text is None:
            self._text = sys.stdin.buffer.read().decode("utf-8-sig")
        return self._text


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file under a hidden name and rename it.

    Raises:
        OptionError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            partial.write_text(data, encoding="utf-8", newline="\n")
        else:
            partial.write_bytes(data)
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        raise OptionError(f"cannot write `{path}`: {reason}", help="name another file", code="BLC0903") from fault
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
