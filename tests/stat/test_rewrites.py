"""Rewrites to estimators keep what they say they keep, for every kind of layer and posterior."""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.support.cells import CELLS, ESTIMATORS, EXACT, FLIPOUT, GROUPED, LOCAL
from tests.support.rewrites import Subject, check_across, check_law

PAIRS = [
    (name, estimator)
    for name, cell in CELLS.items()
    for i, estimator in enumerate(ESTIMATORS)
    if not name.startswith(("mixed", "exported")) and any(verdicts[i] == EXACT for verdicts in cell.verdicts.values())
]
"""What may be rewritten in prediction: a model and an estimator that is exact at one of its draws at least."""


@lru_cache(maxsize=1)
def subject(name: str, entry: str = "predict", draws: int = 8_000) -> Subject:
    """Kept for the next estimator."""
    return Subject(CELLS[name], entry, draws)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "estimator"), PAIRS)
def test_the_law_of_an_examples_outputs_is_that_of_shared_draws(name: str, estimator: str) -> None:
    found = subject(name)
    check_law(found, found.rewritten(estimator))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "estimator"), [("kernel and bias", LOCAL), ("tied", FLIPOUT), ("tied", GROUPED)])
def test_the_law_of_an_examples_outputs_over_many_draws(name: str, estimator: str) -> None:
    found = subject(name, draws=100_000)
    check_law(found, found.rewritten(estimator))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "estimator", "together"),
    [
        ("kernel and bias", LOCAL, 1),
        ("kernel and bias", FLIPOUT, 1),
        ("kernel and bias", "grouped(8)", 1),
        ("kernel and bias", "grouped(4)", 2),
        ("kernel and bias", "grouped(2)", 4),
        ("conv", FLIPOUT, 1),
        ("conv", "grouped(2)", 4),
        ("factors", "grouped(4)", 2),
        ("members", "grouped(8)", 1),
    ],
)
def test_examples_are_apart_but_for_those_of_a_group(name: str, estimator: str, together: int) -> None:
    found = subject(name)
    check_across(found, found.rewritten(estimator), together)


def test_shared_draws_move_examples_together() -> None:
    """The check above can fail."""
    found = subject("dense", draws=2_000)
    check_across(found, found.module, 8)
    with pytest.raises(AssertionError, match="the covariance of two examples is off"):
        check_across(found, found.module, 1)


@pytest.mark.parametrize(
    ("name", "site", "estimator"),
    [
        ("sequence", "y/dense/kernel", LOCAL),
        ("conv", "y/conv2d/kernel", LOCAL),
        ("centered by hand", "h/dense/kernel", LOCAL),
        ("centered by hand", "h/dense/kernel", FLIPOUT),
        ("table of a sequence", "y/embedding/embedding", LOCAL),
        ("matrix normal on a sequence", "y/dense/kernel", LOCAL),
    ],
)
def test_what_is_refused_would_change_the_law(name: str, site: str, estimator: str) -> None:
    """Accepted as an approximation, so that it is carried out."""
    found = subject(name)
    with pytest.raises(AssertionError, match="the law of an example is off"):
        check_law(found, found.rewritten(f"{estimator}(approximate)", site))


def test_sums_of_noise_are_drawn_once() -> None:
    found = subject("kernel and bias")
    sites = [node.site for node in found.rewritten(LOCAL).functions["predict"].of("random.draw")]
    assert sites == ["y/dense/kernel"]
