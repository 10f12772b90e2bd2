"""A shell for `blc`, and a small data set beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.shell import CLASSES, REGRESSION, Shell


@pytest.fixture
def blc(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path, capsys)
    shell.write("regression.blg", REGRESSION)
    shell.write("classes.blg", CLASSES)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(45, 3))
    np.savez("data.npz", x=x, y=x @ [1.0, -2.0, 0.5], label=np.argmax(x, axis=1))
    return shell
