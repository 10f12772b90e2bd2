"""Densities, draws, moments and divergences: operations per element, by family.

A density has a part that depends on parameters alone, computed once for each of them, and a part for each value.
Invariant: every family has a row. May import: floors 0-1, `cost`, `work`, `elementwise`.
"""

from __future__ import annotations

from typing import NamedTuple

from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_dist import DIST_OPS
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DistType, distribution
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.elementwise import Each
from bl_compiler.passes.costs.work import Counting, Role, Rule, Work

DIST_COSTS: RuleTable[Rule] = RuleTable("COSTS, dist")


class FamilyWork(NamedTuple):
    """Work of a family.

    Attributes:
        density: per value.
        constant: the part of the density that depends on parameters alone, per element of the parameters.
        draw: per element drawn, without the random numbers.
        randoms: random numbers for an element drawn.
    """

    density: Each
    constant: Each
    draw: Each
    randoms: float = 1.0


_LOG = Each(1, 1, 2)
_NONE = Each(0)
# Rejection samplers draw until they accept; their gradients are series (Figurnov et al. 2018, arXiv:1805.08498).
_GAMMA_DRAW = Each(60, 6, 120, 10)
_LGAMMA = Each(62, 4, 62, 3)

DENSITIES: dict[str, FamilyWork] = {
    "Normal": FamilyWork(Each(6, 0, 6), _LOG, Each(2, 2, 2)),
    "Laplace": FamilyWork(Each(5, 0, 6), _LOG, Each(6, 1, 2)),
    "StudentT": FamilyWork(Each(6, 1, 10), Each(130, 10, 130, 6), Each(70, 10, 130, 12), 3.0),
    "Cauchy": FamilyWork(Each(5, 1, 8), _LOG, Each(5, 1, 2)),
    "Logistic": FamilyWork(Each(7, 2, 8, 0), _LOG, Each(6, 2, 2)),
    "Gumbel": FamilyWork(Each(5, 1, 6), _LOG, Each(6, 2, 2)),
    "HalfNormal": FamilyWork(Each(7, 0, 6), _LOG, Each(2, 2, 2)),
    "HalfCauchy": FamilyWork(Each(6, 1, 8), _LOG, Each(5, 1, 2)),
    "LogNormal": FamilyWork(Each(8, 1, 8), _LOG, Each(2, 3, 4)),
    "Exponential": FamilyWork(Each(4, 0, 3), _LOG, Each(4, 1, 2)),
    "Gamma": FamilyWork(Each(6, 1, 6), _LGAMMA, _GAMMA_DRAW, 2.0),
    "InverseGamma": FamilyWork(Each(7, 1, 8), _LGAMMA, _GAMMA_DRAW, 2.0),
    "Beta": FamilyWork(Each(8, 2, 8), Each(180, 12, 180, 9), Each(130, 13, 260, 20), 4.0),
    "Uniform": FamilyWork(Each(6, 0, 2), Each(2, 1, 2), Each(4, 0, 2)),
    "Dirichlet": FamilyWork(Each(5, 1, 5), _LGAMMA, Each(64, 7, 130, 10), 2.0),
    "MultivariateNormal": FamilyWork(Each(6, 0, 8), Each(2, 1, 2), Each(2, 2, 2)),
    "Bernoulli": FamilyWork(Each(9, 2, 6, 0), _NONE, Each(4, 1, 0)),
    "Categorical": FamilyWork(Each(6, 1, 4), _NONE, Each(6, 2, 0)),
    "OneHotCategorical": FamilyWork(Each(6, 1, 5), _NONE, Each(7, 2, 0)),
    "Binomial": FamilyWork(Each(190, 14, 10, 1), _NONE, Each(120, 12, 0), 4.0),
    "Multinomial": FamilyWork(Each(70, 5, 6), _NONE, Each(120, 12, 0), 4.0),
    "Poisson": FamilyWork(Each(66, 5, 4), _NONE, Each(120, 10, 0), 4.0),
    "NegativeBinomial": FamilyWork(Each(190, 14, 130, 8), _NONE, Each(180, 16, 0), 6.0),
}
DIVERGENCE = Each(10, 1, 10, 0)
"""A closed-form KL divergence per element."""


def base_family(type_: DistType) -> str:
    """The family under `Independent` and `Mixture`."""
    return type_.family.rpartition("(")[2].rstrip(")")


def _family_node(d: Value, counting: Counting) -> Node | None:
    """The node that constructs a distribution from its parameters, as far as the nodes are known."""
    found = [node for node in counting.chain(d) if node.op.name.removeprefix("dist.") in FAMILIES]
    return found[-1] if found else None


