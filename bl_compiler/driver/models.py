"""From a file to a verified module: the stages that need neither passes nor a backend.

Invariant: a result of None means that the sink holds an error. May import: floors 0-3.
"""

from __future__ import annotations

import logging

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import Reader, Sources, load_sources, read_file, read_source
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.ir.graph import Module
from bl_compiler.options import Options
from bl_compiler.source import SourceFile

shapes = logging.getLogger("bl_compiler.shapes")


def new_sink(options: Options) -> Sink:
    """A sink that treats lints as the options say."""
    return Sink(**options.lint_filter())


def remapped_reader(options: Options, read: Reader = read_file) -> Reader:
    """A reader that takes names as `--remap-path` shows them and opens the real files."""

    def reader(name: str) -> str:
        for real, shown in options.remap_paths.items():
            if name.startswith(shown):
                return read(real + name.removeprefix(shown))
        return read(name)

    return reader if options.remap_paths else read


def remap(name: str, options: Options) -> str:
    """A file's name as outputs and messages show it."""
    for real, shown in options.remap_paths.items():
        if name.startswith(real):
            return shown + name.removeprefix(real)
    return name


def open_source(path: str, options: Options, sink: Sink, *, read: Reader = read_file) -> SourceFile | None:
    """Read a file under the name that messages show."""
    return read_source(remap(path, options), sink, read=remapped_reader(options, read))


def model_names(sources: Sources) -> tuple[str, ...]:
    """The models of the main file."""
    return tuple(item.name for item in sources.main.items if isinstance(item, ast.ModelDef))


def parse_source(source: SourceFile, options: Options, sink: Sink, *, read: Reader = read_file) -> Sources | None:
    """The stage `parse`: the syntax trees of a file and its imports."""
    return load_sources(source, sink, read=remapped_reader(options, read))


def lower_model(sources: Sources, options: Options, sink: Sink, *, model: str | None = None) -> Module | None:
    """The stage `lower`: one model as a verified module with the function `model`."""
    from bl_compiler.ir.verify import verify

    settings = LowerSettings(model or options.model, dict(options.defines), options.batch)
    module = lower(sources, settings, sink)
    if module is not None:
        verify(module, after="lowering")
        if shapes.isEnabledFor(logging.INFO):
            _log_shapes(module)
    return module


def _log_shapes(module: Module) -> None:
    """The types of inputs and sites, and for `debug` of every value that has a name."""
    from bl_compiler.ir.text import type_text

    for node in module.functions["model"].nodes:
        level = logging.INFO if node.site or node.op.name == "model.input" else logging.DEBUG
        for value in node.results:
            name = node.site or (f"{node.scope}: {value.name}" if node.scope and value.name else value.name)
            if name:
                shapes.log(level, "%s: %s", name, type_text(value.type))


def check_source(source: SourceFile, options: Options, sink: Sink, *, read: Reader = read_file) -> bool:
    """Parse a file, lower its models (or the one the options name), derive entry points; whether all is well."""
    from bl_compiler.driver.optimize import entry_points

    before = len(sink.errors)
    sources = parse_source(source, options, sink, read=read)
    if sources is not None:
        chosen = (options.model,) if options.model else model_names(sources)
        # A file of layers and options alone has nothing to lower; its layers are checked where they are used.
        for name in chosen:
            module = lower_model(sources, options, sink, model=name)
            if module is not None:
                entry_points(module, sink)
    return len(sink.errors) == before
