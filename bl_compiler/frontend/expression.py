"""Expressions of the Python builder: Python operators that write the syntax tree of the language.

Invariant: an expression holds a tree and nothing else; meaning is given by lowering, as for a parsed file.
May import: floor 0, `ast`, `caller`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bl_compiler.frontend import ast
from bl_compiler.frontend.caller import span_of, user_frame
from bl_compiler.source import Span

Recorder = Callable[["Expression"], "Expression"]
_RECORDERS: list[Recorder] = []
"""The open models' recorders, innermost last; a new expression passes through the last."""


def here() -> Span:
    """The place of the caller in the user's file."""
    return span_of(user_frame())


class Expression:
    """A symbolic value: an array, a distribution, a layer, or a compile-time value.

    Operators, indexing, attributes, calls and `x | layer` (the pipe) give new expressions.
    """

    __slots__ = ("parts", "tree")

    def __init__(self, tree: ast.Expr, parts: tuple[Expression, ...] = ()) -> None:
        self.tree = tree
        self.parts = parts

    def __or__(self, stage: object) -> Expression:
        return new(ast.Pipe(self.tree, tree_of(stage), span=here()))

    def __call__(self, *positional: object, **named: object) -> Expression:
        span = here()
        arguments = [ast.Argument(tree_of(value), span=span) for value in positional]
        written: list[ast.Argument | ast.BeliefArgument] = [*arguments]
        for name, value in named.items():
            if isinstance(value, BeliefSpec):
                written.append(ast.BeliefArgument(name, value.prior, value.posterior, value.estimator, span=span))
            else:
                written.append(ast.Argument(tree_of(value), name, span=span))
        return new(ast.Call(self.tree, tuple(written), span=span))

    def __getitem__(self, index: object) -> Expression:
        span = here()
        indices = index if isinstance(index, tuple) else (index,)
        return new(ast.Index(self.tree, tuple(map(_index_tree, indices)), span=span))

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        return Expression(ast.Attribute(self.tree, name, span=here()))

    def __iter__(self) -> Iterator[Expression]:
        if not self.parts:
            raise TypeError("how many values this has is not known; unpack it directly, as in `a, b = x | bl.split(2)`")
        return iter(self.parts)

    def __bool__(self) -> bool:
        raise TypeError(
            "a symbolic value is neither true nor false while the model is built; use `bl.select(condition, a, b)`"
        )

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from bl_compiler.frontend.format_expr import format_expr

        return f"<{format_expr(self.tree)}>"

    def by(self, posterior: object, *, using: object = None) -> BeliefSpec:
        """This prior with a posterior (and an estimator): `Normal(0, 1).by(mean_field())`."""
        return BeliefSpec(self.tree, tree_of(posterior), None if using is None else tree_of(using))

    def __neg__(self) -> Expression:
        return new(ast.Unary("-", self.tree, span=here()))

    def __invert__(self) -> Expression:
        return new(ast.Unary("not", self.tree, span=here()))

    def __and__(self, other: object) -> Expression:
        return _binary("and", self, other)

    def __add__(self, other: object) -> Expression:
        return _binary("+", self, other)

    def __radd__(self, other: object) -> Expression:
        return _binary("+", other, self)

    def __sub__(self, other: object) -> Expression:
        return _binary("-", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _binary("-", other, self)

    def __mul__(self, other: object) -> Expression:
        return _binary("*", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _binary("*", other, self)

    def __truediv__(self, other: object) -> Expression:
        return _binary("/", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return _binary("/", other, self)

    def __floordiv__(self, other: object) -> Expression:
        return _binary("//", self, other)

    def __rfloordiv__(self, other: object) -> Expression:
        return _binary("//", other, self)

    def __mod__(self, other: object) -> Expression:
        return _binary("%", self, other)

    def __pow__(self, other: object) -> Expression:
        return _binary("**", self, other)

    def __rpow__(self, other: object) -> Expression:
        return _binary("**", other, self)

    def __matmul__(self, other: object) -> Expression:
        return _binary("@", self, other)

    def __lt__(self, other: object) -> Expression:
        return _binary("<", self, other)

    def __le__(self, other: object) -> Expression:
        return _binary("<=", self, other)

    def __gt__(self, other: object) -> Expression:
        return _binary(">", self, other)

    def __ge__(self, other: object) -> Expression:
        return _binary(">=", self, other)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary("==", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _binary("!=", self, other)


@dataclass(frozen=True)
class BeliefSpec:
    """A prior with its posterior and estimator."""

    prior: ast.Expr
    posterior: ast.Expr | None = None
    estimator: ast.Expr | None = None


def new(tree: ast.Expr) -> Expression:
    """An expression of a tree, named after the Python variable it is stored to while a model is open."""
    made = Expression(tree)
    return _RECORDERS[-1](made) if _RECORDERS else made


def _binary(op: str, left: object, right: object) -> Expression:
    return new(ast.Binary(op, tree_of(left), tree_of(right), span=here()))


def _index_tree(index: object) -> ast.Expr:
    if isinstance(index, slice):
        parts = (None if p is None else tree_of(p) for p in (index.start, index.stop, index.step))
        return ast.Slice(*parts, span=here())
    if index is Ellipsis:
        return ast.Ellipsis(span=here())
    if isinstance(index, NamedDim):
        return ast.Named(index.name, tree_of(index.size), span=here())
    return tree_of(index)


@dataclass(frozen=True)
class NamedDim:
    """A dimension with an axis name, from `bl.dim(time=50)`."""

    name: str
    size: object


def tree_of(value: object) -> ast.Expr:
    """The tree of a Python value: an expression's own, or a literal's.

    Raises:
        TypeError: if the value has no place in a model, such as a NumPy array.
    """
    if isinstance(value, Expression):
        return value.tree
    if value is None or isinstance(value, (bool, int, float, str)):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            return ast.Unary("-", ast.Literal(-value, span=here()), span=here())
        return ast.Literal(value, span=here())
    if isinstance(value, list):
        return ast.ListExpr(tuple(map(tree_of, value)), span=here())
    if isinstance(value, tuple):
        return ast.TupleExpr(tuple(map(tree_of, value)), span=here())
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return tree_of(value.item())
    raise TypeError(
        f"a model holds symbolic values, numbers, strings and lists, not {type(value).__name__}; data goes through `bl.input`"
    )
