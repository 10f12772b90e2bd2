"""`bl.verify`: the checks of `blc verify` as a Python object."""

from __future__ import annotations

from pathlib import Path

import pytest

import bl_compiler as bl

LINE = """\
model line {
  plate batch[6] of 60
  input x: f32[batch, 3]
  input y: f32[batch]
  believe kernel ~ Normal(0, 1) by mean_field
  observe y ~ Normal(x |> dense(1) |> squeeze, 0.5)
}
"""


def test_a_file_is_verified(tmp_path: Path) -> None:
    (tmp_path / "line.blg").write_text(LINE, encoding="utf-8")
    report = bl.verify(tmp_path / "line.blg", entries=["log_joint"], draws=128, level=1)
    assert report.ok
    assert report.fault is None
    assert {check.entry for verdict in report.passes for check in verdict.checks} == {"log_joint"}
    assert str(report).startswith("(none): ok\n")


def test_a_model_that_is_wrong_is_refused(tmp_path: Path) -> None:
    (tmp_path / "line.blg").write_text(LINE.replace("dense(1)", "dens(1)"), encoding="utf-8")
    with pytest.raises(bl.CompileError):
        bl.verify(tmp_path / "line.blg")
    (tmp_path / "line.blg").write_text(LINE, encoding="utf-8")
    with pytest.raises(bl.OptionError):
        bl.verify(tmp_path / "line.blg", draws=2)
