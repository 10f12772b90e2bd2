"""`import bl_compiler as bl`: names, compiling, bundles, checkpoints.

Invariant: what the command line does and what Python does is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bl_compiler as bl
from tests.support.shell import REGRESSION, Shell

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
FEED = {"x": X, "y": X[:, 0]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "regression.blg"
    file.write_text(REGRESSION, encoding="utf-8")
    return file


def builder() -> bl.Model:
    with bl.Model("regression") as model:
        batch = bl.plate("batch", 8, of=32)
        x = bl.input("x", bl.f32[batch, 3])
        y = bl.input("y", bl.f32[batch])
        with bl.believe(kernel=bl.Normal(0, 1).by(bl.mean_field)):
            mean = x | bl.dense(4) | bl.relu | bl.dense(1) | bl.squeeze
        bl.observe(y, bl.Normal(mean, 0.5))
    return model


def test_builder_and_file_give_one_program(path: Path) -> None:
    from_file, from_python = bl.compile(path), bl.compile(builder())
    params = from_file.init(seed=0)
    one, _ = from_file.loss(params, FEED, seed=1)
    two, _ = from_python.loss(from_python.init(seed=0), FEED, seed=1)
    assert float(one) == float(two)


def test_options_are_those_of_the_command_line(path: Path) -> None:
    program = bl.compile(path, defines={"width": 2}, batch=4, level=2, target="tpu")
    assert program.params["mean/dense/kernel/loc"].type.shape == (3, 2)
    assert program.inputs["x"].shape == (4, 3)
    with pytest.raises(bl.OptionError, match="did you mean `level`"):
        bl.compile(path, levle=2)
    with pytest.raises(bl.CompileError, match="did you mean `width`"):
        bl.compile(path, defines={"widht": 2})
    with pytest.raises(bl.OptionError, match="not supported yet"):
        bl.compile(path, mesh="data=4")
    assert bl.compile(path, estimators="low-variance").entries == program.entries
    with pytest.raises(bl.OptionError, match="did you mean `shared`"):
        bl.compile(path, estimators="sharde")


def test_one_of_several_models_is_chosen(tmp_path: Path) -> None:
    file = tmp_path / "two.blg"
    body = "{ plate batch[4] input y: f32[batch] param m: f32[] = 0.0 observe y ~ Normal(m, 1) }"
    file.write_text(f"model first {body}\nmodel second {body}\n", encoding="utf-8")
    with pytest.raises(bl.CompileError, match="second"):
        bl.compile(file)
    assert bl.compile(file, model="second").name == "second"


def test_errors_show_the_source(tmp_path: Path) -> None:
    (tmp_path / "m.blg").write_text(REGRESSION.replace("dense(width)", "dens(width)"), encoding="utf-8")
    with pytest.raises(bl.CompileError, match=r"error\[BLC0201\][\s\S]*did you mean `dense`"):
        bl.compile(tmp_path / "m.blg")


def test_lints_are_python_warnings(path: Path) -> None:
    path.write_text("option unused = 1\n" + REGRESSION, encoding="utf-8")
    with pytest.warns(bl.ModelWarning, match="BLC0355"):
        bl.compile(path)
    bl.compile(path, allow=("unused-option",))
    with pytest.raises(bl.CompileError, match="BLC0355"):
        bl.compile(path, deny=("warnings",))


def test_bundles_come_back(path: Path, tmp_path: Path) -> None:
    program = bl.compile(path)
    folder = bl.save(program, tmp_path / "saved", target="gpu")
    loaded = bl.load(folder)
    params = program.init(seed=0)
    assert float(loaded.loss(params, FEED, seed=1)[0]) == float(program.loss(params, FEED, seed=1)[0])
    with pytest.raises(bl.CompileError, match="BLC0902"):
        bl.load(tmp_path)


def test_checkpoints_come_back(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", **FEED)
    assert Shell(tmp_path, capsys)("train", str(path), "--data", "data.npz", "--steps", "3", "--out", "run").code == 0
    program = bl.compile(path)
    state = bl.restore(program, "run/checkpoints/3")
    assert int(state["step"]) == 3
    after, metrics = program.train_step(state, FEED)
    assert int(after["step"]) == 4
    assert np.isfinite(float(metrics["loss"]))
    with pytest.raises(bl.CompileError, match=r"BLC0019[\s\S]*`mean/dense/bias` is float32\[4\] there"):
        bl.restore(bl.compile(path, defines={"width": 5}), "run/checkpoints/3")
    for wrong in ("run", "run/checkpoints/4"):
        with pytest.raises(bl.CompileError, match="BLC0018"):
            bl.restore(program, wrong)


def test_names_are_found_listed_and_suggested() -> None:
    for name in (
        "compile",
        "load",
        "Model",
        "plate",
        "dense",
        "relu",
        "Normal",
        "f32",
        "mean_field",
        "adam",
        "CompileError",
    ):
        assert getattr(bl, name) is not None
    assert {"compile", "dense", "Normal", "plate"} <= set(dir(bl))
    with pytest.raises(AttributeError, match="did you mean 'dense'"):
        bl.dens  # noqa: B018
    assert not hasattr(bl, "__wrapped__")
