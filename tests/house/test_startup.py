"""Commands that compute nothing start fast: they run with jax, networkx and numpy made impossible to import.

Invariant: each command runs in its own process, so nothing imported by other tests hides an import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.code import ROOT

HEAVY = ("jax", "jaxlib", "networkx", "numpy", "optax", "orbax", "scipy")
POISON = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); "
MAIN = "sys.argv[0] = 'blc'; from bl_compiler.cli.main import main; sys.exit(main())"
MODEL = """\
model regression {
  plate batch[32] of 1_000
  input x: f32[batch, 8]
  input y: f32[batch]

  observe y ~ Normal(x |> dense(1) |> squeeze, 1)
}
"""


def run(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code with poisoned modules, as a user's shell would run `blc`."""
    return subprocess.run(
        [sys.executable, "-c", POISON + code, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["version"],
        ["check", "model.blg"],
        ["fmt", "--check", "model.blg"],
        ["explain", "BLC0203"],
        ["explain", "model.blg"],
        ["explain", "model.blg", "--elbo"],
        ["list", "codes"],
        ["list", "passes"],
        ["list", "layers"],
        ["list", "ops"],
        ["list", "levels"],
        ["completion", "bash"],
        ["info", "model.blg"],
    ],
    ids=" ".join,
)
def test_light_commands_run_without_heavy_packages(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.blg").write_text(MODEL, encoding="utf-8")
    done = run(MAIN, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or arguments[0] in ("check", "fmt")


def test_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    done = run("import bl_compiler; print(sorted(m for m in sys.modules if m.startswith('bl_compiler')))", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['bl_compiler']\n"
