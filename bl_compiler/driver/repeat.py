"""A recorded compile once more: what a manifest says is done again and compared with what it says came out.

Invariant: the sources are read under the names they had then, for those are part of the output.
May import: floors 0-4; the JAX backend inside functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.bundles import MANIFEST
from bl_compiler.driver.models import remapped_reader
from bl_compiler.driver.optimize import pipeline_of
from bl_compiler.driver.versions import versions
from bl_compiler.frontend.sources import Reader, read_file
from bl_compiler.options import Options
from bl_compiler.source import SourceFile


@dataclass(frozen=True, slots=True)
class Recorded:
    """A compile that a manifest records.

    Attributes:
        source: The name of the main file.
        options: The options as they were given.
        pipeline: The passes that ran.
        base: The folder that the names of the sources are relative to.
    """

    source: str
    options: Options
    pipeline: str
    base: Path
    versions: Mapping[str, str]
    sources: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def read(self) -> Reader:
        """Opens files by their names as recorded."""
        return _reader(self.base)

    def replay(self, incidental: Mapping[str, Any]) -> Options:
        """The options that run the recorded passes, and show the inside of the compiler as wanted now."""
        return replace(self.options, pipeline=self.pipeline, passes="", **incidental)

    def notes(self, sources: Mapping[str, SourceFile]) -> Iterator[str]:
        """What is not as it was and may be the cause of a difference."""
        present = versions()
        for name, version in self.versions.items():
            if present.get(name) != version:
                yield f"{name} is {present.get(name, 'not here')} and was {version}"
        passes = str(pipeline_of(self.options))
        if passes != self.pipeline:
            yield f"the options mean the passes `{passes}` today; `{self.pipeline}` ran again"
        for name, digest in self.sources.items():
            if name not in sources:
                yield f"`{name}` is no longer read"
            elif _digest(sources[name].text) != digest:
                yield f"`{name}` is not the text that was compiled"

    def differences(self, files: Mapping[str, bytes]) -> Iterator[str]:
        """The files that are not as recorded, each with how."""
        for name in sorted({*self.files, *files} - {MANIFEST}):
            if name not in files:
                yield f"{name}: no longer made"
            elif name not in self.files:
                yield f"{name}: was not made"
            elif hashlib.sha256(files[name]).hexdigest() != self.files[name]:
                yield f"{name}: differs"


def read_recorded(place: str) -> Recorded:
    """What a manifest, or the one of a bundle, records.

    Raises:
        CompileError: It cannot be read (BLC0001), is no manifest (BLC0902), or is of a model that came from no file.
    """
    path = Path(place)
    path = path / MANIFEST if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise _fault("BLC0001", f"cannot read `{path}`: {(fault.strerror or str(fault)).lower()}", "") from fault
    except ValueError:
        text = ""
    try:
        manifest = json.loads(text)
        parts = {name: dict(manifest[name]) for name in ("versions", "sources", "files")}
        options, pipeline = Options.of(**manifest["options"]), str(manifest["pipeline"])
        source = str(manifest.get("source") or (list(parts["sources"]) or [""])[0])
    except (ValueError, KeyError, TypeError) as fault:
        raise _fault("BLC0902", f"`{path}` is not a manifest of blc", f"a bundle has a `{MANIFEST}`") from fault
    if not source or source.startswith("<"):
        raise _fault("BLC0902", f"`{path}` records a model that came from no file", "compile it from a file")
    base = _base(path, source, options, parts["sources"])
    return Recorded(source, options, pipeline, base, **parts)


def _base(manifest: Path, source: str, options: Options, digests: Mapping[str, str]) -> Path:
    """The folder that the source's name is relative to: the working folder, or one that holds the bundle.

    The first where the file is as it was, else the first where it is.
    """
    places = (Path(), *manifest.resolve().parents)
    found: Path | None = None
    for place in places:
        try:
            text = remapped_reader(options, _reader(place))(source)
        except (OSError, ValueError):
            continue
        if _digest(text.replace("\r\n", "\n")) == digests.get(source):
            return place
        found = place if found is None else found
    return found or Path()


def _reader(base: Path) -> Reader:
    return lambda name: read_file(str(base / name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fault(code: str, message: str, way_out: str) -> CompileError:
    sink = Sink()
    error = sink.error(code, message)
    if way_out:
        error.help(way_out)
    return CompileError(sink.diagnostics)
