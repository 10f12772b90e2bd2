"""Expressions of the syntax tree, and the bases of all nodes; `ast` holds the rest and gives all of it.

Invariant: as for `ast`. May import: floor 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """Base of every tree node."""

    span: Span = field(default=NO_SPAN, compare=False)


class Expr(Syntax):
    """Base of expressions."""

    __slots__ = ()


class Stmt(Syntax):
    """Base of statements."""

    __slots__ = ()


# --- expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A number, string, `true`, `false` or `none`; `text` is the spelling of a number (`50_000`), else empty."""

    value: int | float | str | bool | None
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A use of a name."""

    id: str


@dataclass(frozen=True, slots=True)
class ListExpr(Expr):
    """`[a, b]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class TupleExpr(Expr):
    """`(a, b)`; `(a,)` has one item."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`-x`, `not x`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """`+ - * / // % ** @`, the comparisons `== != < <= > >=`, `and`, `or`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Attribute(Expr):
    """`value.name`."""

    value: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Slice(Expr):
    """`a:b:c` within an index; absent parts are None."""

    start: Expr | None = None
    stop: Expr | None = None
    step: Expr | None = None


@dataclass(frozen=True, slots=True)
class Ellipsis(Expr):
    """`...` within an index."""


@dataclass(frozen=True, slots=True)
class Named(Expr):
    """`time=50` within an index: a size with the name of its axis, as in `zeros[batch, time=50]`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Index(Expr):
    """`value[indices]`; also `Normal(0, 1)[3072]`, `zeros[batch, 200]`. An index may be `Named` (`time=50`)."""

    value: Expr
    indices: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Argument(Syntax):
    """An argument of a call: positional (`name` empty) or keyword."""

    value: Expr
    name: str = ""


@dataclass(frozen=True, slots=True)
class BeliefArgument(Syntax):
    """`kernel ~ Laplace(0, 1) by mean_field using flipout` among a layer's arguments."""

    role: str
    prior: Expr
    posterior: Expr | None = None
    estimator: Expr | None = None


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """`function(arguments)`."""

    function: Expr
    arguments: tuple[Argument | BeliefArgument, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipe(Expr):
    """`value |> stage`."""

    value: Expr
    stage: Expr


@dataclass(frozen=True, slots=True)
class Block(Syntax):
    """Statements between braces."""

    statements: tuple[Stmt, ...] = ()


@dataclass(frozen=True, slots=True)
class Carry(Syntax):
    """One carry `h = x` of `repeat` or `scan`."""

    name: str
    init: Expr


@dataclass(frozen=True, slots=True)
class Repeat(Expr):
    """`repeat COUNT from CARRIES { body }`. `grouped` keeps whether the carries stood in parentheses."""

    count: Expr
    carries: tuple[Carry, ...]
    body: Block
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class ScanInput(Syntax):
    """`x in features`."""

    name: str
    sequence: Expr


@dataclass(frozen=True, slots=True)
class Scan(Expr):
    """`scan x in xs, … over AXIS from CARRIES [reverse=true] [where MASK] { body }`."""

    inputs: tuple[ScanInput, ...]
    axis: str
    carries: tuple[Carry, ...]
    body: Block
    options: tuple[Argument, ...] = ()
    mask: Expr | None = None
    grouped: bool = False
