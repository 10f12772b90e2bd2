"""Running emitted text so that its lines are those of the `.blg` file they stem from.

Python tracebacks, StableHLO locations and HLO metadata then name the user's line. A code object has one file name, so
a statement from another file (an imported layer) runs in a nested function of its own, which carries that name.
Invariant: the text that runs is the text that is shown; only positions differ. May import: floor 0.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType

from bl_compiler.source import NO_SPAN, SourceFile, Span

PSEUDO_FILE = "<blc "
"""How the file names of emitted text begin, for lines that stem from no source."""

_NESTED = "_line_of_another_file_"


@dataclass
class _Home:
    """The file that a function's code object is named after, and the last position seen in it."""

    file: str
    last: Span


def pseudo_file(name: str) -> str:
    """The file name of a program's emitted text."""
    return f"{PSEUDO_FILE}{name}>"


def show_lines(source: SourceFile) -> None:
    """Let tracebacks show the lines of a text that is in memory."""
    lines = source.text.splitlines(keepends=True)
    linecache.cache[source.name] = (len(source.text), None, lines, source.name)


def compile_text(text: str, name: str, spans: Mapping[int, Span], skip: frozenset[str]) -> CodeType:
    """The code of emitted text.

    Args:
        text: the emitted module.
        name: the program's name.
        spans: the source position of lines of the text, by number.
        skip: top-level definitions to leave out.
    """
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not _defines(node) & skip and not isinstance(node, ast.Import)]
    locator = _Locator(spans, pseudo_file(name))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            locator.function(node)
    code = compile(tree, pseudo_file(name), "exec", dont_inherit=True)
    return _renamed(code, locator.files)


def _defines(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
            return {name}
        case _:
            return set()


class _Locator:
    """Gives statements the positions of their sources.

    Attributes:
        files: the file names of functions whose code is named after another file than the emitted text, by first
            line and name of the function's code.
    """

    def __init__(self, spans: Mapping[int, Span], own_file: str) -> None:
        self.files: dict[tuple[int, str], tuple[str, str]] = {}
        self._spans = spans
        self._own_file = own_file
        self._count = 0

    def function(self, node: ast.FunctionDef) -> None:
        """Locate a function and all within."""
        numbers = (n.lineno for n in ast.walk(node) if isinstance(n, ast.stmt))
        first = next((self._spans[number] for number in numbers if number in self._spans), NO_SPAN)
        if not first.known:
            return
        home = _Home(first.file, first)
        node.body = [located for statement in node.body for located in self._statement(statement, home)]
        _place(node, first, deep=False)
        self._enter(node, first.file, node.name)

    def _span(self, node: ast.stmt) -> Span:
        return self._spans.get(node.lineno, NO_SPAN)

    def _enter(self, node: ast.FunctionDef, file: str, shown: str) -> None:
        # Code objects are found again by name, so names of nested functions, unlike positions, must be distinct.
        self.files[(node.lineno, node.name)] = (file, shown)

    def _statement(self, node: ast.stmt, home: _Home) -> list[ast.stmt]:
        if isinstance(node, ast.FunctionDef):
            self.function(node)
            if (node.lineno, node.name) not in self.files:
                _place(node, home.last)
                self._enter(node, home.file, node.name)
            return [node]
        if isinstance(node, ast.With):
            at = next((s for s in map(self._span, node.body) if s.file == home.file), home.last)
            node.body = [located for inner in node.body for located in self._statement(inner, home)]
            for item in node.items:
                _place(item.context_expr, at)
            _place(node, at, deep=False)
            return [node]
        span = self._spans.get(node.lineno, home.last)
        if span.file == home.file:
            home.last = span
            _place(node, span)
            return [node]
        return self._elsewhere(node, span, home)

    def _elsewhere(self, node: ast.stmt, span: Span, home: _Home) -> list[ast.stmt]:
        """A statement whose expression runs in a function of its own, named after its file."""
        assert isinstance(node, ast.Assign), ast.unparse(node)
        self._count += 1
        name = f"{_NESTED}{self._count}"
        template = ast.parse(f"def {name}():\n    return 0").body[0]
        assert isinstance(template, ast.FunctionDef)
        assert isinstance(template.body[0], ast.Return)
        template.body[0].value = node.value
        _place(template, span)
        node.value = ast.Call(ast.Name(name, ast.Load()), [], [])
        _place(node, home.last)
        self._enter(template, span.file, "layer")
        return [template, node]


def _place(node: ast.AST, span: Span, *, deep: bool = True) -> None:
    for each in ast.walk(node) if deep else [node]:
        if isinstance(each, (ast.stmt, ast.expr, ast.arg, ast.keyword, ast.alias)):
            each.lineno, each.col_offset = span.line, span.column - 1
            each.end_lineno, each.end_col_offset = span.end_line, max(span.end_column - 1, 0)


def _renamed(code: CodeType, files: Mapping[tuple[int, str], tuple[str, str]], file: str | None = None) -> CodeType:
    """Code objects with their file names; lambdas and comprehensions take that of the function around them."""
    file, shown = files.get((code.co_firstlineno, code.co_name), (file, code.co_name))
    qualname = code.co_qualname if shown == code.co_name else shown
    constants = tuple(_renamed(c, files, file) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_filename=file or code.co_filename, co_name=shown, co_qualname=qualname)
