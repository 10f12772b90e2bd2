"""What was decided about the estimator of each draw, and why: data that `explain` renders and passes act on.

May import: floors 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.ir.estimators import Estimator
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain behind a fact: what a node does, and where it was written."""

    text: str
    span: Span = NO_SPAN


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an estimator is not exact at a site: lower case, no final period, with the nodes that make it so."""

    text: str
    span: Span = NO_SPAN
    chain: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One estimator at one site.

    Attributes:
        estimator: which.
        reasons: why it is not exact there; none if it is.
        possible: whether there is such a rewrite there at all, exact or not.
        flops: predicted floating-point operations of a step of the entry with this choice at the site.
        bytes: predicted memory traffic of that step, in bytes.
        randoms: random numbers that the step draws.
        seconds: predicted time of that step on the target.
        variance: predicted variance of the site's part of the gradient's noise, where one shared draw is 1.
    """

    estimator: Estimator
    reasons: tuple[Reason, ...] = ()
    possible: bool = True
    flops: float = 0.0
    bytes: float = 0.0
    randoms: float = 0.0
    seconds: float = 0.0
    variance: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether it keeps the law of everything that one example's term depends on."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one draw of one entry point.

    Attributes:
        entry: the entry point: `train`, `predict`, `log_likelihood`.
        site: the draw's site.
        span: where the site was written.
        asked: the estimator asked for with `using`.
        candidates: every estimator that was weighed, in a fixed order.
        chosen: the estimator taken.
        why: one line that tells why it was chosen.
    """

    entry: str
    site: str
    span: Span
    asked: Estimator
    candidates: tuple[Candidate, ...]
    chosen: Estimator
    why: str