def _components(d: Value, counting: Counting) -> int:
    """How many components a mixture has, 1 if it is none; mixtures of unknown origin count as two."""
    if "Mixture(" not in distribution(d.type).family:
        return 1
    for node in counting.chain(d):
        if node.op.name == "dist.mixture":
            logits, each = node.inputs[0].tensor, distribution(node.inputs[1].type)
            return max(counting.size(logits.dims[-1]), counting.size(each.batch[-1]))
    return 2


def _classes(d: Value, counting: Counting) -> int:
    """How many classes a `Categorical` has, 1 for other families; unknown classes count as ten."""
    if base_family(distribution(d.type)) != "Categorical":
        return 1
    node = _family_node(d, counting)
    return 10 if node is None else counting.size(node.inputs[0].tensor.dims[-1])


def _parameters(d: Value, counting: Counting) -> int:
    """The number of elements of the largest parameter; of unknown parameters as many as of a draw."""
    type_, node = distribution(d.type), _family_node(d, counting)
    if node is None or base_family(type_) == "MultivariateNormal":
        return counting.elements(type_)
    return max(counting.elements(value.type) for value in node.inputs)


def _order(type_: DistType, counting: Counting) -> int:
    """The size of the triangular factors of a `MultivariateNormal`, 0 for other families."""
    return counting.size(type_.event[-1]) if base_family(type_) == "MultivariateNormal" and type_.event else 0


@DIST_COSTS.rule(*(spec.name for spec in DIST_OPS if spec.name.startswith("dist.")))
def _construction(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW, ZERO, (ZERO,) * len(node.inputs), linear=True)


@DIST_COSTS.rule("prob.log_prob")
def _log_prob(node: Node, counting: Counting) -> Work:
    d = node.inputs[0]
    type_, components = distribution(d.type), _components(d, counting)
    work = DENSITIES[base_family(type_)]
    values = counting.elements(node.result.type) * counting.count(*type_.event) * components * _classes(d, counting)
    parameters = _parameters(d, counting)
    solve = Cost(flops=values * _order(type_, counting))
    mixed = Cost(flops=5 * values, transcendentals=values) if components > 1 else ZERO
    forward = work.density.forward(values) + work.constant.forward(parameters) + solve + mixed
    back = work.density.backward(values) + solve * 2 + mixed
    whole = back + work.constant.backward(parameters)
    role = Role.REDUCTION if type_.event or _classes(d, counting) > 1 or components > 1 else Role.POINTWISE
    x = node.inputs[1].tensor
    return Work(role, forward, (whole, back * 0.5 if x.dtype.is_float else None))


@DIST_COSTS.rule("prob.mean", "prob.variance")
def _moment(node: Node, counting: Counting) -> Work:
    components = _components(node.inputs[0], counting)
    count = counting.elements(node.result.type) * components
    each = Each(2, 0, 2) if components == 1 else Each(6, 1, 8)
    return Work(Role.POINTWISE, each.forward(count), (each.backward(count),))


@DIST_COSTS.rule("prob.probs")
def _probs(node: Node, counting: Counting) -> Work:
    each, count = Each(4, 1, 4), counting.elements(node.result.type)
    return Work(Role.KERNEL, each.forward(count), (each.backward(count),))


@DIST_COSTS.rule("prob.kl")
def _kl(node: Node, counting: Counting) -> Work:
    q = distribution(node.inputs[0].type)
    count = counting.elements(node.result.type) * counting.count(*q.event) * _classes(node.inputs[0], counting)
    constant = DENSITIES[base_family(q)].constant
    parameters = max(_parameters(d, counting) for d in node.inputs)
    # Matrices: the trace of a product of one with the other's inverse, by triangular solves.
    solve = Cost(flops=count * _order(q, counting) ** 2)
    forward = DIVERGENCE.forward(count) + constant.forward(parameters) + solve
    back = DIVERGENCE.backward(count) + constant.backward(parameters) + solve * 2
    role = Role.REDUCTION if q.event else Role.POINTWISE
    return Work(role, forward, (back, back * 0.5))


@DIST_COSTS.rule("random.draw")
def _draw(node: Node, counting: Counting) -> Work:
    d = node.inputs[0]
    type_ = distribution(d.type)
    work, count = DENSITIES[base_family(type_)], counting.elements(node.result.type)
    drawn = count * _components(d, counting) * _classes(d, counting)
    product = Cost(flops=2 * drawn * _order(type_, counting))
    forward = work.draw.forward(drawn) + product + Cost(randoms=work.randoms * drawn)
    gradient = work.draw.backward(drawn) + product if type_.reparameterized else None
    return Work(Role.POINTWISE, forward, (gradient,))


@DIST_COSTS.rule("random.sign")
def _sign(node: Node, counting: Counting) -> Work:
    count = counting.elements(node.result.type)
    return Work(Role.POINTWISE, Cost(flops=3 * count, randoms=count))
