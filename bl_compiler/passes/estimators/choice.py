"""Which estimator each draw gets: among the exact ones the least predicted time times variance of a step.

In prediction exact estimators have equal variance, so time decides alone. Integrating out is used where it is asked for
and not chosen. Of draws that are combined with each other before they meet examples one is rewritten and the others are
numbers to it, or all get the same groups.

Invariant: what is chosen is exact, or accepted as an approximation in the program. May import: floors 0-1, `base`,
`costs`, `weighing`, `expose_scales`, `decisions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from bl_compiler.ir.estimators import AUTO, SHARED, Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.opspec import OpSet
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.costs.cost import Cost
from bl_compiler.passes.costs.rates import seconds
from bl_compiler.passes.costs.work import SYMBOLIC
from bl_compiler.passes.estimators.decisions import Candidate, Decision
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.weighing import LOCAL, Scales, Weighed, correlation_of, one_draw

ENTRIES = ("train", "predict", "log_likelihood")
"""The entry points whose draws may be rewritten: elsewhere draws of different values belong together."""

_ROUNDS = 3
_Rank = tuple[float, float]


@dataclass
class Options:
    """What the choice depends on besides the program.

    Attributes:
        preference: `auto`, `fast`, `low-variance` or `shared`.
        target: what is compiled for, as text.
        weigh_all: whether to judge `deterministic` too where nobody asks for it.
    """

    preference: str = "auto"
    target: str = "cpu"
    weigh_all: bool = False


def decisions(module: Module, ops: OpSet, preference: str = "auto", target: str = "cpu") -> list[Decision]:
    """What is decided about every draw of the entry points of a module that is not one per example anyway.

    Args:
        module: It holds entry points, as derived.
        ops: The op set of its nodes.
        preference: `auto`, `fast`, `low-variance` or `shared`.
        target: What is compiled for, as text.
    """
    module = ExposeScales().run(module, PassContext(ops))
    options = Options(preference, target, weigh_all=True)
    return [d for name in ENTRIES if name in module.functions for d in entry_decisions(module, name, ops, options)]


def entry_decisions(module: Module, name: str, ops: OpSet, options: Options) -> list[Decision]:
    """What is decided about the draws of one entry point."""
    correlation = correlation_of(module)
    scales = Scales(module.functions[name], ops, name == "train", options.target, correlation, options.weigh_all)
    rows = {row.site.name: row for row in scales.weighed()}
    merged = scales.merged(list(rows.values()))
    data = _data_share(module, correlation)
    choice = _Choice(rows, scales.base, merged, data, options, training=scales.training)
    choice.run()
    return [
        Decision(name, site, row.site.draw.span, row.asked, tuple(row.candidates), choice.taken[site], choice.why[site])
        for site, row in choice.rows.items()
    ]


_ONE_EXAMPLE = 0.5
"""The variance that the choice of one example adds to a gradient, where the noise of its draws has 1: it falls by far
over a training, and towards the end, where noise hinders most, it was measured below that."""


def _data_share(module: Module, correlation: float) -> float:
    """The variance that the choice of examples adds to a gradient, where the noise of shared draws has 1."""
    for plate in module.plates:
        if isinstance(plate.size, int):
            left_out = 1.0 if plate.total is None else max(0.0, 1.0 - plate.size / plate.total)
            return _ONE_EXAMPLE * left_out / one_draw(plate.size, correlation)
    return _ONE_EXAMPLE / one_draw(SYMBOLIC, correlation)


@dataclass
class _Choice:
    """The choice for the draws of one entry point.

    Attributes:
        rows: The draws by site.
        base: What a step takes with shared draws.
        merged: What pairs of draws save if both are local reparameterizations.
        data: The variance that the choice of examples adds to a gradient.
        options: The preference.
        training: Whether variance counts.
        taken: The estimators taken so far.
        why: One line for each.
    """

    rows: dict[str, Weighed]
    base: Cost
    merged: dict[tuple[str, str], Cost]
    data: float
    options: Options
    training: bool
    taken: dict[str, Estimator] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Choose for all draws: let them settle from shared draws and from the least noise, and keep the better.

        While one draw is left with most of the noise, rewriting another pays little, though all together may pay much.
        """
        self.taken = dict.fromkeys(self.rows, SHARED)
        for site, row in self.rows.items():
            self._take_asked(site, row)
        free = {site: row for site, row in self.rows.items() if site not in self.why}
        if self.options.preference == "shared":
            self.why.update(dict.fromkeys(free, "`--estimators shared`"))
            return
        settled = [self._settle(free)]
        if self.training and self.options.preference == "auto":
            self.taken.update(dict.fromkeys(free, SHARED))
            for site, row in free.items():
                self.taken[site] = min(self._open(site, row), key=lambda c: c.variance).estimator
            settled.append(self._settle(free))
        _, self.taken, self.why = min(settled, key=lambda each: each[0])

    def _settle(self, free: dict[str, Weighed]) -> tuple[_Rank, dict[str, Estimator], dict[str, str]]:
        """Let each draw take what is best as the others are, until nothing changes; and how good that is."""
        total, noise = self.base, 0.0
        for site, row in self.rows.items():
            total = total + row.extra[self.taken[site]]
            noise += row.candidate(self.taken[site]).variance
        for pair, saving in self.merged.items():
            total = total + saving if all(self.taken[site] == LOCAL for site in pair) else total
        for _ in range(_ROUNDS):
            before = dict(self.taken)
            for site, row in free.items():
                rest = total + self._extra(site, self.taken[site]) * -1.0
                others = noise - row.candidate(self.taken[site]).variance
                open_ = self._open(site, row)
                best = min(open_, key=self._ranking(site, rest, others))
                self.taken[site], self.why[site] = best.estimator, self._reason(site, row, len(open_))
                total, noise = rest + self._extra(site, best.estimator), others + best.variance
            if self.taken == before:
                break
        return self._rank(total, noise), dict(self.taken), dict(self.why)

    def _take_asked(self, site: str, row: Weighed) -> None:
        """Take what the program asks for where it may be used; elsewhere (in other entry points) the choice is free."""
        if row.asked != AUTO and row.candidate(row.asked).exact:
            self.taken[site], self.why[site] = row.asked, "asked for with `using`"

    def _open(self, site: str, row: Weighed) -> list[Candidate]:
        """The exact candidates that go together with what the other draws have."""
        others = {self.taken[other] for other in self._beside[site]} - {SHARED}
        exact = [c for c in row.candidates if c.exact and c.estimator.name != "deterministic"]
        return [c for c in exact if c.estimator == SHARED or all(_together(c.estimator, other) for other in others)]

    @cached_property
    def _beside(self) -> dict[str, set[str]]:
        """For each site the draws that it is combined with before they meet examples."""
        found: dict[str, set[str]] = {site: set() for site in self.rows}
        for site, row in self.rows.items():
            for factor in row.site.copies.factors & self.rows.keys():
                found[site].add(factor)
                found[factor].add(site)
        return found

    def _ranking(self, site: str, rest: Cost, noise: float) -> Callable[[Candidate], _Rank]:
        """How candidates compare: by the step as a whole, the other draws staying as they are."""
        return lambda c: self._rank(rest + self._extra(site, c.estimator), noise + c.variance)

    def _extra(self, site: str, estimator: Estimator) -> Cost:
        """What an estimator adds to the cost of a step, the other draws staying as they are."""
        found = self.rows[site].extra[estimator]
        if estimator == LOCAL:
            for pair, saving in self._pairs.get(site, {}).items():
                found = found + saving if self.taken[pair] == LOCAL else found
        return found

    @cached_property
    def _pairs(self) -> dict[str, dict[str, Cost]]:
        """For each site what it saves together with others."""
        found: dict[str, dict[str, Cost]] = {}
        for (one, other), saving in self.merged.items():
            found.setdefault(one, {})[other] = saving
            found.setdefault(other, {})[one] = saving
        return found

    def _rank(self, total: Cost, noise: float) -> _Rank:
        """How good a step is, the least being best."""
        time, spread = seconds(total, self.options.target), self.data + noise / max(1, len(self.rows))
        if not self.training or self.options.preference == "fast":
            return time, spread
        return (spread, time) if self.options.preference == "low-variance" else (time * spread, time)

    def _reason(self, site: str, row: Weighed, count: int) -> str:
        exact = sum(c.exact and c.estimator.name != "deterministic" for c in row.candidates)
        if exact == 1:
            return "no other estimator is exact here"
        if count == 1:
            held = next(other for other in sorted(self._beside[site]) if self.taken[other] != SHARED)
            return f"it goes with the draw of `{held}`"
        if not self.training or self.options.preference == "fast":
            return f"least predicted time of {count} that are exact"
        if self.options.preference == "low-variance":
            return f"least predicted variance of {count} that are exact"
        return f"least predicted time times variance of {count} that are exact"


def _together(one: Estimator, other: Estimator) -> bool:
    """Whether draws that are combined before they meet examples can have these estimators."""
    return one == other and one.name == "grouped"
