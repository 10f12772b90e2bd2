"""A program trains on batches of a fixed size and predicts on any number of examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bl_compiler as bl

MODEL = """
model regression {
  plate row[8] of 40
  input x: f32[row, 3]
  input y: f32[row]
  believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.3)
  let mean = x |> dense(4) |> relu |> dense(1) |> squeeze
  observe y ~ Normal(mean, 0.5)
}
"""


@pytest.fixture
def program(tmp_path: Path) -> bl.Program:
    path = tmp_path / "m.blg"
    path.write_text(MODEL, encoding="utf-8")
    return bl.compile(path)


def data(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    return {"x": rng.normal(size=(rows, 3)).astype("f4"), "y": rng.normal(size=rows).astype("f4")}


@pytest.mark.parametrize("rows", [1, 8, 13])
def test_predictions_do_not_depend_on_how_many_are_asked_for(program: bl.Program, rows: int) -> None:
    params, many = program.init(0), data(13)
    all_rows = program.predict(params, {"x": many["x"]}, seed=3, draws=5)["y"]
    some = program.predict(params, {"x": many["x"][:rows]}, seed=3, draws=5)["y"]
    for name in ("mean", "stddev"):
        np.testing.assert_allclose(some[name], all_rows[name][:rows], rtol=2e-5)


def test_the_other_entry_points_take_any_number_too(program: bl.Program) -> None:
    params, inputs = program.init(0), data(5)
    likelihood = program.log_likelihood(params, inputs, seed=1, draws=4)["y"]
    assert likelihood.shape == (4, 5)
    sites = {path: np.zeros(feed.type.shape, "f4") for path, feed in program.interface.sites.items()}
    joint = program.log_joint(params, sites, inputs)
    bias = np.float32(0.0)
    # With all kernels 0 the mean is the output bias, which starts at 0; the five rows stand for the forty.
    rows = -0.5 * ((inputs["y"] - bias) / 0.5) ** 2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
    prior = sum(-0.5 * np.log(2 * np.pi) * value.size for value in sites.values())
    np.testing.assert_allclose(joint, rows.sum() * 40 / 5 + prior, rtol=1e-5)
    loss, metrics = program.loss(params, inputs, seed=0)
    np.testing.assert_allclose(loss, metrics["nll"] + metrics["kl"], rtol=1e-6)


def test_training_keeps_its_batch_size(program: bl.Program) -> None:
    with pytest.raises(bl.CompileError, match="takes \\[8, 3\\]"):
        program.train_step(program.train_init(0), data(5))


def test_a_wrong_shape_is_still_refused(program: bl.Program) -> None:
    with pytest.raises(bl.CompileError, match="takes \\[8, 3\\]"):
        program.predict(program.init(0), {"x": np.zeros((5, 4), "f4")}, seed=0)


def test_joint_draws_are_of_functions(program: bl.Program) -> None:
    """Equal inputs get equal values in every draw, among any number of examples and from one call to the next."""
    params, x = program.init(0), np.tile(data(3)["x"], (4, 1))
    found = program.predict(params, {"x": x}, seed=3, draws=6, joint=True)["y"]
    assert {name: array.shape for name, array in found.items()} == {"mean": (6, 12), "stddev": (6, 12)}
    for start in (3, 6, 9):
        np.testing.assert_allclose(found["mean"][:, start : start + 3], found["mean"][:, :3], rtol=2e-5)
    again = program.predict(params, {"x": x[:8]}, seed=3, draws=6, joint=True)["y"]
    np.testing.assert_allclose(again["mean"], found["mean"][:, :8], rtol=2e-5)
    summary = program.predict(params, {"x": x}, seed=3, draws=6)["y"]
    np.testing.assert_allclose(np.mean(found["stddev"] ** 2, axis=0), 0.25, rtol=1e-5)
    assert summary["mean"].shape == (12,)


def test_joint_draws_stay_what_they_are_whatever_estimates_the_others(tmp_path: Path) -> None:
    """Draw by draw the functions of the program without passes, while each example has noise of its own elsewhere."""
    path = tmp_path / "m.blg"
    path.write_text(MODEL.replace("(init_scale=0.3)", "(init_scale=0.3) using local_reparameterization"))
    rewritten, plain = bl.compile(path), bl.compile(path, level=0)
    params, x = plain.init(0), np.tile(data(4)["x"], (2, 1))
    one = np.asarray(rewritten.predict(params, {"x": x}, seed=3, draws=1)["y"]["mean"])
    assert np.abs(one[:4] - one[4:]).max() > 1e-3, "the estimator asked for is used"
    found, wanted = (p.predict(params, {"x": x}, seed=3, draws=6, joint=True)["y"]["mean"] for p in (rewritten, plain))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, :4], found[:, 4:], rtol=2e-5, atol=1e-6)
    assert np.ptp(np.asarray(found)[:, 0]) > 0.1
