"""Measures agree with scikit-learn and with formulas written out, and their standard errors with repetition.

Invariant: no JAX.
"""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.training import metrics


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


RNG = np.random.default_rng(0)
PROBS = softmax(RNG.normal(size=(200, 4)) * 2)
LABELS = np.array([RNG.choice(4, p=p) for p in PROBS])


def test_nll_averages_probabilities_over_draws() -> None:
    probs = RNG.uniform(0.1, 1, size=(8, 5))
    assert metrics.nll(np.log(probs)) == pytest.approx(-np.log(probs.mean(0)))


def test_nll_survives_densities_out_of_range() -> None:
    log_probs = np.array([[-2000.0, -np.inf, 900.0], [-2000.0, -np.inf, -np.inf]])
    assert metrics.nll(log_probs).tolist() == [2000.0, np.inf, -900.0 + np.log(2)]


def test_classification_agrees_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    found = metrics.classification(PROBS, LABELS)
    assert found["accuracy"].value == pytest.approx(sklearn.accuracy_score(LABELS, PROBS.argmax(-1)))
    one_vs_rest = [sklearn.brier_score_loss(k == LABELS, PROBS[:, k]) for k in range(4)]
    assert found["brier"].value == pytest.approx(sum(one_vs_rest))


def test_binary_agrees_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    p = RNG.uniform(size=300)
    y = (RNG.uniform(size=300) < p).astype(np.int32)
    found = metrics.binary(p, y)
    assert found["accuracy"].value == pytest.approx(sklearn.accuracy_score(y, p > 0.5))
    assert found["brier"].value == pytest.approx(sklearn.brier_score_loss(y, p))


def test_rmse_agrees_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    y, m = RNG.normal(size=(50, 3)), RNG.normal(size=(50, 3))
    assert metrics.regression(m, y)["rmse"].value == pytest.approx(
        sklearn.root_mean_squared_error(y.ravel(), m.ravel())
    )


def test_ece_agrees_with_its_definition() -> None:
    confidence, right = PROBS.max(-1), PROBS.argmax(-1) == LABELS
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.classification(PROBS, LABELS)["ece"].value == pytest.approx(expected)


def test_masks_leave_entries_out() -> None:
    probs, labels = PROBS.reshape(50, 4, 4), LABELS.reshape(50, 4)
    mask = RNG.uniform(size=(50, 4)) < 0.7
    masked = metrics.classification(probs, labels, mask)
    alone = metrics.classification(probs[mask], labels[mask])
    assert {k: v.value for k, v in masked.items()} == pytest.approx({k: v.value for k, v in alone.items()})
    everything = metrics.classification(probs, labels, np.ones((50, 4), bool))
    assert everything == metrics.classification(probs, labels)


@pytest.mark.parametrize("name", ["accuracy", "brier"])
def test_standard_errors_match_repetition(name: str) -> None:
    def one(rng: np.random.Generator) -> metrics.Estimate:
        p = softmax(rng.normal(size=(150, 3)))
        y = (rng.uniform(size=(150, 1)) > p.cumsum(-1)).sum(-1).clip(0, 2)
        return metrics.classification(p, y)[name]

    found = [one(np.random.default_rng(i)) for i in range(150)]
    spread = np.std([e.value for e in found])
    assert np.mean([e.standard_error for e in found]) == pytest.approx(spread, rel=0.15)


def test_rmse_standard_error_matches_repetition() -> None:
    found = [metrics.regression(np.zeros(300), np.random.default_rng(i).normal(size=300))["rmse"] for i in range(300)]
    spread = np.std([e.value for e in found])
    assert np.mean([e.standard_error for e in found]) == pytest.approx(spread, rel=0.12)


def test_entries_of_one_example_are_not_independent() -> None:
    right = np.repeat(RNG.uniform(size=(100, 1)) < 0.5, 20, axis=1)
    probs = np.where(right[..., None], [0.1, 0.9], [0.9, 0.1])
    found = metrics.classification(probs, np.ones((100, 20), np.int32))["accuracy"]
    assert found.standard_error == pytest.approx(0.05, rel=0.1)


def test_one_example_has_no_standard_error() -> None:
    found = metrics.classification(PROBS[:1], LABELS[:1])
    assert all(np.isnan(e.standard_error) for e in found.values())
    assert found["accuracy"].to_json()["standard_error"] is None
