"""`blc train`, `evaluate` and `predict` on small models: what they write, and that resuming is exact.

Invariant: every model compiles in about a second, and runs in-process share what JAX has loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bl_compiler.training.checkpoints import Checkpoints
from tests.support.shell import Shell

TRAIN = ("train", "regression.blg", "--data", "data.npz")
STEPS = ("--log-every", "5", "--checkpoint-every", "7", "--validation", "0.2", "--eval-every", "6", "--eval-draws", "2")


def final(folder: str, step: int) -> dict[str, bytes]:
    state = Checkpoints(Path(folder) / "checkpoints").load(step).state
    return {name: array.tobytes() for name, array in state.items()}


def metrics(folder: str) -> list[dict[str, Any]]:
    lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_a_resumed_run_equals_the_unbroken_one_bit_for_bit(blc: Shell) -> None:
    assert blc(*TRAIN, "--out", "whole", "--steps", "20", *STEPS).code == 0
    for steps in ("9", "20"):
        done = blc(*TRAIN, "--out", "parts", "--steps", steps, "--resume", *STEPS)
        assert done.code == 0, done.err
    assert final("parts", 20) == final("whole", 20)
    assert metrics("parts") == metrics("whole")


def test_training_learns_and_evaluation_measures_it(blc: Shell) -> None:
    blc.write(
        "line.blg",
        "model line { plate batch[8] input x: f32[batch, 3] input y: f32[batch] "
        "observe y ~ Normal(x |> dense(1) |> squeeze, 0.1) optimize adam(learning_rate=0.1) }",
    )
    done = blc("train", "line.blg", "--data", "data.npz", "--steps", "300", "--out", "run")
    assert done.code == 0, done.err
    assert done.out == ""
    measured = blc("evaluate", "run", "--data", "data.npz", "--json", "--draws", "2")
    assert measured.code == 0, measured.err
    found = json.loads(measured.out)
    assert (found["step"], found["examples"]) == (300, 45)
    assert found["metrics"]["rmse"]["value"] < 0.05
    readable = blc("evaluate", "run", "--data", "data.npz", "--draws", "2").out
    assert readable.startswith("nll ")


def test_evaluation_does_not_depend_on_the_batch_size(blc: Shell) -> None:
    # 45 examples: batches of 8 leave 5 over, batches of 45 none.
    found = []
    for batch in ("8", "45"):
        blc("train", "classes.blg", "--data", "data.npz", "--steps", "0", "--out", f"run{batch}", "--batch", batch)
        done = blc("evaluate", f"run{batch}", "--data", "data.npz", "--json", "--draws", "3")
        assert done.code == 0, done.err
        found.append(json.loads(done.out)["metrics"])
    assert set(found[0]) == {"nll", "accuracy", "brier", "ece"}
    for name in found[0]:
        assert found[0][name]["value"] == pytest.approx(found[1][name]["value"], rel=1e-5)
        assert found[0][name]["standard_error"] == pytest.approx(found[1][name]["standard_error"], rel=1e-4)


def test_predictions_have_one_row_an_example_and_need_no_labels(blc: Shell) -> None:
    assert blc("train", "classes.blg", "--data", "data.npz", "--steps", "3", "--out", "run").code == 0
    x = np.random.default_rng(1).normal(size=(11, 3))
    np.savez("new.npz", x=x)
    done = blc("predict", "run", "--data", "new.npz", "-o", "all.npz", "--draws", "4")
    assert (done.code, done.out) == (0, "")
    with np.load("all.npz") as file:
        whole = {name: file[name] for name in file.files}
    assert {name: array.shape for name, array in whole.items()} == {
        "label.probs": (11, 4),
        "score.mean": (11, 4),
        "score.stddev": (11, 4),
    }
    assert whole["label.probs"].sum(-1) == pytest.approx(1)
    np.savez("new.npz", x=x[7:8])
    blc("predict", "run", "--data", "new.npz", "-o", "one.npz", "--draws", "4")
    with np.load("one.npz") as file:
        assert file["label.probs"][0] == pytest.approx(whole["label.probs"][7], rel=1e-5)


def test_the_best_checkpoint_is_used_after_early_stopping(blc: Shell) -> None:
    blc.write(
        "bad.blg",
        "model bad { plate batch[8] input x: f32[batch, 3] input y: f32[batch] "
        "observe y ~ Normal(x |> dense(1) |> squeeze, 1) optimize sgd(learning_rate=1.05) }",
    )
    done = blc(
        "train",
        "bad.blg",
        "--data",
        "data.npz",
        "--steps",
        "400",
        "--out",
        "run",
        "--json",
        "--validation",
        "0.3",
        "--eval-every",
        "2",
        "--early-stopping",
        "3",
        "--eval-draws",
        "1",
    )
    assert done.code == 0, done.err
    end = done.lines[-1]
    assert end["stopped_early"]
    assert end["best_step"] == end["step"] - 6
    assert json.loads(blc("evaluate", "run", "--data", "data.npz", "--json").out)["step"] == end["best_step"]
    last = blc("evaluate", "run", "--data", "data.npz", "--json", "--checkpoint", "last")
    assert json.loads(last.out)["step"] == end["step"]
    assert blc("evaluate", "run", "--data", "data.npz", "--checkpoint", "7").code == 2


def test_metrics_go_to_stdout_only_when_asked(blc: Shell) -> None:
    done = blc(*TRAIN, "--steps", "10", "--out", "run", "--json", "--log-every", "5")
    assert [(record["type"], record["step"]) for record in done.lines] == [("metrics", 5), ("metrics", 10), ("end", 10)]
    assert set(done.lines[0]) == {"type", "step", "loss", "nll", "kl"}


def test_a_diverging_run_says_so_and_keeps_what_was_good(blc: Shell) -> None:
    blc.write(
        "bad.blg",
        "model bad { plate batch[8] input x: f32[batch, 3] input y: f32[batch] "
        "observe y ~ Normal(x |> dense(1) |> squeeze, 1) optimize sgd(learning_rate=1e4) }",
    )
    done = blc("train", "bad.blg", "--data", "data.npz", "--steps", "100", "--out", "run", "--checkpoint-every", "2")
    assert (done.code, done.out) == (1, "")
    assert "error[BLC0017]: training diverged: the loss is" in done.err
    good = Checkpoints(Path("run/checkpoints")).steps()
    assert good
    assert f"that of step {good[-1]} in `run`" in done.err


def test_the_size_of_the_data_fills_in_an_open_plate(blc: Shell) -> None:
    blc.write("open.blg", blc.read("regression.blg").replace(" of 32", ""))
    blc.write("closed.blg", blc.read("regression.blg").replace(" of 32", " of 45"))
    for name in ("open", "closed"):
        assert (
            blc("train", f"{name}.blg", "--data", "data.npz", "--steps", "5", "--out", name, "--log-every", "1").code
            == 0
        )
    first, second = metrics("open"), metrics("closed")
    assert [r["loss"] for r in first] == pytest.approx([r["loss"] for r in second], rel=1e-6)
    done = blc("train", "regression.blg", "--data", "data.npz", "--steps", "1", "--out", "other")
    assert done.code == 0
    assert "warning[BLC0020]: plate `batch` is of 32 examples and the training data has 45" in done.err


def test_another_size_of_the_data_can_be_allowed_and_denied(blc: Shell) -> None:
    arguments = ("train", "regression.blg", "--data", "data.npz", "--steps", "1")
    allowed = blc(*arguments, "--out", "allowed", "--allow", "plate-size")
    assert (allowed.code, "BLC0020" in allowed.err) == (0, False)
    denied = blc(*arguments, "--out", "denied", "--deny", "plate-size")
    assert (denied.code, "error[BLC0020]" in denied.err) == (1, True)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_run_is_never_overwritten_by_accident(blc: Shell) -> None:
    assert blc(*TRAIN, "--steps", "2", "--out", "run").code == 0
    before = final("run", 2)
    refused = blc(*TRAIN, "--steps", "2", "--out", "run", "--seed", "1")
    assert refused.code == 2
    assert "already holds a training run" in refused.err
    assert final("run", 2) == before
    assert blc(*TRAIN, "--steps", "2", "--out", "run", "--seed", "1", "--force").code == 0
    assert final("run", 2) != before
    blc.write("mine/notes.txt", "x")
    assert "files that are not of a training run" in blc(*TRAIN, "--steps", "2", "--out", "mine").err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--seed", "5"], "the seed changed (seed was 0 and is 5)"),
        (["--batch", "4"], "the batch size"),
        (["-D", "width=5"], "the model changed"),
        (["--data", "other.npz"], "the data changed"),
        (["--validation", "0.5"], "the validation split changed"),
        (["-O0"], "the compile options changed"),
    ],
)
def test_a_run_is_continued_only_as_what_it_was(blc: Shell, change: list[str], words: str) -> None:
    np.savez("other.npz", x=np.ones((45, 3)), y=np.ones(45))
    blc.write("run/run.json", "{}")
    assert blc(*TRAIN, "--steps", "0", "--out", "run2").code == 0
    done = blc(*TRAIN, "--steps", "4", "--out", "run2", "--resume", *change)
    assert done.code == 1, done.err
    assert "error[BLC0019]" in done.err
    assert words.split(" (")[0] in done.err


def test_a_resumed_run_remembers_what_it_is_not_told_again(blc: Shell) -> None:
    assert blc(*TRAIN, "--steps", "2", "--out", "run", "--seed", "3").code == 0
    assert blc(*TRAIN, "--out", "run", "--resume", "--steps", "4").code == 0
    assert "trained to step 4" in blc(*TRAIN, "--out", "run", "--resume").err
    manifest = json.loads(blc.read("run/run.json"))
    assert (manifest["identity"]["seed"], manifest["about"]["steps"]) == (3, 4)
    manifest["about"]["versions"]["jax"] = "0.0.1"
    blc.write("run/run.json", json.dumps(manifest))
    assert "other versions (jax 0.0.1 -> " in blc(*TRAIN, "--out", "run", "--resume").err


def test_formatting_the_model_does_not_make_it_another(blc: Shell) -> None:
    assert blc(*TRAIN, "--steps", "0", "--out", "run").code == 0
    blc.write("regression.blg", "# a comment\n" + blc.read("regression.blg").replace("  ", "    "))
    assert blc(*TRAIN, "--steps", "1", "--out", "run", "--resume").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "missing.npz", "--steps", "1"], 2, "BLC0010"),
        (["--steps", "1", "--batch", "32", "--validation", "0.5"], 1, "23 examples left after the validation split"),
        ([], 2, "missing option `--steps`"),
        (["--steps", "1", "--early-stopping", "3"], 2, "needs validation data"),
        (["--steps", "1", "--target", "tpu:v5e:2x4"], 2, "programs do not run on `tpu:v5e:2x4`"),
        (["--steps", "1", "--target", "gpu"], 3, "target `gpu` is not available here"),
        (["--steps", "-1"], 2, "-1"),
    ],
)
def test_faults_are_told_before_anything_is_written(blc: Shell, arguments: list[str], code: int, words: str) -> None:
    done = blc(*TRAIN, "--out", "run", *arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert words in done.err
    assert not Path("run").exists()


def test_too_few_examples_for_a_batch_are_told_with_the_way_out(blc: Shell) -> None:
    done = blc("train", "classes.blg", "--data", "data.npz", "--steps", "1", "--out", "run", "--batch", "46")
    assert done.code == 1
    assert "`data.npz` has 45 examples, and one batch takes 46" in done.err
    assert "train with `--batch 45` or fewer" in done.err


@pytest.mark.parametrize("name", ["checkpoint.json", "state/_METADATA", "state/manifest.ocdbt", "state/d"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
def test_damaged_checkpoints_are_told_with_the_way_out(blc: Shell, name: str, damage: str) -> None:
    folder = Path("run/checkpoints")
    assert blc(*TRAIN, "--out", "run", "--steps", "4", "--checkpoint-every", "2").code == 0
    path = folder / "4" / name
    path = next(path.iterdir()) if path.is_dir() else path
    whole = path.read_bytes()
    half = len(whole) // 2
    damaged = {"empty": b"", "cut": whole[:half], "flipped": whole[:half] + b"\xff" + whole[half + 1 :]}
    path.unlink()
    if damage != "gone":
        path.write_bytes(damaged[damage])
    elif name == "checkpoint.json":
        return  # then it is no checkpoint, and the one before is the last
    for command in (("evaluate", "run", "--data", "data.npz"), (*TRAIN, "--out", "run", "--resume")):
        done = blc(*command)
        assert (done.code, done.out) == (2, "")
        assert "error[BLC0018]: the checkpoint `run/checkpoints/4` cannot be read" in done.err
        assert "delete it; there are also those of the steps 2" in done.err
        assert "Traceback" not in done.err
    assert blc("evaluate", "run", "--data", "data.npz", "--checkpoint", "2", "--draws", "2").code == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [("metrics.jsonl", b"\xff\xfe\n[1]\n7\n"), ("model.json", b"[1]"), ("model.json", b"\xff"), ("model.json", None)],
)
def test_a_resumed_run_mends_the_rest_of_its_folder(blc: Shell, name: str, text: bytes | None) -> None:
    assert blc(*TRAIN, "--out", "run", "--steps", "2").code == 0
    path = Path("run", name)
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    if name == "model.json":
        broken = blc("evaluate", "run", "--data", "data.npz")
        assert broken.code == 2
        assert "`blc train --resume` mends it" in broken.err
    done = blc(*TRAIN, "--out", "run", "--resume", "--steps", "3")
    assert done.code == 0, done.err
    assert blc("evaluate", "run", "--data", "data.npz", "--draws", "2").code == 0


def test_force_removes_checkpoints_and_nothing_else(blc: Shell) -> None:
    assert blc(*TRAIN, "--out", "run", "--steps", "2").code == 0
    blc.write("run/checkpoints/notes.txt", "precious")
    assert blc(*TRAIN, "--out", "run", "--steps", "1", "--force").code == 0
    assert Checkpoints(Path("run/checkpoints")).steps() == [1]
    assert blc.read("run/checkpoints/notes.txt") == "precious"


def test_a_folder_that_is_no_run_is_told(blc: Shell) -> None:
    blc.write("no/run.txt", "")
    for name in ("no", "missing", "data.npz"):
        done = blc("evaluate", name, "--data", "data.npz")
        assert (done.code, done.out) == (2, "")
        assert "is not the folder of a training run" in done.err


def test_data_faults_show_the_line_of_the_model(blc: Shell) -> None:
    np.savez("bad.npz", x=np.zeros((45, 4)), y=np.zeros(45))
    done = blc("train", "regression.blg", "--data", "bad.npz", "--steps", "1", "--out", "run")
    assert done.code == 1
    assert "array `x` of `bad.npz` is f64[45, 4] and the input is f32[batch, 3]" in done.err
    assert "--> regression.blg:5:3" in done.err


def test_models_with_latents_of_each_example_are_measured_by_their_bound(blc: Shell) -> None:
    blc.write(
        "vae.blg",
        "model vae { plate batch[8] input x: f32[batch, 3] let h = x |> dense(4) "
        "sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(h |> dense(2), h |> dense(2) |> softplus) "
        "observe x ~ Normal(z |> dense(3), 1) }",
    )
    done = blc("train", "vae.blg", "--data", "data.npz", "--steps", "4", "--out", "run", "--json", *STEPS[4:8])
    assert done.code == 0, done.err
    assert (
        blc("train", "vae.blg", "--data", "data.npz", "--steps", "8", "--out", "run", "--resume", *STEPS[:8]).code == 0
    )
    assert "validation_loss" in metrics("run")[-1]
    found = json.loads(blc("evaluate", "run", "--data", "data.npz", "--json").out)["metrics"]
    assert set(found) == {"reconstruction_nll", "rmse"}


def test_masks_leave_entries_out_of_the_scores(blc: Shell) -> None:
    blc.write(
        "masked.blg",
        "model masked { plate batch[8] input x: f32[batch, 4, 3] input label: i32[batch, 4] input seen: bool[batch, 4] "
        "observe label ~ Categorical(logits = x |> dense(5)) where seen }",
    )
    rng = np.random.default_rng(0)
    seen = rng.uniform(size=(20, 4)) < 0.6
    label = np.where(seen, rng.integers(0, 5, (20, 4)), -1)
    x = rng.normal(size=(20, 4, 3))
    np.savez("seen.npz", x=x, label=label, seen=seen)
    assert blc("train", "masked.blg", "--data", "seen.npz", "--steps", "2", "--out", "run").code == 0
    found = json.loads(blc("evaluate", "run", "--data", "seen.npz", "--json", "--draws", "1").out)["metrics"]
    blc("predict", "run", "--data", "seen.npz", "-o", "p.npz", "--draws", "1")
    with np.load("p.npz") as file:
        probs = file["label.probs"]
    right = (probs.argmax(-1) == label)[seen]
    assert found["accuracy"]["value"] == pytest.approx(right.mean())
    taken = np.take_along_axis(probs, np.maximum(label, 0)[..., None], -1)[..., 0]
    assert found["nll"]["value"] == pytest.approx(-np.where(seen, np.log(taken), 0).sum(1).mean(), rel=1e-4)
