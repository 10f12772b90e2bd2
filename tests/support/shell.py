"""Runs `blc` within the test's process, as a shell would see it.

Invariant: the options file of the project is never picked up, for tests run in folders of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bl_compiler.cli.main import main

REGRESSION = """\
option width = 4

model regression {
  plate batch[8] of 32
  input x: f32[batch, 3]
  input y: f32[batch]

  believe kernel ~ Normal(0, 1) by mean_field

  let mean = x |> dense(width) |> relu |> dense(1) |> squeeze
  observe y ~ Normal(mean, 0.5)
}
"""

CLASSES = """\
model classes {
  plate batch[8]
  input x: f32[batch, 3]
  input label: i32[batch]

  let logits = x |> dense(4)
  observe label ~ Categorical(logits=logits)
  predict score = logits
}
"""

# Two errors and, under `--warn pedantic`, more.
BROKEN = """\
model broken {
  plate batch[8]
  input x: f32[batch, 3]
  let h = x |> dens(4)
  observe x ~ Normal(missing, 1)
}
"""


class Done(NamedTuple):
    """What a run left."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """A folder to run `blc` in.

    Args:
        folder: The working folder.
        capsys: Captures the streams.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Done:
        """Run `blc` with these arguments."""
        self._capsys.readouterr()
        code = main(list(arguments))
        out, err = self._capsys.readouterr()
        return Done(code, out, err)

    def write(self, name: str, text: str) -> str:
        """Write a file; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    def read(self, name: str) -> str:
        """The text of a file."""
        return (self.folder / name).read_text(encoding="utf-8")

    def files(self, name: str = ".") -> list[str]:
        """The names of the files below a folder."""
        root = self.folder / name
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
