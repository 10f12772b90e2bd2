"""Bundles: complete, equal byte for byte, written in whole or not at all, and read without running them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bl_compiler.backends.jax import artifact
from bl_compiler.backends.jax.artifact import (
    ARTIFACT_VERSION,
    Facts,
    is_bundle,
    load_bundle,
    read_manifest,
    write_bundle,
)
from bl_compiler.diagnostics import CompileError
from tests.unit.jax.models import SOURCES, data, program

FACTS = Facts(
    target="tpu:v5e:2x4",
    platform="tpu",
    pipeline="canonicalize,dce",
    options={"level": 1},
    versions={"blc": "0.1.0"},
    sources=SOURCES,
    report={"sites": {"dense/kernel": "shared"}},
)
FILES = {
    *("manifest.json", "model.blir", "model.py", "params.json", "report.json"),
    *("train_step.stablehlo.mlir", "train_step.mlirbc", "predict.stablehlo.mlir", "predict.mlirbc"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the regression."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "m.blc", program(), FACTS)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_bundle_holds_what_its_manifest_says(bundle: Path) -> None:
    assert set(contents(bundle)) == FILES
    manifest = read_manifest(bundle)
    assert manifest["artifact"] == ARTIFACT_VERSION
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    assert set(manifest["sources"]) == {"model.blg", "blocks.blg"}
    assert {"jax", "jaxlib", "blc"} <= set(manifest["versions"])
    assert (manifest["target"], manifest["pipeline"], manifest["options"]) == (
        "tpu:v5e:2x4",
        FACTS.pipeline,
        {"level": 1},
    )
    assert [row["path"] for row in manifest["entries"]["predict"]["inputs"]][-1] == "seed"
    params = json.loads((bundle / "params.json").read_text())
    assert params["noise"] == {"constraint": "positive", "dtype": "f32", "shape": [], "trained": True}


def test_equal_programs_give_equal_bundles(bundle: Path, tmp_path: Path) -> None:
    again = write_bundle(tmp_path / "elsewhere" / "m.blc", load_bundle(bundle).program, FACTS)
    assert contents(again) == contents(bundle)


def test_a_loaded_program_computes_the_same(bundle: Path) -> None:
    loaded = load_bundle(bundle).program
    params = program().init(0)
    np.testing.assert_array_equal(loaded.init(0)["noise"], params["noise"])
    np.testing.assert_array_equal(loaded.loss(params, data(), 3)[0], program().loss(params, data(), 3)[0])


def test_loading_runs_nothing_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.blc"
    copy.mkdir()
    for name, content in contents(bundle).items():
        (copy / name).write_bytes(content)
    poison = b"raise SystemExit('the bundle ran')\n"
    (copy / "model.py").write_bytes(poison)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["model.py"] = artifact._digest(poison)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    load_bundle(copy)


def _no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def _other_version(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "artifact": 99}))


def _edited(path: Path) -> None:
    (path / "model.blir").write_text((path / "model.blir").read_text() + "\n")


def _lost(path: Path) -> None:
    (path / "predict.mlirbc").unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_no_manifest, "BLC0902", "not a bundle of blc"),
        (_other_version, "BLC0901", "artifact version 99"),
        (_edited, "BLC0902", "was changed or lost"),
        (_lost, "BLC0902", "was changed or lost"),
    ],
)
def test_spoiled_bundles_are_refused(
    bundle: Path, tmp_path: Path, spoil: Callable[[Path], None], code: str, words: str
) -> None:
    copy = tmp_path / "m.blc"
    copy.mkdir()
    for name, content in contents(bundle).items():
        (copy / name).write_bytes(content)
    spoil(copy)
    with pytest.raises(CompileError, match=words) as caught:
        load_bundle(copy)
    assert caught.value.diagnostics[0].code == code


def test_a_bundle_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(CompileError, match="not a bundle of blc") as caught:
        write_bundle(target, program(), FACTS, entries=())
    assert caught.value.diagnostics[0].code == "BLC0903"
    assert (target / "thesis.tex").exists()
    write_bundle(target, program(), FACTS, entries=(), force=True)
    assert is_bundle(target)
    write_bundle(target, program(), FACTS, entries=())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_bundle(tmp_path / "out", program(), FACTS, entries=())
    before = contents(target)

    def full(self: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CompileError, match="No space left on device"):
        write_bundle(target, program(), Facts(), entries=())
    monkeypatch.undo()
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
