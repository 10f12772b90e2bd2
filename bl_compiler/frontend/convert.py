"""From lark's tree to the syntax tree: one method per rule of the grammar, named after it.

Invariant: a converted tree holds no lark objects; every node's span covers exactly its text; a malformed literal or
reserved name is reported and conversion goes on, so one run shows all of them. May import: floor 0, `ast`, `literals`,
`words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.literals import LiteralError, read_number, read_string
from bl_compiler.frontend.words import PYTHON_CONSTANTS, RESERVED
from bl_compiler.source import NO_SPAN, SourceFile, Span

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

MAX_DEPTH = 128


def too_deep(root: Node) -> Node | None:
    """The first node nested deeper than `MAX_DEPTH`, found without recursion."""
    stack: list[tuple[Any, int]] = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            deep: Node = node
            return deep
        # Tokens have no children and None stands for an absent part.
        stack.extend((child, depth + 1) for child in reversed(node.children) if hasattr(child, "children"))
    return None


class Converter:
    """Converts the tree of one source; `ok` turns false once something was reported."""

    def __init__(self, source: SourceFile, sink: Sink) -> None:
        self._file = source.name
        self._sink = sink
        self.ok = True

    def file(self, tree: Node) -> ast.File:
        """The whole file."""
        items = tuple(self._any(child) for child in tree.children)
        return ast.File(self._file, items, span=self._span(tree))

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _any(self, tree: Any) -> Any:
        """Convert by the rule's name; an absent part stays None."""
        return None if tree is None else getattr(self, f"_{tree.data}")(tree)

    def _all(self, trees: list[Any]) -> tuple[Any, ...]:
        return tuple(self._any(tree) for tree in trees)

    def _span(self, tree: Any) -> Span:
        where = getattr(tree, "meta", tree)
        if getattr(where, "empty", False):
            return NO_SPAN
        return Span(self._file, where.line, where.column, where.end_line, where.end_column)

    def _error(self, code: str, message: str, span: Span, way_out: str, replace: str | None = None) -> None:
        self.ok = False
        found = self._sink.error(code, message, at=span)
        if way_out:
            found.help(way_out, replace=None if replace is None else (span, replace), sure=replace is not None)

    def _declared(self, token: Token) -> str:
        """The name that a statement brings in."""
        if token in RESERVED or token in PYTHON_CONSTANTS:
            self._error("BLC0101", f"`{token}` is a reserved word", self._span(token), "choose another name")
        return str(token)

    # --- file items --------------------------------------------------------------------------------------------------

    def _import(self, tree: Node) -> ast.Import:
        return ast.Import(self._text(tree.children[0]), span=self._span(tree))

    def _option(self, tree: Any) -> ast.Option:
        name, value = tree.children
        return ast.Option(self._declared(name), self._any(value), span=self._span(tree))

    def _layer(self, tree: Any) -> ast.LayerDef:
        name, params, body = tree.children
        converted = () if params is None else self._all(params.children)
        return ast.LayerDef(self._declared(name), converted, self._block(body), span=self._span(tree))

    def _layer_param(self, tree: Any) -> ast.LayerParam:
        name, default = tree.children
        return ast.LayerParam(self._declared(name), self._any(default), span=self._span(tree))

    def _model(self, tree: Any) -> ast.ModelDef:
        name, body = tree.children
        return ast.ModelDef(self._declared(name), self._block(body), span=self._span(tree))

    # --- statements --------------------------------------------------------------------------------------------------

    def _block(self, tree: Node) -> ast.Block:
        return ast.Block(self._all(tree.children), span=self._span(tree))

    def _plate(self, tree: Any) -> ast.Plate:
        name, size, total = tree.children
        return ast.Plate(self._declared(name), self._any(size), self._any(total), span=self._span(tree))

    def _input(self, tree: Any) -> ast.Input:
        name, declared = tree.children
        return ast.Input(self._declared(name), self._type(declared), span=self._span(tree))

    def _param(self, tree: Any) -> ast.Param:
        name, *parts = tree.children
        return ast.Param(self._declared(name), *self._all(parts), span=self._span(tree))

    def _let(self, tree: Any) -> ast.Let:
        target, value = tree.children
        grouped = hasattr(target, "children")
        names = tuple(self._declared(name) for name in (target.children if grouped else [target]))
        return ast.Let(names, self._any(value), grouped, span=self._span(tree))

    def _sample(self, tree: Any) -> ast.Sample:
        name, declared, prior, posterior, estimator = tree.children
        return ast.Sample(
            self._declared(name),
            self._any(prior),
            type=self._any(declared),
            posterior=self._any(posterior),
            estimator=self._any(estimator),
            span=self._span(tree),
        )

    def _observe(self, tree: Node) -> ast.Observe:
        return ast.Observe(*self._all(tree.children), span=self._span(tree))

    def _believe(self, tree: Any) -> ast.Believe:
        roles, layers, belief, estimator, condition = tree.children
        prior, posterior = belief.children if belief.data == "prior" else (None, belief.children[0])
        return ast.Believe(
            tuple(map(str, roles.children)),
            () if layers is None else tuple(map(str, layers.children)),
            prior=self._any(prior),
            posterior=self._any(posterior),
            estimator=self._any(estimator),
            condition=self._any(condition),
            span=self._span(tree),
        )

    def _predict(self, tree: Any) -> ast.Predict:
        name, value = tree.children
        return ast.Predict(self._declared(name), self._any(value), span=self._span(tree))

    def _objective(self, tree: Node) -> ast.Objective:
        return ast.Objective(self._any(tree.children[0]), span=self._span(tree))

    def _optimize(self, tree: Node) -> ast.Optimize:
        return ast.Optimize(self._any(tree.children[0]), span=self._span(tree))

    def _mesh(self, tree: Node) -> ast.Mesh:
        return ast.Mesh(self._all(tree.children), span=self._span(tree))

    def _shard(self, tree: Node) -> ast.Shard:
        axis, mesh_axis = tree.children
        return ast.Shard(str(axis), str(mesh_axis), span=self._span(tree))

    def _if(self, tree: Any) -> ast.If:
        condition, then, otherwise = tree.children
        if otherwise is not None and otherwise.data == "if":
            nested = self._if(otherwise)
            last: ast.Block | None = ast.Block((nested,), span=nested.span)
        else:
            last = self._any(otherwise)
        return ast.If(self._any(condition), self._block(then), last, span=self._span(tree))

    def _next(self, tree: Node) -> ast.Next:
        return ast.Next(self._any(tree.children[0]), span=self._span(tree))

    def _emit(self, tree: Node) -> ast.Emit:
        return ast.Emit(self._any(tree.children[0]), span=self._span(tree))

    def _return(self, tree: Node) -> ast.Return:
        return ast.Return(self._any(tree.children[0]), span=self._span(tree))

    def _effect(self, tree: Node) -> ast.ExprStmt:
        return ast.ExprStmt(self._any(tree.children[0]), span=self._span(tree))

    # --- types -------------------------------------------------------------------------------------------------------

    def _type(self, tree: Any) -> ast.TypeSyntax:
        dtype, dims = tree.children
        return ast.TypeSyntax(str(dtype), () if dims is None else self._all(dims.children), span=self._span(tree))

    def _dim(self, tree: Node) -> ast.DimSyntax:
        return ast.DimSyntax(self._any(tree.children[0]), span=self._span(tree))

    def _named_dim(self, tree: Node) -> ast.DimSyntax:
        name, size = tree.children
        return ast.DimSyntax(self._any(size), str(name), span=self._span(tree))

    # --- expressions -------------------------------------------------------------------------------------------------

    def _name(self, tree: Any) -> ast.Expr:
        token, span = str(tree.children[0]), self._span(tree)
        if token in PYTHON_CONSTANTS:
            spelled = PYTHON_CONSTANTS[token]
            self._error("BLC0101", f"unknown constant `{token}`", span, f"it is spelled `{spelled}`", spelled)
        elif token in RESERVED:
            self._error("BLC0101", f"expected an expression, found keyword `{token}`", span, "")
        return ast.Name(token, span=span)

    def _number(self, tree: Any) -> ast.Literal:
        return self._numeral(tree, str(tree.children[0]))

    def _numeral(self, tree: Any, text: str) -> ast.Literal:
        try:
            return ast.Literal(read_number(text), text, span=self._span(tree))
        except LiteralError as error:
            self._error("BLC0104", str(error), self._span(tree), error.way_out)
            return ast.Literal(0, span=self._span(tree))

    def _string(self, tree: Any) -> ast.Literal:
        return ast.Literal(self._text(tree.children[0]), span=self._span(tree))

    def _text(self, token: Any) -> str:
        try:
            return read_string(str(token))
        except LiteralError as error:
            self._error("BLC0104", str(error), self._span(token), error.way_out)
            return ""

    def _true(self, tree: Node) -> ast.Literal:
        return ast.Literal(True, span=self._span(tree))

    def _false(self, tree: Node) -> ast.Literal:
        return ast.Literal(False, span=self._span(tree))

    def _none(self, tree: Node) -> ast.Literal:
        return ast.Literal(None, span=self._span(tree))

    def _paren(self, tree: Node) -> ast.Expr:
        inner: ast.Expr = self._any(tree.children[0])
        return inner

    def _tuple(self, tree: Any) -> ast.TupleExpr:
        items = [] if tree.children == [None] else tree.children
        return ast.TupleExpr(self._all(items), span=self._span(tree))

    def _list(self, tree: Node) -> ast.ListExpr:
        return ast.ListExpr(self._all(tree.children), span=self._span(tree))

    def _unary(self, tree: Any) -> ast.Expr:
        op, operand = tree.children
        if op == "-" and operand.data == "number":
            # One literal, so that `-1` is the same in an option, an index and an argument; `-(1)` stays an operation.
            return self._numeral(tree, f"-{operand.children[0]}")
        return ast.Unary(str(op), self._any(operand), span=self._span(tree))

    def _binary(self, tree: Any) -> ast.Binary:
        left, op, right = tree.children
        return ast.Binary(str(op), self._any(left), self._any(right), span=self._span(tree))

    def _pipe(self, tree: Node) -> ast.Pipe:
        value, _, stage = tree.children
        return ast.Pipe(self._any(value), self._any(stage), span=self._span(tree))

    def _attribute(self, tree: Node) -> ast.Attribute:
        value, name = tree.children
        return ast.Attribute(self._any(value), str(name), span=self._span(tree))

    def _call(self, tree: Node) -> ast.Call:
        function, *arguments = tree.children
        return ast.Call(self._any(function), self._all(arguments), span=self._span(tree))

    def _argument(self, tree: Node) -> ast.Argument:
        return ast.Argument(self._any(tree.children[0]), span=self._span(tree))

    def _keyword_argument(self, tree: Node) -> ast.Argument:
        name, value = tree.children
        return ast.Argument(self._any(value), str(name), span=self._span(tree))

    _mesh_axis = _keyword_argument
    _scan_option = _keyword_argument

    def _belief_argument(self, tree: Any) -> ast.BeliefArgument:
        role, *parts = tree.children
        return ast.BeliefArgument(str(role), *self._all(parts), span=self._span(tree))

    def _index(self, tree: Node) -> ast.Index:
        value, *indices = tree.children
        return ast.Index(self._any(value), self._all(indices), span=self._span(tree))

    def _slice(self, tree: Any) -> ast.Slice:
        start, _, stop, _, step = tree.children
        return ast.Slice(self._any(start), self._any(stop), self._any(step), span=self._span(tree))

    def _ellipsis(self, tree: Node) -> ast.Ellipsis:
        return ast.Ellipsis(span=self._span(tree))

    def _named_index(self, tree: Node) -> ast.Named:
        name, value = tree.children
        return ast.Named(str(name), self._any(value), span=self._span(tree))

    # --- repeat and scan ---------------------------------------------------------------------------------------------

    def _repeat(self, tree: Any) -> ast.Repeat:
        _, count, *carries, body = tree.children
        converted, grouped = self._carries(carries)
        return ast.Repeat(self._any(count), converted, self._block(body), grouped, span=self._span(tree))

    def _scan(self, tree: Any) -> ast.Scan:
        _, inputs, axis, carries, options, mask, body = tree.children
        converted, grouped = self._carries(carries.children)
        return ast.Scan(
            self._all(inputs.children),
            str(axis),
            converted,
            self._block(body),
            options=self._all(options.children),
            mask=self._any(mask),
            grouped=grouped,
            span=self._span(tree),
        )

    def _scan_input(self, tree: Any) -> ast.ScanInput:
        name, sequence = tree.children
        return ast.ScanInput(self._declared(name), self._any(sequence), span=self._span(tree))

    def _carries(self, trees: Any) -> tuple[tuple[ast.Carry, ...], bool]:
        """The carries of a loop, and whether they stood in parentheses."""
        first = trees[0] if trees else None
        if first is None:
            return (), False
        grouped = first.data == "carries"
        return self._all(first.children if grouped else [first]), grouped

    def _carry(self, tree: Any) -> ast.Carry:
        name, init = tree.children
        return ast.Carry(self._declared(name), self._any(init), span=self._span(tree))
