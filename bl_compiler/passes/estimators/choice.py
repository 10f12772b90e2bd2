"""Which estimator each draw gets: among the exact ones the least predicted time times variance of a step.

The noise of a stochastic gradient over B of N examples has a part from the choice of the examples, which falls as 1 / B
whatever the estimator, and a part from the draws. Of the latter one shared draw keeps the covariance between examples
whole, G draws keep 1 / G of it, and draws that are uncorrelated between examples leave 1 / B (Kingma, Salimans and
Welling 2015, equation 4). Measured factors are in benchmarks/RESULTS.md. In prediction an average over draws has the
variance of one example's law, which exact estimators share, so time decides alone.

Invariant: what is chosen is exact, or accepted as an approximation in the program. May import: floors 0-1, `costs`, the
rest of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

from bl_compiler.ir.attrs import attr_key
from bl_compiler.ir.estimators import AUTO, SHARED, Estimator
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.costs.cost import Cost
from bl_compiler.passes.costs.rates import seconds
from bl_compiler.passes.costs.totals import nodes_cost, step_cost
from bl_compiler.passes.costs.work import SYMBOLIC
from bl_compiler.passes.estimators.decisions import Candidate, Decision, Reason
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.legality import Site, Verdict, verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry, plan_of, scratch_of, touched_by
from bl_compiler.passes.moments.integrate import deterministic_reasons, integrated

ENTRIES = ("train", "predict", "log_likelihood")
"""The entry points whose draws may be rewritten: elsewhere draws of different values belong together."""

GROUPS = 8
"""How many draws a step makes where the compiler groups examples by itself."""

_LOCAL = Estimator("local_reparameterization")
_ROUNDS = 3
_FLIPOUT_FACTOR = 2.0
"""The variance of flipout's gradient against that of independent draws: signs leave the perturbation's size shared."""


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


@dataclass
class _Weighed:
    """A draw with its candidates, and the one taken so far."""

    site: Site
    asked: Estimator
    candidates: list[Candidate]
    extra: dict[Estimator, Cost]
    chosen: Estimator = SHARED
    why: str = ""

    def open(self, rows: Mapping[str, _Weighed], multiplied: Mapping[str, list[_Weighed]]) -> list[Candidate]:
        """The exact candidates that go together with what the other draws have.

        Args:
            rows: All draws by site.
            multiplied: For each site the draws that are multiplied with it before they meet examples.
        """
        held = _held(self, rows) or any(other.chosen != SHARED for other in multiplied.get(self.site.name, ()))
        return [c for c in self.candidates if c.exact and (c.estimator == SHARED or not held)]

    def candidate(self, estimator: Estimator) -> Candidate:
        return next(c for c in self.candidates if c.estimator == estimator)


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
    found: list[Decision] = []
    for name in ENTRIES:
        if name in module.functions:
            found += entry_decisions(module, name, ops, options)
    return found


def entry_decisions(module: Module, name: str, ops: OpSet, options: Options) -> list[Decision]:
    """What is decided about the draws of one entry point."""
    graph = module.functions[name]
    facts = facts_of_entry(name, graph)
    training = name == "train"
    base = step_cost(graph, differentiated=training)
    trained = _trained(graph)
    sites = [Site(replace(facts, graph=body), node) for body in graphs_in(graph) for node in body.of("random.draw")]
    sites = [site for site in sites if not site.local]
    asked = {site.name: Estimator.parse(site.draw.attrs.text("estimator")) for site in sites}
    marked = any(each.name == "deterministic" for each in asked.values())
    together = None if marked else [site.draw for site in sites]
    memo: _Memo = {}
    rows: dict[str, _Weighed] = {}
    for site in sites:
        rows[site.name] = _weighed(
            site, asked[site.name], ops, base, trained, options, together, memo, training=training
        )
    if options.weigh_all:
        _cost_integrated(graph, rows, ops, options, training=training)
    data = _data_share(module)
    _choose(rows, base, data, options, training=training)
    return [
        Decision(name, row.site.name, row.site.draw.span, row.asked, tuple(row.candidates), row.chosen, row.why)
        for row in rows.values()
    ]


def _cost_integrated(
    graph: Graph,
    rows: Mapping[str, _Weighed],
    ops: OpSet,
    options: Options,
    *,
    training: bool,
) -> None:
    """Enter what a step costs with every draw integrated out that can be: they go together."""
    open_ = [row for row in rows.values() for c in row.candidates if c.estimator.name == "deterministic" and c.exact]
    chosen = {row.site.draw: row.asked.approximate for row in open_}
    integral, _ = integrated(graph, chosen, ops) if open_ else (None, {})
    if integral is None:
        return
    whole = step_cost(integral, differentiated=training)
    for row in open_:
        row.candidates = [
            replace(
                c,
                flops=whole.flops,
                bytes=whole.bytes,
                randoms=whole.randoms,
                seconds=seconds(whole, options.target),
            )
            if c.estimator.name == "deterministic"
            else c
            for c in row.candidates
        ]


def _trained(graph: Graph) -> frozenset[Value]:
    """The values that depend on parameters, bodies of regions included."""
    found: set[Value] = set()
    for body in graphs_in(graph):
        found.update(body.args)
        for node in body.nodes:
            if node.op.name == "model.param" or any(v in found for v in node.inputs):
                found.update(node.results)
    return frozenset(found)


def _weighed(
    site: Site,
    asked: Estimator,
    ops: OpSet,
    base: Cost,
    trained: frozenset[Value],
    options: Options,
    together: list[Node] | None,
    memo: _Memo,
    *,
    training: bool,
) -> _Weighed:
    candidates: list[Candidate] = []
    extra: dict[Estimator, Cost] = {}
    for estimator in _estimators(site, asked):
        # Integrating out is asked for and not chosen, and judging it takes as long as doing it.
        if estimator.name == "deterministic" and asked.name != "deterministic" and not options.weigh_all:
            continue
        judged = judge(site, estimator, ops, together)
        cost = Cost()
        if not judged.impossible and estimator.name not in ("shared", "deterministic"):
            cost = _difference(site, estimator, ops, trained, memo, training=training)
        extra[estimator] = cost
        whole = base + cost
        candidates.append(
            Candidate(
                estimator,
                () if judged.allows(estimator) else judged.reasons,
                not judged.impossible,
                whole.flops,
                whole.bytes,
                whole.randoms,
                seconds(whole, options.target),
                variance(estimator, _examples(site)) if training else 1.0,
            )
        )
    return _Weighed(site, asked, candidates, extra)


def judge(site: Site, estimator: Estimator, ops: OpSet, together: Iterable[Node] | None = None) -> Verdict:
    """Whether any estimator but `auto` is exact at a draw.

    Args:
        site: The draw.
        estimator: The estimator.
        ops: The op set of its nodes.
        together: The draws that are integrated out with it where it is `deterministic`; None for those marked so.
    """
    if estimator.name != "deterministic":
        return verdict(site, estimator)
    if site.local:
        return Verdict(impossible=(Reason("each element of a plate has its own draw", site.draw.span),))
    root, draw = site.facts.root, site.draw
    impossible = deterministic_reasons(root, draw, ops, together=together, approximate=True)
    inexact = () if impossible else deterministic_reasons(root, draw, ops, together=together)
    return Verdict(impossible, inexact)


def _estimators(site: Site, asked: Estimator) -> list[Estimator]:
    found = [SHARED]
    count = _examples(site)
    # Where pre-activations can be drawn, a weight for each example is the same law at a higher price.
    groups = [g for g in (GROUPS,) if g < count and count % g == 0]
    groups += [count] if count > 1 and not verdict(site, _LOCAL).exact else []
    found += [Estimator("grouped", groups=g) for g in groups]
    found += [Estimator("flipout"), _LOCAL, Estimator("deterministic")]
    plain = replace(asked, approximate=False) if asked.name != "grouped" else asked
    if asked.approximate:
        found[found.index(plain)] = asked
    elif asked not in (AUTO, *found):
        found.insert(1, asked)
    return found


def _examples(site: Site) -> int:
    return prod(d.size if isinstance(d.size, int) else SYMBOLIC for d in site.examples)


def variance(estimator: Estimator, examples: int) -> float:
    """The predicted variance of the noise that a draw adds to a gradient, one shared draw having 1.

    Args:
        estimator: How the draw is made.
        examples: The number of examples it meets in a step.
    """
    match estimator.name:
        case "grouped":
            return 1.0 / estimator.groups
        case "local_reparameterization":
            return 1.0 / max(examples, 1)
        case "flipout":
            return min(1.0, _FLIPOUT_FACTOR / max(examples, 1))
        case "deterministic":
            return 0.0
        case _:
            return 1.0


_Memo = dict[tuple[object, ...], Cost]
"""What rewrites cost, by what they do: the layers of a deep network are alike."""


def _difference(
    site: Site, estimator: Estimator, ops: OpSet, trained: frozenset[Value], memo: _Memo, *, training: bool
) -> Cost:
    """What the rewrite adds to the cost of a step; negative where it saves."""
    plan = plan_of(site, estimator)
    old = touched_by(site, plan)
    law = site.posterior.family, tuple(v.type for v in site.posterior.params.values())
    key = estimator, law, site.uses.terms != [], *(_likeness(node, trained) for node in old)
    if key not in memo:
        before = nodes_cost(old, differentiated=training, needs=trained)
        after = nodes_cost(scratch_of(plan, old, ops), differentiated=training, needs=trained)
        memo[key] = after + before * -1.0
    return memo[key]


def _likeness(node: Node, trained: frozenset[Value]) -> tuple[object, ...]:
    """What the cost of a node depends on."""
    attrs = tuple((name, attr_key(value)) for name, value in node.attrs.items())
    return node.op.name, attrs, tuple((v.type, v in trained) for v in node.inputs)


def _data_share(module: Module) -> float:
    """The variance that the choice of examples adds to a gradient, where the noise of shared draws has 1."""
    for plate in module.plates:
        if isinstance(plate.size, int):
            left_out = 1.0 if plate.total is None else max(0.0, 1.0 - plate.size / plate.total)
            return left_out / plate.size
    return 1.0 / SYMBOLIC


def _held(row: _Weighed, rows: Mapping[str, _Weighed]) -> str | None:
    """A draw that the row's is multiplied with and that is not shared."""
    return next((f for f in sorted(row.site.copies.factors) if f in rows and rows[f].chosen != SHARED), None)


