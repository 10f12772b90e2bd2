"""`blc repro`: does a reproducer still fail, and on how little.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bl_compiler.cli.exits import Exit
from bl_compiler.cli.files import STDIN, reader_for, write_atomic
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError

if TYPE_CHECKING:
    from bl_compiler.driver.repro import Failure


@declare(
    "repro",
    exits=(Exit.FINDINGS,),
    examples=[
        ("blc repro blc-repro-0123456789ab.blir", "does it still fail?"),
        ("blc repro blc-repro-0123456789ab.blir --shrink", "on a part of the module, too?"),
    ],
)
@click.argument("file", metavar="FILE")
@opt("--shrink", section="Optimization", is_flag=True, env=False, help="Leave out what the failure does not need.")
@opt(
    "-o",
    "--output",
    section="Output",
    metavar="OUT",
    env=False,
    help="Where the smaller reproducer goes; - is stdout [default: beside FILE, as .small.blir].",
)
def command(file: str, shrink: bool, output: str | None) -> int:
    """Replay a reproducer of an internal error, and say whether its passes still fail.

    FILE is what a failing compile or --emit-repro left, a dump of --dump-ir, or - for stdin. The exit status is 70 for
    an internal error, 1 for an error in the model, and 0 if nothing fails any more.
    """
    from bl_compiler.driver import irfiles, repro
    from bl_compiler.frontend.sources import read_source
    from bl_compiler.passes.dumps import read_header, settings_of
    from bl_compiler.passes.pipeline import Pipeline

    if output is not None and not shrink:
        raise OptionError("`-o` is given without `--shrink`", help="only a smaller reproducer is written")
    term = terminal()
    sink = Sink()
    source = read_source("<stdin>" if file == STDIN else file, sink, read=reader_for("<stdin>"))
    module = irfiles.read_ir(source, sink, verified=False) if source is not None else None
    if source is None or module is None:
        raise CompileError(sink.diagnostics, sink.sources)
    header = read_header(source.text)
    recorded, settings = header.get("pipeline"), settings_of(header)
    if recorded is None:
        raise OptionError(
            f"`{source.name}` does not say which passes failed", help="`blc opt FILE -p PASSES` runs some"
        )
    for name, (then, now) in repro.other_versions(source.text).items():
        term.note(f"note: {name} was {then} and is {now}", level=1)
    pipeline = Pipeline.parse(recorded)
    failure = repro.replay(module, pipeline, settings)
    if failure is None:
        term.note("it no longer fails" if repro.recorded_kind(source.text) else "it does not fail")
        return Exit.OK
    if term.traceback:
        term.err("".join(traceback.format_exception(failure.error)))
    _tell(failure, repro.recorded_kind(source.text))
    if shrink:
        small, alone = repro.smaller(failure, pipeline, settings)
        text = repro.text_of(small, alone, settings)
        if output == "-" or (output is None and file == STDIN):
            term.out(text)
        else:
            place = Path(output) if output is not None else Path(file).with_suffix(".small.blir")
            write_atomic(place, text)
            sizes = [sum(len(graph.nodes) for graph in each.functions.values()) for each in (module, small.module)]
            term.note(f"wrote {place}: {sizes[1]} of {sizes[0]} nodes")
    return Exit.INTERNAL if failure.internal else Exit.FINDINGS


def _tell(failure: Failure, recorded: str | None) -> None:
    kind = type(failure.error).__name__
    how = "it fails" if recorded is None else "it still fails" if recorded == kind else "it fails in another way"
    where = f" in pass `{failure.culprit}`" if failure.culprit else ""
    terminal().note(f"{how}{where}: {failure.line}", level=-1)
