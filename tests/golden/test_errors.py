"""Wrong programs and their exact diagnostics: `NAME.blg` beside `NAME.expected`.

Set `PROMOTE_GOLDEN=1` to write what is printed now; read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bl_compiler.diagnostics import Sink
from bl_compiler.driver.optimize import entry_points
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import load_sources
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.render import render_human
from bl_compiler.source import SourceFile

PROGRAMS = sorted((Path(__file__).parent / "errors").glob("*.blg"))


def diagnose(path: Path) -> str:
    """What the compiler says about a file, named without its folder."""
    sink = Sink()
    sources = load_sources(SourceFile(path.name, path.read_text(encoding="utf-8")), sink)
    module = lower(sources, LowerSettings(), sink) if sources is not None else None
    if module is not None:
        entry_points(module, sink)
    return "".join(render_human(found, sink.sources) + "\n" for found in sink.diagnostics)


def test_there_are_enough_wrong_programs() -> None:
    assert len(PROGRAMS) >= 40


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_wrong_program_is_diagnosed(path: Path) -> None:
    found, expected = diagnose(path), path.with_suffix(".expected")
    if os.environ.get("PROMOTE_GOLDEN") == "1":
        expected.write_text(found, encoding="utf-8")
    assert found, "a wrong program went through"
    assert found == expected.read_text(encoding="utf-8")
