"""Laws of the training loop: resuming changes nothing, bad states are never kept, the best is found again.

Invariant: no JAX but for the storage of checkpoints.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bl_compiler.training.checkpoints import Checkpoint, CheckpointError, Checkpoints
from bl_compiler.training.data import Batches, DataSet
from bl_compiler.training.loop import Diverged, MetricsFile, Settings, train
from tests.train.fakes import Line, Log


def data(count: int = 20) -> DataSet:
    x = np.linspace(-1, 1, count, dtype=np.float32)
    return DataSet({"x": x, "y": 2 * x}, {"x": 0, "y": 0}, count, "signature")


class Stored(Checkpoints):
    """Checkpoints in memory, for the laws that are not about files."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.kept: dict[int, Checkpoint] = {}
        self.best: int | None = None

    def steps(self) -> list[int]:
        return sorted(self.kept)

    def save(self, step: int, state: Any, notes: Any, *, best: int | None = None) -> None:
        self.kept[step] = Checkpoint(step, dict(state), dict(notes))
        self.best = best

    def load(self, step: int) -> Checkpoint:
        return self.kept[step]


@pytest.mark.parametrize("cut", [1, 7, 10, 13, 19])
def test_a_resumed_run_does_what_the_unbroken_one_does(cut: int) -> None:
    settings = Settings(steps=20, seed=3, log_every=4, eval_every=6)
    batches = Batches(data(), 6, 3)
    nll = lambda params: (abs(float(params["w"]) - 2), 0.1)  # noqa: E731
    whole, whole_log = Stored(), Log()
    train(Line(), batches, settings, whole, whole_log, evaluate=nll)
    parts, log = Stored(), Log()
    first = Settings(steps=cut, seed=3, log_every=4, eval_every=6)
    train(Line(), batches, first, parts, log, evaluate=nll)
    train(Line(), batches, settings, parts, log, evaluate=nll, resume_from=parts.load(cut))
    assert log.means == whole_log.means
    assert log.evaluations == whole_log.evaluations
    end, expected = parts.kept[20], whole.kept[20]
    assert end.notes == expected.notes
    assert {k: v.tobytes() for k, v in end.state.items()} == {k: v.tobytes() for k, v in expected.state.items()}


def test_every_step_counts_once_in_the_means() -> None:
    log = Log()
    train(Line(), Batches(data(), 5, 0), Settings(steps=12, log_every=4), Stored(), log)
    assert [step for step, _ in log.means] == [4, 8, 12]
    assert all(means["kl"] == 0.25 for _, means in log.means)


@pytest.mark.parametrize("bad", [1, 5, 9])
def test_a_diverged_run_names_the_step_and_keeps_the_last_good_state(bad: int) -> None:
    kept = Stored()
    settings = Settings(steps=20, checkpoint_every=3, log_every=100)
    with pytest.raises(Diverged) as caught:
        train(Line(bad_step=bad), Batches(data(), 5, 0), settings, kept, Log())
    assert caught.value.step == bad
    last = (bad - 1) // 3 * 3
    assert kept.steps() == [step for step in (3, 6) if step <= last]
    assert caught.value.last_good == (last or None)


def test_a_state_that_is_not_finite_is_never_kept() -> None:
    class Broken(Line):
        def arrays(self, state: dict[str, Any]) -> dict[str, Any]:
            return {**super().arrays(state), "w": np.asarray(np.inf)}

    kept = Stored()
    with pytest.raises(Diverged, match="`w` is not finite"):
        train(Broken(), Batches(data(), 5, 0), Settings(steps=2), kept, Log())
    assert kept.steps() == []


def test_early_stopping_waits_for_its_patience_and_remembers_the_best() -> None:
    nlls = iter([3.0, 1.0, math.nan, 1.5, 0.5])
    kept, log = Stored(), Log()
    settings = Settings(steps=100, eval_every=10, patience=2)
    result = train(Line(), Batches(data(), 5, 0), settings, kept, log, evaluate=lambda _: (next(nlls), 0.0))
    assert [better for _, _, better in log.evaluations] == [True, True, False, False]
    assert (result.progress.step, result.progress.best_step, result.progress.stopped_early) == (40, 20, True)
    assert 20 in kept.steps()
    assert kept.best == 20


