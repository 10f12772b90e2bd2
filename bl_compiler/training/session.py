"""A training run from a data file to its last checkpoint; the commands and the Python API are its callers.

Invariant: nothing is written before model, data and settings are known to fit.
May import: floors 0-1, numpy, `training`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bl_compiler.diagnostics import Sink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.printer import print_module
from bl_compiler.training.checkpoints import Checkpoint, CheckpointError
from bl_compiler.training.data import Batches, DataSet, bind, check_plate, split
from bl_compiler.training.evaluate import validation_loss, validation_nll
from bl_compiler.training.loop import Diverged, Result, Settings, Watcher, train
from bl_compiler.training.needs import Needs
from bl_compiler.training.npz import read_npz
from bl_compiler.training.protocol import Trainable
from bl_compiler.training.runs import Run, RunFolder, cannot_write

MODEL_FILE = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for.

    Attributes:
        data: The data file.
        out: The folder of the run.
        validation: The fraction of examples held out.
        eval_draws: The draws of an evaluation.
        settings: How long, how often; `eval_every` is 0 for once an epoch.
        resume: Whether to go on with what is in `out`.
        force: Whether to replace what is in `out`.
        keep: How many of the newest checkpoints stay.
        options: The compile options that decide the program, for the manifest.
        about: What else to record.
    """

    data: str
    out: Path
    settings: Settings
    validation: float = 0.0
    eval_draws: int = 16
    resume: bool = False
    force: bool = False
    keep: int = 2
    options: Mapping[str, Any]
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can start.

    Attributes:
        sizes: The sizes that the model leaves to the data.
        start: The checkpoint to go on from.
    """

    request: Request
    needs: Needs
    training: DataSet
    held_out: DataSet | None
    folder: RunFolder
    run: Run
    sizes: Mapping[str, int]
    start: Checkpoint | None

    @property
    def batches(self) -> Batches:
        """The minibatches."""
        return Batches(self.training, self.needs.batch, self.request.settings.seed)


def load_data(
    path: str, needs: Needs, entries: tuple[str, ...], sink: Sink, *, supports: bool = True
) -> DataSet | None:
    """The data set in a file for these entry points, or None after errors on the sink."""
    specs = needs.specs(*entries)
    file = read_npz(path, {spec.name for spec in specs}, sink)
    if file is None:
        return None
    return bind(file, specs, needs.plate.name if needs.plate else None, sink, supports=supports)


def prepare(request: Request, model: Module, entries: Module, sink: Sink) -> Prepared | None:
    """Check model, data and folder against each other; None after errors on the sink.

    Raises:
        CheckpointError: The folder cannot be used as asked.
    """
    needs = Needs.of(model, entries)
    data = load_data(request.data, needs, ("train", "log_likelihood"), sink)
    if data is None:
        return None
    training, held_out = split(data, request.validation, request.settings.seed) if request.validation else (data, None)
    if not _enough(training, needs, request, sink):
        return None
    plate = needs.plate
    check_plate(
        plate.total if plate else None,
        training.count,
        sink,
        held_out=held_out.count if held_out else 0,
        plate=plate.name if plate else "",
    )
    if sink.errors:  # a warning that was denied
        return None
    if held_out is not None and not request.settings.eval_every:
        every = Batches(training, needs.batch, request.settings.seed).per_epoch
        request = replace(request, settings=replace(request.settings, eval_every=max(1, every)))
    folder = RunFolder(request.out, keep=request.keep)
    sizes = {plate.name: training.count} if plate is not None and plate.total is None else {}
    run = Run(_identity(request, model, needs, data), {**request.about, "sizes": sizes})
    return Prepared(request, needs, training, held_out, folder, run, sizes, _start_of(folder, run, request))


def _enough(training: DataSet, needs: Needs, request: Request, sink: Sink) -> bool:
    if needs.plate is None or training.count >= needs.batch:
        return True
    left = " left after the validation split" if request.validation else ""
    sink.error(
        "BLC0015", f"`{request.data}` has {training.count} examples{left}, and one batch takes {needs.batch}"
    ).help(f"train with `--batch {max(1, training.count)}` or fewer")
    return False


def _identity(request: Request, model: Module, needs: Needs, data: DataSet) -> dict[str, Any]:
    text = print_module(model, spans=False)
    return {
        "model": hashlib.sha256(text.encode()).hexdigest(),
        "data": data.signature,
        "seed": request.settings.seed,
        "batch": needs.batch,
        "validation": request.validation,
        "options": dict(request.options),
    }


def _start_of(folder: RunFolder, run: Run, request: Request) -> Checkpoint | None:
    """The checkpoint to go on from; None to start anew."""
    if folder.foreign_files() and not request.force:
        raise CheckpointError(
            f"`{folder.path}` holds files that are not of a training run",
            help="name another folder with `--out`; `--force` writes beside them",
            code="BLC0903",
        )
    if not folder.exists():
        return None
    if request.resume:
        folder.check_same(run)
        steps = folder.checkpoints.steps()
        return folder.checkpoints.load(steps[-1]) if steps else None
    if not request.force:
        raise CheckpointError(
            f"`{folder.path}` already holds a training run",
            help="go on with it by `--resume`, or replace it by `--force`",
            code="BLC0903",
        )
    return None


class _Recorder:
    """Writes `metrics.jsonl` and passes on to the caller's watcher."""

    def __init__(self, prepared: Prepared, watcher: Watcher) -> None:
        self._prepared = prepared
        self._watcher = watcher
        self._began = time.monotonic()

    def stepped(self, step: int, means: Mapping[str, float]) -> None:
        """Record the means of a stretch of steps."""
        per_epoch = max(self._prepared.batches.per_epoch, 1)
        record = {"step": step, "epoch": round(step / per_epoch, 4), **means}
        self._prepared.folder.metrics.write({**record, "seconds": round(time.monotonic() - self._began, 3)})
        self._watcher.stepped(step, means)

    def evaluated(self, step: int, nll: float, standard_error: float, *, better: bool) -> None:
        """Record an evaluation."""
        name = "validation_loss" if self._prepared.needs.local_latents else "validation_nll"
        self._prepared.folder.metrics.write(
            {"step": step, name: _finite(nll), "standard_error": _finite(standard_error), "better": better}
        )
        self._watcher.evaluated(step, nll, standard_error, better=better)

    def saved(self, step: int, path: Path) -> None:
        """Pass on."""
        self._watcher.saved(step, path)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def run_training(
    prepared: Prepared,
    program: Trainable,
    model: Module,
    watcher: Watcher,
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> Result:
    """Train.

    Raises:
        Diverged: The loss or a parameter became NaN or infinite.
        CheckpointError: The folder cannot be written.
    """
    request, folder = prepared.request, prepared.folder
    _write_head(prepared, model)
    evaluate = None
    settings = request.settings
    if prepared.held_out is not None:
        size = prepared.needs.batch
        if prepared.needs.local_latents:
            evaluate = validation_loss(program, prepared.held_out, size, seed=settings.seed)
        else:
            evaluate = validation_nll(program, prepared.held_out, size, seed=settings.seed, draws=request.eval_draws)
    return train(
        program,
        prepared.batches,
        settings,
        folder.checkpoints,
        _Recorder(prepared, watcher),
        resume_from=prepared.start,
        evaluate=evaluate,
        interrupted=interrupted,
    )


def _write_head(prepared: Prepared, model: Module) -> None:
    """Write all of the folder but checkpoints; those of an old run go away first.

    A resumed run is the same run, but what is good to know of it, such as the step to reach, may be new.
    """
    from bl_compiler.ir.serde import to_json

    folder, start = prepared.folder, prepared.start
    try:
        if start is None and folder.exists():
            folder.checkpoints.remove_all()
        folder.write(prepared.run)
        (folder.path / MODEL_FILE).write_text(json.dumps(to_json(model)) + "\n", encoding="utf-8")
        folder.metrics.start(start.step if start else 0)
    except OSError as fault:
        raise cannot_write(folder.path, fault) from fault


def report_failure(fault: CheckpointError | Diverged, out: Path, sink: Sink) -> None:
    """Turn a failed run into a diagnostic."""
    if isinstance(fault, CheckpointError):
        error = sink.error(fault.code, fault.message)
        if fault.help:
            error.help(fault.help)
        return
    error = sink.error("BLC0017", f"training diverged: {fault.what} at step {fault.step}").help(
        "lower the learning rate, keep scales away from 0, or standardize the inputs"
    )
    kept = f"that of step {fault.last_good} in `{out}`" if fault.last_good else "none was written yet"
    error.note(f"the last good checkpoint: {kept}")
    if fault.arrays:
        error.note(f"not finite: {', '.join(f'`{name}`' for name in fault.arrays)}")
