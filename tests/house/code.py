"""The sources of the project as syntax trees, and what they import; shared by the tests of the house rules.

Invariant: nothing here imports or runs the code it looks at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bl_compiler"


class Import(NamedTuple):
    """One imported module: whether it is imported when the importing module is, and where."""

    module: str
    lazy: bool
    line: int


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """The Python files below folders of the project, sorted."""
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """A path as it is shown in messages."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """The modules of the package by name."""
    return {module_name(path): path for path in python_files("bl_compiler")}


def imports(path: Path) -> Iterator[Import]:
    """What a file imports; a name imported from a package counts as the module of that name if there is one."""
    yield from _imports(tree(path), lazy=False)


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield Import(alias.name, lazy, node.lineno)
        case ast.ImportFrom(module=module, level=level):
            for alias in node.names:
                name = "." * level + (module or "")
                inner = f"{name}.{alias.name}"
                yield Import(inner if _is_module(inner) else name, lazy, node.lineno)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            lazy = True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            lazy = True
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, lazy=lazy)


def _is_module(name: str) -> bool:
    return name in modules() or name.startswith(("jax.", "scipy.", "orbax."))


def docstrings(root: ast.Module) -> set[int]:
    """The identities of the constants that are docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[int] = set()
    for node in ast.walk(root):
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None:
            statement = node.body[0]
            assert isinstance(statement, ast.Expr)
            found.add(id(statement.value))
    return found


def strings(path: Path) -> Iterator[str]:
    """The string constants of a file that are not docstrings."""
    root = tree(path)
    excluded = docstrings(root)
    for node in ast.walk(root):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in excluded:
            yield node.value
