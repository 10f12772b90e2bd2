"""What `aggregate-kl` makes of divergences and log priors, and where it refuses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Module, Objective
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DType
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.aggregate_kl import AggregateKl
from bl_compiler.passes.aggregate_kl_linear import linear_terms
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entry_frame import Frame, Latents, Mode
from bl_compiler.passes.journal import Entry
from bl_compiler.passes.ledger import Ledger, Part
from bl_compiler.passes.plates_scale import Scale
from tests.support.models import ModelBuilder, ops_in


def aggregated(module: Module) -> tuple[Module, list[Entry]]:
    ctx = PassContext(CORE_OPS)
    after = AggregateKl().run(module, ctx)
    verify(after)
    assert AggregateKl().run(after, PassContext(CORE_OPS)) is after
    return after, ctx.journal.entries


def weights(*scales: float, family: str = "Normal", kind: str = "sample", half: bool = False) -> Module:
    """A weight of three numbers for each scale of its prior, and an observation."""
    b = ModelBuilder()
    total = b.const(0.0, DType.F32)
    for i, scale in enumerate(scales):
        loc = b.param(f"w{i}/loc", 3)
        spread = b.param(f"w{i}/scale", 3, constraint="positive")
        if half:
            loc, spread = b.cast(loc, DType.BF16), b.cast(spread, DType.BF16)
        prior = b.expand(b.dist(family, 0.0, scale), 3)
        if kind == "sample":
            value = b.sample(f"w{i}", prior, b.dist("Normal", loc, spread))
        else:
            value = b.point(f"w{i}", prior, loc)
        total = b.binary("add", total, b.cast(b.reduce("sum", value, (0,)), DType.F32))
    plate = b.plate("batch", 4, 100)
    b.observe("y", b.input("y", plate), b.dist("Normal", total, 1.0))
    return b.entries(Objective())


# --- structure -------------------------------------------------------------------------------------------------------


def test_a_constant_scale_merges_into_one_factor_and_one_constant() -> None:
    after, entries = aggregated(weights(0.5))
    ops = Counter(ops_in(after, "train"))
    assert ops["prob.kl"] == 0
    assert ops["math.square"] == 2
    assert ops["math.log"] == 1
    constants = [n.attrs["value"] for n in after.functions["train"].of("tensor.const")]
    assert 2.0 in constants  # 1 / (2 s²)
    assert any(isinstance(c, float) and abs(c - (0.5 + np.log(2))) < 1e-12 for c in constants)
    assert [(e.rule, e.fired) for e in entries] == [("GaussianConstants", True)]


def test_the_prior_that_nothing_reads_any_more_goes() -> None:
    after, _ = aggregated(weights(0.5))
    assert Counter(ops_in(after, "train"))["dist.Normal"] == 2  # of the draw and of the observation


def test_a_standard_prior_stays_as_it_is() -> None:
    module = weights(1.0, 1.0)
    assert aggregated(module)[0] is module


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scales_that_would_cost_digits_are_refused(scale: float) -> None:
    module = weights(scale)
    after, entries = aggregated(module)
    assert after is module
    assert [(e.fired, e.reason) for e in entries] == [
        (False, f"with a prior of scale {scale:g} merged constants would cost digits")
    ]


def test_half_precision_stays_as_it_is() -> None:
    module = weights(0.5, half=True)
    assert aggregated(module)[0] is module
    points = weights(0.5, half=True, kind="point")
    after, entries = aggregated(points)
    assert after is points
    assert [e.reason for e in entries] == ["values are in half precision"]


def test_a_prior_with_a_trained_scale_stays_as_it_is() -> None:
    b = ModelBuilder()
    scale = b.param("s", constraint="positive")
    for i in range(2):
        prior = b.expand(b.dist("Normal", 0.0, scale), 3)
        value = b.param(f"v{i}", 3)
        x = b.point(f"w{i}", prior, value) if i else b.sample(f"w{i}", prior, b.dist("Normal", value, 0.5))
        b.observe(f"y{i}", b.input(f"y{i}", 3), b.dist("Normal", x, 1.0))
    module = b.entries()
    after, entries = aggregated(module)
    assert after is module
    assert [e.reason for e in entries] == ["the scale of the prior is not a constant"]


def test_log_priors_of_one_scale_share_a_factor_and_all_share_a_constant() -> None:
    after, entries = aggregated(weights(0.5, 0.5, 2.0, kind="point"))
    train = after.functions["train"]
    assert Counter(ops_in(after, "train"))["prob.log_prob"] == 1  # the observation
    factors = [
        n.attrs["value"]
        for node in train.of("math.mul")
        for v in node.inputs
        if (n := train.producers.get(v)) is not None and n.op.name == "tensor.const"
    ]
    assert sorted(factors) == [0.125, 2.0]  # type: ignore[type-var]
    (kl,) = (o.value for o in train.outputs if o.name == "kl")
    terms = linear_terms(train, kl)
    numbers = [t for t in terms if (n := train.producers.get(t.value)) is not None and n.op.name == "tensor.const"]
    assert len(numbers) == 1
    constant = train.producers[numbers[0].value].attrs["value"]
    expected = -sum(3 * (-np.log(s) - 0.5 * np.log(2 * np.pi)) for s in (0.5, 0.5, 2.0)) / 100
    np.testing.assert_allclose(constant, expected, rtol=1e-12)
    assert {e.rule for e in entries if e.fired} == {"LogPriorConstants"}


def test_monte_carlo_terms_keep_their_form() -> None:
    module = weights(0.5, family="Laplace", kind="sample")
    assert aggregated(module)[0] is module
    b = ModelBuilder()
    x = b.sample("w", b.expand(b.dist("StudentT", 3.0, 0.0, 0.5), 3), b.dist("Normal", b.param("loc", 3), 0.5))
    b.observe("y", b.input("y", 3), b.dist("Normal", x, 1.0))
    module = b.entries()
    assert aggregated(module)[0] is module


def test_terms_in_regions_of_repeated_draws_are_reached() -> None:
    b = ModelBuilder()
    plate = b.plate("batch", 4, 100)
    w = b.weight("w")
    z = b.sample("z", b.expand(b.dist("Normal", 0.0, 0.5), plate), b.expand(b.dist("Normal", w, 0.3), plate))
    p = b.point("p", b.expand(b.dist("Laplace", w, 0.5), 2), b.param("v", 2))
    b.observe("y", b.input("y", plate), b.dist("Normal", b.binary("add", z, b.reduce("sum", p, (0,))), 1.0))
    after, _ = aggregated(b.entries(Objective(samples=3)))
    inner = [n for n in walk(after.functions["train"]) if n not in after.functions["train"].nodes]
    names = Counter(n.op.name for n in inner)
    assert (names["prob.kl"], names["prob.log_prob"]) == (0, 1)
    assert names["math.abs"] == 1


def test_only_the_objective_is_touched() -> None:
    module = weights(0.5, kind="point")
    after, _ = aggregated(module)
    assert {n for n, g in module.functions.items() if after.functions[n] is not g} == {"train"}


def test_modules_without_the_entry_pass() -> None:
    module = weights(0.5)
    others = module.with_functions({n: g for n, g in module.functions.items() if n != "train"})
    assert AggregateKl().run(others, PassContext(CORE_OPS)) is others


def test_scales_are_read_off_exactly() -> None:
    b = ModelBuilder()
    x, y = b.param("x"), b.param("y")
    total = b.binary("sub", b.binary("div", b.binary("mul", x, 3.0), 7.0), b.unary("neg", b.binary("sub", y, x)))
    terms = linear_terms(b.finish(), total)
    assert [(t.sign, t.scale, t.value.name) for t in terms] == [
        (1, Scale(3 * Scale().ratio / 7), "x"),
        (1, Scale(), "y"),
        (-1, Scale(), "x"),
    ]


def test_a_site_enters_the_objective_once() -> None:
    b = ModelBuilder()
    x = b.sample("w", b.standard(3), b.dist("Normal", b.param("loc", 3), 0.5))
    b.observe("y", b.input("y", 3), b.dist("Normal", x, 1.0))
    module = b.module()
    frame = Frame(module.functions["model"], Mode(Latents.POSTERIOR), CORE_OPS, "train")
    for node in module.functions["model"].nodes:
        frame.copy(node)
    (site,) = module.functions["model"].of("model.sample")
    ledger = Ledger(module, None, frame)
    ledger.add(Part.KL, frame, (1, frame.value(site.result)), site)
    ledger.add(Part.KL, frame, (-1, frame.value(site.result)), site)  # a second term of the same entry is one site
    with pytest.raises(InternalError, match="`w` enters the objective twice"):
        ledger.add(Part.KL, frame, (1, frame.value(site.result)), site)
