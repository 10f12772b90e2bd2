"""A trained model read back from the folder of its run.

Invariant: the program is compiled from the IR that was trained, with the options it was trained with, so a model file
that changed since changes nothing. May import: floors 0-3, `driver`, `training`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.optimize import entry_points, optimize
from bl_compiler.driver.programs import build_program
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.serde import from_json
from bl_compiler.options import Options
from bl_compiler.training.checkpoints import CheckpointError
from bl_compiler.training.needs import Needs
from bl_compiler.training.npz import Array
from bl_compiler.training.programs import ProgramModel
from bl_compiler.training.runs import Run, RunFolder
from bl_compiler.training.session import MODEL_FILE


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, ready to evaluate and to predict.

    Attributes:
        step: The step of the checkpoint.
        params: The parameters by path.
    """

    folder: RunFolder
    run: Run
    model: Module
    needs: Needs
    program: ProgramModel
    step: int
    params: dict[str, Array]


def load_trained(path: Path, *, checkpoint: str | None = None, estimators: str | None = None) -> Trained:
    """Read a run back.

    Args:
        path: Its folder.
        checkpoint: `last`, `best` or a step; None for the one that training settled on.
        estimators: The preference among the exact estimators; None for that of the training.

    Raises:
        CheckpointError: There is no run or no such checkpoint.
        OptionError: There is no such preference.
    """
    folder = RunFolder(path)
    run = folder.read()
    model = _model(path)
    options = Options.of(**run.about.get("compile", {}))
    options = replace(options, dump_ir=None, stop_after=None, estimators=estimators or options.estimators)
    sink = Sink()
    entries = entry_points(model, sink)
    if entries is None:
        raise CompileError(sink.diagnostics)
    optimized = optimize(entries, options, lambda _: None, evaluate=evaluator())
    needs = Needs.of(model, entries)
    program = ProgramModel(build_program(optimized.module), run.about.get("sizes", {}), needs.output_axes)
    step = folder.step_of(checkpoint)
    found = folder.checkpoints.load(step)
    params = {name.removeprefix("params/"): array for name, array in found.state.items() if name.startswith("params/")}
    return Trained(folder, run, model, needs, program, step, params)


def _model(path: Path) -> Module:
    try:
        data: dict[str, Any] = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
        return from_json(data, CORE_OPS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as fault:
        raise CheckpointError(
            f"`{path / MODEL_FILE}` cannot be read", help="the run's folder is damaged: `blc train --resume` mends it"
        ) from fault
