"""IR as text: reading `.blir` and its JSON form, writing modules in the form asked for.

Invariant: what is written for `--emit ir` reads back to an equal module. May import: floors 0-3.
"""

from __future__ import annotations

import json

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.dumps import read_header
from bl_compiler.source import SourceFile


def looks_like_ir(text: str) -> bool:
    """Whether a text is IR rather than a model of the language (which has no `//` and starts with other words)."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("//"):
            return stripped.startswith(("module ", "{"))
    return False


def read_ir(source: SourceFile, sink: Sink, *, verified: bool = True) -> Module | None:
    """The module of an IR file in either form, verified unless told otherwise; None after an error on the sink."""
    from bl_compiler.ir.parser import parse_module
    from bl_compiler.ir.serde import from_json
    from bl_compiler.ir.verify import VerifyError, verify

    sink.add_source(source)
    try:
        if source.text.lstrip().startswith("{"):
            try:
                data = json.loads(source.text)
            except ValueError as fault:
                sink.error("BLC0105", f"`{source.name}` is not JSON: {str(fault)[:1].lower()}{str(fault)[1:]}")
                return None
            module = from_json(data, CORE_OPS)
        else:
            module = parse_module(source.text, CORE_OPS, file=source.name, sink=sink)
        # A file of a user may hold anything that parses, so here a violation is a finding and no defect.
        if verified:
            verify(module)
    except CompileError as fault:
        sink.diagnostics.extend(d for d in fault.diagnostics if d not in sink.diagnostics)
        return None
    except VerifyError as fault:
        sink.error("BLC0401", str(fault).strip(), at=fault.span)
        return None
    return module


def recorded_pipeline(text: str) -> str | None:
    """What a dump or reproducer says is still to run."""
    return read_header(text).get("pipeline")


def ir_text(module: Module, form: str, *, full: bool = True) -> str:
    """A module in the form `pretty`, `generic` (no source lines) or `json`; not `full` cuts large constants."""
    if form == "json":
        from bl_compiler.ir.serde import to_json

        return json.dumps(to_json(module), indent=1) + "\n"
    from bl_compiler.driver.optimize import ELIDE
    from bl_compiler.ir.printer import print_module

    return print_module(module, spans=form == "pretty", elide=None if full else ELIDE)
