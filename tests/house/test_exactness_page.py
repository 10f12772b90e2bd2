"""The exactness table of docs/estimators.md is the one that the code gives.

Set `PROMOTE_GOLDEN=1` to write it.
"""

from __future__ import annotations

import os

from tests.house.code import ROOT
from tests.support.exactness import table

PAGE = ROOT / "docs" / "estimators.md"
START, END = "<!-- table -->\n", "<!-- end -->\n"


def test_the_table_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(START)
    _, tail = rest.split(END)
    found = f"{head}{START}\n{table()}\n{END}{tail}"
    if os.environ.get("PROMOTE_GOLDEN") == "1":
        PAGE.write_text(found, encoding="utf-8")
        return
    assert text == found, "run this test with PROMOTE_GOLDEN=1 and read the difference"
