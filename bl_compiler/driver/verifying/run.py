"""The whole verification: the pipeline pass by pass, each result against the program before any.

Invariant: the passes run exactly as a compile with the same options runs them. May import: floors 0-3, numpy, `driver`,
the rest of the package; backends inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.optimize import optimize, pipeline_of
from bl_compiler.driver.running import Arrays, open_sizes
from bl_compiler.driver.verifying.check import Effort, EntryCheck
from bl_compiler.driver.verifying.emitted import EntryProgram
from bl_compiler.driver.verifying.feeds import Feeds, perturbed, sites_of
from bl_compiler.driver.verifying.meaning import check_meaning
from bl_compiler.driver.verifying.report import UNOPTIMIZED, Check, Report, Verdict
from bl_compiler.ir.graph import Module
from bl_compiler.options import OptionError, Options
from bl_compiler.passes.base import Instrument, PassRecord
from bl_compiler.passes.registry import PASSES, Registry

ALARM = 1e-6
"""The probability that a run blames a correct compiler."""
DRAWS = 4096
LEAST_DRAWS = 128
"""Fewer draws could not reach the threshold whatever happened: a score is at most the root of the number of groups."""

Progress = Callable[[str, str], None]
"""Told the pass and the entry point that are being checked."""


@dataclass(slots=True)
class _Recorder(Instrument):
    """Keeps what each pass made."""

    records: list[PassRecord] = field(default_factory=list)

    def after(self, record: PassRecord) -> None:
        """Keep it."""
        self.records.append(record)


def verify_entries(
    entries: Module,
    options: Options,
    inputs: Arrays,
    *,
    params: Arrays | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    only: Collection[str] = (),
    registry: Registry = PASSES,
    progress: Progress = lambda name, entry: None,
    model: Module | None = None,
) -> Report:
    """Check every pass of the options' pipeline on a module of entry points.

    Args:
        entries: The module before any pass.
        options: Of the compile.
        inputs: An array for each input.
        params: Raw parameters and statistics by path; random ones if left out.
        draws: The draws of each side of a statistical comparison.
        seed: Of everything random.
        only: The entry points to check; all by default.
        registry: The passes there are.
        progress: Told what is going on.
        model: What the entry points were derived from; `train` is held against it, if it is given.

    Raises:
        OptionError: There is no such entry point, or `draws` are too few.
        CompileError: The pipeline is malformed, or a pass finds the model at fault.
    """
    if draws < LEAST_DRAWS:
        raise OptionError(f"`draws` is {draws}", help=f"at least {LEAST_DRAWS} are needed to tell anything")
    for name in only:
        if name not in entries.functions:
            raise OptionError.unknown("entry point", name, list(entries.functions))
    recorder = _Recorder()
    optimize(entries, options, lambda _: None, evaluate=evaluator(), watch=(recorder,), registry=registry)
    sizes = open_sizes(entries)
    ready = perturbed(entries, seed) if params is None else dict(params)
    feeds = Feeds(ready, inputs, sites_of(entries, ready, inputs, sizes, range(seed, seed + 3)), sizes)
    changed = [record for record in recorder.records if record.changed]
    effort = Effort(draws, seed, ALARM, max(1, len(changed)) * len(entries.functions))
    programs: dict[str, EntryProgram] = {}
    chosen = [name for name in entries.functions if not only or name in only]
    checks = {name: EntryCheck(entries, name, feeds, effort, programs) for name in chosen}
    notes = [f"`{name}` is not checked: its sites cannot be drawn" for name, c in checks.items() if not c.runnable]
    notes += [f"laws of `{name}` are not compared: the model asks for an approximation" for name in _loose(checks)]
    runnable = {name: check for name, check in checks.items() if check.runnable}
    meaning = check_meaning(model, entries, feeds) if model is not None and "train" in runnable else []
    verdicts = list(_verdicts(entries, recorder.records, runnable, progress, meaning))
    missed = list(pipeline_of(options, registry))[len(recorder.records) :]
    verdicts += [Verdict(str(item), reached=False) for item in missed]
    return Report(entries.name, verdicts, draws, seed, ALARM, notes)


def _loose(checks: dict[str, EntryCheck]) -> list[str]:
    return [name for name, check in checks.items() if check.approximate]


def _verdicts(
    entries: Module,
    records: Iterable[PassRecord],
    checks: dict[str, EntryCheck],
    progress: Progress,
    meaning: list[Check],
) -> Iterable[Verdict]:
    first = Verdict(UNOPTIMIZED, checks=meaning)
    for name, check in checks.items():
        progress("the unoptimized program", name)
        first.checks += check.before()
    yield first
    sound, last = first.ok, dict(entries.functions)
    for record in records:
        verdict = Verdict(str(record.ran), changed=record.changed, reached=sound)
        if sound and record.changed:
            for name, check in checks.items():
                graph = record.after.functions.get(name)
                if graph is None or graph != last[name]:
                    progress(verdict.name, name)
                    verdict.checks += check.after(record.after, graph)
            last.update(record.after.functions)
            sound = verdict.ok
        yield verdict
