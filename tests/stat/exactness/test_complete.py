"""Every way of use of the table is in one of the files here."""

from __future__ import annotations

from pathlib import Path

from tests.support.exactness import KINDS


def test_every_kind_is_checked() -> None:
    texts = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert all(f'"{kind}"' in texts for kind in KINDS)
