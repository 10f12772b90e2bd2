"""The floors of the code: who may import whom, and that imports form no cycle.

Invariant: `layers.toml` is the whole truth; a new upward import fails here with the offending line.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import pytest

from tests.house.code import PACKAGE, ROOT, Import, imports, modules, shown, tree

COMPAT = PACKAGE / "backends" / "jax" / "compat.py"
GUARDED = ("jax.extend", "jax.experimental")


@dataclass(frozen=True)
class Group:
    """A group of modules on one floor, as `layers.toml` describes it."""

    floor: int
    modules: list[str]
    imports: list[str] = field(default_factory=list)
    lazy_imports: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    lazy_packages: list[str] = field(default_factory=list)


GROUPS = {
    name: Group(**table)
    for name, table in tomllib.loads((Path(__file__).parent / "layers.toml").read_text(encoding="utf-8")).items()
}


def group_of(module: str) -> str:
    """The group with the longest matching prefix."""
    matches = [
        (len(prefix), name)
        for name, group in GROUPS.items()
        for prefix in group.modules
        if prefix == f"{module}!" or f"{module}.".startswith(f"{prefix}.")
    ]
    assert matches, f"{module} is in no group of layers.toml"
    return max(matches)[1]


def refusal(importer: str, found: Import) -> str:
    """Why an import is not allowed, or nothing."""
    here = group_of(importer)
    group = GROUPS[here]
    top = found.module.split(".")[0]
    if found.module.startswith("."):
        return "is relative"
    if top == "bl_compiler":
        there = group_of(found.module)
        allowed = [here, *group.imports, *(group.lazy_imports if found.lazy else ())]
        return "" if there in allowed else f"leads from `{here}` to `{there}`"
    if top in sys.stdlib_module_names:
        return ""
    packages = [*group.packages, *(group.lazy_packages if found.lazy else ())]
    return "" if top in packages else f"brings `{top}` to `{here}`"


def test_groups_only_look_down() -> None:
    upward = [
        (name, other)
        for name, group in GROUPS.items()
        for other in (*group.imports, *group.lazy_imports)
        if GROUPS[other].floor > group.floor and name != "facade" and other != "facade"
    ]
    assert upward == []


@pytest.mark.parametrize("module", modules())
def test_imports_follow_the_floors(module: str) -> None:
    path = modules()[module]
    wrong = [
        f"{shown(path)}:{found.line}: import of {found.module} {why}"
        for found in imports(path)
        if (why := refusal(module, found))
    ]
    assert wrong == []


def test_imports_form_no_cycle() -> None:
    graph = nx.DiGraph(
        (module, found.module)
        for module, path in modules().items()
        for found in imports(path)
        if not found.lazy and found.module in modules()
    )
    assert list(nx.simple_cycles(graph)) == []


def qualified_names(path: Path) -> set[str]:
    """Every dotted name that a file imports or reaches through an attribute."""
    names = {found.module for found in imports(path)}
    names |= {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    return names


def uses(path: Path, package: str) -> bool:
    """Whether a file uses a package or anything inside it."""
    return any(f"{name}.".startswith(f"{package}.") for name in qualified_names(path))


def test_nobody_uses_the_inside_of_jax() -> None:
    assert [shown(path) for path in modules().values() if uses(path, "jax._src")] == []


@pytest.mark.parametrize("package", GUARDED)
def test_unstable_parts_of_jax_enter_through_one_file(package: str) -> None:
    assert [shown(path) for path in modules().values() if path != COMPAT and uses(path, package)] == []


def test_the_groups_name_existing_modules() -> None:
    wanted = [name.rstrip("!") for group in GROUPS.values() for name in group.modules]
    assert [name for name in wanted if name not in modules()] == []


def test_the_document_shows_the_floors() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert all(f"\n| {floor} |" in text for floor in range(7))
