"""The training loop: steps, evaluations, checkpoints, early stopping; no printing, no signals, no clocks but for rates.

Invariant: a run stopped at a checkpoint and resumed does exactly what the unbroken run would have done: everything that
decides the future is in the checkpoint (state, running means, the best so far), the rest is a function of (seed, step).
May import: floors 0-1, numpy, `training`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bl_compiler.training.checkpoints import Checkpoint, Checkpoints
from bl_compiler.training.npz import Array
from bl_compiler.training.protocol import Arrays, Trainable


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long to train and what to do on the way.

    Attributes:
        steps: The step to reach, counted from the start of the run.
        seed: The seed of parameters, draws and minibatches.
        eval_every: Steps between evaluations on the validation data; 0 for none.
        checkpoint_every: Steps between checkpoints; 0 for one at the end only.
        patience: Evaluations without a better validation NLL before training stops; None to go on.
        log_every: Steps that one record of the metrics averages over.
    """

    steps: int
    seed: int = 0
    eval_every: int = 0
    checkpoint_every: int = 0
    patience: int | None = None
    log_every: int = 10


class Diverged(Exception):
    """The loss or a parameter is no longer a number.

    Attributes:
        step: The first bad step.
        what: What it is that is not finite.
        last_good: The step of the newest checkpoint, or None.
        arrays: The first arrays of the state that are not finite.
    """

    def __init__(self, step: int, what: str, last_good: int | None, arrays: Sequence[str] = ()) -> None:
        super().__init__(f"{what} at step {step}")
        self.step, self.what, self.last_good, self.arrays = step, what, last_good, tuple(arrays)


@dataclass(slots=True)
class Progress:
    """What the run has come to; the part of a checkpoint that is not arrays."""

    step: int = 0
    best_step: int | None = None
    best_nll: float = math.inf
    bad_evaluations: int = 0
    stopped_early: bool = False
    pending: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; Python writes floats so that they read back exactly."""
        return {
            "best_step": self.best_step,
            "best_nll": None if math.isinf(self.best_nll) else self.best_nll,
            "bad_evaluations": self.bad_evaluations,
            "stopped_early": self.stopped_early,
            "pending": self.pending,
            "sums": dict(self.sums),
        }

    @staticmethod
    def of(checkpoint: Checkpoint) -> Progress:
        """The progress that a checkpoint holds."""
        notes = checkpoint.notes
        best = notes["best_nll"]
        return Progress(
            checkpoint.step,
            notes["best_step"],
            math.inf if best is None else float(best),
            int(notes["bad_evaluations"]),
            bool(notes["stopped_early"]),
            int(notes["pending"]),
            {name: float(value) for name, value in notes["sums"].items()},
        )

    def add(self, metrics: Mapping[str, float]) -> None:
        """Count one step's metrics into the running means."""
        self.pending += 1
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take_means(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: total / max(self.pending, 1) for name, total in self.sums.items()}
        self.pending, self.sums = 0, {}
        return means


class Watcher(Protocol):
    """Hears how a run goes."""

    def stepped(self, step: int, means: Mapping[str, float]) -> None:
        """A stretch of `log_every` steps is done; `means` are over it."""

    def evaluated(self, step: int, nll: float, standard_error: float, *, better: bool) -> None:
        """The validation data was evaluated."""

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint is on disk."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: at its last step, by early stopping, or interrupted."""

    progress: Progress
    interrupted: bool = False


