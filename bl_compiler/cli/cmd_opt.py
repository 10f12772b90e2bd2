"""`blc opt`: passes alone, IR in, IR out.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for, write_atomic
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.model_options import development_options, lint_options, model_options, options_of
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError, Options

if TYPE_CHECKING:
    from bl_compiler.ir.graph import Module
    from bl_compiler.source import SourceFile


@declare(
    "opt",
    exits=(Exit.FINDINGS,),
    examples=[
        ("blc opt cnn.blg -p canonicalize,cse", "the entry points of a model after two passes"),
        ("blc opt cnn.dump/02_fold.blir --resume", "go on from a dump or a reproducer"),
        ("blc opt m.blg -p cse | blc opt - -p dce", "IR through a pipe"),
    ],
)
@click.argument("file", metavar="FILE")
@opt("-p", "--pipeline", section="Optimization", metavar="PASSES", help="The passes, such as `cse,fold{limit=64}`.")
@opt(
    "--resume", section="Optimization", is_flag=True, env=False, help="The passes that the file's header says are left."
)
@opt(
    "--estimators",
    section="Optimization",
    metavar="E",
    help="Among exact ones: auto, fast, low-variance or shared [default: auto].",
)
@opt("--entries/--no-entries", section="Input", default=True, help="Derive the entry points of a .blg model first.")
@opt("-o", "--output", section="Output", metavar="FILE", default="-", env=False, help="Where the IR goes [default: -].")
@model_options
@lint_options
@development_options
def command(
    file: str,
    pipeline: str | None,
    resume: bool,
    entries: bool,
    output: str,
    stdin_filename: str,
    print_pipeline: bool,
    **given: Any,
) -> int:
    """Run passes over a model or IR file and print the IR that comes out.

    FILE is a .blir file, its JSON form, a .blg model, or - for stdin.
    """
    from bl_compiler.driver import irfiles, models
    from bl_compiler.driver.folding import evaluator
    from bl_compiler.driver.optimize import optimize, pipeline_of

    if resume and pipeline is not None:
        raise OptionError("`--resume` and `--pipeline` are given", help="give one of them", code="BLC0003")
    term = terminal()
    options = dataclasses.replace(options_of(given), pipeline=pipeline or "")
    sink = models.new_sink(options)
    read = reader_for(stdin_filename)
    source = models.open_source(stdin_filename if file == STDIN else file, options, sink, read=read)
    if source is not None and resume:
        recorded = irfiles.recorded_pipeline(source.text)
        if recorded is None:
            raise OptionError(f"`{source.name}` does not say what is left to run", help="give `--pipeline`")
        options = dataclasses.replace(options, pipeline=recorded)
    if print_pipeline:
        term.out(f"{pipeline_of(options)}\n")
        return Exit.OK
    module = _module(source, options, sink, read, entries=entries) if source is not None else None
    if module is None:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics:
        term.diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    result = optimize(module, options, lambda text: term.err(f"{text}\n"), evaluate=evaluator())
    if result.reproducer is not None:
        term.note(f"wrote {result.reproducer}")
    text = irfiles.ir_text(result.module, options.ir_form)
    if output == "-":
        term.out(text)
    else:
        write_atomic(Path(output), text)
    return Exit.OK


def _module(source: SourceFile, options: Options, sink: Sink, read: Any, *, entries: bool) -> Module | None:
    from bl_compiler.driver import irfiles, models
    from bl_compiler.driver.optimize import entry_points

    if irfiles.looks_like_ir(source.text):
        return irfiles.read_ir(source, sink)
    sources = models.parse_source(source, options, sink, read=read)
    module = models.lower_model(sources, options, sink) if sources is not None else None
    return entry_points(module, sink) if module is not None and entries else module
