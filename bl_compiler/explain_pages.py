"""The explanation pages of diagnostic codes, which `blc explain CODE` prints.

Invariant: every code of `codes.CODES` has a page. In a wheel the pages are package data, in a checkout they are in
`docs/codes`. May import: `codes`, `targets`.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from bl_compiler.codes import CODES
from bl_compiler.targets import OptionError


def find_code(name: str) -> str:
    """The code that a user means by a code in any case, its number, or the name of a lint.

    >>> find_code("blc0203"), find_code("203"), find_code("unused-name")
    ('BLC0203', 'BLC0203', 'BLC0356')
    """
    lints = {entry.lint: code for code, entry in CODES.items() if entry.lint}
    code = f"BLC{int(name):04d}" if name.isdecimal() else name.upper()
    if code in CODES:
        return code
    if name in lints:
        return lints[name]
    raise OptionError.unknown("code", name, [*CODES, *lints], code="BLC0003")


def page(code: str) -> str:
    """The page of a code, as Markdown.

    Args:
        code: What `find_code` understands.

    Raises:
        OptionError: There is no such code.
    """
    name = f"{find_code(code)}.md"
    return next(folder / name for folder in _folders() if (folder / name).is_file()).read_text(encoding="utf-8")


def _folders() -> tuple[Traversable, ...]:
    return resources.files("bl_compiler") / "_codes", Path(__file__).parents[1] / "docs" / "codes"
