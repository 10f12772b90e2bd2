"""Expressions of the Python builder: Python operators that write the syntax tree of the language.

Invariant: an expression holds a tree and nothing else; meaning is given by lowering, as for a parsed file.
May import: floor 0, `ast`, `library`, `literals`, `caller`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bl_compiler.frontend import ast
from bl_compiler.frontend.caller import span_of, unpacked_names, user_frame
from bl_compiler.frontend.library import FORMS
from bl_compiler.frontend.literals import INT_MAX, INT_MIN
from bl_compiler.source import Span


class Recorder(Protocol):
    """An open model, as expressions see it."""

    def record(self, made: Expression) -> Expression:
        """Take note of a new expression; the result stands for it."""

    def unpack(self, whole: Expression, names: tuple[str, ...]) -> tuple[Expression, ...]:
        """Name the parts of a value that is taken apart."""

    def check_word(self, word: str) -> None:
        """Refuse a word of the language that means something else here."""


@runtime_checkable
class Symbolic(Protocol):
    """What stands for an expression without being one, such as a user layer."""

    def as_expression(self) -> Expression:
        """The expression."""


OPEN: list[Recorder] = []
"""The open models, innermost last; a new expression passes through the last."""


def here() -> Span:
    """The place of the caller in the user's file."""
    return span_of(user_frame())


class Expression:
    """A symbolic value: an array, a distribution, a layer, or a compile-time value.

    Operators, indexing, attributes, calls and `x | layer` (the pipe) give new expressions.

    Args:
        tree: what it stands for.
        word: the word of the language that it is, if it is one.
    """

    __slots__ = ("tree", "word")
    __array_ufunc__ = None  # NumPy leaves operators to this class

    def __init__(self, tree: ast.Expr, word: str = "") -> None:
        self.tree = tree
        self.word = word

    def __or__(self, stage: object) -> Expression:
        return new(ast.Pipe(tree_of(self), tree_of(stage), span=here()))

    def __ror__(self, value: object) -> Expression:
        return new(ast.Pipe(tree_of(value), tree_of(self), span=here()))

    def __call__(self, *positional: object, **named: object) -> Expression:
        """Call a layer, a function or a distribution; a keyword may give a weight its belief."""
        span = here()
        written: list[ast.Argument | ast.BeliefArgument] = [ast.Argument(tree_of(v), span=span) for v in positional]
        for name, value in named.items():
            if isinstance(value, BeliefSpec) and value.prior is not None:
                written.append(ast.BeliefArgument(name, value.prior, value.posterior, value.estimator, span=span))
            else:
                written.append(ast.Argument(tree_of(value), name, span=span))
        made = ast.Call(tree_of(self), tuple(written), span=span)
        return Expression(made) if self.word in FORMS else new(made)

    def __getitem__(self, index: object) -> Expression:
        span = here()
        indices = index if isinstance(index, tuple) else (index,)
        return new(ast.Index(tree_of(self), tuple(map(_index_tree, indices)), span=span))

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        return new(ast.Attribute(tree_of(self), name, span=here()))

    def __iter__(self) -> Iterator[Expression]:
        names = unpacked_names(user_frame())
        if not names or not OPEN:
            raise TypeError("how many values this has is not known; unpack it to names, as in `a, b = x | bl.split(2)`")
        return iter(OPEN[-1].unpack(self, names))

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
        return BeliefSpec(tree_of(self), tree_of(posterior), None if using is None else tree_of(using))

    def __neg__(self) -> Expression:
        return new(ast.Unary("-", tree_of(self), span=here()))

    def __invert__(self) -> Expression:
        return new(ast.Unary("not", tree_of(self), span=here()))

    def __and__(self, other: object) -> Expression:
        return _binary("and", self, other)

    def __rand__(self, other: object) -> Expression:
        return _binary("and", other, self)

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

    def __rmod__(self, other: object) -> Expression:
        return _binary("%", other, self)

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
    """A prior with its posterior and estimator; `point` alone has no prior."""

    prior: ast.Expr | None
    posterior: ast.Expr | None = None
    estimator: ast.Expr | None = None


def new(tree: ast.Expr) -> Expression:
    """An expression of a tree, named after the Python variable it is stored to while a model is open."""
    made = Expression(tree)
    return OPEN[-1].record(made) if OPEN else made


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
        ValueError: if it is a number that the language cannot write.
    """
    match value:
        case Expression() if value.word:
            # A word is written anew at each use, so that messages point there.
            if OPEN:
                OPEN[-1].check_word(value.word)
            return ast.Name(value.word, span=here())
        case Expression(tree=ast.Name() as name):
            return ast.Name(name.id, span=here())
        case Expression():
            return value.tree
        case Symbolic():
            return tree_of(value.as_expression())
        case None | bool() | int() | float() | str():
            return ast.Literal(_plain(value), span=here())
        case list():
            return ast.ListExpr(tuple(map(tree_of, value)), span=here())
        case tuple():
            return ast.TupleExpr(tuple(map(tree_of, value)), span=here())
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return tree_of(value.item())
    raise TypeError(
        f"a model holds symbolic values, numbers, strings and lists, not {_kind(value)}; "
        f"{'decorate it with `@bl.layer`' if callable(value) else 'data goes through `bl.input`'}"
    )


def _kind(value: object) -> str:
    return "a Python function" if callable(value) and not isinstance(value, type) else type(value).__name__


def _plain(value: float | str | None) -> float | str | None:
    """A literal's value as itself: subclasses, such as NumPy's numbers, spell themselves in other ways."""
    match value:
        case None | bool():
            return value
        case int() if INT_MIN <= value <= INT_MAX:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return "".join(value)
    raise ValueError(f"the language has no number {value}")
