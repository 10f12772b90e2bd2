"""Every function is annotated and every module says what it holds.

Invariant: this needs no type checker, so it fails where the fault is even if mypy is not run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.code import python_files, shown, tree

Function = ast.FunctionDef | ast.AsyncFunctionDef


def missing_annotations(function: Function, *, method: bool) -> Iterator[str]:
    """The parameters without annotation, and `return` if the result has none."""
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
    if method and not static:
        positional = positional[1:]
    for parameter in (*positional, *spec.kwonlyargs, spec.vararg, spec.kwarg):
        if parameter is not None and parameter.annotation is None:
            yield parameter.arg
    if function.returns is None:
        yield "return"


def functions(root: ast.AST, *, method: bool = False) -> Iterator[tuple[Function, bool]]:
    """The functions of a tree, each with whether it is a method."""
    for node in ast.iter_child_nodes(root):
        if isinstance(node, Function):
            yield node, method
        inside = isinstance(node, ast.ClassDef) or (method and not isinstance(node, Function))
        yield from functions(node, method=inside)


def test_every_function_is_annotated() -> None:
    untyped = [
        f"{shown(path)}:{function.lineno}: {function.name}({', '.join(missing)})"
        for path in python_files("bl_compiler", "tests")
        for function, method in functions(tree(path))
        if (missing := list(missing_annotations(function, method=method)))
    ]
    assert untyped == []


def test_every_module_has_a_docstring() -> None:
    files = python_files("bl_compiler", "tests", "benchmarks")
    assert [shown(path) for path in files if not ast.get_docstring(tree(path))] == []
