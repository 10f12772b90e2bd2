"""The examples on the pages of diagnostic codes do what the pages say.

Invariant: a wrong example gives its code and no other, a corrected one gives nothing, and all are in canonical form.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bl_compiler.codes import CODES
from bl_compiler.diagnostics import Sink
from bl_compiler.driver.optimize import entry_points
from bl_compiler.frontend.format import format_text
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import load_sources
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.source import SourceFile
from tests.house.code import ROOT

PAGES = ROOT / "docs" / "codes"

NOT_BY_CHECK = frozenset(
    {
        *("BLC0003", "BLC0004", "BLC0005"),  # about the command line
        *(code for code in CODES if code.startswith(("BLC001", "BLC002"))),  # about data and training
        *(code for code in CODES if code.startswith(("BLC04", "BLC06", "BLC09"))),  # about what comes after checking
    }
)
"""Codes that checking a file does not report; their examples must be accepted."""

PLANNED: dict[tuple[str, str], set[str]] = {
    ("BLC0308", "Corrected"): {"BLC0210"},
}
"""Examples of the language that this version does not follow yet, with what it reports; the entry goes when it does."""


def examples(code: str, section: str) -> list[str]:
    """The `.blg` texts of one section of a page."""
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    wrong, corrected = page.split("## Corrected")
    return re.findall(
        r"^```blg\n(.*?)^```", {"Wrong": wrong, "Corrected": corrected}[section], re.DOTALL | re.MULTILINE
    )


def reported(text: str, folder: Path, code: str) -> set[str]:
    """The codes that checking a text reports, lints of every group included; that of Monte Carlo terms on its page."""
    source = SourceFile(str(folder / "example.blg"), text)
    sink = Sink(warn=["pedantic"], allow=[] if code == "BLC0359" else ["BLC0359"])
    sources = load_sources(source, sink)
    module = lower(sources, LowerSettings(), sink) if sources is not None else None
    if module is not None:
        entry_points(module, sink)
    return {diagnostic.code for diagnostic in sink.diagnostics}


CASES = [
    (code, section, number, text)
    for code in CODES
    for section in ("Wrong", "Corrected")
    for number, text in enumerate(examples(code, section))
]
PARAMETERS = pytest.mark.parametrize(
    ("code", "section", "text"),
    [pytest.param(code, section, text, id=f"{code}-{section}-{number}") for code, section, number, text in CASES],
)


@PARAMETERS
def test_examples_do_what_their_page_says(code: str, section: str, text: str, tmp_path: Path) -> None:
    wanted = {code} if section == "Wrong" and code not in NOT_BY_CHECK else set()
    assert reported(text, tmp_path, code) == PLANNED.get((code, section), wanted)


@PARAMETERS
def test_examples_are_in_canonical_form(code: str, section: str, text: str) -> None:
    sink = Sink()
    canonical = format_text(SourceFile("example.blg", text), sink)
    assert canonical in (None, text)
    assert (canonical is None) == (section == "Wrong" and code.startswith("BLC01"))
