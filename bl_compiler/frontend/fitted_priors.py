"""Priors that follow the posterior: of its mean, or of the scale that suits it best.

Invariant: a prior of this file is computed from the posterior's parameters, so gradients flow through it.
May import: floors 0-1, `distributions`, `state`, `weights`.
"""

from __future__ import annotations

from math import prod

from bl_compiler.frontend.distributions import make_distribution
from bl_compiler.frontend.state import State
from bl_compiler.frontend.weights import Wanted
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import DistType, DType
from bl_compiler.source import Span

CONCENTRATION, RATE = 2.01, 0.101
"""The hyperprior InverseGamma of the variance: vague, with the mean 0.1."""


def tied_mean(state: State, wanted: Wanted, loc: Value, at: Span) -> Value:
    """The prior around the posterior's own location: only the spread of the posterior is penalized.

    The written prior states the scale; its location must be left out, or 0.
    """
    node = written_law(state, wanted, at, "`tied_mean`")
    family = FAMILIES[node.op.name.removeprefix("dist.")]
    given = {p.name: v for p, v in zip(family.params, node.inputs, strict=True)}
    _left_out(state, given["loc"], 0.0, "tied_mean", "location", at)
    return make_distribution(state, family, (), {**given, "loc": loc}, {}, wanted.at)


def empirical_bayes(state: State, wanted: Wanted, loc: Value, scale: Value, mean: Value | None, at: Span) -> Value:
    """The prior N(m, v) with the variance v that minimizes KL(posterior ‖ prior) - log InverseGamma(v).

    v = (sum of scale² + (loc - m)², + 2 b) / (n + 2 a + 2) over the n elements, with InverseGamma(a, b), as in Wu et
    al. (2019, section 4). The hyperprior's density of v joins the objective once. As v is where the derivative in it
    vanishes, the gradient through it is 0.

    Args:
        state: The lowering in progress.
        wanted: What is asked for; the prior states the location m, its scale must be left out, or 1.
        loc: The location of the Gaussian posterior.
        scale: Its scale.
        mean: The location instead of the prior's.
        at: Where the posterior is written.
    """
    node = written_law(state, wanted, at, "`empirical_bayes`", ("Normal",))
    _left_out(state, node.inputs[1], 1.0, "empirical_bayes", "scale", at)
    sizes = [d.size for d in wanted.dims if isinstance(d.size, int)]
    if len(sizes) < len(wanted.dims):
        state.fail("BLC0208", f"the number of elements of `{wanted.path}` is not known at compile time", at)
    b, m = state.b, node.inputs[0] if mean is None else mean
    with state.typed(wanted.at):
        away = b.binary("sub", loc, m)
        squares = b.binary("add", b.binary("mul", scale, scale), b.binary("mul", away, away))
        total = b.reduce("sum", squares, range(squares.tensor.rank))
        variance = b.binary("div", b.binary("add", total, 2 * RATE), prod(sizes) + 2 * CONCENTRATION + 2)
        law = b.add("dist.InverseGamma", b.const(CONCENTRATION, DType.F32), b.const(RATE, DType.F32))
        path = state.claim(f"{wanted.path}/prior_variance", wanted.at)
        variance = b.add("model.point", law, variance, site=path)
        b.hint(variance, "prior_variance")
        return b.add("dist.Normal", m, b.unary("sqrt", variance))


def written_law(state: State, wanted: Wanted, at: Span, what: str, only: tuple[str, ...] = ()) -> Node:
    """The node of the written prior's family, which has a location and a scale.

    Args:
        state: The lowering in progress.
        wanted: What is asked for.
        at: Where the posterior is written.
        what: What needs the prior, for the message.
        only: The families that will do; any location-scale family, if there are none.
    """
    prior = wanted.belief.prior
    assert prior is not None
    node = state.b.producer(prior)
    while node is not None and node.op.name == "dist.expand":
        node = state.b.producer(node.inputs[0])
    family = None if node is None else FAMILIES.get(node.op.name.removeprefix("dist."))
    if node is None or family is None or not family.location_scale or (only and family.name not in only):
        assert isinstance(prior.type, DistType)
        kinds = " or ".join(only) or "a location-scale family such as Normal"
        words = f"{what} needs a prior of {kinds}, and this is {prior.type.family}"
        state.fail("BLC0303", words, at, help="write such a prior, or another posterior")
    return node


def _left_out(state: State, value: Value, default: float, what: str, name: str, at: Span) -> None:
    node = state.b.producer(value)
    if node is None or node.op.name != "tensor.const" or node.attrs["value"] != default:
        words = f"with `{what}` the prior's {name} follows from the posterior, and one is written"
        state.fail("BLC0204", words, at, help=f"leave the {name} out of the prior, or write {default:g}")
