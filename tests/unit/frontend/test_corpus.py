"""The programs of the language's contract: each lowers, or says at its word what is not supported yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import load_sources
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.source import SourceFile

CORPUS = Path(__file__).parents[2] / "corpus" / "language"
LOWERED = {"bayesian_cnn", "vae"}
SYNTAX_ONLY = {"loops", "tour"}
"""Written to show syntax: they hold several unsupported constructs, or an import that is not there."""

MODELS = sorted(path.stem for path in CORPUS.glob("*.blg") if path.stem not in SYNTAX_ONLY)


@pytest.mark.parametrize("name", MODELS)
def test_a_program_of_the_contract_lowers_or_says_why_not(name: str) -> None:
    sink = Sink()
    source = SourceFile(f"{name}.blg", (CORPUS / f"{name}.blg").read_text(encoding="utf-8"))
    sources = load_sources(source, sink)
    assert sources is not None
    module = lower(sources, LowerSettings(), sink)
    assert (module is not None) == (name in LOWERED)
    assert {found.code for found in sink.errors} == (set() if name in LOWERED else {"BLC0210"})
