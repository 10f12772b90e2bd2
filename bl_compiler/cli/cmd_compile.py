"""`blc compile`: a model in, a bundle or single texts out.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for, write_atomic
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.model_options import (
    development_options,
    lint_options,
    model_options,
    options_of,
    pass_options,
    target_options,
)
from bl_compiler.cli.summary import summary
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError, Options

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program
    from bl_compiler.driver.compile import Compiled


@declare(
    "compile",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND),
    examples=[
        ("blc compile cnn.blg --target=tpu", "StableHLO for TPUs and a report, in cnn.blc/"),
        ("blc compile cnn.blg --emit python -o -", "the JAX program as text"),
        ("blc compile cnn.blg -O2 --dump-ir dump", "the IR after each pass that changed it"),
        ("blc compile --from-manifest cnn.blc", "does the same come out today?"),
    ],
)
@click.argument("model_file", metavar="MODEL", required=False)
@opt(
    "--from-manifest",
    section="Input",
    metavar="FILE",
    env=False,
    help="Repeat the compile that a manifest records, and compare.",
)
@opt(
    "-o",
    "--output",
    section="Output",
    metavar="PATH",
    env=False,
    help="A folder; for one kind a file, or - for stdout [default: MODEL.blc].",
)
@opt(
    "--emit",
    section="Output",
    metavar="KINDS",
    help="ast, ir, ir-opt, python, jaxpr, stablehlo, hlo, executable, report or none [default: stablehlo,report].",
)
@opt(
    "--entry",
    section="Output",
    metavar="NAME",
    env=False,
    help="The entry point of texts that are of one [default: train_step].",
)
@opt("--force", section="Output", is_flag=True, env=False, help="Write into a folder that blc did not make.")
@model_options
@target_options
@pass_options
@lint_options
@development_options
def command(
    model_file: str | None,
    from_manifest: str | None,
    output: str | None,
    entry: str | None,
    force: bool,
    stdin_filename: str,
    print_pipeline: bool,
    **given: Any,
) -> int:
    """Compile a model for a target.

    By default writes a bundle: the program as StableHLO (text and portable bytecode) and as Python, parameters, report
    and manifest. Compiling for GPUs and TPUs needs neither here; only `hlo` and `executable` do.
    """
    from bl_compiler.driver.compile import check_supported, compile_file
    from bl_compiler.driver.models import new_sink
    from bl_compiler.driver.optimize import pipeline_of
    from bl_compiler.driver.outputs import check_kinds

    term = terminal()
    if from_manifest is not None:
        from bl_compiler.cli.repeating import repeat

        if given["dump_xla"]:
            _dump_xla(given["dump_xla"])
        return repeat(from_manifest, output, given, force=force)
    if model_file is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="MODEL", param_type="argument")
    options = options_of(given)
    if print_pipeline:
        term.out(f"{pipeline_of(options)}\n")
        return Exit.OK
    check_supported(options)
    kinds, options = _kinds(options, given_kinds=given["emit"] is not None)
    check_kinds(kinds, options)
    place = _Place.of(output, model_file, kinds, options, force=force, chosen=given["emit"] is not None)
    if options.dump_xla:
        _dump_xla(options.dump_xla)
    sink = new_sink(options)
    name = stdin_filename if model_file == STDIN else model_file
    compiled = compile_file(
        name, options, sink, emit=lambda text: term.err(f"{text}\n"), read=reader_for(stdin_filename)
    )
    if compiled is None:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics or term.format == "json":
        term.diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    if compiled.optimized is not None and compiled.optimized.reproducer is not None:
        term.note(f"wrote {compiled.optimized.reproducer}")
    _write(place, kinds, compiled, options, sink, entry)
    return Exit.OK


def _kinds(options: Options, *, given_kinds: bool) -> tuple[tuple[str, ...], Options]:
    """The kinds of output; those of the stage to stop after, unless some were asked for."""
    from bl_compiler.driver.outputs import STAGE_KINDS

    if options.stop_after is not None and not given_kinds:
        options = dataclasses.replace(options, emit=(STAGE_KINDS.get(options.stop_after, "ir-opt"),))
    elif options.target.kind == "reference" and not given_kinds:
        options = dataclasses.replace(options, emit=("ir-opt", "report"))
    return options.emit, options


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where output goes: a folder, a file, stdout (`-`), or nowhere."""

    path: str
    is_folder: bool
    force: bool

    @staticmethod
    def of(
        output: str | None, model_file: str, kinds: tuple[str, ...], options: Options, *, force: bool, chosen: bool
    ) -> _Place:
        from bl_compiler.driver.bundles import check_folder

        if kinds == ("none",):
            return _Place("", is_folder=False, force=force)
        if output is None:
            if options.stop_after is not None and len(kinds) == 1 and not chosen:
                return _Place("-", is_folder=False, force=force)
            if model_file == STDIN:
                raise OptionError("missing option `-o`", help="a model from stdin has no folder of its own: name one")
            output = str(Path(model_file).with_suffix(".blc"))
        elif len(kinds) == 1 and not output.endswith(("/", os.sep)) and not Path(output).is_dir():
            return _Place(output, is_folder=False, force=force)
        elif output == "-":
            raise OptionError(
                f"`-o -` takes one kind of output and there are {len(kinds)}", help="choose one by `--emit`"
            )
        check_folder(Path(output), force=force)
        return _Place(output, is_folder=True, force=force)


