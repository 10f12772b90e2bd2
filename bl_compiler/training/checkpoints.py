"""Checkpoints of a run: complete or absent, never half.

Layout: `FOLDER/1000/` holds `state/` (written by orbax) and `checkpoint.json`, which has digests of the files in it.
A checkpoint is written under a hidden name and renamed when every byte is on disk, so a full disk, an interrupt or a
crash leaves earlier ones alone.
May import: floors 0-1, numpy; jax and orbax inside functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bl_compiler.training.npz import Array

VERSION = 1
_PARTIAL = ".partial-"

# Orbax and tensorstore report a full disk, a missing file and damage as any of these.
_FAULTS = (OSError, ValueError, RuntimeError, KeyError, TypeError)


class CheckpointError(Exception):
    """A checkpoint cannot be written or read.

    Attributes:
        code: BLC0018 for trouble with files, BLC0019 for a checkpoint of something else.
        message: What is wrong.
        help: The way out.
    """

    def __init__(self, message: str, *, help: str = "", code: str = "BLC0018") -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        state: Its arrays by path within the training state.
        notes: What else the run needs to continue, as plain data.
    """

    step: int
    state: dict[str, Array]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are; made on the first save.
        keep: How many of the newest stay; the one named best stays too.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self.folder.iterdir()
            if path.name.isdecimal() and (path / "checkpoint.json").is_file()
        )

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / str(step)

    def save(self, step: int, state: Mapping[str, Array], notes: Mapping[str, Any], *, best: int | None = None) -> None:
        """Write a checkpoint, then drop old ones.

        Raises:
            CheckpointError: It could not be written; those before it are as they were.
        """
        partial = self.folder / f"{_PARTIAL}{step}"
        try:
            self.clean()
            partial.mkdir(parents=True)
            _write_arrays(partial / "state", state)
            manifest = {
                "version": VERSION,
                "step": step,
                "arrays": {name: [array.dtype.name, list(array.shape)] for name, array in sorted(state.items())},
                "files": _digests(partial / "state"),
                "notes": dict(notes),
            }
            text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
            with (partial / "checkpoint.json").open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if self.path(step).exists():
                shutil.rmtree(self.path(step))
            partial.rename(self.path(step))
        except _FAULTS as fault:
            left = self.steps()
            kept = f"the last good checkpoint is that of step {left[-1]}" if left else "there is no earlier checkpoint"
            raise CheckpointError(
                f"the checkpoint of step {step} cannot be written: {_reason(fault)}; {kept}",
                help="free space or choose another `--out`, then continue with `--resume`",
            ) from fault
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune(best)

    def load(self, step: int) -> Checkpoint:
        """Read a checkpoint back.

        Raises:
            CheckpointError: It is missing, damaged, or of another version.
        """
        with self._reading(step) as path:
            manifest = _manifest(path)
            # Orbax must not see damaged files: its threads print tracebacks of their own.
            found = _digests(path / "state")
            for name, digest in manifest["files"].items():
                if found.get(name) != digest:
                    raise ValueError(f"`state/{name}` {'changed' if name in found else 'is missing'}")
            wanted = {
                name: np.empty(shape, _dtype(dtype)) for name, (dtype, shape) in sorted(manifest["arrays"].items())
            }
            state = _read_arrays(path / "state", wanted)
            return Checkpoint(int(manifest["step"]), state, dict(manifest["notes"]))

    def notes(self, step: int) -> dict[str, Any]:
        """The notes of a checkpoint.

        Raises:
            CheckpointError: It is missing, damaged, or of another version.
        """
        with self._reading(step) as path:
            return dict(_manifest(path)["notes"])

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[Path]:
        """Tell what goes wrong with a step's checkpoint."""
        path = self.path(step)
        try:
            yield path
        except _FAULTS as fault:
            others = [f"{other}" for other in self.steps() if other != step]
            raise CheckpointError(
                f"the checkpoint `{path}` cannot be read: {_reason(fault)}",
                help=f"delete it; there are also those of the steps {', '.join(others)}" if others else "train again",
            ) from fault

    def clean(self) -> None:
        """Remove what an interrupted save left."""
        if self.folder.is_dir():
            for path in self.folder.glob(f"{_PARTIAL}*"):
                shutil.rmtree(path, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove all checkpoints, and nothing else that is in the folder."""
        self.clean()
        self.remove_after(-1)

    def remove_after(self, step: int) -> None:
        """Remove the checkpoints of later steps."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.path(later))

    def _prune(self, best: int | None) -> None:
        for step in self.steps()[: -self._keep]:
            if step != best:
                shutil.rmtree(self.path(step), ignore_errors=True)


def _manifest(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    if manifest["version"] != VERSION:
        raise CheckpointError(
            f"`{path}` has the version {manifest['version']}; this blc reads {VERSION}", code="BLC0901"
        )
    return manifest


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _write_arrays(path: Path, state: Mapping[str, Array]) -> None:
    import orbax.checkpoint as ocp

    with _quiet(), ocp.StandardCheckpointer() as writer:
        writer.save(path.absolute(), dict(state))
        writer.wait_until_finished()


def _read_arrays(path: Path, wanted: dict[str, Array]) -> dict[str, Array]:
    import orbax.checkpoint as ocp

    if not wanted:
        return {}
    with _quiet(), ocp.StandardCheckpointer() as reader:
        found = reader.restore(path.absolute(), wanted)
    return {name: np.asarray(array) for name, array in found.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep orbax from logging tracebacks: the error is reported by its own diagnostic."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def _reason(fault: BaseException) -> str:
    """The cause in a few words; the messages of tensorstore run over lines and end in the system's error."""
    if isinstance(fault, KeyError):
        return f"it has no {fault}"
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    for mark, words in (
        ("os_error_code='28'", "no space left on device"),
        ("os_error_code='27'", "file too large"),
        ("os_error_code='122'", "disk quota exceeded"),
        ("os_error_code='13'", "permission denied"),
    ):
        if mark in text:
            return words
    text = text.split("\n")[0]
    return text[:1].lower() + (text[1:200].rstrip(".") if len(text) > 1 else "")
