"""Entry points of models with region ops: what stands in a body, and what is refused there."""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import FixedNoise
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Objective, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DType, TensorType, dims_of
from bl_compiler.passes.entry_errors import UnsupportedRegionError
from tests.support.models import ModelBuilder, drawn


def body_with(declare: str) -> Graph:
    """A round of a repeat over one array of 4, which declares something."""
    type_ = TensorType(DType.F32, dims_of(4))
    carry = Value(type_, "h")
    b = GraphBuilder(CORE_OPS, "body", [carry])
    normal = b.add("dist.Normal", carry, b.const(1.0, DType.F32))
    if declare == "noise":
        noisy = b.add("model.noise", normal, site="dropout")
        out = b.add("model.phase", noisy, carry)
    elif declare == "always noise":
        out = b.add("model.noise", normal, site="dropout")
    elif declare == "sample":
        out = b.add("model.sample", normal, normal, site="z")
    else:
        b.emit("model.observe", [carry, normal], {}, site="x")
        out = b.unary("tanh", carry)
    return b.finish([("h", out)])


def looped(declare: str) -> ModelBuilder:
    b = ModelBuilder()
    x = b.input("x", 4)
    h = b.add("region.repeat", x, count=2, carries=1, body=body_with(declare))
    b.observe("y", b.input("y", 4), b.dist("Normal", h, 1.0))
    return b


def test_phases_and_noise_inside_regions_follow_the_entry() -> None:
    module = looped("noise").entries()
    assert [drawn(module, entry) for entry in ("train", "predict", "log_joint")] == [{"dropout"}, set(), set()]
    feed = {"x": np.zeros(4), "y": np.zeros(4)}
    shifts = FixedNoise({"dropout": np.stack([np.full(4, 9.0), np.full(4, 2.0)])})
    nll = evaluate(module.functions["train"], inputs=feed, noise=shifts)["nll"]
    np.testing.assert_allclose(nll, 4 * (0.5 * np.log(2 * np.pi) + 2.0))
    np.testing.assert_array_equal(evaluate(module.functions["predict"], inputs=feed)["mean:y"], np.zeros(4))


def test_a_region_that_draws_is_inside_repeated_draws() -> None:
    train = looped("noise").entries(Objective(samples=2)).functions["train"]
    (region,) = train.of("region.draws")
    assert [n.op.name for n in region.attrs.graph("body").nodes if n.op.name.startswith("region")] == ["region.repeat"]


@pytest.mark.parametrize("declare", ["sample", "observe", "always noise"])
def test_declarations_inside_regions_are_refused_clearly(declare: str) -> None:
    with pytest.raises(UnsupportedRegionError, match="region `body`"):
        looped(declare).entries()
