"""The test behind `blc verify`: false alarms as rarely as claimed whatever the law, and power where laws differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.driver.verifying.statistic import relative_error, scores, threshold

LAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape) ** 3,
    "Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "rare": lambda rng, shape: 1.0 * (rng.uniform(size=shape) < 0.01),
    "constant": lambda rng, shape: np.full(shape, 3.7),
}


@pytest.mark.parametrize("law", LAWS)
def test_false_alarms_keep_the_bound(law: str) -> None:
    rng = np.random.default_rng(3)
    a, b = (LAWS[law](rng, (64, 20_000)) for _ in range(2))
    found = scores(a, b)
    for alarm in (0.3, 0.03, 0.003):
        # 20,000 tests at this level each: their number stays below its bound by what five standard errors allow.
        bound = alarm * 20_000
        assert (found > threshold(1, alarm)).sum() <= bound + 5 * np.sqrt(bound)


def test_scores_are_those_of_a_normal_test() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 256, 5000))
    assert np.quantile(scores(a, b), 0.95) == pytest.approx(1.96, abs=0.08)
    assert np.median(scores(a + 0.5, b)) == pytest.approx(0.5 * 16 / np.sqrt(2.25), rel=0.05)


def test_rounding_is_allowed_for_and_no_more() -> None:
    a, b = np.full((256, 1), 1.0 + 1e-7), np.full((256, 1), 1.0)
    assert scores(a, b)[0] == pytest.approx(16)
    assert scores(a, b, 1e-6)[0] == 0
    assert scores(a + 1e-4, b, 1e-6)[0] > 15


def test_numbers_that_are_not_finite_count_by_how_often_they_come_up() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 256, 1))
    always = np.where(np.arange(256)[:, None] % 2 == 0, np.nan, a)
    assert scores(always, b)[0] > 10
    assert scores(np.full_like(a, np.inf), np.full_like(b, np.inf))[0] == 0


@given(st.integers(1, 10**9), st.floats(1e-12, 0.5))
def test_the_threshold_spends_the_alarm(count: int, alarm: float) -> None:
    assert count * 2 * np.exp(-(threshold(count, alarm) ** 2) / 2) == pytest.approx(alarm, rel=1e-6)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.integers(0, 2**32 - 1))
def test_a_score_never_exceeds_the_root_of_the_number_of_groups(numbers: list[float], seed: int) -> None:
    a = np.asarray(numbers)[:, None]
    b = np.random.default_rng(seed).permutation(a)
    assert scores(a, b)[0] <= np.sqrt(len(numbers)) * (1 + 1e-12)


def test_relative_errors_are_of_the_greatest_number() -> None:
    found, wanted = np.asarray([1.0, 100.5, 0.0]), np.asarray([1.0, 100.0, 0.1])
    assert relative_error(found, wanted) == pytest.approx([0, 0.005, 0.001])
    assert relative_error(np.asarray([1e-9]), np.asarray([2e-9]), floor=1.0) == pytest.approx([1e-9])


@pytest.mark.parametrize(
    ("found", "wanted", "error"),
    [(np.nan, np.nan, 0), (np.inf, np.inf, 0), (np.inf, -np.inf, np.inf), (1.0, np.nan, np.inf), (np.nan, 1.0, np.inf)],
)
def test_what_is_not_finite_must_be_equally_so(found: float, wanted: float, error: float) -> None:
    assert relative_error(np.asarray([found]), np.asarray([wanted])) == error


def test_zero_must_stay_zero() -> None:
    assert relative_error(np.asarray([1e-30]), np.asarray([0.0])) == np.inf
    assert relative_error(np.asarray([0.0]), np.asarray([0.0])) == 0
