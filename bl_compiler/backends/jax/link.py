"""Which runtime functions a text uses, with all that they use in turn, and their source.

Invariant: names in `runtime/` are distinct, so a name says which function is meant.
May import: the standard library, the `runtime` package.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

RUNTIME = "bl_compiler.backends.jax.runtime"

TOPICS = (
    "special",
    "constraints",
    "initializers",
    "linear",
    "windows",
    "location_scale",
    "half_line",
    "log_uniform",
    "bounded",
    "multivariate",
    "structured",
    "discrete",
    "counts",
    "mixture",
    "divergences",
    "cross_divergences",
    "moments",
    "gaussian_divergences",
    "entry",
)
"""The files of `runtime`, in the order in which their functions are copied."""

_IGNORED_BY_TYPE_CHECKERS = re.compile(r"  # type: ignore\[[\w, -]+\]")


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or constant of the runtime: where it stands, its text, and the names it reads."""

    topic: str
    name: str
    text: str
    reads: frozenset[str]
    is_function: bool


@dataclass(frozen=True)
class Runtime:
    """All definitions by name, in order, and the import statement behind each imported name."""

    definitions: Mapping[str, Definition]
    imports: Mapping[str, str]


def names_in(tree: ast.AST) -> frozenset[str]:
    """The variables that a tree reads, those of annotations included."""
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


@cache
def runtime() -> Runtime:
    """What `runtime/` defines, read off its sources without running them."""
    definitions: dict[str, Definition] = {}
    imports: dict[str, str] = {}
    for topic in TOPICS:
        source = files(RUNTIME).joinpath(f"{topic}.py").read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            match node:
                case ast.Import(names=[alias]):
                    imports[alias.asname or alias.name.partition(".")[0]] = ast.unparse(node)
                case ast.ImportFrom(module=str(module)) if not module.startswith((RUNTIME, "__future__")):
                    for alias in node.names:
                        imports[alias.name] = f"from {module} import {alias.name}"
                case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                    assert name not in definitions, name
                    text = _IGNORED_BY_TYPE_CHECKERS.sub("", ast.get_source_segment(source, node) or "")
                    is_function = isinstance(node, ast.FunctionDef)
                    definitions[name] = Definition(topic, name, text, names_in(node) - {name}, is_function)
    return Runtime(definitions, imports)


def closure(names: Iterable[str]) -> list[Definition]:
    """The definitions among `names` with all that they use, in the order of the runtime."""
    known = runtime().definitions
    found: set[str] = set()
    pending = [name for name in names if name in known]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [read for read in known[name].reads if read in known]
    return [definition for definition in known.values() if definition.name in found]


def imports_for(names: Iterable[str]) -> list[str]:
    """The import statements behind the imported ones among `names`."""
    found = {runtime().imports[name] for name in names if name in runtime().imports}
    whole = [statement for statement in found if statement.startswith("import")]
    parts: dict[str, list[str]] = {}
    for statement in sorted(found - {*whole}):
        module, _, name = statement.removeprefix("from ").partition(" import ")
        parts.setdefault(module, []).append(name)
    return sorted([*whole, *(f"from {module} import {', '.join(names)}" for module, names in parts.items())])


def load(definitions: Iterable[Definition]) -> dict[str, object]:
    """The definitions as Python objects."""
    return {d.name: getattr(importlib.import_module(f"{RUNTIME}.{d.topic}"), d.name) for d in definitions}
