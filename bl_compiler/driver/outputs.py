"""What `--emit` can ask for, as texts: syntax tree, IR, Python, jaxpr, StableHLO, HLO, figures of executables, report.

Invariant: equal sources, options and versions give equal texts.
May import: floors 0-4; the JAX backend inside functions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import UnavailableError
from bl_compiler.driver.compile import Compiled
from bl_compiler.driver.irfiles import ir_text
from bl_compiler.frontend import ast
from bl_compiler.options import OptionError, Options

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program

ENTRY_KINDS = ("jaxpr", "stablehlo", "hlo", "executable")
"""Kinds that come once for each entry point."""

PROGRAM_KINDS = ("python", *ENTRY_KINDS)
"""Kinds that need JAX."""

FILE_NAMES: Mapping[str, str] = {
    "ast": "model.ast.txt",
    "ir": "model.ir.blir",
    "ir-opt": "model.blir",
    "python": "model.py",
    "jaxpr": "{entry}.jaxpr.txt",
    "stablehlo": "{entry}.stablehlo.mlir",
    "hlo": "{entry}.hlo.txt",
    "executable": "{entry}.cost.json",
    "report": "report.json",
}
"""How the files of each kind are called within an output folder."""

STAGE_KINDS: Mapping[str, str] = {
    "parse": "ast",
    "lower": "ir",
    "entries": "ir-opt",
    "optimize": "ir-opt",
    "emit": "python",
    "stablehlo": "stablehlo",
    "hlo": "hlo",
}
"""What `--stop-after STAGE` shows unless `--emit` says otherwise."""

_ORDER = ("ast", "ir", "ir-opt", "report", "python", "jaxpr", "stablehlo", "hlo", "executable")
_LAST = {"parse": "ast", "lower": "ir", "emit": "python", "stablehlo": "stablehlo", "hlo": "executable"}


def check_kinds(kinds: Sequence[str], options: Options) -> None:
    """Refuse kinds that the target or `--stop-after` rule out.

    Raises:
        OptionError: One of them cannot be made.
    """
    stop = options.stop_after
    # After `entries`, `optimize` and any pass there is IR and what is known from it.
    last = _ORDER[-1] if stop is None else _LAST.get(stop, "report")
    for kind in kinds:
        if kind != "none" and _ORDER.index(kind) > _ORDER.index(last):
            raise OptionError(f"`--stop-after {stop}` ends before `--emit {kind}`", help="drop one of them")
        if kind in ("hlo", "executable") and options.batch == "dynamic":
            raise OptionError(f"`--emit {kind}` needs every size", help="write a number: `--batch 128`")
        if kind in PROGRAM_KINDS and options.target.kind == "reference":
            raise OptionError(
                f"target `reference` has no {kind}", help="it is an interpreter of the IR: emit `ir-opt` or `report`"
            )


def text_of(kind: str, compiled: Compiled, options: Options, program: Program | None, entry: str = "") -> str:
    """The text of one kind.

    Args:
        kind: One of `FILE_NAMES`.
        compiled: What the stages made.
        options: Form of IR, target.
        program: The program, for the kinds that need it.
        entry: The entry point, for the kinds that come once for each.

    Raises:
        UnavailableError: The target is not here, for `hlo` and `executable`.
        BackendError: XLA refuses the program.
    """
    if kind in PROGRAM_KINDS:
        assert program is not None
        return _program_text(kind, program, options, entry)
    full = kind != "ir" or options.full_constants or options.ir_form == "json"
    match kind:
        case "ast":
            return ast_text(compiled.sources.main)
        case "ir":
            assert compiled.module is not None
            return ir_text(compiled.module, options.ir_form, full=True)
        case "ir-opt":
            module = compiled.optimized.module if compiled.optimized is not None else compiled.entries
            assert module is not None
            return ir_text(module, options.ir_form, full=full)
        case _:
            return json.dumps(report(compiled), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _program_text(kind: str, program: Program, options: Options, entry: str) -> str:
    from bl_compiler.backends.jax import lower

    platform = options.target.platform
    match kind:
        case "python":
            return program.text
        case "jaxpr":
            import jax

            function = lower.entry_function(program, entry)
            return f"{jax.make_jaxpr(function)(*lower.arguments(program, entry))}\n"
        case "stablehlo":
            return lower.lower(program, entry, platform).text
        case _:
            if options.target.ahead_of_time:
                raise UnavailableError(f"compiling for the slice `{options.target}` needs libtpu; StableHLO does not")
            executable = lower.compile_entry(program, entry, platform)
            if kind == "hlo":
                return executable.hlo + "\n"
            figures = {"entry": entry, "platform": platform, **dataclasses.asdict(executable.cost)}
            return json.dumps(figures, indent=2) + "\n"


def report(compiled: Compiled) -> dict[str, Any]:
    """What the compiler knows of the model and did to it."""
    from bl_compiler.passes.report import model_facts

    assert compiled.module is not None
    found: dict[str, Any] = {"model": model_facts(compiled.module)}
    if compiled.optimized is not None:
        journal = compiled.optimized.journal
        found["pipeline"] = str(compiled.optimized.pipeline)
        found["rewrites"] = {
            f"{name}/{rule}": count.hits for (name, rule), count in sorted(journal.counts.items()) if count.hits
        }
    return found


def ast_text(tree: ast.Syntax) -> str:
    """A syntax tree as indented text, without positions."""
    lines: list[str] = []
    _write_ast(tree, 0, "", lines.append)
    return "\n".join(lines) + "\n"


def _write_ast(value: object, depth: int, label: str, write: Callable[[str], None]) -> None:
    head = "  " * depth + (f"{label}: " if label else "")
    if isinstance(value, ast.Syntax):
        write(head + type(value).__name__)
        for field in dataclasses.fields(value):
            if field.name not in ("span", "text"):
                _write_ast(getattr(value, field.name), depth + 1, field.name, write)
    elif isinstance(value, tuple) and any(isinstance(item, ast.Syntax) for item in value):
        write(head.rstrip())
        for item in value:
            _write_ast(item, depth + 1, "", write)
    elif value not in (None, (), "", False):
        write(head + repr(value))