def _choose(rows: dict[str, _Weighed], base: Cost, data: float, options: Options, *, training: bool) -> None:
    for row in rows.values():
        if row.asked != AUTO:
            _take_asked(row)
    free = [row for row in rows.values() if not row.why]
    if options.preference == "shared":
        for row in free:
            row.why = "`--estimators shared`"
        return
    multiplied: dict[str, list[_Weighed]] = {}
    for row in rows.values():
        for factor in row.site.copies.factors:
            multiplied.setdefault(factor, []).append(row)

    def settle() -> tuple[float, float]:
        """Let each draw take what is best as the others are, until none changes; how good that is, least best."""
        total, noise = base, 0.0
        for row in rows.values():
            total, noise = total + row.extra[row.chosen], noise + row.candidate(row.chosen).variance
        for _ in range(_ROUNDS):
            changed = False
            for row in free:
                rest = total + row.extra[row.chosen] * -1.0
                others = noise - row.candidate(row.chosen).variance
                key = _ranking(row, rest, data, others, len(rows), options, training=training)
                sampled = _sampled(row.open(rows, multiplied))
                best = min(sampled, key=key)
                changed = changed or best.estimator != row.chosen
                row.chosen, row.why = best.estimator, _reason(row, rows, len(sampled), options, training=training)
                total, noise = rest + row.extra[row.chosen], others + best.variance
            if not changed:
                break
        return _rank(seconds(total, options.target), data + noise / max(1, len(rows)), options, training=training)

    settled = []
    for noisiest in (True, False) if training and options.preference == "auto" else (True,):
        for row in free:
            row.chosen = SHARED
        if not noisiest:
            # While one draw is left with most of the noise, none is worth its price alone, though all together are.
            for row in free:
                row.chosen = min(_sampled(row.open(rows, multiplied)), key=lambda c: c.variance).estimator
        settled.append((settle(), [(row.chosen, row.why) for row in free]))
    _, best = min(settled, key=lambda each: each[0])
    for row, (chosen, why) in zip(free, best, strict=True):
        row.chosen, row.why = chosen, why


