"""The commands of the README are those that continuous integration runs, and its links lead somewhere.

Invariant: nobody reads a command there that was not run.
"""

from __future__ import annotations

import re

from tests.house.code import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def first_commands() -> list[str]:
    """The commands of the README's first two blocks for a shell."""
    blocks = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks[:2] for line in block.splitlines() if line.strip()]


def test_the_readme_starts_with_two_commands() -> None:
    install, test = first_commands()
    assert install.endswith("compile examples/bayesian_cnn.blg --target=tpu")
    assert test.endswith("-m pytest")


def test_continuous_integration_runs_them() -> None:
    assert [command for command in first_commands() if command not in CI] == []


def test_continuous_integration_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert CI.startswith("#!/usr/bin/env bash\n")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
