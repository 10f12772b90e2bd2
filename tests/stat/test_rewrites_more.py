"""Rewrites of weights behind linear maps and in odd places keep laws; rewrites of losses keep expected gradients."""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.support.cells import CELLS, ESTIMATORS, EXACT, FLIPOUT, GROUPED, LOCAL
from tests.support.cells_more import MORE
from tests.support.rewrites import Subject, check_gradients, check_law

PAIRS = [
    (name, estimator)
    for name, cell in MORE.items()
    for i, estimator in enumerate(ESTIMATORS)
    if any(verdicts[i] == EXACT for verdicts in cell.verdicts.values())
]
LOSSES = [
    *((name, estimator) for name in ("kernel and bias", "two layers", "repeated draws") for estimator in ESTIMATORS),
    *((name, estimator) for name in ("conv", "tied") for estimator in (FLIPOUT, GROUPED)),
    *(("matrix normal", LOCAL), ("heavy-tailed prior", LOCAL), ("heavy-tailed prior", FLIPOUT)),
    *(("heavy-tailed prior", GROUPED), ("variational dropout", LOCAL), ("scale that is drawn", LOCAL)),
]


@lru_cache(maxsize=1)
def subject(name: str, entry: str, draws: int) -> Subject:
    """Kept for the next estimator."""
    return Subject({**CELLS, **MORE}[name], entry, draws)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "estimator"), PAIRS)
def test_the_law_of_an_examples_outputs_is_that_of_shared_draws(name: str, estimator: str) -> None:
    found = subject(name, "predict", 8_000)
    check_law(found, found.rewritten(estimator))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "estimator"), LOSSES)
def test_expected_gradients_are_those_of_shared_draws(name: str, estimator: str) -> None:
    found = subject(name, "train", 4_000)
    check_gradients(found, found.rewritten(estimator))
