"""Options of the commands that use a trained model, and loading it.

May import: floor 0, click, `cli`; training inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bl_compiler.cli.framework import opt
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.targets import Target

if TYPE_CHECKING:
    from bl_compiler.training.data import DataSet
    from bl_compiler.training.trained import Trained

F = TypeVar("F", bound=Callable[..., Any])


def trained_options(function: F) -> F:
    """Which data, which checkpoint, how many draws."""
    for decorate in reversed(
        (
            opt(
                "--data",
                section="Input",
                metavar="FILE",
                required=True,
                help="An .npz file with an array for each input.",
            ),
            opt(
                "--checkpoint",
                section="Input",
                metavar="C",
                help="last, best or a step [default: what training settled on].",
            ),
            opt(
                "--draws",
                section="Input",
                type=click.IntRange(1),
                metavar="N",
                default=32,
                help="Draws from the posterior [default: 32].",
            ),
            opt(
                "--seed",
                section="Input",
                type=click.IntRange(0, 2**32 - 1),
                metavar="N",
                default=0,
                help="Of the draws [default: 0].",
            ),
            opt("--target", section="Target", metavar="T", help="cpu, gpu or tpu [default: what there is]."),
            opt(
                "--estimators",
                section="Optimization",
                metavar="E",
                help="auto, fast, low-variance or shared [default: as trained].",
            ),
        )
    ):
        function = decorate(function)
    return function


def load(
    folder: str,
    data: str,
    checkpoint: str | None,
    target: str | None,
    entries: tuple[str, ...],
    *,
    estimators: str | None = None,
) -> tuple[Trained, DataSet]:
    """The trained model and the data for these entry points.

    Raises:
        CompileError: One of them cannot be read, or they do not fit.
    """
    from bl_compiler.driver.programs import use_device
    from bl_compiler.training.checkpoints import CheckpointError
    from bl_compiler.training.session import load_data, report_failure
    from bl_compiler.training.trained import load_trained

    sink = Sink()
    use_device(Target.parse(target) if target else None)
    try:
        trained = load_trained(Path(folder), checkpoint=checkpoint, estimators=estimators)
    except CheckpointError as fault:
        report_failure(fault, Path(folder), sink)
        raise CompileError(sink.errors) from fault
    found = load_data(data, trained.needs, entries, sink)
    if found is None:
        raise CompileError(sink.diagnostics, sink.sources)
    return trained, found