def _sampled(candidates: list[Candidate]) -> list[Candidate]:
    return [c for c in candidates if c.estimator.name != "deterministic"]


def _take_asked(row: _Weighed) -> None:
    """Take what the program asks for where it may be used; elsewhere (in other entry points) the choice is free."""
    if row.candidate(row.asked).exact:
        row.chosen, row.why = row.asked, "asked for with `using`"


def _ranking(
    row: _Weighed, rest: Cost, data: float, noise: float, count: int, options: Options, *, training: bool
) -> Callable[[Candidate], tuple[float, float]]:
    """How candidates compare: by the step as a whole, the other draws staying as they are."""

    def key(c: Candidate) -> tuple[float, float]:
        time = seconds(rest + row.extra[c.estimator], options.target)
        spread = data + (noise + c.variance) / count
        return _rank(time, spread, options, training=training)

    return key


def _rank(time: float, spread: float, options: Options, *, training: bool) -> tuple[float, float]:
    if not training or options.preference == "fast":
        return time, spread
    return (spread, time) if options.preference == "low-variance" else (time * spread, time)


def _reason(row: _Weighed, rows: dict[str, _Weighed], count: int, options: Options, *, training: bool) -> str:
    if count == 1:
        held = _held(row, rows)
        return f"it goes with the draw of `{held}`" if held else "no other estimator is exact here"
    if not training or options.preference == "fast":
        return f"least predicted time of {count} that are exact"
    if options.preference == "low-variance":
        return f"least predicted variance of {count} that are exact"
    return f"least predicted time times variance of {count} that are exact"
