"""Runs pipelines.

Invariant: facts that a pass requires hold before it runs; everything else that happens around passes is an instrument.
May import: floors 0-1, `base`, `pipeline`.
"""

from __future__ import annotations

import logging
from time import perf_counter

from bl_compiler.diagnostics import CompileError, Diagnostic, Severity
from bl_compiler.ir.graph import Module
from bl_compiler.passes.base import Fact, Pass, PassContext, PassRecord, facts_of
from bl_compiler.passes.pipeline import Pipeline

log = logging.getLogger(__name__)


def run_pipeline(module: Module, pipeline: Pipeline, ctx: PassContext) -> Module:
    """The module after all passes, or after the one at which an instrument stopped.

    Raises:
        CompileError: if a pass runs before one that it relies on (BLC0402), or finds the program at fault.
        InternalError: if a pass or an instrument finds a defect of the compiler; notes on it tell what ran before.
    """
    for instrument in ctx.instruments:
        instrument.begin(module, pipeline)
    facts = facts_of(module)
    done: list[str] = []
    for index, upcoming in enumerate(pipeline, start=1):
        if not all(instrument.should_run(upcoming, module) for instrument in ctx.instruments):
            continue
        _check(upcoming, facts, pipeline)
        rest = Pipeline(pipeline.passes[index - 1 :])
        try:
            record = _run(upcoming, index, module, rest, ctx)
            for instrument in ctx.instruments:
                instrument.after(record)
        except Exception as error:
            error.add_note(f"in pass `{upcoming}`, after: {', '.join(done) or 'no other pass'}")
            for instrument in ctx.instruments:
                instrument.failed(upcoming, module, rest, error)
            raise
        log.debug("%s: %d rewrites in %.1f ms", upcoming, record.rewrites, record.seconds * 1e3)
        module = record.after
        facts = (facts | upcoming.establishes) - upcoming.destroys
        done.append(str(upcoming))
        if any(instrument.stop(record) for instrument in ctx.instruments):
            break
    for instrument in ctx.instruments:
        instrument.end(module)
    return module


def _check(upcoming: Pass, facts: frozenset[Fact], pipeline: Pipeline) -> None:
    missing = sorted(upcoming.requires - facts)
    if missing:
        message = f"pass `{upcoming.name}` needs `{missing[0]}`, which nothing before it establishes"
        found = Diagnostic("BLC0402", Severity.ERROR, message)
        raise CompileError([found.note(f"the pipeline is `{pipeline}`")])


def _run(upcoming: Pass, index: int, module: Module, rest: Pipeline, ctx: PassContext) -> PassRecord:
    for instrument in ctx.instruments:
        instrument.before(upcoming, module)
    ctx.journal.pass_name, ctx.journal.function = upcoming.name, ""
    hits = ctx.journal.hits()
    start = perf_counter()
    after = upcoming.run(module, ctx)
    seconds = perf_counter() - start
    tail = Pipeline(rest.passes[1:])
    return PassRecord(index, upcoming, module, after, seconds, ctx.journal.hits() - hits, tail)
