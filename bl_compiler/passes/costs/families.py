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
_BITS_TO_NORMAL = Each(49, 2, 54)
"""A uniform number through the inverse error function, a polynomial; the gradient in the scale computes it anew."""
_LOG_GAMMA = Each(54, 5, 104, 2)
_LOG_BETA = Each(400, 28, 820, 12)
# Rejection samplers (Marsaglia and Tsang 2000) draw until they accept, each element from a stream of its own. Their
# gradients are series (Figurnov et al. 2018, arXiv:1805.08498).
_GAMMA_DRAW = Each(300, 11, 25, 1)

_GAUSSIANS = ("MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal")
"""Families whose elements are correlated by matrices."""

DENSITIES: dict[str, FamilyWork] = {
    "Normal": FamilyWork(Each(5, 0, 12), _LOG, _BITS_TO_NORMAL),
    "Laplace": FamilyWork(Each(5, 0, 10), _LOG, Each(15, 1, 19)),
    "StudentT": FamilyWork(Each(12, 1, 28), Each(390, 30, 920, 12), Each(360, 11, 70), 9),
    "Cauchy": FamilyWork(Each(11, 2, 26), _LOG, Each(13, 1, 11)),
    "Logistic": FamilyWork(Each(6, 2, 16), _LOG, Each(11, 2, 8)),
    "Gumbel": FamilyWork(Each(5, 1, 10), _LOG, Each(11, 2, 2)),
    "HalfNormal": FamilyWork(Each(6, 0, 13), _LOG, _BITS_TO_NORMAL),
    "HalfCauchy": FamilyWork(Each(11, 2, 28), _LOG, Each(13, 1, 12)),
    "LogNormal": FamilyWork(Each(10, 1, 14), _LOG, Each(49, 3, 55)),
    "Exponential": FamilyWork(Each(3, 0, 5), _LOG, Each(10, 1, 6)),
    "Gamma": FamilyWork(Each(10, 1, 14), _LOG_GAMMA, _GAMMA_DRAW, 8),
    "InverseGamma": FamilyWork(Each(10, 1, 14), _LOG_GAMMA, _GAMMA_DRAW, 8),
    "Beta": FamilyWork(Each(10, 2, 26), _LOG_BETA, Each(620, 21, 50, 2), 16),
    "Uniform": FamilyWork(Each(5, 0, 6), Each(1, 1, 4), Each(10, 0, 12)),
    "LogUniform": FamilyWork(Each(3, 1, 3), _NONE, _NONE, 0),
    "Dirichlet": FamilyWork(Each(9, 1, 10), _LOG_GAMMA, _GAMMA_DRAW, 8),
    **dict.fromkeys(_GAUSSIANS, FamilyWork(Each(4, 0, 6), _LOG, _BITS_TO_NORMAL)),
    "Bernoulli": FamilyWork(Each(20, 2, 30), _NONE, Each(12, 1)),
    "Categorical": FamilyWork(Each(7, 1, 7), _NONE, Each(19, 2)),
    "OneHotCategorical": FamilyWork(Each(13, 1, 11), _NONE, Each(21, 2)),
    "Binomial": FamilyWork(Each(438, 31, 44, 2), _NONE, Each(330, 8), 4),
    "Multinomial": FamilyWork(Each(70, 5, 12), _NONE, Each(330, 8), 4),
    "Poisson": FamilyWork(Each(99, 8, 65), _NONE, Each(230, 8), 4),
    "NegativeBinomial": FamilyWork(Each(427, 31, 940, 14), _NONE, Each(540, 19), 12),
}
_GAMMAS = ("Gamma", "InverseGamma", "Dirichlet")
DIVERGENCES: dict[str, Each] = {
    **dict.fromkeys(_GAMMAS, Each(219, 15, 300, 11)),
    "Beta": Each(640, 43, 1700, 35),
    "Bernoulli": Each(49, 10, 68, 2),
    "Categorical": Each(18, 2, 22),
    "OneHotCategorical": Each(18, 2, 22),
}
"""A closed-form KL divergence per element, by the posterior's family."""
FROM_PRIOR: dict[str, Each] = {"Gamma": Each(75, 7, 110, 2), "LogUniform": Each(83, 1, 110)}
"""That of other families from a prior of these; `_DIVERGENCE` from all others."""
_DIVERGENCE = Each(9, 1, 10)


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


