"""`blc verify`: did every pass keep what this model computes?

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.model_options import lint_options, model_options, options_of, pass_options
from bl_compiler.cli.tables import table
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError
from bl_compiler.targets import Target

if TYPE_CHECKING:
    from bl_compiler.driver.verify import Report, Task
    from bl_compiler.options import Options


@declare(
    "verify",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND),
    examples=[
        ("blc verify mlp.blg", "every pass of the default level, at random parameters"),
        ("blc verify mlp.blg --params run --inputs batch.npz", "at trained parameters, on data"),
        ("blc verify cnn.blg -O2 --batch 8 --draws 20000", "a smaller batch, more draws"),
    ],
)
@click.argument("model_file", metavar="MODEL")
@opt("--entry", "only", section="Input", multiple=True, metavar="NAME", help="Check this entry point [default: all].")
@opt("--inputs", section="Input", metavar="FILE", help="An .npz file of one batch [default: random inputs].")
@opt(
    "--params",
    section="Input",
    metavar="FILE|RUN",
    help="An .npz file of raw parameters, or a training run [default: random ones].",
)
@opt(
    "--seed",
    section="Input",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="Of everything random [default: 0].",
)
@opt(
    "--draws",
    section="Input",
    type=click.IntRange(128),
    default=4096,
    metavar="N",
    help="Draws on each side of a comparison, at least 128 [default: 4096].",
)
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="One JSON object.")
@opt("--target", "device", section="Target", metavar="T", help="cpu, gpu or tpu: compile for it and run on it.")
@model_options
@pass_options
@lint_options
def command(
    model_file: str,
    only: tuple[str, ...],
    inputs: str | None,
    params: str | None,
    seed: int,
    draws: int,
    as_json: bool,
    device: str | None,
    **given: Any,
) -> int:
    """Check that every pass keeps what a model computes, and name the first that does not.

    After each pass that changed the program, every entry point is compared with the program before any pass: with the
    NumPy reference and draw by draw where that is possible, else by means, variances and covariances across the outputs
    of one example, and by expected gradients. The exit status is 1 if a pass is at fault.
    """
    from bl_compiler.driver.programs import use_device
    from bl_compiler.driver.verify import input_types, read_params, verify
    from bl_compiler.training.npz import read_npz

    term = terminal()
    use_device(Target.parse(device) if device else None)
    options, task, sink = _task(model_file, {**given, "target": device})
    fed: dict[str, Any] | None = None
    if inputs is not None:
        found = Sink()
        file = read_npz(inputs, set(input_types(task.entries)), found)
        if file is None:
            raise CompileError(found.diagnostics)
        fed = dict(file.arrays)
    report = verify(
        task,
        options,
        inputs=fed,
        params=read_params(params) if params is not None else None,
        draws=draws,
        seed=seed,
        only=only,
        progress=lambda name, entry: term.note(f"checking `{entry}` after {name}", level=1),
    )
    term.out(json.dumps(report.to_json(), indent=2) + "\n" if as_json else _readable(report))
    for note in report.notes:
        term.note(note)
    fault = report.diagnostic()
    if fault is None:
        if not as_json:
            term.note(f"verified: {_summary(report)}")
        return Exit.OK
    term.diagnostics([fault], sink.sources, exit_code=Exit.FINDINGS)
    return Exit.FINDINGS


def _task(name: str, given: dict[str, Any]) -> tuple[Options, Task, Sink]:
    from bl_compiler.driver.compile import check_supported
    from bl_compiler.driver.models import new_sink, open_source, parse_source
    from bl_compiler.driver.verify import prepare

    if Path(name).is_dir():
        raise OptionError(f"`{name}` is a folder", help="give the model's file; bundles hold no unoptimized program")
    stdin_filename = given.pop("stdin_filename")
    options = options_of(given)
    check_supported(options)
    sink, read = new_sink(options), reader_for(stdin_filename)
    source = open_source(stdin_filename if name == STDIN else name, options, sink, read=read)
    sources = parse_source(source, options, sink, read=read) if source is not None else None
    task = prepare(sources, options, sink) if sources is not None else None
    if task is None:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics:
        terminal().diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    return options, task, sink


def _summary(report: Report) -> str:
    changed = sum(verdict.changed for verdict in report.passes[1:])
    checks = [check for verdict in report.passes for check in verdict.checks]
    numbers = sum(check.compared for check in checks)
    passes = f"{len(report.passes) - 1} passes" if len(report.passes) != 2 else "1 pass"
    return f"{passes}, {changed} of which changed the program; {len(checks)} checks of {numbers:,} numbers"


def _readable(report: Report) -> str:
    """A row for each check; passes without one get a row of their own."""
    rows: list[tuple[object, ...]] = []
    for verdict in report.passes:
        if not verdict.checks:
            rows.append((verdict.name, "-", "-", "-", "-", "-", verdict.words, ""))
        for check in verdict.checks:
            worst = f"{check.worst:.1e}" if check.measure == "relative" else f"{check.worst:.1f} se"
            limit = f"{check.limit:.0e}" if check.measure == "relative" else f"{check.limit:.1f} se"
            verdict_words = "ok" if check.ok else "FAULT"
            rows.append(
                (verdict.name, check.entry, check.kind, check.compared, worst, limit, verdict_words, check.where)
            )
    header = ["pass", "entry", "check", "numbers", "worst", "limit", "verdict", "where"]
    return table(header, rows, indent="", right="<<<>>>")
