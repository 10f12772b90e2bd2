"""Estimators are chosen together: the noise of a step is that of all its draws."""

from __future__ import annotations

import pytest

from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.estimators.choice import decisions
from tests.support.models import ModelBuilder


def network(examples: int) -> ModelBuilder:
    """One hidden layer of 50 with weights and biases, all examples in every step."""
    b = ModelBuilder()
    batch = b.plate("batch", examples, examples)
    x, y = b.input("x", batch, 8), b.input("y", batch, 1)
    h = b.binary("add", b.einsum("bi,ij->bj", x, b.weight("w1", 8, 50)), b.weight("b1", 50))
    f = b.binary("add", b.einsum("bi,ij->bj", b.unary("relu", h), b.weight("w2", 50, 1)), b.weight("b2", 1))
    b.observe("y", y, b.dist("Normal", f, 0.1))
    return b


@pytest.mark.parametrize("examples", [277, 691, 2000])
def test_draws_that_pay_only_together_are_rewritten_together(examples: int) -> None:
    """Each draw has a fourth of the noise: none is worth its price while the others keep theirs."""
    module = network(examples).entries()
    found = {d.site: d for d in decisions(module, CORE_OPS) if d.entry == "train"}
    assert {site: str(d.chosen) for site, d in found.items()} == dict.fromkeys(found, "local_reparameterization")
    assert set(found) == {"w1", "b1", "w2", "b2"}


def test_preferences_other_than_auto_are_unmoved() -> None:
    module = network(691).entries()
    for preference, wanted in (("shared", "shared"), ("fast", "shared"), ("low-variance", "local_reparameterization")):
        found = [str(d.chosen) for d in decisions(module, CORE_OPS, preference) if d.entry == "train"]
        assert found == [wanted] * 4, preference
