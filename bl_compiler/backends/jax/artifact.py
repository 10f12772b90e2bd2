"""Bundles: a compiled program as a directory that outlives the process, and back.

| file | holds |
|---|---|
| `manifest.json` | versions, options, pipeline, target, digests of the sources and of every file |
| `model.blir` | the optimized IR, from which `load_bundle` makes the program again |
| `model.py` | the program as Python that needs jax, numpy and optax only |
| `ENTRY.stablehlo.mlir`, `ENTRY.mlirbc` | entry points as StableHLO text and portable bytecode |
| `params.json` | shapes, element types and constraints of the parameters |
| `report.json` | what the compiler decided, and why |

Invariant: equal sources, options and versions give equal bytes: no time, no absolute path, no order of a set. Loading
reads data only and runs no code of the bundle. A bundle is there in whole or not at all.
May import: floors 0-1, `lower`, `program`.

Versions: 1 (first).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from bl_compiler.backends.jax.lower import Leaf, Lowered, lower
from bl_compiler.backends.jax.program import Program
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.source import SourceFile

ARTIFACT_VERSION = 1
MANIFEST = "manifest.json"
ENTRIES = ("train_step", "predict")
"""The entry points that bundles hold as StableHLO, as far as the program has them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a bundle records about its making.

    Attributes:
        target: the target's text.
        platform: the platform to lower for.
        pipeline: the text of the pipeline that ran.
        options: the options that differ from their defaults, as plain data.
        versions: versions of the compiler and of what it stands on, by name.
        source: the name of the main one of the sources.
        sources: the texts that were compiled, by the names they were given by.
        report: the compiler's report, as plain data.
    """

    target: str = "cpu"
    platform: str = "cpu"
    pipeline: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    sources: Mapping[str, SourceFile] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read.

    Attributes:
        manifest: what it records.
        program: the program, made again from its IR.
    """

    directory: Path
    manifest: Mapping[str, Any]
    program: Program


def bundle_files(program: Program, facts: Facts, entries: Iterable[str] = ENTRIES) -> dict[str, bytes]:
    """The files of a bundle by name, the manifest last."""
    lowered = [lower(program, entry, facts.platform) for entry in entries if entry in program.entries]
    files = {
        "model.py": program.text.encode(),
        "model.blir": print_module(program.module).encode(),
        "params.json": _json({path: _parameter(program, path) for path in program.params}),
        "report.json": _json(facts.report),
    }
    for each in lowered:
        files[f"{each.entry}.stablehlo.mlir"] = each.text.encode()
        files[f"{each.entry}.mlirbc"] = each.portable
    manifest = {
        "artifact": ARTIFACT_VERSION,
        "model": program.name,
        "target": facts.target,
        "platform": facts.platform,
        "pipeline": facts.pipeline,
        "options": facts.options,
        "versions": {name: metadata.version(name) for name in ("jax", "jaxlib")} | dict(facts.versions),
        "source": facts.source,
        "sources": {name: _digest(source.text.encode()) for name, source in facts.sources.items()},
        "entries": {each.entry: _signature(each) for each in lowered},
        "files": {name: _digest(content) for name, content in files.items()},
    }
    return {**files, MANIFEST: _json(manifest)}


