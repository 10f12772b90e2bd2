"""Joint draws and the preference among estimators, on the command line of a trained model."""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.ir.graph import Module
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.cse import Cse
from tests.support.shell import Shell

TRAIN = ("train", "regression.blg", "--data", "data.npz")

JOINT = """\
model line {
  plate batch[8]
  input x: f32[batch, 3]
  input y: f32[batch]
  believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.5)
  let f = x |> dense(1) |> squeeze
  observe y ~ Normal(f, 0.25)
  predict f = f
}
"""


def test_joint_predictions_are_draws_of_functions_over_all_batches(blc: Shell) -> None:
    blc.write("line.blg", JOINT)
    assert blc("train", "line.blg", "--data", "data.npz", "--steps", "0", "--out", "run").code == 0
    x = np.tile(np.random.default_rng(1).normal(size=(11, 3)), (2, 1))  # the copies lie in other batches
    np.savez("new.npz", x=x)
    done = blc("predict", "run", "--data", "new.npz", "-o", "draws.npz", "--draws", "6", "--joint")
    assert (done.code, done.out) == (0, ""), done.err
    with np.load("draws.npz") as file:
        found = {name: file[name] for name in file.files}
    assert {name: array.shape for name, array in found.items()} == {
        "f.value": (6, 22),
        "y.mean": (6, 22),
        "y.stddev": (6, 22),
    }
    assert found["f.value"][:, 11:] == pytest.approx(found["f.value"][:, :11], rel=1e-5)
    assert np.linalg.matrix_rank(found["f.value"] - found["f.value"][0], tol=1e-3) == 3, "linear functions of x"
    assert found["y.stddev"] == pytest.approx(0.25)


def test_joint_draws_of_examples_latent_variables_come_from_one_batch(blc: Shell) -> None:
    blc.write(
        "local.blg",
        "model local { plate batch[8] input x: f32[batch, 3] "
        "sample z: f32[batch] ~ Normal(0, 1) by Normal(x |> dense(1) |> squeeze, 0.5) "
        "observe x ~ Normal(z |> expand_dims(1) |> dense(3), 1) }",
    )
    assert blc("train", "local.blg", "--data", "data.npz", "--steps", "0", "--out", "run").code == 0
    refused = blc("predict", "run", "--data", "data.npz", "-o", "p.npz", "--joint")
    assert (refused.code, refused.out) == (2, "")
    assert "error[BLC0210]" in refused.err
    assert "at most 8 examples" in refused.err
    np.savez("few.npz", x=np.ones((8, 3)))
    assert blc("predict", "run", "--data", "few.npz", "-o", "p.npz", "--joint", "--draws", "4").code == 0
    with np.load("p.npz") as file:
        assert file["x.mean"].shape == (4, 8, 3)
        assert np.std(file["x.mean"][0], axis=0).min() > 0, "each example has a latent variable of its own"


def test_the_preference_among_estimators_is_an_option_of_every_command(blc: Shell) -> None:
    steps = ("--steps", "1", "--checkpoint-every", "1")
    assert blc(*TRAIN, "--out", "run", "--estimators", "low-variance", *steps).code == 0
    other = blc(*TRAIN, "--out", "run", "--resume", "--steps", "2")
    assert "BLC0019" in other.err, "a run goes on as it was started"
    assert blc(*TRAIN, "--out", "run", "--resume", "--estimators", "low-variance", "--steps", "2").code == 0
    asked: list[str] = []

    class Recording(Cse):
        def run(self, module: Module, ctx: PassContext) -> Module:
            asked.append(ctx.estimators)
            return module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cse, "run", Recording.run)
        for given in ((), ("--estimators", "shared")):
            for command in ("evaluate", "predict"):
                output = ("-o", "p.npz") if command == "predict" else ()
                done = blc(command, "run", "--data", "data.npz", "--draws", "1", *output, *given)
                assert done.code == 0, done.err
    assert list(dict.fromkeys(asked)) == ["low-variance", "shared"]
    wrong = blc("predict", "run", "--data", "data.npz", "-o", "p.npz", "--estimators", "fats")
    assert wrong.code == 2
    assert "did you mean `fast`?" in wrong.err
