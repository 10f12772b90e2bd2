"""Bundles and output folders: what a compile leaves on disk.

Invariant: a folder that holds anything of another origin is not touched unless told to. May import: floors 0-4; the JAX
backend inside functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.compile import Compiled
from bl_compiler.driver.outputs import FILE_NAMES, report
from bl_compiler.driver.versions import versions
from bl_compiler.options import OptionError, Options
from bl_compiler.source import SourceFile

if TYPE_CHECKING:
    from bl_compiler.backends.jax.artifact import Facts
    from bl_compiler.backends.jax.program import Program

MANIFEST = "manifest.json"
_NAMES = [re.escape(name).replace(re.escape("{entry}"), r"\w+") for name in FILE_NAMES.values()]
_OURS = re.compile("|".join([*_NAMES, r"\w+\.mlirbc", "params\\.json", re.escape(MANIFEST)]))

# What shows the inside of the compiler does not change what it makes.
_INCIDENTAL = ("dump_", "print_", "time_", "stats", "explain_", "verify_", "repro", "emit_repro", "full_", "ir_form")


def is_incidental(option: str) -> bool:
    """Whether an option shows the inside of the compiler and leaves what is made as it is."""
    return option.startswith(_INCIDENTAL) and option in Options.__dataclass_fields__


def facts_of(compiled: Compiled, options: Options, sources: Mapping[str, SourceFile]) -> Facts:
    """What a bundle records."""
    from bl_compiler.backends.jax.artifact import Facts

    assert compiled.optimized is not None
    found = versions()
    chosen = {name: value for name, value in options.to_json().items() if not is_incidental(name)}
    return Facts(
        target=str(options.target),
        platform=options.target.platform,
        pipeline=str(compiled.optimized.pipeline),
        options=chosen,
        versions={name: found[name] for name in ("blc", "jax", "jaxlib", "libtpu") if name in found},
        source=compiled.sources.main.name,
        sources=dict(sources),
        report=report(compiled),
    )


def write(
    folder: Path,
    program: Program,
    compiled: Compiled,
    options: Options,
    sources: Mapping[str, SourceFile],
    *,
    force: bool,
) -> None:
    """Write a bundle, or replace one; files of others stay.

    Raises:
        CompileError: The folder is something else (BLC0903), or cannot be written.
        BackendError: JAX cannot lower the program for the target.
    """
    from bl_compiler.backends.jax.artifact import write_bundle

    # A folder of single files that blc wrote before is no bundle and still ours.
    ours = is_ours(folder)
    write_bundle(folder, program, facts_of(compiled, options, sources), force=force or ours, clear=ours)


def is_ours(folder: Path) -> bool:
    """Whether a folder holds nothing but files that blc writes."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.is_file() and _OURS.fullmatch(path.name) for path in folder.iterdir())


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that is not ours.

    Raises:
        OptionError: It holds other files, and `force` is not given.
    """
    if folder.is_file():
        raise OptionError(f"`{folder}` is a file", help="name another folder with `-o`", code="BLC0903")
    if not force and not is_ours(folder):
        raise OptionError(
            f"`{folder}` was not made by blc", help="name another folder with `-o`, or give `--force`", code="BLC0903"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle, without importing JAX.

    Raises:
        CompileError: It is no bundle (BLC0902).
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or "artifact" not in manifest:
        sink = Sink()
        sink.error("BLC0902", f"`{folder}` is not a bundle of blc").help(f"a bundle has a `{MANIFEST}`")
        raise CompileError(sink.diagnostics)
    return manifest
