"""A whole compile up to optimized entry points, from a file or from the trees of the Python builder.

Invariant: a result of None means that the sink holds an error. May import: floors 0-3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bl_compiler.diagnostics import Sink
from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.models import lower_model, open_source, parse_source
from bl_compiler.driver.optimize import STAGES, Emit, Optimized, entry_points, optimize
from bl_compiler.frontend.sources import Reader, Sources, read_file
from bl_compiler.ir.graph import Module
from bl_compiler.options import OptionError, Options

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the stages made, as far as they ran.

    Attributes:
        sources: Syntax trees of the file and its imports.
        module: The module with the function `model`.
        entries: The module with the entry points.
        optimized: What the passes made of it.
        stopped: The stage after which `--stop-after` ended the compile.
    """

    sources: Sources
    module: Module | None = None
    entries: Module | None = None
    optimized: Optimized | None = None
    stopped: str | None = None


def compile_file(
    path: str, options: Options, sink: Sink, *, emit: Emit = lambda _: None, read: Reader = read_file
) -> Compiled | None:
    """Compile a file up to optimized entry points.

    Args:
        path: The file.
        options: What to do.
        sink: Takes diagnostics.
        emit: Takes printed IR, tables of times and the like.
        read: Opens files.
    """
    source = open_source(path, options, sink, read=read)
    sources = parse_source(source, options, sink, read=read) if source is not None else None
    return None if sources is None else compile_sources(sources, options, sink, emit=emit)


def compile_sources(sources: Sources, options: Options, sink: Sink, *, emit: Emit = lambda _: None) -> Compiled | None:
    """Compile syntax trees up to optimized entry points."""
    stop = options.stop_after if options.stop_after in STAGES else None
    if stop == "parse":
        return Compiled(sources, stopped=stop)
    module = _logged("lower", lambda: lower_model(sources, options, sink))
    if module is None or stop == "lower":
        return None if module is None else Compiled(sources, module, stopped=stop)
    entries = _logged("entries", lambda: entry_points(module, sink))
    if entries is None or stop == "entries":
        return None if entries is None else Compiled(sources, module, entries, stopped=stop)
    optimized = _logged("optimize", lambda: optimize(entries, options, emit, evaluate=evaluator()))
    ended = options.stop_after if options.stop_after not in (None, "emit", "stablehlo", "hlo") else None
    return Compiled(sources, module, entries, optimized, stopped=ended)


def _logged(stage: str, run: Callable[[], T]) -> T:
    log.info("stage %s: %s", stage, STAGES[stage])
    return run()


def check_supported(options: Options) -> None:
    """Refuse options that are part of the design and not yet of the compiler; silence would be a lie.

    Raises:
        OptionError: One of them is given.
    """
    for given, name in (
        (bool(options.mesh), "--mesh"),
        (bool(options.shard) or options.auto_shard, "--shard"),
        (options.precision != "f32", "--precision bf16"),
    ):
        if given:
            raise OptionError(f"`{name}` is not supported yet", code="BLC0210")
