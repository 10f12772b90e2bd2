"""The syntax tree of `.blg`, written by the parser and by the Python builder alike.

Invariant: spans take no part in equality, so a tree equals the tree parsed from its own formatted text.
May import: floor 0.
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
    """A number, string, `true`, `false` or `none`. `text` is the spelling of a number (`50_000`, `1e-3`), else empty."""

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
    """`kernel ~ Laplace(0, 1) by mean_field using flipout`, or `bias = point`-like keyword written with `~`, among a layer's arguments."""

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


# --- types ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DimSyntax(Syntax):
    """A dimension: `32`, `batch`, `n * 2` (name empty), or `time=50`."""

    size: Expr
    name: str = ""


@dataclass(frozen=True, slots=True)
class TypeSyntax(Syntax):
    """`f32[batch, time=50, 128]`."""

    dtype: str
    dims: tuple[DimSyntax, ...] = ()


# --- statements ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block(Syntax):
    """Statements between braces."""

    statements: tuple[Stmt, ...] = ()


@dataclass(frozen=True, slots=True)
class Plate(Stmt):
    """`plate batch[256] of 50_000`."""

    name: str
    size: Expr
    total: Expr | None = None


@dataclass(frozen=True, slots=True)
class Input(Stmt):
    """`input images: f32[batch, 32]`."""

    name: str
    type: TypeSyntax


@dataclass(frozen=True, slots=True)
class Param(Stmt):
    """`param noise: f32[] = 1.0 in positive`."""

    name: str
    type: TypeSyntax
    init: Expr
    constraint: Expr | None = None


@dataclass(frozen=True, slots=True)
class Let(Stmt):
    """`let h = …`, `let (a, b) = …`."""

    names: tuple[str, ...]
    value: Expr
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class Sample(Stmt):
    """`sample z: f32[batch, 20] ~ PRIOR by POSTERIOR using ESTIMATOR`; without `by` it is noise."""

    name: str
    prior: Expr
    type: TypeSyntax | None = None
    posterior: Expr | None = None
    estimator: Expr | None = None


@dataclass(frozen=True, slots=True)
class Observe(Stmt):
    """`observe EXPR ~ DIST where MASK`."""

    value: Expr
    distribution: Expr
    mask: Expr | None = None


@dataclass(frozen=True, slots=True)
class Believe(Stmt):
    """`believe kernel, bias in dense ~ PRIOR by POSTERIOR using ESTIMATOR when COND`; `believe kernel = point` has no prior."""

    roles: tuple[str, ...]
    layers: tuple[str, ...] = ()
    prior: Expr | None = None
    posterior: Expr | None = None
    estimator: Expr | None = None
    condition: Expr | None = None


@dataclass(frozen=True, slots=True)
class Predict(Stmt):
    """`predict NAME = EXPR`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Objective(Stmt):
    """`objective elbo(samples=1)`, `objective map`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Optimize(Stmt):
    """`optimize adam(learning_rate=1e-3)`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Mesh(Stmt):
    """`mesh data=32, model=16`."""

    axes: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Shard(Stmt):
    """`shard AXIS -> MESH_AXIS`."""

    axis: str
    mesh_axis: str


@dataclass(frozen=True, slots=True)
class If(Stmt):
    """`if COND { … } else { … }`; `else if` nests."""

    condition: Expr
    then: Block
    otherwise: Block | None = None


@dataclass(frozen=True, slots=True)
class Next(Stmt):
    """`next VALUE` at the end of a repeat or scan body."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Emit(Stmt):
    """`emit VALUE` within a scan body."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Return(Stmt):
    """`return EXPR` at the end of a `layer`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class ExprStmt(Stmt):
    """A `scan` or `repeat` for its effects, without `let`."""

    value: Expr


# --- files ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import(Stmt):
    """`import "blocks.blg"`."""

    path: str


@dataclass(frozen=True, slots=True)
class Option(Stmt):
    """`option NAME = LITERAL`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class LayerParam(Syntax):
    """A parameter of a user layer."""

    name: str
    default: Expr | None = None


@dataclass(frozen=True, slots=True)
class LayerDef(Stmt):
    """`layer NAME(params) { … return EXPR }`."""

    name: str
    params: tuple[LayerParam, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class ModelDef(Stmt):
    """`model NAME { … }`."""

    name: str
    body: Block


@dataclass(frozen=True, slots=True)
class File(Syntax):
    """A whole `.blg` file."""

    name: str
    items: tuple[Stmt, ...] = ()
