"""Expressions and types as documents: parentheses by precedence, comments at the lines where they stood.

Invariant: the text of an expression parses back to an equal expression, and so does every way of breaking its lines.
May import: floor 0, `ast`, `comments`, `layout`, `literals`.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from bl_compiler.frontend import ast
from bl_compiler.frontend.comments import Comment, CommentQueue
from bl_compiler.frontend.layout import HARD, LINE, SOFT, Broken, Doc, Suffix, cat, group, join, nest, render
from bl_compiler.frontend.literals import spell
from bl_compiler.source import Span

INDENT = 2

# How tightly each form binds, as in the grammar.
PIPE, OR, AND, NOT, COMPARE, SUM, PRODUCT, NEGATION, POWER, POSTFIX, ATOM = range(11)

_BINARY = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARE),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "//", "%", "@"), PRODUCT),
    "**": POWER,
}


def binding(expr: ast.Expr) -> int:
    """How tightly the outermost form of an expression binds."""
    match expr:
        case ast.Binary(op):
            return _BINARY[op]
        case ast.Unary(op):
            return NOT if op == "not" else NEGATION
        case ast.Literal() if number_text(expr).startswith("-"):
            return NEGATION
        case ast.Pipe() | ast.Repeat() | ast.Scan():
            # A loop is an atom to the grammar; with an operator or a call at its brace nobody could read it.
            return PIPE
        case ast.Attribute() | ast.Call() | ast.Index():
            return POSTFIX
        case _:
            return ATOM


def number_text(literal: ast.Literal) -> str:
    """The spelling of a number, empty for other literals."""
    if isinstance(literal.value, bool) or not isinstance(literal.value, int | float):
        return ""
    return literal.text or spell(literal.value)


def split_comments(comments: list[Comment]) -> tuple[Doc, list[Comment]]:
    """The comment that goes behind the code that ends here, or nothing, and those that need lines of their own."""
    if comments and not comments[0].own_line:
        return Suffix(comments[0].text), comments[1:]
    return "", comments


def end_of(span: Span) -> Span:
    """The empty span at the end of another."""
    return Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column)


def own_lines(comments: Sequence[Comment]) -> list[Doc]:
    """Comments on lines of their own, each with its line end."""
    return [cat(comment.text, HARD) for comment in comments]


def _keyword(name: str, value: ast.Expr) -> str:
    """A name before its value, with room around the sign where a pipe follows: the pipe is part of the value."""
    return f"{name} = " if isinstance(value, ast.Pipe) else f"{name}="


class ExpressionFormatter(ABC):
    """Turns expressions into documents, taking comments from a queue in source order."""

    def __init__(self, comments: CommentQueue) -> None:
        self.comments = comments

    @abstractmethod
    def block(self, block: ast.Block) -> Doc:
        """A block in its braces."""

    # --- expressions -------------------------------------------------------------------------------------------------

    def expr(self, expr: ast.Expr, least: int = PIPE) -> Doc:
        """An expression, in parentheses if it binds more loosely than `least`."""
        if binding(expr) >= least:
            return self._bare(expr)
        return group("(", nest(INDENT, SOFT, self._bare(expr)), SOFT, ")")

    def _bare(self, expr: ast.Expr) -> Doc:
        match expr:
            case ast.Literal():
                return number_text(expr) or spell(expr.value)
            case ast.Name(name):
                return name
            case ast.ListExpr(items):
                return self.items("[", items, "]", end_of(expr.span))
            case ast.TupleExpr(items):
                return self.items("(", items, ")", end_of(expr.span), single=True)
            case ast.Unary():
                return self._unary(expr)
            case ast.Binary():
                return self._binary(expr)
            case ast.Attribute(value, name):
                # `1.x` would read as one number.
                least = ATOM + 1 if isinstance(value, ast.Literal) and number_text(value) else POSTFIX
                return cat(self.expr(value, least), f".{name}")
            case ast.Call(function, arguments):
                return cat(self.expr(function, POSTFIX), self.items("(", arguments, ")", end_of(expr.span)))
            case ast.Index(value, indices):
                return cat(self.expr(value, POSTFIX), self.items("[", indices, "]", end_of(expr.span)))
            case ast.Slice():
                return self._slice(expr)
            case ast.Ellipsis():
                return "..."
            case ast.Named(name, value):
                return cat(_keyword(name, value), self.expr(value))
            case ast.Pipe():
                return self._pipe(expr)
            case ast.Repeat():
                return self._repeat(expr)
            case ast.Scan():
                return self._scan(expr)
            case _:
                raise TypeError(f"no text for {type(expr).__name__}")

    def _unary(self, expr: ast.Unary) -> Doc:
        if expr.op == "not":
            return cat("not ", self.expr(expr.operand, NOT))
        # `-1` is a literal; the negation of a literal keeps parentheses.
        is_number = isinstance(expr.operand, ast.Literal) and number_text(expr.operand)
        return cat(expr.op, self.expr(expr.operand, ATOM + 1 if is_number else NEGATION))

    def _binary(self, expr: ast.Binary) -> Doc:
        level = _BINARY[expr.op]
        if level == POWER:
            return cat(self.expr(expr.left, POSTFIX), " ** ", self.expr(expr.right, NEGATION))
        if level == COMPARE:
            return group(self.expr(expr.left, SUM), nest(INDENT, LINE, f"{expr.op} ", self.expr(expr.right, SUM)))
        operands: list[tuple[str, ast.Expr]] = []
        first: ast.Expr = expr
        while isinstance(first, ast.Binary) and _BINARY[first.op] == level:
            operands.append((first.op, first.right))
            first = first.left
        head = self.expr(first, level + 1)
        rest = [cat(LINE, f"{op} ", self.expr(right, level + 1)) for op, right in reversed(operands)]
        return group(head, nest(INDENT, *rest))

    def _pipe(self, expr: ast.Pipe) -> Doc:
        stages: list[ast.Expr] = []
        first: ast.Expr = expr
        while isinstance(first, ast.Pipe):
            stages.append(first.stage)
            first = first.value
        parts: list[Doc] = [self.expr(first)]
        for stage in reversed(stages):
            trailing, leading = self.taken(stage.span)
            parts += [trailing, nest(INDENT, LINE, *leading, "|> ", self.expr(stage, OR))]
        return group(*parts)

    def _slice(self, expr: ast.Slice) -> Doc:
        parts = ["" if part is None else self.expr(part) for part in (expr.start, expr.stop, expr.step)]
        return cat(parts[0], ":", parts[1], *((":", parts[2]) if expr.step is not None else ()))

    # --- lists -------------------------------------------------------------------------------------------------------

    def items(
        self,
        opener: str,
        items: Sequence[ast.Syntax],
        closer: str,
        until: Span,
        *,
        single: bool = False,
    ) -> Doc:
        """Items between brackets: on one line, or each on its own with a comma behind.

        Args:
            opener: the bracket before.
            items: the items.
            closer: the bracket behind.
            until: what comes next; the comments before it belong inside.
            single: whether one item needs its comma on one line too.
        """
        parts: list[Doc] = []
        for item in items:
            trailing, leading = self.taken(item.span)
            comma = "," if parts else ""
            parts += [comma, trailing, LINE if parts else SOFT, *leading, self._item(item)]
        inside = self.comments.before(until)
        if not items and not inside:
            return opener + closer
        parts.append("," if single and len(items) == 1 else Broken(",") if items else "")
        trailing, rest = split_comments(inside)
        parts += [trailing, *(cat(HARD, comment.text) for comment in rest)]
        return group(opener, nest(INDENT, *parts), SOFT, closer)

    def _item(self, item: ast.Syntax) -> Doc:
        match item:
            case ast.Argument(value, name) | ast.DimSyntax(value, name):
                return cat(_keyword(name, value) if name else "", self.expr(value))
            case ast.BeliefArgument():
                clauses = self.clauses(("by", item.posterior), ("using", item.estimator))
                return group(f"{item.role} ~ ", self.expr(item.prior), nest(INDENT, *clauses))
            case ast.Carry(name, init):
                return cat(f"{name} = ", self.expr(init))
            case ast.LayerParam(name, default):
                return name if default is None else cat(_keyword(name, default), self.expr(default))
            case ast.Expr():
                return self.expr(item)
            case _:
                raise TypeError(f"no text for {type(item).__name__}")

    def clauses(self, *clauses: tuple[str, ast.Expr | None]) -> list[Doc]:
        """The clauses that are there, each after a line end that a group may flatten."""
        return [cat(LINE, f"{keyword} ", self.expr(value)) for keyword, value in clauses if value is not None]

    def taken(self, span: Span) -> tuple[Doc, list[Doc]]:
        """The comments before `span`: one behind the code before it, the others on lines of their own."""
        first, rest = split_comments(self.comments.before(span))
        return first, own_lines(rest)

    def type(self, declared: ast.TypeSyntax) -> Doc:
        """A type."""
        return cat(declared.dtype, self.items("[", declared.dims, "]", end_of(declared.span)))

    # --- loops -------------------------------------------------------------------------------------------------------

    def _repeat(self, expr: ast.Repeat) -> Doc:
        header = group("repeat ", self.expr(expr.count), nest(2 * INDENT, *self._carries(expr, expr.body)))
        return cat(header, " ", self.block(expr.body))

    def _scan(self, expr: ast.Scan) -> Doc:
        inputs = join(cat(",", LINE), [cat(f"{each.name} in ", self.expr(each.sequence)) for each in expr.inputs])
        following = next(filter(None, (*expr.options, expr.mask)), expr.body)
        clauses: list[Doc] = [LINE, f"over {expr.axis}", *self._carries(expr, following)]
        for option in expr.options:
            clauses += [LINE, _keyword(option.name, option.value), self.expr(option.value)]
        clauses += self.clauses(("where", expr.mask))
        header = group("scan ", nest(2 * INDENT, group(inputs), *clauses))
        return cat(header, " ", self.block(expr.body))

    def _carries(self, loop: ast.Repeat | ast.Scan, following: ast.Syntax) -> list[Doc]:
        if not loop.carries:
            return []
        if loop.grouped or len(loop.carries) > 1:
            return [LINE, "from ", self.items("(", loop.carries, ")", following.span)]
        return [LINE, "from ", self._item(loop.carries[0])]


def format_expr(expr: ast.Expr) -> str:
    """One line of text for an expression, for messages; the bodies of loops are left out."""
    return render(_Brief(CommentQueue(())).expr(expr), sys.maxsize)


class _Brief(ExpressionFormatter):
    """Leaves the bodies of loops out."""

    def block(self, block: ast.Block) -> Doc:
        return "{ … }" if block.statements else "{}"
