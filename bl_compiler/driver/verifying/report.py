"""What a verification found, as values: checks by pass, the verdict, the first pass at fault.

Invariant: `Report.ok` exactly if no check failed. May import: floor 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bl_compiler.diagnostics import Diagnostic, Severity

UNOPTIMIZED = "(none)"
"""Stands for a pass in the checks of the program before any."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of one entry point.

    Attributes:
        entry: The entry point.
        kind: What was compared: `reference`, `emission`, `draw by draw`, `mean`, `variance`, `covariance`, `gradient`,
            `gradient of kl`, `meaning`.
        measure: What `worst` is: a `relative` error or a `score` in standard errors.
        compared: How many numbers were.
        worst: The greatest error or score.
        limit: What it must not exceed.
        where: The output, parameter or element that it was found at.
    """

    entry: str
    kind: str
    measure: str
    compared: int
    worst: float
    limit: float
    where: str = ""

    @property
    def ok(self) -> bool:
        """Whether the limit is kept; a worst of NaN keeps none."""
        return self.worst <= self.limit

    def to_json(self) -> dict[str, object]:
        """Plain data; an endless error is null."""
        return {
            "entry": self.entry,
            "check": self.kind,
            "measure": self.measure,
            "compared": self.compared,
            "worst": self.worst if math.isfinite(self.worst) else None,
            "limit": self.limit,
            "where": self.where,
            "ok": self.ok,
        }


@dataclass(slots=True)
class Verdict:
    """The checks after one pass.

    Attributes:
        name: The pass with its options.
        changed: Whether it changed the module; if not, there is nothing to check.
        reached: Whether it was looked at: after the first fault nothing is.
    """

    name: str
    changed: bool = True
    reached: bool = True
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok for check in self.checks)

    @property
    def words(self) -> str:
        """The verdict in words."""
        if not self.reached:
            return "not checked"
        return "unchanged" if not self.changed else "ok" if self.ok else "FAULT"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `verify`.

    Attributes:
        model: The model's name.
        passes: The verdicts in the order of the pipeline; the first is about the program before any pass.
        draws: The draws of each side of a statistical comparison.
        seed: Of everything random.
        alarm: The probability that a correct compiler is blamed.
        notes: What could not be checked, and why.
    """

    model: str
    passes: Sequence[Verdict]
    draws: int
    seed: int
    alarm: float
    notes: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether every check of every pass succeeded."""
        return self.fault is None

    @property
    def fault(self) -> Verdict | None:
        """The first pass at fault."""
        return next((verdict for verdict in self.passes if not verdict.ok), None)

    def diagnostic(self) -> Diagnostic | None:
        """What is wrong in one message, or None."""
        verdict = self.fault
        if verdict is None:
            return None
        bad = [check for check in verdict.checks if not check.ok]
        lead = bad[0]
        if verdict.name == UNOPTIMIZED:
            message = f"the emitted program of `{lead.entry}` disagrees with the reference interpreter: {_of(lead)}"
            if lead.kind == "meaning":
                message = f"`{lead.entry}` is not what the model says before any pass: {_of(lead)}"
            found = Diagnostic("BLC0404", Severity.ERROR, message)
            return found.help("no pass is at fault; report the model, and `blc run --compare reference` for one draw")
        message = f"pass `{verdict.name}` changed what `{lead.entry}` computes: {_of(lead)}"
        found = Diagnostic("BLC0404", Severity.ERROR, message)
        for check in bad[1:4]:
            found.note(f"in `{check.entry}`: {_of(check)}")
        name = verdict.name.partition("{")[0]
        return found.help(f"leave it out with `--passes=-{name}` until it is mended, and report the model")

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        fault = self.fault
        return {
            "model": self.model,
            "ok": self.ok,
            "fault": fault.name if fault is not None else None,
            "draws": self.draws,
            "seed": self.seed,
            "alarm": self.alarm,
            "passes": [
                {"pass": v.name, "verdict": v.words.lower(), "checks": [check.to_json() for check in v.checks]}
                for v in self.passes
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = []
        for verdict in self.passes:
            lines.append(f"{verdict.name}: {verdict.words}")
            lines += [f"  {check.entry}: {_of(check)}" for check in verdict.checks if not check.ok]
        return "\n".join(lines)


def _of(check: Check) -> str:
    place = f" of `{check.where}`" if check.where else ""
    if check.measure == "relative":
        size = f"a relative error of {check.worst:.2g}" if math.isfinite(check.worst) else "no comparison"
        return f"{check.kind}: {size}{place}, {check.limit:.2g} is allowed"
    return f"{check.kind}{place} is off by {check.worst:.1f} standard errors, {check.limit:.1f} are allowed"
