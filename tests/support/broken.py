"""Deliberate breakages of rewrites, analyses and objectives, each one patch: what tests and `verify` must catch.

Invariant: what is broken still gives IR that verifies and programs that run; only what they compute is wrong. May
import: pytest, the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count

import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import DType
from bl_compiler.passes import aggregate_kl_forms, ledger, objective
from bl_compiler.passes.densities import Signed, divergence
from bl_compiler.passes.entry_frame import Frame, Latents, Mode
from bl_compiler.passes.estimators import (
    flipout,
    group_draws,
    lifting,
    local_reparameterize,
    plan,
    plates,
    posterior,
    uses,
)
from bl_compiler.passes.estimators.contraction import Contraction, contraction_of
from bl_compiler.passes.estimators.legality import Site
from bl_compiler.passes.estimators.plan import Get
from bl_compiler.passes.estimators.uses import Path, Use
from bl_compiler.passes.plates_scale import Scale
from bl_compiler.passes.rules import Match
from tests.support.cells import FLIPOUT, GROUPED, LOCAL

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Rewrite:
    """A broken rewrite or a broken condition of one.

    Attributes:
        patch: breaks it.
        cell: a model on which it shows.
        estimator: what the model's draws are marked for.
        sites: the draws that are marked; where the rewrite is exact, if there are none.
        entry: the entry point in which it shows.
    """

    patch: Patch
    cell: str
    estimator: str
    sites: tuple[str, ...] = ()
    entry: str = "predict"


_numbers = count()


def _fresh(name: str | None) -> str:
    return f"{name}/{next(_numbers)}"


# --- flipout ---------------------------------------------------------------------------------------------------------


def _signs_by_position(patch: pytest.MonkeyPatch) -> None:
    """Every number of the result has a sign of its own."""

    def times(b: GraphBuilder, x: Value, signs: Sequence[Value]) -> Value:
        return b.binary("mul", x, b.add("random.sign", dims=x.tensor.dims, site=_fresh("signs")))

    patch.setattr(flipout, "_times", times)


def _signs_by_use(patch: pytest.MonkeyPatch) -> None:
    """The uses of a weight by one example have different signs."""
    make, signs = flipout._use, flipout._signs

    def use(b: GraphBuilder, get: Get, site: Site, use: Use, made: flipout._Signs) -> Value:
        made.by_axis.clear()
        return make(b, get, site, use, made)

    def renamed(b: GraphBuilder, site: Site, use: Use, axis: int, weight: Value) -> Value:
        signs(b, site, use, axis, weight)
        node = b.nodes.pop()
        return b.emit("random.sign", (), {**node.attrs}, site=_fresh(node.site)).result

    patch.setattr(flipout, "_use", use)
    patch.setattr(flipout, "_signs", renamed)


def _uniform_signs(patch: pytest.MonkeyPatch) -> None:
    """U[0, 2) - 1 in the place of signs."""
    signs = flipout._signs

    def uniform(b: GraphBuilder, site: Site, use: Use, axis: int, weight: Value) -> Value:
        signs(b, site, use, axis, weight)
        node = b.nodes.pop()
        law = b.add("dist.Uniform", *(b.const(x, DType.F32) for x in (-1.0, 1.0)))
        wide = b.add("dist.expand", law, dims=node.result.tensor.dims)
        return b.add("random.draw", wide, site=node.site, estimator="shared")

    patch.setattr(flipout, "_signs", uniform)


def _unmapped(b: GraphBuilder, get: Get, path: Path, x: Value) -> Value:
    return x


# --- local reparameterization ----------------------------------------------------------------------------------------


def _merged_scales(b: GraphBuilder, node: Node, draws: tuple[Node, Node], known: dict[Value, Node]) -> Sequence[Value]:
    laws = [local_reparameterize._law(known, draw) for draw in draws]
    mean, scale = (b.binary("add", *(law.inputs[i] for law in laws)) for i in (0, 1))
    return [b.add("random.draw", b.add("dist.Normal", mean, scale), site=draws[0].site, estimator="shared")]


def _scales(b: GraphBuilder, get: Get, path: Path, v: Value) -> Value:
    return b.unary("sqrt", v)


def _identity(b: GraphBuilder, x: Value) -> Value:
    return x


def _not_reused(patch: pytest.MonkeyPatch) -> None:
    rule = contraction_of

    def found(node: Node, operand: int) -> Contraction | None:
        known = rule(node, operand)
        return None if known is None else replace(known, reused=())

    patch.setattr(uses, "contraction_of", found)


# --- grouped draws ---------------------------------------------------------------------------------------------------


def _other_copies(patch: pytest.MonkeyPatch) -> None:
    """Every second use of a weight meets the copies of other groups."""
    make, uses_so_far = lifting.lifted_use, count()

    def use(b: GraphBuilder, get: Get, use: Use, weight: Value, groups: int) -> Value:
        turned = b.add("tensor.reverse", weight, axes=(0,)) if next(uses_so_far) % 2 else weight
        return make(b, get, use, turned, groups)

    patch.setattr(group_draws, "lifted_use", use)


def one_copy(patch: pytest.MonkeyPatch) -> None:
    """All groups have the same draw. That is exact, and no group has what it was made for."""
    make = group_draws._Copies.draw

    def draw(self: group_draws._Copies, b: GraphBuilder, get: Get, site: Site) -> Value:
        found = make(self, b, get, site)
        first = b.add("tensor.take", found, b.const(0, DType.I32), axis=0)
        return b.broadcast(first, found.tensor.dims)

    patch.setattr(group_draws._Copies, "draw", draw)


# --- divergences -----------------------------------------------------------------------------------------------------

Change = Callable[[Frame, Node, Value], Value]


def _each_term(change: Change) -> Patch:
    """Every divergence changed before it is summed."""

    def patched(patch: pytest.MonkeyPatch) -> None:
        make = divergence

        def changed(frame: Frame, node: Node) -> list[Signed]:
            return [(sign, change(frame, node, x)) for sign, x in make(frame, node)]

        patch.setattr(objective, "divergence", changed)

    return patched


def _for_each_use(frame: Frame, node: Node, x: Value) -> Value:
    return frame.builder.binary("mul", x, float(len(frame.model.users[node.result])))


def _by_size(frame: Frame, node: Node, x: Value) -> Value:
    sizes = [size for size in node.result.tensor.shape if isinstance(size, int)]
    return frame.builder.binary("div", x, float(max(sizes, default=1)))


def _negative(frame: Frame, node: Node, x: Value) -> Value:
    return frame.builder.unary("neg", x)


def _wrong_constant(patch: pytest.MonkeyPatch) -> None:
    """Merged divergences of single weights are too great by 1 / 100."""
    make = aggregate_kl_forms._merged_gaussians

    def merged(match: Match, b: GraphBuilder) -> Sequence[Value]:
        return [b.binary("add", x, 0.01) for x in make(match, b)]

    rules = aggregate_kl_forms.DIVERGENCE_RULES
    wrong = type(rules)([replace(rule, rewrite=merged) for rule in rules.rules])
    patch.setattr("bl_compiler.passes.aggregate_kl.DIVERGENCE_RULES", wrong)


REWRITES: Mapping[str, Rewrite] = {
    "signs by position": Rewrite(_signs_by_position, "sequence", FLIPOUT, ("y/dense/kernel",)),
    "other signs at the second use": Rewrite(_signs_by_use, "tied", FLIPOUT),
    "uniform numbers for signs": Rewrite(_uniform_signs, "dense", FLIPOUT),
    "scaling of the weight forgotten": Rewrite(lambda p: p.setattr(flipout, "mapped", _unmapped), "scaled", FLIPOUT),
    "inputs not squared": Rewrite(
        lambda p: p.setattr(local_reparameterize, "_coefficient", lambda b, get, node, x: get(x)),
        "counted inputs",
        LOCAL,
    ),
    "scale for variance": Rewrite(
        lambda p: p.setattr(local_reparameterize, "mapped_variance", _scales), "dense", LOCAL
    ),
    "factor of the weight not squared": Rewrite(lambda p: p.setattr(plan, "squared", _identity), "scaled", LOCAL),
    "a floor that shows": Rewrite(lambda p: p.setattr(local_reparameterize, "VARIANCE_FLOOR", 10.0), "dense", LOCAL),
    "scales of noise added up": Rewrite(
        lambda p: p.setattr(local_reparameterize, "_merged", _merged_scales), "kernel and bias", LOCAL
    ),
    "plates not looked at": Rewrite(
        lambda p: p.setattr(plates, "mixed_plates", lambda node, operand: frozenset()),
        "centered by hand",
        LOCAL,
        ("h/dense/kernel",),
    ),
    "batch statistics not looked at": Rewrite(
        lambda p: p.setattr(plates, "mixed_plates", lambda node, operand: frozenset()),
        "batch norm after",
        FLIPOUT,
        ("y/dense/kernel",),
        "train",
    ),
    "positions not looked at": Rewrite(_not_reused, "conv", LOCAL, ("y/conv2d/kernel",)),
    "log-normal taken for Gaussian": Rewrite(
        lambda p: p.setattr(posterior.Posterior, "gaussian", property(lambda q: q.family in ("Normal", "LogNormal"))),
        "log-normal",
        LOCAL,
        ("w",),
    ),
    "Gumbel taken for symmetric": Rewrite(
        lambda p: p.setattr(posterior, "SYMMETRIC", {*posterior.SYMMETRIC, "Gumbel"}), "Gumbel", FLIPOUT, ("w",)
    ),
    "copies of other groups at the second use": Rewrite(_other_copies, "tied", GROUPED),
}
"""Breakages that show in the law of one example."""

REFUSED = (
    "plates not looked at",
    "batch statistics not looked at",
    "positions not looked at",
    "log-normal taken for Gaussian",
    "Gumbel taken for symmetric",
)
"""Those that break conditions: verdicts change."""

OBJECTIVES: Mapping[str, tuple[Patch, str]] = {
    "divergence counted at every use": (_each_term(_for_each_use), "layer used twice"),
    "divergence divided by the number of weights": (_each_term(_by_size), "kernel and bias"),
    "divergence of the wrong sign": (_each_term(_negative), "variational dropout"),
    "examples of a step for those of the data": (
        lambda p: p.setattr(ledger, "term_scale", lambda *a: Scale(Fraction(1, 8))),
        "kernel and bias",
    ),
    "prior for posterior": (
        lambda p: p.setattr(objective, "_MODE", Mode(Latents.PRIOR, training=True)),
        "kernel and bias",
    ),
    "constants merged wrongly": (_wrong_constant, "wide prior"),
}
"""Breakages of the objective, each with a model on which it shows."""
