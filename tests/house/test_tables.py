"""The holes of the tables of rules: ops that an interpretation cannot handle.

Invariant: a hole is either stated here or a failure.
"""

from __future__ import annotations

from importlib import import_module

import pytest

from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.tables import RuleTable

DERIVED = frozenset({"model.state", "model.sample", "model.point", "model.noise", "model.observe", "model.predict"}) | {
    "model.update",
    "model.phase",
}
"""Ops that the pass `entries` replaces, so that a backend never meets them."""

REQUIRED: dict[str, frozenset[str]] = {
    "bl_compiler.backends.reference.tables:NUMPY": frozenset(CORE_OPS),
    "bl_compiler.backends.jax.functions:JAX_EMIT": frozenset(CORE_OPS) - DERIVED,
    "bl_compiler.passes.costs.table:COSTS": frozenset(CORE_OPS),
}
"""`module:name` of a table -> the ops that it must cover."""


def table(place: str) -> RuleTable[object]:
    """The table at a place."""
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, RuleTable)
    return found


@pytest.mark.parametrize("place", REQUIRED)
def test_no_table_has_holes(place: str) -> None:
    assert table(place).missing(REQUIRED[place]) == set()


@pytest.mark.parametrize("place", REQUIRED)
def test_no_table_has_rules_for_ops_that_do_not_exist(place: str) -> None:
    assert set(table(place)) - set(CORE_OPS) == set()


def test_the_interpreter_knows_every_family_and_every_closed_form() -> None:
    kl = import_module("bl_compiler.backends.reference.kl")
    vectors = import_module("bl_compiler.backends.reference.vectors")
    assert set(kl.KL) == CLOSED_FORM_KL
    assert set(vectors.RUNTIME_FAMILIES) == set(FAMILIES)
