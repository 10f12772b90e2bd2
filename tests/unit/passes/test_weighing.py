"""Predicted costs of estimators, added up draw by draw, against those of the program that they are carried out on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.costs.cost import Cost
from bl_compiler.passes.costs.rates import seconds
from bl_compiler.passes.costs.totals import step_cost
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.choice import decisions
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.weighing import CORRELATION, LOCAL, Scales, correlation_of
from tests.support.laws import after
from tests.support.lowering import lowered
from tests.support.rewrites import marked

EXAMPLES = Path(__file__).parents[3] / "examples"
MODELS = {name: (EXAMPLES / f"{name}.blg").read_text(encoding="utf-8") for name in ("regression", "bayesian_mlp")}
MODELS["two weights"] = """model m {
  plate batch[32] of 64
  input x: f32[batch, 20]
  input y: f32[batch, 30]
  believe kernel, bias ~ Normal(0, 1) by mean_field
  observe y ~ Normal((x |> dense(30)) + (x |> square |> dense(30, use_bias=false)), 1)
}"""
MODELS["matrix normal"] = """model m {
  plate batch[32] of 64
  input x: f32[batch, 20]
  input y: f32[batch, 30]
  believe bias ~ Normal(0, 1) by mean_field
  observe y ~ Normal(x |> dense(30, kernel ~ Normal(0, 1) by matrix_normal), 1)
}"""


def entries(text: str) -> Module:
    return ExposeScales().run(derive_entries(lowered(text)), PassContext(CORE_OPS))


@pytest.mark.parametrize("estimator", ["grouped(8)", "flipout", "local_reparameterization"])
@pytest.mark.parametrize("name", MODELS)
def test_costs_of_draws_add_up_to_that_of_the_program(name: str, estimator: str) -> None:
    module, asked = entries(MODELS[name]), Estimator.parse(estimator)
    scales = Scales(module.functions["train"], CORE_OPS, training=True, target="cpu", correlation=0.02)
    rows = [row for row in scales.weighed() if row.candidate(asked).exact]
    total = sum((row.extra[asked] for row in rows), start=scales.base)
    total = sum(scales.merged(rows).values(), start=total) if asked == LOCAL else total
    rewritten = after(
        marked(module, estimator, [row.site.name for row in rows], ["train"]),
        "local-reparameterize,flipout,group-draws,canonicalize,fold,cse,dce",
    )
    found: Cost = step_cost(rewritten.functions["train"], differentiated=True)
    assert total.randoms == found.randoms
    assert seconds(total, "cpu") == pytest.approx(seconds(found, "cpu"), rel=0.2)


def test_noise_of_one_layer_is_merged() -> None:
    """Kernel and bias of a layer, and the two layers that are added."""
    module = entries(MODELS["two weights"])
    scales = Scales(module.functions["train"], CORE_OPS, training=True, target="cpu", correlation=0.02)
    saved = scales.merged(scales.weighed())
    assert [cost.randoms for cost in saved.values()] == [-32.0 * 30] * 2


def test_what_is_observed_tells_the_correlation() -> None:
    assert correlation_of(entries(MODELS["regression"])) == CORRELATION["continuous"]
    assert correlation_of(entries(MODELS["bayesian_mlp"])) == CORRELATION["discrete"]


@pytest.mark.parametrize("name", ["regression", "bayesian_mlp"])
def test_the_choice_is_the_one_that_measures_best(name: str) -> None:
    """benchmarks/RESULTS.md: local reparameterization for all weights of both."""
    found = decisions(derive_entries(lowered(MODELS[name])), CORE_OPS)
    assert {d.chosen for d in found if d.entry == "train"} == {LOCAL}
