"""`blc fmt`: the canonical text of models.

May import: floor 0, click, `cli`; the driver and the frontend inside functions.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, expand, reader_for, write_atomic
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal


@declare(
    "fmt",
    examples=[
        ("blc fmt models/", "rewrite every model of a folder"),
        ("blc fmt --check models/", "for continuous integration"),
        ("blc fmt - < m.blg", "formatted text to stdout"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@opt("--check", section="Output", is_flag=True, help="Change nothing; exit with 1 if a file would change.")
@opt("--diff", section="Output", is_flag=True, help="Change nothing; print the changes; exit with 1 if there are any.")
@opt("--stdin-filename", section="Input", metavar="NAME", default="<stdin>", help="How messages name stdin.")
def command(files: tuple[str, ...], check: bool, diff: bool, stdin_filename: str) -> int:
    """Rewrite models in the one canonical layout; comments are kept.

    FILES are .blg files, folders, patterns, or - for stdin, whose text goes to stdout.
    """
    from bl_compiler.diagnostics import Sink
    from bl_compiler.frontend.format import format_text
    from bl_compiler.frontend.sources import read_source

    term = terminal()
    sink = Sink()
    read = reader_for(stdin_filename)
    changed: list[str] = []
    for name in expand(files):
        shown = stdin_filename if name == STDIN else name
        source = read_source(shown, sink, read=read)
        text = format_text(source, sink) if source is not None else None
        if source is None or text is None:
            continue
        before = read(shown).replace("\r\n", "\n") if name == STDIN else source.text
        if text != before:
            changed.append(shown)
        if diff:
            term.out(_diff(before, text, shown))
        elif name == STDIN and not check:
            term.out(text)
        elif text != before and not check:
            write_atomic(Path(name), text)
            term.note(f"formatted {shown}")
    if check:
        for shown in changed:
            term.note(f"would format {shown}")
    code = exit_of(sink.diagnostics)
    if sink.diagnostics:
        term.diagnostics(sink.diagnostics, sink.sources, exit_code=code)
    if code is Exit.OK and changed and (check or diff):
        return Exit.FINDINGS
    return code


def _diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
