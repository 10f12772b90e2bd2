"""Flipout: one perturbation of the weight a step, under signs that differ from example to example.

For y = L(x, w) with w = μ + Δ, Δ independent and symmetric around 0, every example has its own pattern of signs over
the axes of the weight: y = L(x, μ) + s ∘ L(r ∘ x, Δ), with r over the axes that are summed, s over those that are kept
(Wen, Vicol, Ba, Tran and Grosse 2018, equation 4). The signs do not vary over positions, and a weight that is used
several times has the same signs at every use. May import: floors 0-1, `plan`, `legality`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, Dims
from bl_compiler.passes.estimators.contraction import Place
from bl_compiler.passes.estimators.legality import Site, axis_at_use, signed_axes
from bl_compiler.passes.estimators.plan import Get, Plan, full, mapped, named, re_emit, way_nodes
from bl_compiler.passes.estimators.uses import Use

RULE = "flipout"


@dataclass
class _Signs:
    """What is made for one draw: its perturbation, and signs by axis."""

    delta: Value | None = None
    by_axis: dict[int, Value] = field(default_factory=dict)


def plan(site: Site) -> Plan:
    """The rewrite of a draw and of all its linear uses."""
    made = _Signs()
    found = Plan(dropped=way_nodes(site.uses))
    found.replaced[site.draw] = partial(_draw, site=site, made=made)
    for use in site.uses.linear:
        found.replaced[use.node] = partial(_use, site=site, use=use, made=made)
    return found


def _draw(b: GraphBuilder, get: Get, site: Site, made: _Signs) -> Value:
    """The perturbation, and the weight itself for what else reads it."""
    law, result = site.posterior.node, site.draw.result
    assert law is not None
    params = site.posterior.params
    zero = b.const(0.0, result.tensor.dtype)
    centered = b.add(law.op.name, *(zero if name == "loc" else get(v) for name, v in params.items()))
    whole = b.add("dist.expand", centered, dims=result.tensor.dims)
    made.delta = b.add(
        "random.draw", whole, site=site.draw.site, estimator="shared", name=f"{result.name or 'weight'}_noise"
    )
    return b.binary("add", full(b, get(params["loc"]), result), made.delta)


def _use(b: GraphBuilder, get: Get, site: Site, use: Use, made: _Signs) -> Value:
    node, c = use.node, use.contraction
    assert made.delta is not None, "the draw comes before its uses"
    mean = mapped(b, get, use.path, full(b, get(site.posterior.params["loc"]), site.draw.result))
    delta = mapped(b, get, use.path, made.delta)
    single = len(site.uses.linear) == 1
    operands = {i: get(v) for i, v in enumerate(node.inputs)}
    after: list[Value] = []
    for axis in signed_axes(site):
        here = axis if single else axis_at_use(use, axis)
        place = c.axes[here]
        assert place is not None
        if axis not in made.by_axis:
            made.by_axis[axis] = _signs(b, site, use, axis, node.inputs[c.operand] if single else site.draw.result)
        if place.operand is None:
            after.append(_laid(b, made.by_axis[axis], _plate_axes(use, c.dims), place, c.dims))
        else:
            x = operands[place.operand]
            plates = _plate_axes(use, x.tensor.dims)
            signed = b.binary("mul", x, _laid(b, made.by_axis[axis], plates, place, x.tensor.dims))
            operands[place.operand] = named(b, signed, _signed(x))
    if c.additive:
        weights = b.binary("add", mean, _times(b, delta, after))
        return re_emit(b, node, [weights if i == c.operand else get(v) for i, v in enumerate(node.inputs)])
    means = [mean if i == c.operand else get(v) for i, v in enumerate(node.inputs)]
    perturbed = re_emit(b, node, [delta if i == c.operand else operands[i] for i in range(len(node.inputs))])
    spread = _times(b, named(b, perturbed, "noise"), after)
    return b.binary("add", named(b, re_emit(b, node, means), "mean"), spread)


def _times(b: GraphBuilder, x: Value, signs: list[Value]) -> Value:
    for sign in signs:
        x = named(b, b.binary("mul", x, sign), _signed(x))
    return x


def _signed(x: Value) -> str:
    """The name of a value times signs."""
    return x.name if x.name.startswith("signed_") else f"signed_{x.name or 'input'}"


def _plate_axes(use: Use, dims: Dims) -> tuple[int, ...]:
    """The axes of an operand or the result for the plates of the result, in the order of `_signs`."""
    place = {d.name: i for i, d in enumerate(dims) if d.is_plate}
    return tuple(place[name] for name in sorted(use.contraction.plate_names))


def _signs(b: GraphBuilder, site: Site, use: Use, axis: int, weight: Value) -> Value:
    """Signs for each example and each index along an axis of the weight."""
    # Uses may have their plates in different orders, and share the signs.
    plates = {d.name: d for d in use.contraction.dims if d.is_plate}
    dims = (*(plates[name] for name in sorted(use.contraction.plate_names)), Dim(weight.tensor.dims[axis].size))
    where = f"{site.draw.site}/signs_{axis}"
    return b.add("random.sign", dims=dims, dtype=weight.tensor.dtype, site=where, name="signs")


def _laid(b: GraphBuilder, signs: Value, plates: tuple[int, ...], place: Place, dims: Dims) -> Value:
    """Signs over plates and one axis, laid over the axes of an array that has more."""
    targets = (*plates, place.axis)
    order = sorted(range(len(targets)), key=lambda i: targets[i])
    turned = signs if order == list(range(len(order))) else b.transpose(signs, order)
    sizes = dict(zip((targets[i] for i in order), turned.tensor.dims, strict=True))
    return b.reshape(turned, [sizes.get(i, Dim(1)) for i in range(len(dims))])
