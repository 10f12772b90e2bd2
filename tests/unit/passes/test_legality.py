"""Which estimator is exact where: every kind of layer and posterior, with the reasons to the letter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bl_compiler.ir.estimators import Estimator
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.estimators.legality import Site, verdict
from tests.support.cells import CELLS, ESTIMATORS, Cell, check_cell, sites_of
from tests.support.cells_more import MORE


@pytest.mark.parametrize("name", [*CELLS, *MORE])
def test_verdicts(name: str) -> None:
    check_cell({**CELLS, **MORE}[name])


def refusals(text: str, estimator: str, entry: str = "train") -> list[Reason]:
    (site,) = sites_of(Cell(text).module, entry).values()
    return list(verdict(site, Estimator.parse(estimator)).reasons)


@pytest.mark.parametrize(
    ("groups", "reason"), [(1, ""), (2, ""), (8, ""), (3, "8 examples do not divide into 3 groups")]
)
def test_groups_divide_the_examples(groups: int, reason: str) -> None:
    found = refusals(CELLS["dense"].text, f"grouped({groups})")
    assert [r.text for r in found] == ([reason] if reason else [])


def test_more_groups_than_examples() -> None:
    (reason,) = refusals(CELLS["dense"].text, "grouped(16)")
    assert reason.text == "8 examples do not divide into 16 groups"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_reason_points_at_what_is_to_blame_and_tells_the_way_to_it(estimator: str) -> None:
    (reason,) = refusals(CELLS["batch norm after"].text, estimator)
    assert reason.span.known
    assert [step.text for step in reason.chain] == [
        "`linear.einsum` in y/dense",
        "`dense` = `math.add` in y/dense",
        "`math.mean` in y/batch_norm",
    ]


def test_accepted_approximations_are_used_where_there_is_a_rewrite_at_all() -> None:
    accepted = Estimator.parse("local_reparameterization(approximate)")
    for name, site, allowed in (
        ("batch norm after", "y/dense/kernel", True),
        ("conv", "y/conv2d/kernel", True),
        ("tied", "w", False),
        ("log-normal", "w", False),
    ):
        found = verdict(sites_of(CELLS[name].module, "train")[site], accepted)
        assert not found.exact
        assert found.allows(accepted) is allowed, name


@pytest.mark.parametrize("where", ["[batch, 3]", "[batch, time=5, 3]"])
def test_a_bias_of_one_unit_carries_a_sign(where: str) -> None:
    text = f"""input x: f32{where} input y: f32[batch]
    believe bias ~ Normal(0, 1) by mean_field
    let f = x |> dense(1)
    observe y ~ Normal(sum(f, axis={"(1, 2)" if "time" in where else "1"}), 1)"""
    assert refusals(text, "flipout") == []


def test_a_divergence_estimated_from_draws_keeps_one() -> None:
    sites = sites_of(CELLS["heavy-tailed prior"].module, "train")
    assert sites["y/dense/kernel"].uses.terms
    assert not sites_of(CELLS["dense"].module, "train")["y/dense/kernel"].uses.terms


def test_points_are_not_drawn() -> None:
    for objective in ("map", "mle"):
        text = f"{CELLS['dense'].text} objective {objective}"
        assert sites_of(Cell(text).module, "train") == {}


def test_what_is_drawn_inside_a_loop_is_left_alone() -> None:
    (site,) = sites_of(CELLS["dense"].module, "train").values()
    found = verdict(Site(replace(site.facts, draws={}), site.draw), Estimator.parse("flipout"))
    assert "it is drawn inside a loop" in [reason.text for reason in found.impossible]