def _write(
    place: _Place, kinds: tuple[str, ...], compiled: Compiled, options: Options, sink: Sink, entry: str | None
) -> None:
    from bl_compiler.driver.outputs import ENTRY_KINDS, FILE_NAMES, PROGRAM_KINDS, text_of
    from bl_compiler.driver.programs import build_program

    program: Program | None = None
    wanted = place.path == "" or any(kind in PROGRAM_KINDS for kind in kinds)
    if wanted and compiled.stopped is None and options.target.kind != "reference":
        assert compiled.optimized is not None
        program = build_program(compiled.optimized.module, sink.sources)
    if place.path == "":
        return
    entries = _entries(program, entry)
    if not place.is_folder:
        (kind,) = kinds
        text = text_of(kind, compiled, options, program, entries[0])
        if place.path == "-":
            terminal().out(text)
        else:
            write_atomic(Path(place.path), text)
            terminal().note(f"wrote {place.path}")
        return
    folder = Path(place.path)
    if "stablehlo" in kinds:
        from bl_compiler.driver import bundles

        assert program is not None
        bundles.write(folder, program, compiled, options, sink.sources, force=place.force)
        kinds = tuple(kind for kind in kinds if kind not in ("stablehlo", "report", "python"))
    for kind in kinds:
        for each in entries if kind in ENTRY_KINDS else entries[:1]:
            write_atomic(folder / FILE_NAMES[kind].format(entry=each), text_of(kind, compiled, options, program, each))
    if options.dump_ir and (folder / f"{entries[0]}.stablehlo.mlir").is_file():
        text = (folder / f"{entries[0]}.stablehlo.mlir").read_text(encoding="utf-8")
        write_atomic(Path(options.dump_ir) / "stablehlo.mlir", text)
    terminal().note(summary(folder, compiled, options))


def _entries(program: Program | None, entry: str | None) -> list[str]:
    """The entry points to show: the one asked for, else those a bundle holds."""
    if program is None:
        return [""]
    if entry is not None:
        if entry not in program.entries:
            raise OptionError.unknown("entry point", entry, program.entries)
        return [entry]
    return [name for name in ("train_step", "predict") if name in program.entries] or list(program.entries[:1])


def _dump_xla(folder: str) -> None:
    """Ask XLA for its dumps; it reads the environment when JAX starts."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_dump_to={folder}".strip()
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    terminal().note(f"XLA's dumps go to {folder}; the compilation cache is off")
