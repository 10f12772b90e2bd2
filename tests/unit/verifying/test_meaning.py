"""The loss against the model itself: right objectives of all kinds pass, and what cannot be compared is left out."""

from __future__ import annotations

import pytest

from bl_compiler.driver.verify import Task, verify
from bl_compiler.driver.verifying.report import Report
from bl_compiler.options import Options
from bl_compiler.passes.entries import derive_entries
from tests.support.lowering import lowered
from tests.support.quick import quick_compiles

BELIEF = "believe kernel ~ Normal(0, 2) by mean_field(init_scale=0.3) "
DENSE = "input x: f32[batch, 5] input y: f32[batch, 3] " + BELIEF + "observe y ~ Normal(x |> dense(3), 1) "
LOCAL = (
    "input x: f32[batch, 5] sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), 0.5) "
    "observe x ~ Normal(z |> dense(5), 1) "
)
MASKED = (
    "input x: f32[batch, 5] input y: f32[batch, 3] input m: bool[batch] "
    + BELIEF
    + "observe y ~ Normal(x |> dense(3), 1) where expand_dims(m, 1)"
)
PLATES = (
    "plate rows[3] of 30 input x: f32[batch, rows, 5] input y: f32[batch, rows] input v: f32[rows] "
    "sample u: f32[rows] ~ Normal(0, 1) by Normal(v, 0.5) sample w: f32[5] ~ Laplace(0, 1) by mean_field "
    "observe y ~ Normal(x @ w + u, 1)"
)


def verified(text: str, passes: str, *entries: str) -> Report:
    model = lowered(f"model m {{ plate batch[8] of 100 {text} }}")
    with quick_compiles():
        return verify(Task(model, derive_entries(model)), Options(pipeline=passes), draws=512, only=entries)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        (DENSE, 6),
        (DENSE + "objective elbo(samples=3, kl_weight=0.5)", 6),
        (DENSE + "objective elbo(kl_weight=anneal(0.0, 0.3, steps=10))", 6),
        (DENSE + "objective map", 6),
        (DENSE + "objective mle", 6),
        (DENSE.replace("mean_field(init_scale=0.3)", "full_rank"), 2),
        (DENSE.replace("Normal(0, 2)", "StudentT(4, 0, 1)"), 6),
        (LOCAL, 6),
        (LOCAL + "objective iwae(samples=2)", 0),
        (MASKED, 6),
        (PLATES, 6),
    ],
)
def test_right_objectives(text: str, compared: int) -> None:
    report = verified(text, "dce", "train")
    assert report.fault is None, str(report)
    found = [check for check in report.passes[0].checks if check.kind == "meaning"]
    assert sum(check.compared for check in found) == compared


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_programs_are_not_blamed_for_numbers_of_few_bits(dtype: str) -> None:
    text = DENSE.replace("x: f32", f"x: {dtype}").replace(
        "init_scale=0.3)", "init_scale=0.3) using local_reparameterization"
    )
    report = verified(text, "local-reparameterize,dce", "train", "predict")
    assert report.fault is None, str(report)


@pytest.mark.parametrize("estimator", ["local_reparameterization", "deterministic"])
def test_squares_of_bytes_do_not_wrap(estimator: str) -> None:
    text = DENSE.replace("x: f32", "x: u8").replace("init_scale=0.3)", f"init_scale=0.3) using {estimator}")
    text = text.replace("x |> dense(3)", "x @ w").replace("believe kernel", "sample w: f32[5, 3]")
    report = verified(text, "local-reparameterize,moments,dce", "train", "predict")
    assert report.fault is None, str(report)
