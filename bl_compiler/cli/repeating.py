"""`blc compile --from-manifest`: a recorded compile once more, and whether the same came out.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.framework import terminal
from bl_compiler.cli.model_options import options_of
from bl_compiler.diagnostics import CompileError
from bl_compiler.options import OptionError

_OWN = ("from_manifest", "output", "force")


def repeat(manifest: str, output: str | None, given: Mapping[str, Any], *, force: bool) -> int:
    """Repeat a compile; differing files go to stdout, what may explain them to stderr.

    Args:
        manifest: The file, or the bundle it is in.
        output: Where to write what came out, if anywhere.
        given: The other parameters of `compile`.
        force: Whether to write into a folder that blc did not make.
    """
    from bl_compiler.backends.jax.artifact import bundle_files
    from bl_compiler.driver import bundles
    from bl_compiler.driver.compile import check_supported, compile_file
    from bl_compiler.driver.models import new_sink
    from bl_compiler.driver.programs import build_program
    from bl_compiler.driver.repeat import read_recorded

    incidental = {name: value for name, value in given.items() if bundles.is_incidental(name)}
    _refuse_others(incidental)
    term = terminal()
    recorded = read_recorded(manifest)
    chosen = options_of(incidental)
    options = recorded.replay({name: getattr(chosen, name) for name in incidental})
    check_supported(options)
    if output is not None:
        bundles.check_folder(Path(output), force=force)
    sink = new_sink(options)
    compiled = compile_file(recorded.source, options, sink, emit=lambda text: term.err(f"{text}\n"), read=recorded.read)
    if compiled is None:
        raise CompileError(sink.diagnostics, sink.sources)
    assert compiled.optimized is not None
    if sink.diagnostics or term.format == "json":
        term.diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    program = build_program(compiled.optimized.module, sink.sources)
    files = bundle_files(program, bundles.facts_of(compiled, recorded.options, sink.sources))
    if output is not None:
        bundles.write(Path(output), program, compiled, recorded.options, sink.sources, force=force)
        term.note(f"wrote {output}")
    for note in recorded.notes(sink.sources):
        term.note(f"note: {note}")
    differing = list(recorded.differences(files))
    term.out("".join(f"{line}\n" for line in differing))
    count = len(recorded.files)
    term.note(f"{len(differing)} of {count} files differ" if differing else f"all {count} files are identical")
    return Exit.FINDINGS if differing else Exit.OK


def _refuse_others(incidental: Mapping[str, Any]) -> None:
    """Refuse what the manifest decides."""
    ctx = click.get_current_context()
    for param in ctx.command.params:
        name = param.name or ""
        if not param.expose_value or name in _OWN or name in incidental:
            continue
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            spelling = next((each for each in param.opts if each.startswith("--")), param.make_metavar(ctx))
            raise OptionError(
                f"`{spelling}` and `--from-manifest` are given",
                help="the manifest says what is compiled, and how",
                code="BLC0003",
            )
