"""The syntax tree of `.blg`, written by the parser and by the Python builder alike.

Invariant: spans take no part in equality, so a tree equals the tree parsed from its own formatted text.
May import: floor 0, `ast_expr`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.frontend.ast_expr import (
    Argument,
    Attribute,
    BeliefArgument,
    Binary,
    Block,
    Call,
    Carry,
    Ellipsis,
    Expr,
    Index,
    ListExpr,
    Literal,
    Name,
    Named,
    Pipe,
    Repeat,
    Scan,
    ScanInput,
    Slice,
    Stmt,
    Syntax,
    TupleExpr,
    Unary,
)

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
    """`believe ROLES in LAYERS ~ PRIOR by POSTERIOR using ESTIMATOR when COND`; no prior in `= point`."""

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


__all__ = [
    "Argument",
    "Attribute",
    "BeliefArgument",
    "Believe",
    "Binary",
    "Block",
    "Call",
    "Carry",
    "DimSyntax",
    "Ellipsis",
    "Emit",
    "Expr",
    "ExprStmt",
    "File",
    "If",
    "Import",
    "Index",
    "Input",
    "LayerDef",
    "LayerParam",
    "Let",
    "ListExpr",
    "Literal",
    "Mesh",
    "ModelDef",
    "Name",
    "Named",
    "Next",
    "Objective",
    "Observe",
    "Optimize",
    "Option",
    "Param",
    "Pipe",
    "Plate",
    "Predict",
    "Repeat",
    "Return",
    "Sample",
    "Scan",
    "ScanInput",
    "Shard",
    "Slice",
    "Stmt",
    "Syntax",
    "TupleExpr",
    "TypeSyntax",
    "Unary",
]