def write_bundle(
    directory: str | os.PathLike[str],
    program: Program,
    facts: Facts,
    *,
    entries: Iterable[str] = ENTRIES,
    force: bool = False,
    clear: bool = False,
) -> Path:
    """Write a bundle; on failure nothing is left behind, and an older bundle stays as it was.

    What else is in the directory stays, unless it is to be cleared.

    Args:
        directory: where to put it.
        program: the program.
        facts: what to record.
        entries: the entry points to hold as StableHLO.
        force: whether to write into a directory that is no bundle.
        clear: whether nothing in the directory is worth keeping.

    Raises:
        CompileError: there is something else (BLC0903), or it cannot be written.
    """
    directory = Path(directory)
    if directory.exists() and not force and not is_bundle(directory):
        _fail("BLC0903", f"`{directory}` is not a bundle of blc", "name another directory, or write into it by force")
    files = bundle_files(program, facts, entries)
    # Resolved, because `.` has no name and a link would be renamed itself.
    place = directory.resolve()
    scratch = place.with_name(f".{place.name or 'blc'}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        _replace(scratch, place, clear=clear)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        _fail("BLC0903", f"`{directory}` cannot be written: {reason}", "check the path and its permissions")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory


def _replace(scratch: Path, directory: Path, *, clear: bool) -> None:
    """Put a finished directory in its place."""
    if not directory.exists():
        scratch.rename(directory)
        return
    before = {path.name for path in directory.iterdir()} if clear else _bundle_names(directory)
    # The working directory would be gone for the shell that is in it.
    if directory == Path.cwd() or any(path.name not in before for path in directory.iterdir()):
        for path in sorted(scratch.iterdir(), key=lambda path: path.name == MANIFEST):
            path.replace(directory / path.name)
            before.discard(path.name)
        for name in before:
            (directory / name).unlink(missing_ok=True)
        return
    # A directory cannot be renamed over another one, so the old one steps aside first.
    aside = scratch.with_name(scratch.name + ".old")
    directory.rename(aside)
    try:
        scratch.rename(directory)
    except OSError:
        aside.rename(directory)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _bundle_names(directory: Path) -> set[str]:
    """The files of the bundle in a directory, if there is one."""
    try:
        return {MANIFEST, *json.loads((directory / MANIFEST).read_bytes())["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def is_bundle(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory holds a bundle, of whatever version."""
    try:
        return "artifact" in json.loads((Path(directory) / MANIFEST).read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def read_manifest(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        CompileError: it is no bundle (BLC0902), or one of another version (BLC0901).
    """
    path = Path(directory) / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or "artifact" not in manifest:
        _fail("BLC0902", f"`{directory}` is not a bundle of blc", f"a bundle has a `{MANIFEST}`")
    version = manifest["artifact"]
    if version not in READERS:
        known = ", ".join(map(str, READERS))
        _fail("BLC0901", f"`{directory}` has the artifact version {version}", f"this blc reads {known}; compile again")
    return manifest


def load_bundle(directory: str | os.PathLike[str]) -> Bundle:
    """The program of a bundle.

    Raises:
        CompileError: it is no bundle, of another version, or was changed after it was written.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    return Bundle(directory, manifest, READERS[manifest["artifact"]](directory, manifest))


def _read_v1(directory: Path, manifest: Mapping[str, Any]) -> Program:
    for name, digest in manifest["files"].items():
        try:
            content = (directory / name).read_bytes()
        except OSError:
            content = b""
        if _digest(content) != digest:
            _fail(
                "BLC0902", f"`{directory / name}` was changed or lost", "compile again; bundles are not edited by hand"
            )
    text = (directory / "model.blir").read_text(encoding="utf-8")
    return Program(parse_module(text, CORE_OPS, file=str(directory / "model.blir")))


READERS: Mapping[int, Callable[[Path, Mapping[str, Any]], Program]] = {1: _read_v1}
"""How to read bundles, by artifact version."""


def _parameter(program: Program, path: str) -> dict[str, object]:
    parameter = program.params[path]
    bounds = {"low": parameter.low, "high": parameter.high} if parameter.constraint == "interval" else {}
    return {
        "dtype": str(parameter.type.dtype),
        "shape": list(parameter.type.shape),
        "constraint": parameter.constraint,
        "trained": parameter.trained,
        **bounds,
    }


def _signature(lowered: Lowered) -> dict[str, object]:
    def row(leaf: Leaf) -> dict[str, object]:
        return {"path": leaf.path, "dtype": leaf.dtype, "shape": list(leaf.shape)}

    return {"inputs": [row(leaf) for leaf in lowered.inputs], "outputs": [row(leaf) for leaf in lowered.outputs]}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _fail(code: str, message: str, way_out: str) -> NoReturn:
    sink = Sink()
    sink.error(code, message).help(way_out)
    raise CompileError(sink.diagnostics)
