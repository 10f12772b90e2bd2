"""The folder of a training run, and whether a run may be continued.

Layout: `run.json` (what is trained on what), `bundle/` (the compiled program), `checkpoints/`, `metrics.jsonl`.
Invariant: a run is continued only with the model, data and settings that decide its course. May import: floors 0-1,
`training`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bl_compiler.training.checkpoints import CheckpointError, Checkpoints
from bl_compiler.training.loop import MetricsFile

VERSION = 1
MANIFEST = "run.json"

# What must be equal for a resumed run to be the same run, with how each is called in messages.
_IDENTITY = {
    "model": "the model",
    "data": "the data",
    "seed": "the seed",
    "batch": "the batch size",
    "validation": "the validation split",
    "options": "the compile options",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says.

    Attributes:
        identity: What decides the course of the run: digests, seed, sizes.
        about: What is good to know: names, versions, paths.
    """

    identity: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"version": VERSION, "identity": dict(self.identity), "about": dict(self.about)}


class RunFolder:
    """A training run on disk."""

    def __init__(self, path: Path, *, keep: int = 2) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints", keep=keep)
        self.metrics = MetricsFile(path / "metrics.jsonl")

    @property
    def bundle(self) -> Path:
        """The compiled program."""
        return self.path / "bundle"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / MANIFEST).is_file()

    def foreign_files(self) -> bool:
        """Whether the folder holds anything that is not a run's."""
        return self.path.is_dir() and not self.exists() and any(self.path.iterdir())

    def read(self) -> Run:
        """The run that was started here.

        Raises:
            CheckpointError: There is none, or it is of another version.
        """
        try:
            data = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            version, run = data["version"], Run(data["identity"], data["about"])
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise CheckpointError(
                f"`{self.path}` is not the folder of a training run", help="give the folder that `blc train --out` made"
            ) from fault
        if version != VERSION:
            raise CheckpointError(f"`{self.path}` has the version {version}; this blc reads {VERSION}", code="BLC0901")
        return run

    def write(self, run: Run) -> None:
        """Start a run: what was here before must have been dealt with."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            partial = self.path / f".{MANIFEST}.partial"
            partial.write_text(json.dumps(run.to_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
            partial.replace(self.path / MANIFEST)
        except OSError as fault:
            raise cannot_write(self.path, fault) from fault

    def check_same(self, run: Run) -> None:
        """Raise `CheckpointError` (BLC0019) if continuing with `run` would not continue what was started here."""
        before = self.read().identity
        different = [words for key, words in _IDENTITY.items() if before.get(key) != run.identity.get(key)]
        if not different:
            return
        details = [
            f"{_IDENTITY[key]} was {before.get(key)!r} and is {run.identity.get(key)!r}"
            for key in ("seed", "batch", "validation")
            if before.get(key) != run.identity.get(key)
        ]
        raise CheckpointError(
            f"the run in `{self.path}` cannot be continued: {_joined(different)} changed"
            + (f" ({'; '.join(details)})" if details else ""),
            help="train into another folder with `--out`, or go back to what the run was started with",
            code="BLC0019",
        )

    def step_of(self, choice: str | None) -> int:
        """The step of a checkpoint: `last`, `best`, a number, or None for the one that training settled on.

        Raises:
            CheckpointError: There is no such checkpoint.
        """
        steps = self.checkpoints.steps()
        if not steps:
            raise CheckpointError(
                f"`{self.path}` holds no checkpoint", help="train longer, or look into another folder"
            )
        if choice == "last":
            return steps[-1]
        if choice is None or choice == "best":
            best = self._best(steps[-1])
            if choice == "best" and best is None:
                raise CheckpointError(
                    f"the run in `{self.path}` was never evaluated, so it has no best checkpoint",
                    help="use `--checkpoint last`, or train with `--validation`",
                )
            stopping = self.read().about.get("early_stopping") is not None
            return best if best is not None and (choice == "best" or stopping) else steps[-1]
        if choice.isdecimal() and int(choice) in steps:
            return int(choice)
        raise CheckpointError(
            f"`{self.path}` has no checkpoint `{choice}`", help=f"there are {', '.join(map(str, steps))}, last and best"
        )

    def _best(self, newest: int) -> int | None:
        best = self.checkpoints.notes(newest).get("best_step")
        return int(best) if best is not None else None


def cannot_write(folder: Path, fault: OSError) -> CheckpointError:
    """What to tell of a folder that the system refuses to write to."""
    reason = (fault.strerror or str(fault)).lower()
    return CheckpointError(
        f"cannot write to `{folder}`: {reason}", help="name another folder with `--out`", code="BLC0903"
    )


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
