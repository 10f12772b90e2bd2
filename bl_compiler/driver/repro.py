"""Reproducers once more: does a pass still fail on the module that a file holds, and on how small a part of it.

Invariant: two failures are the same if the same pass raises the same kind of exception with the same diagnostic code.
May import: floors 0-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bl_compiler.diagnostics import CompileError, Severity
from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.shrink import shrink
from bl_compiler.driver.versions import versions
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import VerifyError, verify
from bl_compiler.passes.base import Instrument, Pass, PassContext
from bl_compiler.passes.dumps import NO_SETTINGS, read_header, reproducer_text
from bl_compiler.passes.instruments import VerifyEach
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Failure:
    """What a run of passes ended in.

    Attributes:
        error: The exception.
        culprit: The pass that raised, or before which the module did not verify.
        module: What entered it.
    """

    error: Exception
    culprit: str
    module: Module = field(repr=False)

    @property
    def internal(self) -> bool:
        """Whether it is a defect of the compiler, and not a fault of the model."""
        return not isinstance(self.error, CompileError)

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for failures that are the same."""
        return self.culprit, type(self.error).__name__, _code(self.error)

    @property
    def line(self) -> str:
        """The exception in one line."""
        if isinstance(self.error, CompileError):
            first = next((d for d in self.error.diagnostics if d.severity is Severity.ERROR), None)
            return f"error[{first.code}]: {first.message}" if first else type(self.error).__name__
        text = str(self.error).strip().partition("\n")[0]
        return f"{type(self.error).__name__}: {text}" if text else type(self.error).__name__


class _Catch(Instrument):
    """Keeps what entered the pass that failed."""

    culprit = ""
    module: Module | None = None

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        """Keep it."""
        self.culprit, self.module = str(culprit), module


def replay(module: Module, pipeline: Pipeline, settings: Mapping[str, str] = NO_SETTINGS) -> Failure | None:
    """How the passes fail on a module, or None if they do not; `settings` are those of the header."""
    caught = _Catch()
    checks = [VerifyEach()] if _verifies(module) else []
    told = dict(settings)
    ctx = PassContext(CORE_OPS, Journal(), evaluator(), (*checks, caught), **told)
    try:
        run_pipeline(module, pipeline, ctx)
    except Exception as error:  # noqa: BLE001 - whatever a pass raises is what is looked for
        return Failure(error, caught.culprit, caught.module or module)
    return None


def smaller(
    failure: Failure, pipeline: Pipeline, settings: Mapping[str, str] = NO_SETTINGS
) -> tuple[Failure, Pipeline]:
    """The same failure on less: the culprit alone, on a part of the module that entered it."""
    alone = Pipeline(tuple(each for each in pipeline if str(each) == failure.culprit)[:1])
    found = replay(failure.module, alone, settings)
    if found is None or found.key != failure.key:
        return failure, pipeline
    sound = _verifies(failure.module)

    def holds(module: Module) -> bool:
        if sound and not _verifies(module):
            return False
        again = replay(module, alone, settings)
        return again is not None and again.key == failure.key

    return replay(shrink(failure.module, holds), alone, settings) or found, alone


def text_of(failure: Failure, pipeline: Pipeline, settings: Mapping[str, str] = NO_SETTINGS) -> str:
    """The reproducer of a failure."""
    return reproducer_text(failure.module, pipeline, versions(), failure.error, settings)


def recorded_kind(text: str) -> str | None:
    """The type of the exception that a reproducer was written for; None if it was written without a failure."""
    error = read_header(text).get("error")
    return error.partition(":")[0] if error else None


def other_versions(text: str) -> dict[str, tuple[str, str]]:
    """What was of another version when a reproducer was written: name to version then and now."""
    present = versions()
    rows = (row.rpartition(" ")[::2] for row in read_header(text).get("versions", "").split(", ") if row)
    return {name: (then, present.get(name, "not here")) for name, then in rows if present.get(name) != then}


def _verifies(module: Module) -> bool:
    try:
        verify(module)
    except VerifyError:
        return False
    return True


def _code(error: Exception) -> str:
    codes = [d.code for d in error.diagnostics] if isinstance(error, CompileError) else []
    return codes[0] if codes else ""
