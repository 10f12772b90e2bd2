"""Interrupts and full disks in the midst of everything leave the last good checkpoint, and a run that can go on.

Invariant: one test runs a real process; the others send real signals to this one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bl_compiler.training import checkpoints
from bl_compiler.training.checkpoints import Checkpoints
from tests.house.code import ROOT
from tests.support.shell import Shell

TRAIN = ("train", "regression.blg", "--data", "data.npz", "--out", "run", "--checkpoint-every", "3")


def at_save(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[Path], None]) -> None:
    """Do something in the midst of the save with this number."""
    write = checkpoints._write_arrays
    count = 0

    def wrapped(path: Path, state: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            path.parent.joinpath("half").write_bytes(b"half")
            act(path)
        write(path, state)
        path.parent.joinpath("half").unlink(missing_ok=True)

    monkeypatch.setattr(checkpoints, "_write_arrays", wrapped)


def saved() -> dict[int, dict[str, bytes]]:
    """All checkpoints, and the proof that nothing else is there."""
    store = Checkpoints(Path("run/checkpoints"))
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(map(str, store.steps()))
    return {s: {k: v.tobytes() for k, v in store.load(s).state.items()} for s in store.steps()}


def interrupt(times: int) -> Callable[[Path], None]:
    """Send SIGINT."""

    def act(path: Path) -> None:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    return act


def test_an_interrupt_during_a_save_lets_it_finish(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    at_save(monkeypatch, 2, interrupt(1))
    done = blc(*TRAIN, "--steps", "12")
    assert (done.code, done.out) == (130, "")
    assert "saving a checkpoint" in done.err
    assert sorted(saved()) == [6, 7]


def test_a_second_interrupt_drops_the_save_and_keeps_the_one_before(
    blc: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        at_save(patched, 3, interrupt(2))
        assert blc(*TRAIN, "--steps", "12").code == 130
    assert sorted(saved()) == [3, 6]
    assert blc(*TRAIN, "--steps", "12", "--resume").code == 0
    resumed = saved()[12]
    assert blc(*TRAIN, "--steps", "12", "--force").code == 0
    assert saved()[12] == resumed


def test_a_full_disk_keeps_the_checkpoint_before(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    at_save(monkeypatch, 3, full)
    done = blc(*TRAIN, "--steps", "12")
    assert (done.code, done.out) == (2, "")
    assert "error[BLC0018]: the checkpoint of step 9 cannot be written: no space left on device" in done.err
    assert "the last good checkpoint is that of step 6" in done.err
    assert sorted(saved()) == [3, 6]


def test_a_real_process_ends_with_a_checkpoint_and_goes_on(blc: Shell) -> None:
    arguments = [*TRAIN, "--checkpoint-every", "0", "--log-every", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bl_compiler.cli.main", *arguments, "--steps", "1000000"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = Path("run/metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    (step,) = saved()
    assert f"stopped at step {step}" in err
    done = blc(*TRAIN, "--steps", str(step + 2), "--resume")
    assert done.code == 0
    assert f"going on from step {step}" in done.err
