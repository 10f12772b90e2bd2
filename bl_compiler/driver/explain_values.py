"""Values for the table of a loss: parameters from a file, a run or the initial ones, and one evaluation.

Invariant: what is evaluated is the itemized entry after the passes that the options name, on the streams of the
program, so its `loss` is that of `Program.loss`. May import: floors 0-4, numpy; JAX and training inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.explain_elbo import Table, with_values
from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.optimize import optimize
from bl_compiler.driver.programs import build_program
from bl_compiler.ir.graph import Module
from bl_compiler.options import Options
from bl_compiler.source import SourceFile

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program

INITIAL = "init"
"""What stands for the initial parameters."""


@dataclass(frozen=True)
class Given:
    """What a loss is evaluated at.

    Attributes:
        params: a file, the folder of a run, or `init`.
        inputs: a file with one batch; None for random inputs.
        step: the training step, for schedules; None for that of the run, or the time after the last one.
    """

    params: str
    inputs: str | None = None
    seed: int = 0
    step: int | None = None


def evaluated(
    table: Table, entries: Module, given: Given, options: Options, sources: Mapping[str, SourceFile]
) -> Table:
    """The table with values at these parameters.

    Args:
        table: The table of the model.
        entries: The entry points of the model, before passes.
        given: Parameters, inputs, seed.
        options: Which passes run.
        sources: The texts that messages quote.

    Raises:
        CompileError: A file cannot be read.
        InputError: What a file holds does not fit the model.
    """
    from bl_compiler.driver.running import made_up, needed_inputs, open_sizes

    functions = {"init": entries.functions["init"], "train": table.itemized.graph}
    optimized = optimize(entries.with_functions(functions), options, lambda _: None, evaluate=evaluator())
    program = build_program(optimized.module, sources)
    params, step = _params(program, given)
    types = needed_inputs(program, "loss")
    inputs = _arrays(given.inputs, set(types)) if given.inputs else made_up(types, table.module, given.seed)
    sizes = open_sizes(program.module)
    loss, parts = program.loss(params, inputs, given.seed, sizes=sizes, step=step)
    return with_values(table, {"loss": loss, **parts}, sizes)


def _params(program: Program, given: Given) -> tuple[dict[str, Any], int | None]:
    """The parameters and the step to evaluate at."""
    if given.params == INITIAL:
        return program.init(given.seed), given.step
    if Path(given.params).is_dir():
        found, step = _trained(Path(given.params))
        return found, step if given.step is None else given.step
    return _arrays(given.params, set(program.params)), given.step


def _arrays(path: str, wanted: set[str]) -> dict[str, Any]:
    from bl_compiler.training.npz import read_npz

    sink = Sink()
    file = read_npz(path, wanted, sink)
    if file is None:
        raise CompileError(sink.diagnostics)
    return dict(file.arrays)


def _trained(path: Path) -> tuple[dict[str, Any], int]:
    """The parameters of a run, and the step of their checkpoint."""
    from bl_compiler.training.checkpoints import CheckpointError
    from bl_compiler.training.runs import RunFolder
    from bl_compiler.training.session import report_failure

    try:
        folder = RunFolder(path)
        folder.read()
        step = folder.step_of(None)
        state = folder.checkpoints.load(step).state
    except CheckpointError as fault:
        sink = Sink()
        report_failure(fault, path, sink)
        raise CompileError(sink.errors) from fault
    return {n.removeprefix("params/"): a for n, a in state.items() if n.startswith("params/")}, step
