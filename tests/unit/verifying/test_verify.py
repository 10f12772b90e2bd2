"""The checker against passes that are right and passes that are broken on purpose: it names the broken ones.

Every wrong pass is run on the entry point in which it shows; thresholds are the checker's own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bl_compiler.diagnostics import CompileError
from bl_compiler.driver.compile import Compiled
from bl_compiler.driver.verify import Task, verify
from bl_compiler.driver.verifying.feeds import perturbed, sites_of
from bl_compiler.driver.verifying.graphs import draws_of, random_outputs, with_draws
from bl_compiler.driver.verifying.report import UNOPTIMIZED, Report
from bl_compiler.options import OptionError, Options
from tests.support.compiling import compiled
from tests.unit.verifying.mutants import REGISTRY, WRONG

DENSE = """
model dense {
  plate batch[6] of 60
  input x: f32[batch, 5]
  input y: i32[batch]
  believe kernel ~ Normal(0, 1) by mean_field
  let logits = x |> dense(4) |> tanh |> dense(3)
  observe y ~ Categorical(logits=logits)
}
"""
# One weight at four positions of each example: products at them share its noise.
POSITIONS = """
model positions {
  plate batch[6] of 60
  input x: f32[batch, 4, 5]
  input y: f32[batch, 4]
  believe kernel ~ Normal(0, 1) by mean_field
  let mean = x |> dense(1) |> squeeze
  observe y ~ Normal(mean, 0.5)
}
"""
# Batch statistics mix examples, a local latent is drawn, and the KL of the mixture has no closed form.
MIXED = """
model mixed {
  plate batch[6] of 60
  input x: f32[batch, 5]
  believe kernel ~ Cauchy(0, 1) by mean_field
  sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), x |> dense(2) |> softplus)
  let mean = z |> dense(3) |> batch_norm |> relu |> dense(5)
  observe x ~ Normal(mean, 0.5)
}
"""


@cache
def stages(text: str) -> Compiled:
    return compiled(text, level=0)


def report(text: str, passes: str, *entries: str, draws: int = 512, **arguments: Any) -> Report:
    found = stages(text)
    assert found.module is not None
    assert found.entries is not None
    options = replace(Options(), pipeline=passes)
    task = Task(found.module, found.entries)
    return verify(task, options, draws=draws, only=entries, registry=REGISTRY, **arguments)


# --- right passes ----------------------------------------------------------------------------------------------------


def test_local_reparameterization_keeps_the_law_of_each_example() -> None:
    found = report(DENSE, "canonicalize,right-local,cse,dce", "train", "predict")
    assert found.fault is None, str(found)
    local = next(v for v in found.passes if v.name == "right-local")
    kinds = {(c.entry, c.kind) for c in local.checks}
    assert {("train", "gradient"), ("predict", "covariance"), ("predict", "variance"), ("train", "mean")} <= kinds
    # What cleans up after it makes the same draws, and is not measured again.
    assert {c.measure for v in found.passes[-2:] for c in v.checks} == {"relative"}


@pytest.mark.parametrize("entry", ["train", "sample"])
def test_other_streams_of_the_same_laws_pass(entry: str) -> None:
    found = report(MIXED, "other-site", entry)
    assert found.fault is None, str(found)
    assert any(check.measure == "score" for check in found.passes[1].checks)


OWN = {
    "flipout": (
        """
        model convolved {
          plate batch[6] of 60
          input x: f32[batch, 4, 4, 1]
          input y: i32[batch]
          believe kernel ~ Normal(0, 1) by mean_field using flipout
          let logits = x |> conv2d(2, kernel_size=3) |> relu |> flatten |> dense(3)
          observe y ~ Categorical(logits=logits)
        }""",
        ("train",),
    ),
    "moments": (
        """
        model integrated {
          plate batch[6] of 60
          input x: f32[batch, 5]
          input y: f32[batch]
          believe kernel, bias ~ Normal(0, 1) by mean_field using deterministic
          observe y ~ Normal(x |> dense(1) |> squeeze, 0.5)
        }""",
        ("train", "predict"),
    ),
}
"""Models that bring in estimators of the compiler: by pass, with the entry points it changes."""


@pytest.mark.parametrize("name", OWN)
def test_estimators_of_the_compiler_pass(name: str) -> None:
    text, entries = OWN[name]
    stage = stages(text)
    assert stage.module is not None
    assert stage.entries is not None
    found = verify(Task(stage.module, stage.entries), Options(), draws=512, only=entries)
    assert found.fault is None, str(found)
    made = {v.name: {c.measure for c in v.checks} for v in found.passes if v.changed}
    assert made[name] == {"relative", "score"}


# --- wrong passes ----------------------------------------------------------------------------------------------------

SHOWS_IN = {
    "unsquared": ("log_likelihood", {"mean", "variance"}),
    "too-wide": ("predict", {"variance"}),
    "noise-shared-by-outputs": ("predict", {"covariance"}),
    "mean-for-draw": ("predict", {"mean"}),
    "shifted-draw": ("sample", {"mean"}),
    "scaled-kl": ("train", {"reference"}),
    "stopped-kl": ("train", {"gradient of kl"}),
    "stopped-density": ("train", {"gradient"}),
    "scaled-density": ("log_joint", {"reference"}),
    "lost-output": ("train", {"outputs"}),
}


def test_every_wrong_pass_is_tried() -> None:
    assert set(SHOWS_IN) == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_pass_is_named(name: str) -> None:
    entry, kinds = SHOWS_IN[name]
    found = report(DENSE, f"cse,{name},dce", entry)
    assert found.fault is not None
    assert found.fault.name == name
    assert kinds <= {check.kind for check in found.fault.checks if not check.ok}
    assert [v.words for v in found.passes if v.name == "dce"] == ["not checked"]
    diagnostic = found.diagnostic()
    assert diagnostic is not None
    assert f"pass `{name}` changed what `{entry}` computes" in diagnostic.message


def test_terms_of_single_examples_show_what_the_average_loss_hides() -> None:
    found = report(DENSE, "too-wide", "train")
    assert found.fault is not None
    bad = {(check.kind, check.where.partition(" at line")[0]) for check in found.fault.checks if not check.ok}
    assert ("variance", "term:logits") in bad
    assert "mean" not in {kind for kind, _ in bad}


def test_independent_noise_at_the_positions_of_one_example_is_caught() -> None:
    found = report(POSITIONS, "right-local", "predict")
    assert found.fault is not None
    assert {check.kind for check in found.fault.checks if not check.ok} == {"covariance"}


def test_independent_noise_for_examples_is_caught_in_joint_predictions_only() -> None:
    found = report(DENSE, "right-local", "predict", "predict_joint")
    assert found.fault is not None
    assert {(c.entry, c.kind) for c in found.fault.checks if not c.ok} == {("predict_joint", "covariance")}


# --- what it runs on -------------------------------------------------------------------------------------------------


def test_random_parameters_are_not_degenerate_and_follow_from_the_seed() -> None:
    entries = stages(MIXED).entries
    assert entries is not None
    found, again, other = perturbed(entries, 3), perturbed(entries, 3), perturbed(entries, 4)
    for path, value in found.items():
        assert np.array_equal(value, again[path])
        assert not np.array_equal(value, other[path])
        assert np.all(np.isfinite(value))
        if path.endswith("kernel/scale"):
            scale = np.logaddexp(0, value)
            assert 0.05 < scale.min() < scale.max() < 0.8
        if path.endswith(("/variance", "/var")):
            assert value.min() > 0


def test_given_parameters_and_inputs_are_used() -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(6, 5)), "y": np.arange(6) % 3}
    entries = stages(DENSE).entries
    assert entries is not None
    # Without spread nothing is random: even a pass that forgets the noise is right.
    params = {path: np.full_like(v, -30) if "scale" in path else v for path, v in perturbed(entries, 1).items()}
    still = report(DENSE, "mean-for-draw", "predict", inputs=inputs, params=params)
    assert still.fault is None, str(still)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"inputs": {"x": np.zeros((6, 5))}}, "BLC0011"),
        ({"inputs": {"x": np.zeros((6, 4)), "y": np.zeros(6, np.int32)}}, "BLC0012"),
        ({"params": {}}, "BLC0011"),
        ({"inputs": {"x": np.full((6, 5), np.inf), "y": np.zeros(6, np.int32)}}, "BLC0014"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(CompileError) as caught:
        report(DENSE, "cse", **arguments)
    assert {d.code for d in caught.value.diagnostics} == {code}


def test_a_model_that_observes_nothing_is_verified() -> None:
    text = "model plain { plate batch[6] of 60 input x: f32[batch, 5] predict f = x |> dense(4) }"
    found = report(text, "cse")
    assert found.fault is None, str(found)


def test_too_few_draws_and_unknown_entries_are_refused() -> None:
    with pytest.raises(OptionError, match="draws"):
        report(DENSE, "cse", draws=64)
    with pytest.raises(OptionError, match="entry point"):
        report(DENSE, "cse", "prediction")


# --- what it knows of graphs -----------------------------------------------------------------------------------------


def test_outputs_that_depend_on_draws_are_known() -> None:
    entries = stages(DENSE).entries
    assert entries is not None
    graphs = entries.functions
    assert random_outputs(graphs["train"]) == {"loss", "nll"}
    assert random_outputs(graphs["log_joint"]) == set()
    assert random_outputs(graphs["predict"]) == {"probs:y"}
    mixed = stages(MIXED).entries
    assert mixed is not None
    assert {"kl", "loss", "state:mean/batch_norm/mean"} <= random_outputs(mixed.functions["train"])


def test_draws_become_outputs() -> None:
    entries = stages(DENSE).entries
    assert entries is not None
    graph = entries.functions["predict"]
    added = {o.name for o in with_draws(graph, "").outputs} - {o.name for o in graph.outputs}
    assert added == {"draw:logits/dense/kernel", "draw:logits/dense_1/kernel"}
    assert draws_of(with_draws(graph, "")) == draws_of(graph)


def test_sites_are_drawn_for_the_joint_density() -> None:
    entries = stages(DENSE).entries
    assert entries is not None
    inputs = {"x": np.ones((6, 5), np.float32), "y": np.zeros(6, np.int32)}
    found = sites_of(entries, perturbed(entries, 0), inputs, {}, range(2))
    assert [set(sites) for sites in found] == [{"logits/dense/kernel", "logits/dense_1/kernel"}] * 2
    assert not np.array_equal(found[0]["logits/dense/kernel"], found[1]["logits/dense/kernel"])


def test_an_emitted_program_that_disagrees_with_the_reference_is_no_pass_at_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bl_compiler.backends.reference import interpret

    table = {**interpret.NUMPY, "math.tanh": lambda frame, node, operands: (np.arctan(operands[0]),)}
    monkeypatch.setattr(interpret, "NUMPY", table)
    found = report(DENSE, "cse", "predict")
    assert found.fault is not None
    assert found.fault.name == UNOPTIMIZED
    diagnostic = found.diagnostic()
    assert diagnostic is not None
    assert "disagrees with the reference interpreter" in diagnostic.message