def _normalizers(d: Value, counting: Counting) -> int:
    """How many values of the normalizer there are; constants have theirs computed by the compiler."""
    type_, node = distribution(d.type), _family_node(d, counting)
    if node is None or base_family(type_) in _GAUSSIANS:
        return counting.elements(type_)
    params = FAMILIES[base_family(type_)].params
    values = {param.name: value for param, value in zip(params, node.inputs, strict=True)}
    # The costly part is a gamma function of the shape, where there is one; else the logarithm of the scale.
    shaping = [values[name] for name in ("df", "concentration") if name in values]
    shaping = shaping or [value for name, value in values.items() if name != "loc"]
    sizes = [0 if _is_constant(value, counting) else counting.elements(value.type) for value in shaping]
    return max(sizes, default=0)


def _is_constant(value: Value, counting: Counting) -> bool:
    node = counting.producers.get(value)
    return node is not None and node.op.name in ("tensor.const", "tensor.full")


def _width(d: Value, counting: Counting) -> int:
    """How many products with its factors a matrix takes for each element of a vector; 0 for families without one.

    Of n elements that is n; of a covariance of rank k it is k; of a matrix, its rows and columns.
    """
    type_, node = distribution(d.type), _family_node(d, counting)
    if base_family(type_) not in _GAUSSIANS:
        return 0
    event = type_.event if node is None else distribution(node.result.type).event
    if base_family(type_) == "LowRankMultivariateNormal":
        return 1 if node is None else counting.size(node.inputs[1].tensor.dims[-1])
    return sum(map(counting.size, event))


@DIST_COSTS.rule(*(spec.name for spec in DIST_OPS if spec.name.startswith("dist.")))
def _construction(node: Node, counting: Counting) -> Work:
    return Work(Role.VIEW, ZERO, (ZERO,) * len(node.inputs), linear=True)


@DIST_COSTS.rule("prob.log_prob")
def _log_prob(node: Node, counting: Counting) -> Work:
    d = node.inputs[0]
    type_, components = distribution(d.type), _components(d, counting)
    work, width = DENSITIES[base_family(type_)], _width(d, counting)
    values = counting.elements(node.result.type) * counting.count(*type_.event) * components * _classes(d, counting)
    normalizers = _normalizers(d, counting)
    # Triangular systems; of low rank, products with the factor and its square.
    low_rank = base_family(type_) == "LowRankMultivariateNormal"
    solve = Cost(flops=values * width * (4 + 2 * width if low_rank else 1))
    mixed = Cost(flops=5 * values, transcendentals=values) if components > 1 else ZERO
    forward = work.density.forward(values) + work.constant.forward(normalizers) + solve + mixed
    back = work.density.backward(values) + solve * 2 + mixed
    whole = back + work.constant.backward(normalizers)
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
    q, p = (distribution(value.type) for value in node.inputs)
    count = counting.elements(node.result.type) * counting.count(*q.event) * _classes(node.inputs[0], counting)
    each = DIVERGENCES.get(base_family(q)) or FROM_PRIOR.get(base_family(p), _DIVERGENCE)
    # Variances are sums of squares of a factor's rows; a factor of low rank is squared; between two families with
    # factors, one is divided by the other.
    width, other = (_width(value, counting) for value in node.inputs)
    squared = width if base_family(q) == "LowRankMultivariateNormal" else 1
    solve = Cost(flops=2 * count * width * max(other, squared))
    forward = each.forward(count) + solve
    back = each.backward(count) + solve * 2
    role = Role.REDUCTION if q.event else Role.POINTWISE
    return Work(role, forward, (back, back))


@DIST_COSTS.rule("random.draw")
def _draw(node: Node, counting: Counting) -> Work:
    d = node.inputs[0]
    type_ = distribution(d.type)
    work, count = DENSITIES[base_family(type_)], counting.elements(node.result.type)
    drawn = count * _components(d, counting) * _classes(d, counting)
    product = Cost(flops=2 * drawn * _width(d, counting))
    forward = work.draw.forward(drawn) + product + Cost(randoms=work.randoms * drawn, kernels=1)
    gradient = work.draw.backward(drawn) + product if type_.reparameterized else None
    return Work(Role.KERNEL if _width(d, counting) else Role.POINTWISE, forward, (gradient,))


@DIST_COSTS.rule("random.sign")
def _sign(node: Node, counting: Counting) -> Work:
    count = counting.elements(node.result.type)
    return Work(Role.POINTWISE, Cost(flops=8 * count, randoms=count, kernels=1))
