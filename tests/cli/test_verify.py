"""`blc verify`: tables, JSON, exit codes, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bl_compiler.driver import verify as driver
from bl_compiler.training.checkpoints import Checkpoints
from tests.support.shell import REGRESSION, Shell
from tests.unit.verifying.mutants import REGISTRY

FEW = ("--draws", "128", "--entry", "predict")


def test_a_model_is_verified(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    done = blc("verify", "m.blg", "-O1", *FEW)
    assert done.code == 0, done.err
    header, first, *_ = done.out.splitlines()
    assert header.split() == ["pass", "entry", "check", "numbers", "worst", "limit", "verdict", "where"]
    assert first.startswith("(none)")
    assert done.err.splitlines()[-1].startswith("verified: ")


def test_a_pass_at_fault_is_named(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "verify", partial(driver.verify, registry=REGISTRY))
    blc.write("m.blg", REGRESSION)
    done = blc("verify", "m.blg", "--passes", "+scaled-kl", "--entry", "train", "--draws", "128", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert (report["ok"], report["fault"]) == (False, "scaled-kl")
    (check,) = [c for v in report["passes"] for c in v["checks"] if c["check"] == "reference"]
    assert (check["ok"], check["where"], check["worst"]) == (False, "kl", pytest.approx(1e-3, rel=1e-3))
    assert "error[BLC0404]: pass `scaled-kl` changed what `train` computes" in done.err
    assert "leave it out with `--passes=-scaled-kl`" in done.err


def test_messages_come_in_the_format_asked_for(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "verify", partial(driver.verify, registry=REGISTRY))
    blc.write("m.blg", REGRESSION)
    done = blc("verify", "m.blg", "--passes", "+lost-output", "--entry", "train", "--message-format", "json")
    assert done.code == 1
    first, last = [json.loads(line) for line in done.err.splitlines()]
    assert (first["code"], last["exit"]) == ("BLC0404", 1)


def test_parameters_come_from_files_and_from_checkpoints(blc: Shell, tmp_path: Path) -> None:
    blc.write("m.blg", REGRESSION)
    assert blc("run", "m.blg", "--entry", "init", "-o", "p.npz").code == 0
    assert blc("verify", "m.blg", *FEW, "--params", "p.npz").code == 0
    with np.load("p.npz") as file:
        state = {f"params/{path}": file[path] for path in file.files}
    Checkpoints(tmp_path / "checkpoints").save(3, state, {})
    assert blc("verify", "m.blg", *FEW, "--params", "checkpoints/3").code == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("missing.blg",), 2, "BLC0001"),
        (("m.blg", "--draws", "64"), 2, "BLC0004"),
        (("m.blg", "--entry", "prediction"), 2, "BLC0004"),
        (("m.blg", "--passes", "+no-such-pass"), 2, "BLC0402"),
        (("m.blg", "--params", "missing.npz"), 2, "BLC0010"),
        (("m.blg", "--params", "."), 2, "BLC0018"),
        (("m.blg", "--inputs", "empty.npz"), 1, "BLC0011"),
        ((".",), 2, "BLC0004"),
    ],
)
def test_what_cannot_be_verified_is_told(blc: Shell, arguments: tuple[str, ...], exit_code: int, code: str) -> None:
    blc.write("m.blg", REGRESSION)
    np.savez("empty.npz")
    done = blc("verify", *arguments)
    assert done.code == exit_code, done.err
    assert code in done.err
