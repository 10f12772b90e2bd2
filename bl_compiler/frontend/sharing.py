"""Trees of the Python builder made ready to be text: what stands in several places gets a name.

A Python value may be used twice; written out twice, a layer would be two layers, and a sum of sums would double in size
with each use. Invariant: the statements mean what they meant. May import: floor 0, `ast`, `library`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from bl_compiler.frontend import ast
from bl_compiler.frontend.library import FORMS

Node = TypeVar("Node", bound=ast.Syntax)
NAME = "part"


def with_names(statements: Sequence[ast.Stmt], taken: Collection[str]) -> tuple[ast.Stmt, ...]:
    """The statements of a block, each tree in one place: `let part = …` stands before the first use."""
    return tuple(_Naming(statements, taken).run())


class Depths:
    """How deep trees nest; each node is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ast.Syntax, int]] = {}  # holding the nodes keeps their ids theirs

    def of(self, node: ast.Syntax) -> int:
        """The depth of a tree."""
        if id(node) not in self._known:
            self._known[id(node)] = node, 1 + max((self.of(child) for child in children(node)), default=0)
        return self._known[id(node)][1]


def copied(node: Node) -> Node:
    """The same tree of other objects."""
    found: Node = _mapped(node, copied, always=True)
    return found


def children(node: ast.Syntax) -> Iterator[ast.Syntax]:
    """The parts of a node that are nodes."""
    for part in fields(node):
        value = getattr(node, part.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, ast.Syntax):
                yield item


def _mapped(node: Node, function: Callable[[Any], Any], *, always: bool = False) -> Node:
    """A node with its parts changed; itself if none is."""
    changes: dict[str, Any] = {}
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, ast.Syntax):
            found: object = function(value)
        elif isinstance(value, tuple) and any(isinstance(v, ast.Syntax) for v in value):
            found = tuple(function(v) for v in value)
            if all(a is b for a, b in zip(found, value, strict=True)):
                found = value
        else:
            continue
        if found is not value:
            changes[part.name] = found
    return replace(node, **changes) if changes or always else node


class _Naming:
    """One pass over a block."""

    def __init__(self, statements: Sequence[ast.Stmt], taken: Collection[str]) -> None:
        self._statements = statements
        self._taken = set(taken)
        self._uses: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._out: list[ast.Stmt] = []
        for statement in statements:
            self._count(statement)

    def _count(self, node: ast.Syntax) -> None:
        for child in children(node):
            self._uses[id(child)] = self._uses.get(id(child), 0) + 1
            if self._uses[id(child)] == 1:
                self._count(child)

    def run(self) -> list[ast.Stmt]:
        """The new statements."""
        for statement in self._statements:
            self._out.append(self._rewritten(statement))
        return self._out

    def _rewritten(self, node: Node) -> Node:
        return _mapped(node, self._named)

    def _named(self, node: ast.Syntax) -> ast.Syntax:
        if self._uses[id(node)] == 1 or not isinstance(node, ast.Expr) or _is_small(node) or self._is_form(node):
            return self._rewritten(node)
        if id(node) not in self._names:
            value = self._rewritten(node)
            self._names[id(node)] = name = self._fresh()
            self._out.append(ast.Let((name,), value, span=node.span))
        return ast.Name(self._names[id(node)], span=node.span)

    def _is_form(self, node: ast.Expr) -> bool:
        """Whether this is read and not evaluated, such as `mean_field(init_scale=0.1)`: it can have no name."""
        head = node.function if isinstance(node, ast.Call) else node
        return isinstance(head, ast.Name) and head.id in FORMS and head.id not in self._taken

    def _fresh(self) -> str:
        name, count = NAME, 0
        while name in self._taken:
            count += 1
            name = f"{NAME}_{count}"
        self._taken.add(name)
        return name


def _is_small(node: ast.Expr) -> bool:
    """Whether writing this twice is the same as writing it once."""
    match node:
        case ast.Name() | ast.Literal() | ast.Slice() | ast.Ellipsis() | ast.Named():
            return True
        case ast.Attribute(value, _):
            return _is_small(value)
        case ast.ListExpr(items) | ast.TupleExpr(items):
            return all(map(_is_small, items))
    return False