def train(
    model: Trainable,
    batches: Callable[[int], Arrays],
    settings: Settings,
    checkpoints: Checkpoints,
    watcher: Watcher,
    *,
    resume_from: Checkpoint | None = None,
    evaluate: Callable[[Any], tuple[float, float]] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Result:
    """Train to `settings.steps`, or to the end that early stopping or an interrupt sets.

    Args:
        model: The compiled model.
        batches: The arrays of a step, counted from 0.
        settings: How long, how often.
        checkpoints: Where states are kept; the last state always is, unless it is not finite.
        watcher: Hears of progress.
        resume_from: The checkpoint to go on from.
        evaluate: The validation NLL of parameters and its standard error.
        interrupted: Asked after every step; once true, a checkpoint is written and training ends.

    Raises:
        Diverged: The loss or a parameter became NaN or infinite; checkpoints hold finite states only.
        CheckpointError: A checkpoint could not be written.
    """
    run = _Run(model, settings, checkpoints, watcher, evaluate)
    return run.go(batches, resume_from, interrupted)


class _Run:
    def __init__(
        self,
        model: Trainable,
        settings: Settings,
        checkpoints: Checkpoints,
        watcher: Watcher,
        evaluate: Callable[[Any], tuple[float, float]] | None,
    ) -> None:
        self._model = model
        self._settings = settings
        self._checkpoints = checkpoints
        self._watcher = watcher
        self._evaluate = evaluate
        self._flying: list[tuple[int, Mapping[str, Any]]] = []
        self._progress = Progress()
        self._saved_step: int | None = None
        self._best: Checkpoint | None = None

    def go(
        self, batches: Callable[[int], Arrays], resume_from: Checkpoint | None, interrupted: Callable[[], bool]
    ) -> Result:
        settings, progress = self._settings, self._progress
        if resume_from is None:
            state = self._model.start(settings.seed)
        else:
            state = self._model.restore(resume_from.state)
            self._progress = progress = Progress.of(resume_from)
            self._saved_step = progress.step
            if progress.stopped_early and not self._out_of_patience():
                progress.stopped_early = False
        while progress.step < settings.steps and not progress.stopped_early:
            state, metrics = self._model.step(state, batches(progress.step))
            progress.step += 1
            self._flying.append((progress.step, metrics))
            stop = interrupted()
            if progress.step % settings.log_every == 0:
                self._land(state)
                self._watcher.stepped(progress.step, progress.take_means())
            if self._due(settings.eval_every):
                self._evaluate_now(state)
            if stop or self._due(settings.checkpoint_every):
                self._save(state)
            if stop:
                return Result(progress, interrupted=True)
        self._save(state)
        return Result(progress)

    def _due(self, every: int) -> bool:
        return every > 0 and self._progress.step % every == 0

    def _land(self, state: Any) -> None:
        """Wait for the steps under way and look at their losses; the step that broke is named even if found later."""
        for step, metrics in self._flying:
            numbers = self._model.fetch(metrics)
            if not math.isfinite(numbers["loss"]):
                value = "NaN" if math.isnan(numbers["loss"]) else "infinite"
                self._write_best()
                bad = _not_finite(self._model.arrays(state))
                raise Diverged(step, f"the loss is {value}", self._last_good(), bad[:3])
            self._progress.add(numbers)
        self._flying.clear()

    def _last_good(self) -> int | None:
        return next(reversed(self._checkpoints.steps()), None)

    def _out_of_patience(self) -> bool:
        patience = self._settings.patience
        return patience is not None and self._progress.bad_evaluations >= patience

    def _evaluate_now(self, state: Any) -> None:
        if self._evaluate is None:
            return
        self._land(state)
        progress = self._progress
        nll, standard_error = self._evaluate(self._model.params(state))
        # A NaN is no improvement: comparisons with it are false.
        better = nll < progress.best_nll
        if better:
            progress.best_nll, progress.best_step, progress.bad_evaluations = nll, progress.step, 0
        else:
            progress.bad_evaluations += 1
        self._watcher.evaluated(progress.step, nll, standard_error, better=better)
        progress.stopped_early = self._out_of_patience()
        if better:
            # Written with the next checkpoint: early in training every evaluation is better than the one before.
            self._best = Checkpoint(progress.step, self._finite_arrays(state), progress.to_json())

    def _write_best(self) -> None:
        """Put the best state on disk, before any checkpoint that calls it the best."""
        if self._best is not None:
            best, self._best = self._best, None
            self._write(best)

    def _write(self, made: Checkpoint) -> None:
        self._checkpoints.save(made.step, made.state, made.notes, best=made.notes["best_step"])
        self._saved_step = made.step
        self._watcher.saved(made.step, self._checkpoints.path(made.step))

    def _finite_arrays(self, state: Any) -> dict[str, Array]:
        arrays = self._model.arrays(state)
        bad = _not_finite(arrays)
        if bad:
            self._write_best()
            raise Diverged(self._progress.step, f"`{bad[0]}` is not finite", self._last_good(), bad[:3])
        return arrays

    def _save(self, state: Any) -> None:
        progress = self._progress
        if self._saved_step == progress.step:
            return
        self._land(state)
        made = Checkpoint(progress.step, self._finite_arrays(state), progress.to_json())
        if self._best is not None and self._best.step == progress.step:
            self._best = None
        self._write_best()
        self._write(made)


def _not_finite(arrays: Mapping[str, Array]) -> list[str]:
    """The names of arrays that hold NaN or infinity."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind in "fV"}
    return [name for name, array in floats.items() if not np.all(np.isfinite(array.astype(np.float32)))]


class MetricsFile:
    """The file `metrics.jsonl`: one JSON object a line, cut back to the checkpoint when a run is resumed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, step: int) -> None:
        """Keep the records up to `step` and drop later ones."""
        lines = []
        if step and self._path.is_file():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    keep = int(json.loads(line)["step"]) <= step
                except (ValueError, KeyError, TypeError):
                    keep = False  # a line cut short by a crash
                if keep:
                    lines.append(line)
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        partial.replace(self._path)

    def write(self, record: Mapping[str, object]) -> None:
        """Append a record."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
