"""From a module with the function `model` to optimized entry points: the stages `entries` and `optimize`.

Invariant: a failing pass leaves one reproducer, whose path is on the exception as `reproducer`. May import: floors 0-3.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.estimators import check_estimators
from bl_compiler.driver.versions import versions
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.ops_dist import base_family
from bl_compiler.ir.types import distribution
from bl_compiler.options import OptionError, Options
from bl_compiler.passes.base import Evaluator, Instrument, PassContext
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.dumps import DumpIR, Reproducer, write_reproducer
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.entry_errors import EntriesError
from bl_compiler.passes.instruments import PrintIR, StopAfter, TimePasses, VerifyEach
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline
from bl_compiler.passes.registry import PASSES, Registry

Emit = Callable[[str], None]
_DEFAULTS = Options()

STAGES: Mapping[str, str] = {
    "parse": "text to syntax tree",
    "lower": "syntax tree to the IR function `model`",
    "entries": "one IR function for each entry point",
    "optimize": "the passes of the level",
    "emit": "IR to a Python module on JAX",
    "stablehlo": "the Python module traced and lowered to StableHLO",
    "hlo": "StableHLO compiled by XLA for the target",
}
"""The stages of a compile in order, with what each does."""

ELIDE = 16
"""Constants of more elements are cut in printed IR, unless `--full-constants` is given."""


@dataclass(slots=True)
class Optimized:
    """What the passes made and told.

    Attributes:
        module: The module after the passes.
        pipeline: What ran.
        journal: Which rules fired and why others did not.
        times: Pass and seconds, where they were asked for.
        reproducer: The file that `emit_repro` asked for.
    """

    module: Module
    pipeline: Pipeline
    journal: Journal = field(default_factory=Journal)
    times: TimePasses | None = None
    reproducer: Path | None = None


def pipeline_of(options: Options, registry: Registry = PASSES) -> Pipeline:
    """The passes that the options amount to, out of a registry.

    Raises:
        CompileError: The text of a pipeline or of edits is malformed (BLC0402).
    """
    text = options.pipeline if options.pipeline is not None else f"O{options.level}"
    return Pipeline.parse(text, registry).edited(options.passes, registry)


def entry_points(module: Module, sink: Sink) -> Module | None:
    """The stage `entries`, with its lints; None after an error on the sink."""
    try:
        derived = derive_entries(module)
    except EntriesError as fault:
        sink.error(fault.code, fault.message, at=fault.span)
        return None
    before = len(sink.errors)
    check_estimators(derived, sink)
    if module.objective.kind != "mle":
        _monte_carlo_terms(module, sink)
    return derived if len(sink.errors) == before else None


def _monte_carlo_terms(module: Module, sink: Sink) -> None:
    for node in module.functions["model"].of("model.sample"):
        prior, posterior = (distribution(value.type) for value in node.inputs)
        if kl_form(posterior, prior) == "monte-carlo":
            sink.warning(
                "BLC0359",
                f"KL({base_family(posterior)} ‖ {base_family(prior)}) of `{node.site}` has no closed form",
                at=node.span,
                label="estimated from draws",
            ).help("pairs of one family have one, and so do some others, such as Normal and Laplace")


def optimize(
    module: Module,
    options: Options,
    emit: Emit,
    *,
    evaluate: Evaluator | None = None,
    watch: tuple[Instrument, ...] = (),
    registry: Registry = PASSES,
) -> Optimized:
    """Run the pipeline of the options with the instruments they ask for.

    Args:
        module: What goes in.
        options: Level, edits, dumps, prints.
        emit: Takes the texts of printed IR and tables.
        evaluate: Computes constants for `fold`.
        watch: More instruments than the options ask for.
        registry: The passes there are.

    Raises:
        CompileError: The pipeline is malformed, or a pass finds the model at fault.
        Exception: A defect of a pass, with the attribute `reproducer`.
    """
    pipeline = pipeline_of(options, registry)
    journal = Journal()
    times = TimePasses() if options.time_passes else None
    settings = _settings(options)
    reproducer = Reproducer(_writable(options.repro_dir), versions(), settings=settings)
    instruments = (*_instruments(options, journal, emit), *([times] if times else []), *watch, reproducer)
    ctx = PassContext(CORE_OPS, journal, evaluate, instruments, **settings)
    made: Path | None = None
    if options.emit_repro:
        made = write_reproducer(_writable(options.repro_dir), module, pipeline, versions(), settings=settings)
    try:
        after = run_pipeline(module, pipeline, ctx)
    except CompileError:
        raise
    except Exception as fault:
        fault.reproducer = reproducer.path  # type: ignore[attr-defined]
        raise
    result = Optimized(after, pipeline, journal, times, made)
    _tell(result, options, emit)
    return result


def _settings(options: Options) -> dict[str, str]:
    """What passes are told of the options, as far as it is not the default."""
    told = {"estimators": options.estimators, "target": str(options.target)}
    return {name: text for name, text in told.items() if text != str(getattr(_DEFAULTS, name))}


def _instruments(options: Options, journal: Journal, emit: Emit) -> list[Instrument]:
    found: list[Instrument] = []
    if options.dump_ir:
        found.append(DumpIR(Path(options.dump_ir), journal, options.dump_ir_all))
    # The lower levels are the ones people debug with; the highest trusts the tests of its passes.
    verify_each = options.level < 2 if options.verify_each is None else options.verify_each
    if verify_each:
        found.append(VerifyEach())
    after = _names(options.print_ir_after)
    if options.print_ir_after_change and after is None:
        after = ()
    before = _names(options.print_ir_before)
    if before is not None or after is not None or options.print_ir_after_failure:
        found.append(
            PrintIR(
                emit,
                before,
                after,
                options.print_ir_after_change,
                options.print_ir_after_failure,
                None if options.full_constants else ELIDE,
            )
        )
    if options.stop_after and options.stop_after not in STAGES:
        found.append(StopAfter(options.stop_after))
    return found


def _names(given: tuple[str, ...]) -> tuple[str, ...] | None:
    """The passes to print at, as `PrintIR` takes them: None for never, empty for all."""
    if not given:
        return None
    for name in given:
        if name != "*" and name not in PASSES:
            raise OptionError.unknown("pass", name, list(PASSES))
    return () if "*" in given else given


def _tell(result: Optimized, options: Options, emit: Emit) -> None:
    for site in options.explain_rewrite:
        emit(explain_rewrites(result.journal, site))
    if options.stats:
        emit(statistics(result.journal))
    if result.times is not None:
        emit(result.times.table())


def explain_rewrites(journal: Journal, site: str) -> str:
    """Which rules looked at a site, and why those that did not fire did not."""
    entries = journal.about(site)
    if not entries:
        return f"no rule matched at `{site}`"
    lines = [f"rules at `{site}`:"]
    for entry in entries:
        what = "fired" if entry.fired else "refused"
        reason = f": {entry.reason}" if entry.reason else ""
        lines.append(f"  {entry.pass_name}  {entry.rule}  {what}{reason}")
    return "\n".join(lines)


def statistics(journal: Journal) -> str:
    """A table of how often each rule was tried and fired."""
    rows = [(name, rule, count.hits, count.attempts) for (name, rule), count in sorted(journal.counts.items())]
    lines = [f"{'fired':>8} {'tried':>8}  rule"]
    lines += [f"{hits:>8} {attempts:>8}  {name}/{rule}" for name, rule, hits, attempts in rows]
    return "\n".join(lines)


def _writable(folder: str | None) -> Path:
    """The folder for reproducers; the temporary one where the wanted one cannot be written."""
    wanted = Path(folder or ".")
    if folder or os.access(wanted, os.W_OK):
        return wanted
    return Path(tempfile.gettempdir())