def test_a_run_that_stopped_early_stays_stopped_unless_given_more_patience() -> None:
    kept, log = Stored(), Log()
    batches = Batches(data(), 5, 0)
    settings = Settings(steps=100, eval_every=10, patience=1)
    nlls = iter([1.0, 2.0])
    train(Line(), batches, settings, kept, log, evaluate=lambda _: (next(nlls), 0.0))
    again = train(Line(), batches, settings, kept, log, evaluate=lambda _: (0.0, 0.0), resume_from=kept.load(20))
    assert again.progress.step == 20
    longer = Settings(steps=30, eval_every=10, patience=5)
    more = train(Line(), batches, longer, kept, log, evaluate=lambda _: (0.5, 0.0), resume_from=kept.load(20))
    assert (more.progress.step, more.progress.best_step) == (30, 30)


def test_an_interrupt_ends_the_run_with_a_checkpoint() -> None:
    kept = Stored()
    asked = iter([False, False, True])
    result = train(Line(), Batches(data(), 5, 0), Settings(steps=50), kept, Log(), interrupted=lambda: next(asked))
    assert result.interrupted
    assert kept.steps() == [3]


def test_checkpoints_come_when_due_and_at_the_end() -> None:
    log = Log()
    train(Line(), Batches(data(), 5, 0), Settings(steps=11, checkpoint_every=4), Stored(), log)
    assert log.saves == [4, 8, 11]


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    file.start(0)
    for step in (10, 20, 30):
        file.write({"step": step, "loss": 1.5})
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"step": 40, "lo')
    file.start(20)
    assert path.read_text(encoding="utf-8") == '{"step": 10, "loss": 1.5}\n{"step": 20, "loss": 1.5}\n'
    file.start(0)
    assert path.read_text(encoding="utf-8") == ""


# --- files -----------------------------------------------------------------------------------------------------------


def test_checkpoints_read_back_exactly(tmp_path: Path) -> None:
    import ml_dtypes

    store = Checkpoints(tmp_path / "c")
    state = {
        "params/h/dense/kernel": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "key": np.array([1, 2**32 - 1], np.uint32),
        "step": np.asarray(7, np.int32),
        "half": np.ones(3, ml_dtypes.bfloat16),
    }
    store.save(7, state, {"best_nll": 0.1 + 0.2, "sums": {"loss": 1 / 3}})
    found = store.load(7)
    assert found.notes == {"best_nll": 0.1 + 0.2, "sums": {"loss": 1 / 3}}
    assert {k: (v.dtype, v.tobytes()) for k, v in found.state.items()} == {
        k: (v.dtype, v.tobytes()) for k, v in state.items()
    }


def test_the_newest_and_the_best_checkpoint_stay(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30, 40):
        store.save(step, {"w": np.zeros(1)}, {}, best=10)
    assert store.steps() == [10, 30, 40]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("disk")])
def test_a_failed_save_leaves_the_checkpoint_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    store = Checkpoints(tmp_path / "c")
    store.save(1, {"w": np.arange(3.0)}, {"note": 1})

    def fail(path: Path, state: Any) -> None:
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"x")
        raise fault

    monkeypatch.setattr("bl_compiler.training.checkpoints._write_arrays", fail)
    with pytest.raises((CheckpointError, KeyboardInterrupt)) as caught:
        store.save(2, {"w": np.arange(3.0)}, {})
    if isinstance(caught.value, CheckpointError):
        assert "the last good checkpoint is that of step 1" in caught.value.message
        assert caught.value.code == "BLC0018"
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["1"]
    assert store.load(1).state["w"].tolist() == [0, 1, 2]


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    import resource
    import signal

    store = Checkpoints(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="file too large; there is no earlier checkpoint"):
            store.save(1, {"w": np.random.default_rng(0).normal(size=100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_damaged_checkpoints_are_told_apart_from_missing_ones(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(1, {"w": np.arange(1000.0)}, {})
    store.save(2, {"w": np.arange(1000.0)}, {})
    for path in (tmp_path / "2" / "state").rglob("*"):
        if path.is_file() and path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        store.load(2)
    assert "those of the steps 1" in caught.value.help
    with pytest.raises(CheckpointError, match="no such file"):
        store.load(3)
    (tmp_path / "1" / "checkpoint.json").write_text('{"version": 99}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="version 99") as newer:
        store.load(1)
    assert newer.value.code == "BLC0901"


def test_leftovers_of_a_killed_save_are_ignored_and_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial-5" / "state").mkdir(parents=True)
    (tmp_path / "9").mkdir()
    store = Checkpoints(tmp_path)
    assert store.steps() == []
    store.save(1, {"w": np.zeros(1)}, {})
    assert store.steps() == [1]
    assert not (tmp_path / ".partial-5").exists()
