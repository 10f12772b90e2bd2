"""Every file of `examples/`: laid out, free of warnings, equal to its Python twin, and good for a short training run.

Invariant: what a user would type is what runs here, in-process, on the data that ships with the examples.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bl_compiler.driver.compile import compile_file, compile_sources
from bl_compiler.driver.models import new_sink
from bl_compiler.frontend.model import Model
from bl_compiler.frontend.sources import Sources
from bl_compiler.ir.graph import Module
from bl_compiler.ir.printer import print_module
from bl_compiler.options import Options
from tests.support.quick import quick_compiles
from tests.support.shell import Shell

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.blg"))

DATA = {"bayesian_cnn_digits": "digits", "bayesian_mlp": "digits", "regression": "diabetes", "vae": "digits"}
"""The data of those examples that have some."""

STEPS = 30
TESTED = {"digits": 360, "diabetes": 88}
PREDICTED = {
    "bayesian_cnn_digits": {"y.probs": (10,)},
    "bayesian_mlp": {"y.probs": (10,)},
    "regression": {"y.mean": (), "y.stddev": ()},
    "vae": {"x.mean": (64,), "x.stddev": (64,)},
}
"""The shape of one example's row in each array that `blc predict` writes."""
METRICS = {
    "bayesian_cnn_digits": {"nll", "accuracy", "brier", "ece"},
    "bayesian_mlp": {"nll", "accuracy", "brier", "ece"},
    "regression": {"nll", "rmse"},
    "vae": {"reconstruction_nll", "rmse"},
}


@pytest.fixture
def blc(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with quick_compiles():
        yield Shell(tmp_path, capsys)


def source(name: str) -> str:
    return str(EXAMPLES / f"{name}.blg")


def modules_of_file(name: str) -> tuple[Module, Module]:
    """A file's module as lowered and as optimized."""
    options = Options.of()
    sink = new_sink(options)
    compiled = compile_file(source(name), options, sink)
    assert compiled is not None, sink.diagnostics
    assert compiled.module is not None
    assert compiled.optimized is not None
    return compiled.module, compiled.optimized.module


def modules_of_twin(name: str) -> tuple[Module, Module]:
    """The same of the model that the Python file builds."""
    model = runpy.run_path(str(EXAMPLES / f"{name}.py"))["model"]
    assert isinstance(model, Model)
    options = Options.of()
    sink = new_sink(options)
    compiled = compile_sources(Sources(model.file), options, sink)
    assert compiled is not None, sink.diagnostics
    assert compiled.module is not None
    assert compiled.optimized is not None
    return compiled.module, compiled.optimized.module


def test_every_example_is_listed() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == NAMES
    assert sorted([*DATA, "bayesian_cnn"]) == NAMES


def test_examples_have_nothing_to_complain_about(blc: Shell) -> None:
    files = [source(name) for name in NAMES]
    done = blc("check", "--deny", "warnings", *files)
    assert (done.code, done.err.count("warning")) == (0, 0), done.err
    done = blc("fmt", "--check", *files)
    assert (done.code, done.out) == (0, ""), done.err


@pytest.mark.parametrize("name", NAMES)
def test_the_python_twin_is_the_same_model(name: str) -> None:
    for found, expected in zip(modules_of_twin(name), modules_of_file(name), strict=True):
        assert found == expected
        assert print_module(found, spans=False) == print_module(expected, spans=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DATA))
def test_a_short_run_learns_evaluates_and_predicts(blc: Shell, name: str) -> None:
    data = {part: str(EXAMPLES / "data" / f"{DATA[name]}_{part}.npz") for part in ("train", "test")}
    trained = blc(
        "train", source(name), "--data", data["train"], "--steps", str(STEPS), "--out", "run", "--json", "--log-every=1"
    )
    assert (trained.code, trained.err.count("warning")) == (0, 0), trained.err
    losses = [record["loss"] for record in trained.lines if record["type"] == "metrics"]
    assert len(losses) == STEPS
    # Ten steps a side average out which minibatch a step saw.
    assert np.mean(losses[-10:]) < np.mean(losses[:10])

    measured = blc("evaluate", "run", "--data", data["test"], "--json", "--draws", "4")
    assert measured.code == 0, measured.err
    found = json.loads(measured.out)
    assert (found["step"], found["examples"]) == (STEPS, TESTED[DATA[name]])
    assert set(found["metrics"]) == METRICS[name]
    for metric in found["metrics"].values():
        assert np.isfinite(metric["value"])
        assert metric["standard_error"] > 0

    predicted = blc("predict", "run", "--data", data["test"], "-o", "predicted.npz", "--draws", "4")
    assert (predicted.code, predicted.out) == (0, ""), predicted.err
    with np.load("predicted.npz") as file:
        arrays = {name: file[name] for name in file.files}
    rows = TESTED[DATA[name]]
    assert {key: array.shape for key, array in arrays.items()} == {
        key: (rows, *shape) for key, shape in PREDICTED[name].items()
    }
    assert all(np.isfinite(array).all() for array in arrays.values())
    if "y.probs" in arrays:
        np.testing.assert_allclose(arrays["y.probs"].sum(-1), 1, rtol=1e-5)
        # Ten even classes: a run that learned anything beats chance by far.
        with np.load(data["test"]) as file:
            assert np.mean(arrays["y.probs"].argmax(-1) == file["y"]) > 0.3


@pytest.mark.slow
def test_the_poster_cnn_compiles_for_a_tpu_and_takes_a_step(blc: Shell) -> None:
    done = blc("compile", source("bayesian_cnn"), "--target", "tpu", "-o", "tpu")
    assert done.code == 0, done.err
    assert json.loads(blc.read("tpu/manifest.json"))["platform"] == "tpu"
    text = blc.read("tpu/train_step.stablehlo.mlir")
    assert text.count("stablehlo.convolution") >= 2
    assert "tensor<256x32x32x3xf32>" in text

    rng = np.random.default_rng(0)
    np.savez("data.npz", images=rng.normal(size=(4, 32, 32, 3)).astype(np.float32), labels=[3, 1, 4, 1])
    arguments = ("--data", "data.npz", "--batch", "2", "--steps", "1", "--json", "--log-every", "1")
    trained = blc("train", source("bayesian_cnn"), "--out", "run", *arguments)
    assert trained.code == 0, trained.err
    assert "warning[BLC0020]" in trained.err  # four images are not the 50,000 that the model states
    (record, _) = trained.lines
    assert np.isfinite([record["loss"], record["nll"], record["kl"]]).all()
    assert record["loss"] == pytest.approx(record["nll"] + record["kl"], rel=1e-5)
