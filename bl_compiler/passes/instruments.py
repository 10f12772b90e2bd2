"""What can run around passes: timing, verifying, comparing with the reference, printing, stopping early.

Dumps and reproducers are in `dumps.py`. Invariant: no instrument changes a module. May import: floors 0-1, `base`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bl_compiler.diagnostics import CompileError, Diagnostic, Severity
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import Instrument, Pass, PassRecord
from bl_compiler.passes.pipeline import Pipeline

T = TypeVar("T")
Emit = Callable[[str], None]


def node_count(module: Module) -> int:
    """The nodes of all functions, regions included."""
    return sum(1 for graph in module.functions.values() for _ in walk(graph))


class VerifyEach(Instrument):
    """Verifies the module before the first pass and after each."""

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        """Verify what comes in."""
        verify(module)

    def after(self, record: PassRecord) -> None:
        """Verify what came out."""
        if record.changed:
            verify(record.after, after=str(record.ran), since=record.before)


@dataclass(slots=True)
class TimePasses(Instrument):
    """Collects (pass, seconds); a pass that runs twice is listed twice."""

    times: list[tuple[str, float]] = field(default_factory=list)

    def after(self, record: PassRecord) -> None:
        """Note the time."""
        self.times.append((str(record.ran), record.seconds))

    def table(self) -> str:
        """Lines for reading."""
        total = sum(seconds for _, seconds in self.times)
        rows = [*self.times, ("total", total)]
        return "\n".join(f"{seconds * 1e3:10.2f} ms  {name}" for name, seconds in rows)


@dataclass(slots=True)
class ReferenceCheck(Instrument, Generic[T]):
    """Evaluates the module before and after each pass and compares.

    Attributes:
        evaluate: gives whatever is to stay the same; None where a module cannot be evaluated.
        differ: says how two results differ more than the pass may make them; None if they do not.
    """

    evaluate: Callable[[Module], T | None]
    differ: Callable[[T, T, Pass], str | None]
    _last: T | None = None

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        """Evaluate what comes in."""
        self._last = self.evaluate(module)

    def after(self, record: PassRecord) -> None:
        """Compare with what came in."""
        if not record.changed:
            return
        found = self.evaluate(record.after)
        if found is not None and self._last is not None:
            difference = self.differ(self._last, found, record.ran)
            if difference is not None:
                raise InternalError(f"BLC0403: pass `{record.ran}` changed the meaning of the program: {difference}")
        self._last = found


@dataclass(slots=True)
class PrintIR(Instrument):
    """Prints modules to a stream of lines (standard error, as a rule) under a header line.

    Attributes:
        emit: takes text without a final newline.
        before_passes: names of passes before which to print; None: never; empty: before all.
        after_passes: likewise after passes.
        changed_only: print after a pass only if it changed something.
        on_failure: print what entered the pass that failed.
        elide: cut constants of more elements than this; None: print them in full.
    """

    emit: Emit
    before_passes: Sequence[str] | None = None
    after_passes: Sequence[str] | None = None
    changed_only: bool = False
    on_failure: bool = False
    elide: int | None = 16

    def before(self, upcoming: Pass, module: Module) -> None:
        """Print what goes in."""
        if self._wants(self.before_passes, upcoming):
            self._print(f"before {upcoming}", module)

    def after(self, record: PassRecord) -> None:
        """Print what came out."""
        if self._wants(self.after_passes, record.ran) and (record.changed or not self.changed_only):
            count = f"{record.rewrites} rewrite{'' if record.rewrites == 1 else 's'}"
            change = count if record.changed else "no change"
            self._print(f"after {record.ran} ({change}, {record.seconds * 1e3:.1f} ms)", record.after)

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        """Print what entered the pass."""
        if self.on_failure:
            self._print(f"before {culprit}, which failed", module)

    @staticmethod
    def _wants(names: Sequence[str] | None, item: Pass) -> bool:
        return names is not None and (not names or item.name in names)

    def _print(self, title: str, module: Module) -> None:
        self.emit(f"// {title}\n{print_module(module, elide=self.elide)}".rstrip("\n"))


@dataclass(frozen=True, slots=True)
class StopAfter(Instrument):
    """Ends the pipeline after a pass."""

    name: str

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        """Refuse a name that is not in the pipeline."""
        if all(each.name != self.name for each in pipeline):
            message = f"cannot stop after `{self.name}`, which is not in the pipeline `{pipeline}`"
            raise CompileError([Diagnostic("BLC0402", Severity.ERROR, message, helps=["name one of its passes"])])

    def stop(self, record: PassRecord) -> bool:
        """Stop there."""
        return record.ran.name == self.name
