"""The grammar file and the parser built from it, with a cache of the LALR table per user.

Invariant: a cached table is used only if its key names this grammar, this lark and this Python, its checksum holds, and
nobody else could have written it; it is plain JSON, so reading it runs nothing. Without a cache everything still works,
a tenth of a second slower. May import: lark, inside functions because it is slow to import.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark

_FORMAT = 1


@cache
def parser() -> Lark:
    """The parser of `.blg` files, built or loaded once per process."""
    from lark import Lark
    from lark import __version__ as lark_version

    grammar = grammar_text()
    key = hashlib.sha256(repr((_FORMAT, lark_version, sys.version_info[:2], grammar)).encode()).hexdigest()
    directory = _cache_directory()
    path = directory / f"grammar-{key[:32]}.json" if directory else None
    table = _read_table(path) if path else None
    if table is not None:
        # A table that passed its checksum and still does not load was written by something else: as good as absent.
        with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
            return Lark.load(table)  # a dictionary is as good as a file of it
    built = build_parser(grammar)
    if path:
        _write_table(path, built)
    return built


def build_parser(grammar: str) -> Lark:
    """Build a parser from the text of the grammar, without any cache."""
    from lark import Lark

    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=True)


def grammar_text() -> str:
    """The text of `blg.lark`: the copy in the installed package, else the one in the repository."""
    from importlib.resources import files

    installed = files("bl_compiler") / "_grammar" / "blg.lark"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "grammar" / "blg.lark").read_text(encoding="utf-8")


# --- the cache -----------------------------------------------------------------------------------------------------


def _cache_directory() -> Path | None:
    """The user's cache directory for this program, or None where there is no home."""
    if named := os.environ.get("XDG_CACHE_HOME", ""):
        base = Path(named)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", ""))
    else:
        try:
            home = Path.home()
        except RuntimeError:
            return None
        base = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return base / "bl_compiler" if base.is_absolute() else None


def _private(status: os.stat_result) -> bool:
    """Whether only this user can have written the thing. Windows keeps other users out of `LOCALAPPDATA` itself."""
    if sys.platform == "win32":
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read_table(path: Path) -> dict[str, Any] | None:
    """The table in a cache file, or None if there is none or it cannot be trusted."""
    try:
        if not _private(path.parent.stat()):
            return None
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not (_private(status) and stat.S_ISREG(status.st_mode)):
                return None
            checksum, _, payload = file.read().partition(b"\n")
        if checksum.decode() != hashlib.sha256(payload).hexdigest():
            return None
        table = json.loads(payload, object_pairs_hook=_restore_integers)
    except (OSError, ValueError):
        return None
    return table if isinstance(table, dict) else None


def _restore_integers(pairs: list[tuple[str, Any]]) -> dict[str | int, Any]:
    """JSON spells integer keys as strings; the table's other keys are names."""
    return {int(key) if key.isdecimal() else key: value for key, value in pairs}


def _write_table(path: Path, built: Lark) -> None:
    """Write the table under a temporary name and rename it, so that readers see all of it or nothing."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    data, memo = built.memo_serialize([TerminalDef, Rule])
    payload = json.dumps({"data": data, "memo": memo}, separators=(",", ":"), sort_keys=True).encode()
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(path.parent.stat()):
            return
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
