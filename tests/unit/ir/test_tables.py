"""Rule tables: one rule an op, holes listed, parts merged.

Invariant: what an op's rule is does not matter here.
"""

from __future__ import annotations

import pytest

from bl_compiler.ir.tables import RuleTable


def make() -> RuleTable[int]:
    table: RuleTable[int] = RuleTable("numbers")
    table.rule("a", "b")(1)
    return table


def test_rules_are_found_and_holes_listed() -> None:
    table = make()
    assert (table["a"], len(table), list(table), "b" in table, "c" in table) == (1, 2, ["a", "b"], True, False)
    assert table.missing(["a", "c", "d"]) == {"c", "d"}
    with pytest.raises(KeyError, match="table `numbers` has no rule for `c`"):
        table["c"]
    assert table.get("c") is None


def test_an_op_has_one_rule() -> None:
    with pytest.raises(ValueError, match="table `numbers` has two rules for `b`"):
        make().rule("c", "b")(2)
    with pytest.raises(ValueError, match="table `both` has two rules for `a`"):
        RuleTable("both", make(), make())


def test_tables_are_made_of_parts() -> None:
    other: RuleTable[int] = RuleTable("other")
    other.rule("c")(3)
    whole = RuleTable("whole", make(), other)
    assert dict(whole) == {"a": 1, "b": 1, "c": 3}
    whole.rule("d")(4)
    assert "d" not in other
