"""Canonical text of a syntax tree: two-space indent, one statement a line, lines of at most 100 columns where possible.

Invariant: the text parses back to an equal tree, formatting it again changes nothing, and every comment is kept. Trees
without spans, as the Python builder makes them, are laid out by the same rules. May import: floor 0, the frontend's
syntax files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.comments import Comment, CommentQueue, comments_of
from bl_compiler.frontend.format_expr import INDENT, ExpressionFormatter, own_lines, split_comments
from bl_compiler.frontend.layout import HARD, LINE, Doc, Suffix, cat, group, join, nest, render
from bl_compiler.frontend.literals import spell
from bl_compiler.frontend.parser import parse
from bl_compiler.source import NO_SPAN, SourceFile

WIDTH = 100


def format_text(source: SourceFile, sink: Sink) -> str | None:
    """The canonical text of a source, or None if it has syntax errors, which go to the sink."""
    file = parse(source, sink)
    return None if file is None else format_source(file, comments_of(source))


def format_source(file: ast.File, comments: Iterable[Comment] = ()) -> str:
    """The canonical text of a file.

    Args:
        file: the tree, with or without spans.
        comments: the comments of the text that the tree's spans point into.

    Returns:
        The text, ending with a line end unless it is empty.
    """
    queue = CommentQueue(comments)
    doc = _Formatter(queue).file(file)
    text = render(doc, WIDTH)
    return text + "\n" if text else ""


class _Formatter(ExpressionFormatter):
    """Adds statements and file items to expressions."""

    def file(self, file: ast.File) -> Doc:
        lines = _Lines()
        for item in file.items:
            self._add(lines, item, apart=isinstance(item, ast.LayerDef | ast.ModelDef))
        lines.add_comments(self.comments.rest())
        return cat(*lines.docs)

    def block(self, block: ast.Block) -> Doc:
        inside = self.comments.before(block.span)
        first = block.statements[0].span if block.statements else NO_SPAN
        inside += self.comments.before(first) if block.statements else self.comments.within(block.span)
        opening, leading = split_comments(inside)
        lines = _Lines()
        lines.add_comments(leading)
        for statement in block.statements:
            self._add(lines, statement)
        lines.add_comments(self.comments.within(block.span))
        if not lines.docs and not opening:
            return "{}"
        return cat("{", opening, nest(INDENT, HARD, *lines.docs) if lines.docs else "", HARD, "}")

    def _add(self, lines: _Lines, statement: ast.Stmt, *, apart: bool = False) -> None:
        lines.add_comments(self.comments.before(statement.span), apart=apart)
        doc = self._statement(statement)
        lines.add(statement, self.comments.within(statement.span), doc, apart=apart)

    def _statement(self, statement: ast.Stmt) -> Doc:
        match statement:
            case ast.Import(path):
                return f"import {spell(path)}"
            case ast.Option(name, value):
                return cat(f"option {name} = ", self.expr(value))
            case ast.LayerDef(name, params, body):
                until = body.span if params else NO_SPAN
                return cat(f"layer {name}", self.items("(", params, ")", until), " ", self.block(body))
            case ast.ModelDef(name, body):
                return cat(f"model {name} ", self.block(body))
            case ast.If():
                return self._if(statement)
            case ast.ExprStmt(value) if isinstance(value, ast.Repeat | ast.Scan):
                return self.expr(value)
            case ast.Plate(name, size, total):
                return group(f"plate {name}[", self.expr(size), "]", nest(INDENT, *self.clauses(("of", total))))
            case ast.Input(name, declared):
                return cat(f"input {name}: ", self.type(declared))
            case ast.Param(name, declared, init, constraint):
                head = cat(f"param {name}: ", self.type(declared), " = ")
                return group(head, self.expr(init), nest(INDENT, *self.clauses(("in", constraint))))
            case ast.Let(names, value, grouped):
                comma = "," if len(names) == 1 else ""
                target = f"({', '.join(names)}{comma})" if grouped or len(names) != 1 else names[0]
                return cat(f"let {target} = ", self.expr(value))
            case ast.Predict(name, value):
                return cat(f"predict {name} = ", self.expr(value))
            case ast.Sample() | ast.Observe() | ast.Believe():
                return self._stochastic(statement)
            case ast.Mesh(axes):
                parts = [cat(f"{axis.name}=", self.expr(axis.value)) for axis in axes]
                return group("mesh ", nest(INDENT, join(cat(",", LINE), parts)))
            case ast.Shard(axis, mesh_axis):
                return f"shard {axis} -> {mesh_axis}"
            case ast.Objective(value) | ast.Optimize(value) | ast.Next(value) | ast.Emit(value) | ast.Return(value):
                return cat(f"{type(statement).__name__.lower()} ", self.expr(value))
            case _:
                raise TypeError(f"no text for {type(statement).__name__}")

    def _stochastic(self, statement: ast.Sample | ast.Observe | ast.Believe) -> Doc:
        match statement:
            case ast.Sample(name, prior):
                declared = "" if statement.type is None else cat(": ", self.type(statement.type))
                head = cat(f"sample {name}", declared, " ~ ", self.expr(prior))
                clauses = self.clauses(("by", statement.posterior), ("using", statement.estimator))
            case ast.Observe(value, distribution, mask):
                head = cat("observe ", self.expr(value), " ~ ", self.expr(distribution))
                clauses = self.clauses(("where", mask))
            case ast.Believe(roles, layers, prior, posterior, estimator, condition):
                target = f"believe {', '.join(roles)}" + (f" in {', '.join(layers)}" if layers else "")
                if prior is not None:
                    head = cat(f"{target} ~ ", self.expr(prior))
                    belief = self.clauses(("by", posterior))
                else:
                    head = cat(f"{target} = ", "none" if posterior is None else self.expr(posterior))
                    belief = []
                clauses = [*belief, *self.clauses(("using", estimator), ("when", condition))]
        return group(head, nest(INDENT, *clauses))

    def _if(self, statement: ast.If) -> Doc:
        parts: list[Doc] = []
        keyword = "if "
        while True:
            parts += [keyword, self.expr(statement.condition), " ", self.block(statement.then)]
            match statement.otherwise:
                case None:
                    return cat(*parts)
                case ast.Block((ast.If() as nested,)):
                    statement, keyword = nested, " else if "
                case last:
                    return cat(*parts, " else ", self.block(last))


class _Lines:
    """The lines of a block or file, with at most one blank line between two."""

    def __init__(self) -> None:
        self.docs: list[Doc] = []
        self._last_line = 0
        self._after_definition = False
        self._after_comment = False

    def add_comments(self, comments: Sequence[Comment], *, apart: bool = False) -> None:
        """Add comments, those behind code to the line before; `apart` sets the others off by a blank line."""
        for comment in comments:
            if not comment.own_line and self.docs and not self._after_comment:
                self.docs.append(Suffix(comment.text))
            else:
                self._separate(comment.line, apart=apart)
                self.docs.append(comment.text)
                self._after_comment, self._after_definition = True, False
            self._last_line = comment.line

    def add(self, statement: ast.Stmt, strays: Sequence[Comment], doc: Doc, *, apart: bool = False) -> None:
        """Add a statement, directly above it the comments from within it that no line of it holds."""
        self._separate(statement.span.line, apart=apart)
        self.docs += [*own_lines(strays), doc]
        self._last_line = statement.span.end_line
        self._after_comment, self._after_definition = False, apart

    def _separate(self, line: int, *, apart: bool) -> None:
        """End the line before, and leave a blank line where the source had one or a definition needs one."""
        if not self.docs:
            return
        had_blank = self._last_line > 0 and line - self._last_line > 1
        # The comments directly above a definition belong to it.
        needs_blank = (apart or self._after_definition) and not self._after_comment
        self.docs += [HARD, HARD] if had_blank or needs_blank else [HARD]
