"""When an estimator is exact at a draw: conditions as code that returns reasons.

Exact means: for each element of the plates, the joint law of everything that this element's terms depend on is that
under one draw used everywhere (*plate-marginal equivalence*, docs/estimators.md). The conditions are those of

* local reparameterization: Kingma, Salimans and Welling 2015, section 2.3: the sum of independent Gaussians;
* flipout: Wen et al. 2018, section 3.1: a perturbation that is independent across weights and symmetric around 0 keeps
  its law under any signs;
* grouped draws: each example sees one draw, whichever.

Invariant: a verdict without reasons is a proof obligation met; a doubt is a reason. May import: floors 0-1, `plates`,
`uses`, `copies`, `posterior`, `contraction`, `lifting`, `decisions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Node
from bl_compiler.ir.types import Dim, dims_text, plates_of
from bl_compiler.passes.estimators.contraction import Contraction
from bl_compiler.passes.estimators.copies import Copies, copies_of
from bl_compiler.passes.estimators.decisions import Reason, Step
from bl_compiler.passes.estimators.lifting import unliftable
from bl_compiler.passes.estimators.plates import Plates, step_of
from bl_compiler.passes.estimators.posterior import Posterior, posterior_of
from bl_compiler.passes.estimators.uses import Use, Uses, duplicates, uses_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an estimator can be used, and whether it is exact.

    Attributes:
        impossible: why there is no such rewrite here.
        inexact: why it would change the law of an example's terms.
    """

    impossible: tuple[Reason, ...] = ()
    inexact: tuple[Reason, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All reasons against it."""
        return self.impossible + self.inexact

    @property
    def exact(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def allows(self, estimator: Estimator) -> bool:
        """Whether the estimator may be used: it is exact, or possible and accepted as an approximation."""
        return self.exact or (estimator.approximate and not self.impossible)


EXACT = Verdict()


@dataclass
class Site:
    """A draw with what is known of it.

    Attributes:
        uses: where it goes through linear maps.
        copies: where it goes through anything that can be done to copies of it.
    """

    facts: Plates
    draw: Node
    uses: Uses = field(init=False)
    copies: Copies = field(init=False)
    posterior: Posterior = field(init=False)

    def __post_init__(self) -> None:
        self.uses = uses_of(self.facts, self.draw)
        self.copies = copies_of(self.facts, self.draw)
        self.posterior = posterior_of(self.facts.graph, self.draw)

    @property
    def name(self) -> str:
        """The draw's site."""
        assert self.draw.site is not None
        return self.draw.site

    @property
    def local(self) -> bool:
        """Whether each element of a plate has a draw of its own anyway."""
        return bool(self.draw.result.tensor.plates)

    @property
    def examples(self) -> tuple[Dim, ...]:
        """The plate axes of what the draw meets."""
        dims = [d for use in self.copies.linear for d in use.contraction.dims if d.is_plate]
        return tuple({d.name: d for d in dims}.values())


def verdict(site: Site, estimator: Estimator) -> Verdict:
    """Whether an estimator other than `auto` and `deterministic` is exact at a draw."""
    match estimator.name:
        case "shared":
            return EXACT
        case "local_reparameterization":
            return _local_reparameterization(site)
        case "flipout":
            return _flipout(site)
        case "grouped":
            return _grouped(site, estimator.groups)
        case name:
            raise ValueError(f"no verdict on `{name}` here")


def _common(site: Site, uses: Uses | Copies) -> tuple[list[Reason], list[Reason]]:
    """What every estimator that gives examples draws of their own asks for."""
    span = site.draw.span
    impossible = list(dict.fromkeys(uses.blocked))
    if site.local:
        names = " and ".join(f"`{name}`" for name in plates_of(site.draw.result.tensor.dims))
        impossible = [Reason(f"each element of plate {names} has its own draw already", span)]
    elif not uses.linear and not impossible:
        impossible.append(Reason("it never meets examples", span))
    inexact = [reason for use in uses.linear if (reason := _meeting(site.facts, use)) is not None]
    return impossible, inexact


def _meeting(facts: Plates, use: Use) -> Reason | None:
    result = use.node.results[0]
    found = facts.meeting(result, use.contraction.plate_names)
    if found is None:
        return None
    chain = (step_of(use.node), *facts.chain(result, found.plate))
    name = found.node.op.name
    return Reason(f"`{name}` combines the elements of plate `{found.plate}`", found.node.span, chain)


def _local_reparameterization(site: Site) -> Verdict:
    impossible, inexact = _common(site, site.uses)
    posterior, span = site.posterior, site.draw.span
    matrix = posterior.family == "MatrixNormal"
    if not posterior.gaussian and not matrix:
        impossible.append(Reason(f"{_law(posterior)} is not an independent Gaussian for each weight", span))
    linear = site.uses.linear
    if len(linear) > 1:
        steps = tuple(step_of(use.node) for use in linear)
        impossible.append(Reason(f"the weight is used {len(linear)} times", linear[1].node.span, steps))
    for use in linear[:1]:
        impossible += _paths(use)
        c = use.contraction
        if c.folds:
            impossible.append(Reason(f"`{c.node.op.name}` sums its other operands among themselves", c.node.span))
        if matrix:
            impossible += _matrix(use)
        if c.reused:
            inexact.append(_reused(c))
    return Verdict(tuple(impossible), tuple(inexact))


def _law(posterior: Posterior) -> str:
    return f"the posterior {posterior.family}"


def _paths(use: Use) -> list[Reason]:
    return [
        Reason(f"`{node.op.name}` repeats or mixes its elements before it meets examples", node.span)
        for node, operand in use.path
        if duplicates(node, operand)
    ]


def _reused(c: Contraction) -> Reason:
    dims = [c.dims[a] for a in c.reused]
    text = f"every position of an example along {dims_text(dims)} uses the same weight"
    return Reason(text, c.node.span, (Step(f"`{c.node.op.name}` gives {dims_text(c.dims)}", c.node.span),))


def _matrix(use: Use) -> list[Reason]:
    """A matrix-normal weight meets examples as the matrix it is: rows summed, columns kept."""
    c = use.contraction
    row, column = c.axes if len(c.axes) == 2 else (None, None)
    fits = c.node.op.name == "linear.einsum" and not use.path and len(c.node.inputs) == 2
    if fits and row is not None and row.operand is not None and column is not None and column.operand is None:
        return []
    return [Reason("a matrix-normal weight is reparameterized only as the kernel of a dense layer", c.node.span)]


def _flipout(site: Site) -> Verdict:
    impossible, inexact = _common(site, site.uses)
    posterior, span, uses = site.posterior, site.draw.span, site.uses
    if not posterior.symmetric:
        impossible.append(Reason(f"{_law(posterior)} is not independent for each weight and symmetric", span))
    for use in uses.linear:
        impossible += _paths(use)
    if len(uses.linear) > 1 and any(_moves(use) for use in uses.linear):
        impossible.append(Reason("the weight is used several times, and reshaped or scaled in between", span))
    if len({tuple(sorted(use.contraction.plate_names)) for use in uses.linear}) > 1:
        impossible.append(Reason("its uses are on different plates", span))
    if uses.linear and not signed_axes(site):
        impossible.append(Reason("no axis of it can carry signs", span))
    return Verdict(tuple(impossible), tuple(inexact))


def _moves(use: Use) -> bool:
    return any(node.op.name not in ("tensor.transpose", "math.cast") for node, _ in use.path)


def axis_at_use(use: Use, axis: int) -> int:
    """The axis of the mapped weight that an axis of the draw became, through transposes."""
    for node, _ in use.path:
        if node.op.name == "tensor.transpose":
            axis = node.attrs.integers("permutation").index(axis)
    return axis


def signed_axes(site: Site) -> tuple[int, ...]:
    """The axes along which flipout changes signs: of the draw if it is used several times, else of what is used."""
    linear = site.uses.linear
    if len(linear) == 1:
        return tuple(i for i, place in enumerate(linear[0].contraction.axes) if place is not None)
    rank = site.draw.result.tensor.rank
    return tuple(a for a in range(rank) if all(use.contraction.axes[axis_at_use(use, a)] is not None for use in linear))


def _grouped(site: Site, groups: int) -> Verdict:
    impossible, inexact = _common(site, site.copies)
    sizes = [d.size for d in site.examples]
    if len(sizes) > 1:
        impossible.append(Reason("it meets examples of several plates", site.draw.span))
    elif sizes and not isinstance(sizes[0], int):
        impossible.append(Reason("the number of examples in a step is not known at compile time", site.draw.span))
    elif sizes and isinstance(sizes[0], int) and sizes[0] % groups:
        impossible.append(Reason(f"{sizes[0]} examples do not divide into {groups} groups", site.draw.span))
    for use in site.copies.linear:
        impossible += unliftable(use)
    return Verdict(tuple(impossible), tuple(inexact))
