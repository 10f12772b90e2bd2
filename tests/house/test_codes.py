"""The table of diagnostic codes, their pages, and the places that report them agree.

Invariant: no code without a page and a use, no use of a code that does not exist.
"""

from __future__ import annotations

import re

import pytest

from bl_compiler.codes import CODES
from tests.house.code import PACKAGE, ROOT, python_files, shown, strings

PAGES = ROOT / "docs" / "codes"
CODE = re.compile(r"\bBLC\d{4}\b")

NEVER_REPORTED: frozenset[str] = frozenset()
"""Codes of the table that nothing reports; each needs a reason beside it."""


def used_codes() -> dict[str, set[str]]:
    """The codes that appear in the package's strings, each with the files it appears in."""
    found: dict[str, set[str]] = {}
    for path in python_files("bl_compiler"):
        if path != PACKAGE / "codes.py":
            for text in strings(path):
                for code in CODE.findall(text):
                    found.setdefault(code, set()).add(shown(path))
    return found


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(CODES)


def test_every_used_code_exists() -> None:
    assert {code: files for code, files in used_codes().items() if code not in CODES} == {}


def test_every_code_is_used() -> None:
    assert set(CODES) - set(used_codes()) == NEVER_REPORTED


@pytest.mark.parametrize("code", CODES)
def test_pages_have_the_common_form(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == f"# {code}: {CODES[code].title}"
    assert [line for line in lines if line.startswith("## ")] == ["## Wrong", "## Corrected"]
    assert set(CODE.findall(text)) <= set(CODES)
    assert [line for line in lines if len(line) > 122] == []


@pytest.mark.parametrize("code", [code for code, entry in CODES.items() if entry.lint])
def test_pages_of_lints_say_how_to_switch_them(code: str) -> None:
    entry = CODES[code]
    assert f"Lint `{entry.lint}`, group `{entry.group}`" in (PAGES / f"{code}.md").read_text(encoding="utf-8")
