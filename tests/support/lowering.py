"""Lowering a text in one step, and what tests ask of the module or of the diagnostics.

Invariant: `lowered` gives a verified module; every diagnostic that `diagnosed` gives lies within its source.
"""

from __future__ import annotations

from collections.abc import Mapping

from bl_compiler.diagnostics import Diagnostic, Sink
from bl_compiler.frontend.format import format_source
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.model import Model
from bl_compiler.frontend.parser import parse
from bl_compiler.frontend.sources import Sources, load_sources
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.verify import verify
from bl_compiler.source import SourceFile, Span

MAIN = "main.blg"


def compiled(
    text: str,
    *,
    files: Mapping[str, str] | None = None,
    model: str | None = None,
    defines: Mapping[str, object] | None = None,
    batch: int | str | None = None,
    warn: tuple[str, ...] = (),
) -> tuple[Module | None, Sink]:
    """The module that a text lowers to, or None, and all diagnostics."""
    known = {MAIN: text, **(files or {})}

    def read(path: str) -> str:
        if path not in known:
            raise FileNotFoundError(2, "No such file or directory", path)
        return known[path]

    sink = Sink(warn=warn)
    sources = load_sources(SourceFile(MAIN, text), sink, read=read)
    module = None if sources is None else lower(sources, LowerSettings(model, dict(defines or {}), batch), sink)
    assert (module is None) == bool(sink.errors), sink.diagnostics
    check_spans(sink)
    if module is not None:
        verify(module, after="lowering")
    return module, sink


def built(model: Model, **settings: object) -> tuple[Module | None, Sink]:
    """What a model of the Python builder lowers to, and all diagnostics."""
    sink = Sink()
    for source in model.sources:
        sink.add_source(source)
    module = lower(Sources(model.file), LowerSettings(**settings), sink)  # type: ignore[arg-type]
    assert (module is None) == bool(sink.errors), sink.diagnostics
    check_spans(sink)
    if module is not None:
        verify(module, after="lowering")
    return module, sink


def lowered(text: str, **settings: object) -> Module:
    """The module of a text without errors."""
    module, sink = compiled(text, **settings)  # type: ignore[arg-type]
    assert module is not None, [(d.code, d.message, d.span) for d in sink.errors]
    return module


def errors(text: str, **settings: object) -> list[Diagnostic]:
    """The errors of a text."""
    return compiled(text, **settings)[1].errors  # type: ignore[arg-type]


def error(text: str, **settings: object) -> Diagnostic:
    """The one error of a text."""
    (found,) = errors(text, **settings)
    return found


def warnings(text: str, **settings: object) -> list[Diagnostic]:
    """The warnings of a text without errors."""
    module, sink = compiled(text, **settings)  # type: ignore[arg-type]
    assert module is not None, sink.errors
    return sink.warnings


def check_spans(sink: Sink) -> None:
    """Every place of every diagnostic lies within a source."""
    for found in sink.diagnostics:
        for span in (*(label.span for label in found.labels), *(fix.span for fix in found.fixes)):
            assert_within(span, sink)


def assert_within(span: Span, sink: Sink) -> None:
    """A place lies within its source, if that is known: code given to `exec` has no text."""
    if span.file.startswith("<") and span.file not in sink.sources:
        return
    source = sink.sources[span.file]
    lines = source.text.split("\n")
    assert 1 <= span.line <= span.end_line <= len(lines), span
    assert (span.line, span.column) <= (span.end_line, span.end_column), span
    assert 1 <= span.column <= len(lines[span.line - 1]) + 1, span
    assert 1 <= span.end_column <= len(lines[span.end_line - 1]) + 1, span


def spelled(found: Diagnostic, text: str) -> str:
    """The text that a diagnostic points at."""
    span, lines = found.span, text.split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    first, last = lines[span.line - 1][span.column - 1 :], lines[span.end_line - 1][: span.end_column - 1]
    return "\n".join([first, *lines[span.line : span.end_line - 1], last])


# --- what a module holds ---------------------------------------------------------------------------------------------


def graph(module: Module) -> Graph:
    """The function `model`."""
    return module.functions["model"]


def nodes(module: Module, *ops: str) -> list[Node]:
    """The nodes of these ops, in order."""
    return list(graph(module).of(*ops))


def params(module: Module) -> list[str]:
    """Paths of parameters, in order."""
    return [n.attrs.text("path") for n in nodes(module, "model.param")]


def sites(module: Module, op: str = "model.sample") -> list[str]:
    """Sites of one kind, in order."""
    return [str(n.site) for n in nodes(module, op)]


def text_of(module: Module) -> str:
    """The IR's text without places."""
    return print_module(module, spans=False)


# --- models of the Python builder ------------------------------------------------------------------------------------


def same(model: Model, text: str) -> None:
    """The model's text is this one, and both lower to equal modules that print alike."""
    file = parse(SourceFile("main.blg", text), Sink())
    assert file is not None
    assert lines(model.to_blg()) == lines(format_source(file))
    again = parse(SourceFile("main.blg", model.to_blg()), Sink())
    assert again is not None
    assert again.items == model.file.items == file.items
    module, sink = built(model)
    assert module is not None, sink.errors
    twin = lowered(text)
    assert module == twin
    assert text_of(module) == text_of(twin)


def lines(text: str) -> list[str]:
    """The lines of a text; blank ones follow those of the Python file."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def body(model: Model) -> list[str]:
    """The lines of the model's statements."""
    return lines(model.to_blg())[1:-1]
