"""`blc run`: one entry point of a model, once.

May import: floor 0, click, `cli`; driver and numpy inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for, write_atomic
from bl_compiler.cli.framework import NumberRange, opt, terminal
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.model_options import lint_options, model_options, options_of, pass_options
from bl_compiler.cli.tables import table
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.targets import Target

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program
    from bl_compiler.ir.graph import Module

ENTRIES = ("sample", "prior", "predict", "loss", "log_likelihood", "init")


@declare(
    "run",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND),
    examples=[
        ("blc run vae.blg --entry prior --samples 3", "what the model believes before data"),
        ("blc run cnn.blg --entry loss --inputs batch.npz", "the objective of one batch"),
        ("blc run cnn.blg --compare reference", "the compiled program against the NumPy interpreter"),
    ],
)
@click.argument("model_file", metavar="MODEL|BUNDLE")
@opt(
    "--entry",
    section="Input",
    type=click.Choice(ENTRIES),
    default="sample",
    metavar="NAME",
    help=f"{', '.join(ENTRIES)} [default: sample].",
)
@opt("--inputs", section="Input", metavar="FILE", help="An .npz file of one batch [default: random inputs].")
@opt("--params", section="Input", metavar="FILE", help="An .npz file of raw parameters [default: initial ones].")
@opt(
    "--seed",
    section="Input",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="Of everything random [default: 0].",
)
@opt(
    "--samples",
    section="Input",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="The number of draws [default: 1].",
)
@opt(
    "-o",
    "--output",
    section="Output",
    metavar="FILE",
    env=False,
    help="Write the results to an .npz file; - for stdout.",
)
@opt(
    "--compare",
    section="Output",
    type=click.Choice(["reference"]),
    metavar="WITH",
    help="Compare log densities with `reference`.",
)
@opt(
    "--tolerance",
    section="Output",
    type=NumberRange(0),
    default=1e-4,
    metavar="T",
    help="Of --compare, relative [default: 1e-4].",
)
@opt("--target", "device", section="Target", metavar="T", help="cpu, gpu or tpu [default: what there is].")
@model_options
@pass_options
@lint_options
def command(
    model_file: str,
    entry: str,
    inputs: str | None,
    params: str | None,
    seed: int,
    samples: int,
    output: str | None,
    compare: str | None,
    tolerance: float,
    device: str | None,
    **given: Any,
) -> int:
    """Run an entry point of a model or bundle once and show what comes out.

    Without --inputs, inputs are drawn at random such that the model could have produced them; without --params,
    parameters are the initial ones.
    """
    from bl_compiler.driver.programs import use_device
    from bl_compiler.driver.running import check_finite, made_up, needed_inputs, run_entry

    term = terminal()
    use_device(Target.parse(device) if device else None)
    sink = Sink()
    program, model, entries = _program(model_file, given, sink)
    types = program.inputs if compare else needed_inputs(program, entry)
    fed: dict[str, Any] = _read(inputs, set(types)) if inputs else made_up(types, model, seed)
    if types and not inputs:
        term.note("inputs are random: give `--inputs` for others")
    if inputs and model is not None:
        _check_values(fed, model, inputs, sink)
    state = _read(params, set(program.params)) if params else program.init(seed)
    if compare:
        return _compare(program, entries, state, fed, seed, samples, tolerance)

    def once() -> dict[str, Any]:
        return run_entry(program, entry, state, fed, seed=seed, samples=samples)

    results = once()
    check_finite(results, sink.sources, once)
    if output == "-":
        term.out_bytes(_packed(results))
        return Exit.OK
    if output:
        write_atomic(Path(output), _packed(results))
        term.note(f"wrote {output}")
    rows = [(name, a.dtype, list(a.shape), *_moments(a)) for name, a in results.items()]
    term.out(table(["name", "dtype", "shape", "mean", "stddev", "min", "max"], rows, indent=""))
    return Exit.OK


def _program(name: str, given: dict[str, Any], found: Sink) -> tuple[Program, Module | None, Module]:
    """The program, the function `model` if it is at hand, and the entry points that the reference interprets."""
    from bl_compiler.driver.compile import check_supported, compile_file
    from bl_compiler.driver.models import new_sink
    from bl_compiler.driver.programs import build_program

    stdin_filename = given.pop("stdin_filename")
    if Path(name).is_dir():
        from bl_compiler.api import load

        loaded = load(name)
        return loaded, None, loaded.module
    options = options_of(given)
    check_supported(options)
    sink = new_sink(options)
    file = stdin_filename if name == STDIN else name
    compiled = compile_file(file, options, sink, read=reader_for(stdin_filename))
    if compiled is None or compiled.optimized is None or compiled.entries is None:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics:
        terminal().diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    found.sources.update(sink.sources)
    return build_program(compiled.optimized.module, sink.sources), compiled.module, compiled.entries


def _read(path: str, wanted: set[str]) -> dict[str, Any]:
    from bl_compiler.training.npz import read_npz

    sink = Sink()
    file = read_npz(path, wanted, sink)
    if file is None:
        raise CompileError(sink.diagnostics)
    return dict(file.arrays)


def _check_values(fed: Mapping[str, Any], model: Module, path: str, sink: Sink) -> None:
    """Refuse values that the model's distributions cannot produce; names, shapes and types are the program's to check.

    Raises:
        CompileError: There are some.
    """
    from bl_compiler.training.data_checks import check_values
    from bl_compiler.training.specs import input_specs

    for name, spec in input_specs(model).items():
        if name in fed and fed[name].ndim == len(spec.type.shape) and fed[name].dtype.kind in "biuf":
            check_values(fed[name], spec, path, sink, supports=True)
    if sink.errors:
        raise CompileError(sink.diagnostics, sink.sources)


def _packed(arrays: Mapping[str, Any]) -> bytes:
    from bl_compiler.training.predict import npz_bytes

    return npz_bytes(arrays)


def _moments(array: Any) -> tuple[float, float, float, float]:
    import numpy as np

    x = array.astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinite log density has no standard deviation
        return (float(x.mean()), float(x.std()), float(x.min()), float(x.max())) if x.size else (0.0, 0.0, 0.0, 0.0)


def _compare(program: Program, entries: Module, state: Any, fed: Any, seed: int, samples: int, tolerance: float) -> int:
    from bl_compiler.driver.running import compare_with_reference

    found = compare_with_reference(program, entries, state, fed, seed=seed, samples=samples)
    wrong = [d for d in found if not d.relative <= tolerance]
    rows = [(d.draw, f"{d.program:.8g}", f"{d.reference:.8g}", f"{d.relative:.2e}") for d in found]
    terminal().out(table(["draw", "program", "reference", "relative"], rows, indent=""))
    terminal().note(f"{len(wrong)}/{len(found)} log densities differ by more than {tolerance:g}")
    return Exit.FINDINGS if wrong else Exit.OK
