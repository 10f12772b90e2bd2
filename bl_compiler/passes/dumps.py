"""Files about a run of passes: a dump per pass, and the reproducer of a failure.

Each file is a complete `.blir` text under header lines `// key: value`, from which the run can be continued.
Invariant: every file is written and closed before the next pass starts, and a directory is cleared only if it holds
nothing but our own files. May import: floors 0-1, `base`, `journal`, `pipeline`, `instruments`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bl_compiler.diagnostics import CompileError, Diagnostic, Severity
from bl_compiler.ir.graph import Module
from bl_compiler.ir.printer import print_module
from bl_compiler.passes.base import Instrument, Pass, PassRecord
from bl_compiler.passes.instruments import node_count
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.pipeline import Pipeline

_OURS = re.compile(r"\d\d+_[\w-]+\.blir|index\.json|trace\.jsonl|stablehlo\.mlir")
_HEADER = re.compile(r"// ([a-z-]+): (.*)")
_REPRODUCER = "blc-repro"
NO_SETTINGS: Mapping[str, str] = {}


def header_text(entries: Mapping[str, str]) -> str:
    """`// key: value` lines."""
    return "".join(f"// {key}: {' '.join(value.split())}\n" for key, value in entries.items())


def read_header(text: str) -> dict[str, str]:
    r"""The entries at the top of a dump or a reproducer: `pipeline` is what is still to run, `versions` who wrote it.

    Example:
        >>> read_header("// pipeline: cse,dce\nmodule m\n")
        {'pipeline': 'cse,dce'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        entry = _HEADER.fullmatch(line)
        if entry is None:
            break
        found[entry[1]] = entry[2]
    return found


def _written(path: Path, text: str) -> str:
    """Write a file and close it; its hash."""
    data = text.encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class DumpIR(Instrument):
    """Writes `NN_pass.blir` after passes, `index.json` and `trace.jsonl`.

    Attributes:
        directory: made if it is not there; refused if it holds other files than dumps.
        journal: where the trace is taken from.
        everything: dump after passes that changed nothing, too.
    """

    directory: Path
    journal: Journal
    everything: bool = False
    _index: list[dict[str, object]] = field(default_factory=list)
    _traced: int = 0

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        """Clear the directory and write what comes in."""
        self._clear()
        self._index, self._traced = [], len(self.journal.entries)
        _written(self.directory / "trace.jsonl", "")
        self._dump(0, "parse", module, pipeline, {"pass": "parse", "changed": True, "ms": None, "rewrites": 0})

    def after(self, record: PassRecord) -> None:
        """Write what came out."""
        about: dict[str, object] = {
            "pass": str(record.ran),
            "changed": record.changed,
            "ms": round(record.seconds * 1e3, 3),
            "rewrites": record.rewrites,
        }
        self._trace()
        self._dump(record.index, record.ran.name, record.after, record.rest, about, before=record.before)

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        """Keep the trace of the pass that failed."""
        self._trace()

    def _clear(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        files = sorted(self.directory.iterdir())
        foreign = [path.name for path in files if not path.is_file() or not _OURS.fullmatch(path.name)]
        if foreign:
            message = f"`{self.directory}` holds `{foreign[0]}`, which is no dump; it is not cleared"
            raise CompileError([Diagnostic("BLC0903", Severity.ERROR, message).help("name a new directory")])
        for path in files:
            path.unlink()

    def _dump(
        self,
        number: int,
        name: str,
        module: Module,
        rest: Pipeline,
        about: dict[str, object],
        before: Module | None = None,
    ) -> None:
        entry: dict[str, object] = {"n": number, **about}
        entry["nodes"] = [node_count(module if before is None else before), node_count(module)]
        if about["changed"] or self.everything:
            text = header_text({"after": str(about["pass"]), "pipeline": str(rest)}) + print_module(module)
            entry["file"] = f"{number:02d}_{name}.blir"
            entry["sha256"] = _written(self.directory / f"{number:02d}_{name}.blir", text)
        self._index.append(entry)
        lines = ",\n".join(f"  {json.dumps(each)}" for each in self._index)
        _written(self.directory / "index.json", f"[\n{lines}\n]\n")

    def _trace(self) -> None:
        new = self.journal.entries[self._traced :]
        self._traced += len(new)
        with (self.directory / "trace.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(entry.to_json())}\n" for entry in new)


@dataclass(slots=True)
class Reproducer(Instrument):
    """Writes `blc-repro-HASH.blir` when a pass fails: what entered it, and the rest of the pipeline.

    Attributes:
        directory: where to.
        versions: name and version of what took part.
        note: told the path, as soon as it is written.
        ignore: exceptions that are the user's fault and need no reproducer.
        settings: what passes were told besides their options (`settings_of`).
    """

    directory: Path
    versions: Mapping[str, str]
    note: Callable[[Path], None] | None = None
    ignore: tuple[type[Exception], ...] = (CompileError,)
    path: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        """Write the file, once."""
        if isinstance(error, self.ignore) or self.path is not None:
            return
        self.path = write_reproducer(self.directory, module, rest, self.versions, error, self.settings)
        if self.note is not None:
            self.note(self.path)


def write_reproducer(
    directory: Path,
    module: Module,
    pipeline: Pipeline,
    versions: Mapping[str, str],
    error: Exception | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> Path:
    """Write a module with the pipeline that it is to go through; the name of the file follows from its content."""
    text = reproducer_text(module, pipeline, versions, error, settings)
    path = directory / f"{_REPRODUCER}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.blir"
    directory.mkdir(parents=True, exist_ok=True)
    _written(path, text)
    return path


def reproducer_text(
    module: Module,
    pipeline: Pipeline,
    versions: Mapping[str, str],
    error: Exception | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> str:
    """The text of a reproducer: header and module."""
    entries = {_REPRODUCER: "1", "pipeline": str(pipeline), **settings}
    entries["versions"] = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    if error is not None:
        first = str(error).strip().partition("\n")[0]
        entries["error"] = f"{type(error).__name__}: {first}"
    return header_text(entries) + print_module(module)


def settings_of(entries: Mapping[str, str]) -> dict[str, str]:
    """What passes are told besides their options, among the entries of a header: `estimators` and `target`.

    >>> settings_of({"pipeline": "cse", "estimators": "fast"})
    {'estimators': 'fast'}
    """
    return {name: entries[name] for name in ("estimators", "target") if name in entries}
