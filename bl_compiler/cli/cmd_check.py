"""`blc check`: errors and warnings of models, without passes and without JAX.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

from typing import Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, expand, reader_for
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import terminal
from bl_compiler.cli.model_options import lint_options, model_options, options_of


@declare(
    "check",
    examples=[
        ("blc check models/", "every model of a folder"),
        ("blc check --deny warnings m.blg", "for continuous integration"),
        ("blc check - --stdin-filename m.blg --message-format json", "for editors"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@model_options
@lint_options
def command(files: tuple[str, ...], stdin_filename: str, **given: Any) -> int:
    """Report the errors and warnings of models.

    FILES are .blg files, folders, patterns, or - for stdin. All models of a file are checked. Findings go to stdout.
    """
    from bl_compiler.driver.models import check_source, new_sink, open_source

    term = terminal()
    options = options_of(given)
    read = reader_for(stdin_filename)
    sink = new_sink(options)
    names = [stdin_filename if name == STDIN else name for name in expand(files)]
    for name in names:
        source = open_source(name, options, sink, read=read)
        if source is not None:
            check_source(source, options, sink, read=read)
    code = exit_of(sink.diagnostics)
    term.diagnostics(sink.diagnostics, sink.sources, exit_code=code, to_stdout=True)
    if code is Exit.OK:
        count = f"{len(names)} file{'' if len(names) == 1 else 's'}"
        term.note(f"{count} checked: no errors", level=1)
    return code
