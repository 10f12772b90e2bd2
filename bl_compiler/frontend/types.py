"""Types and dimensions as they are written.

May import: floors 0-1, `ast`, `values`, `state`.
"""

from __future__ import annotations

from bl_compiler.frontend import ast
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import PlateRef, PlateSize, describe
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType
from bl_compiler.source import Span


def lower_type(state: State, syntax: ast.TypeSyntax, env: Env) -> TensorType:
    """The array type that `f32[batch, time=50, 128]` stands for."""
    try:
        dtype = DType(syntax.dtype)
    except ValueError:
        state.unknown("element type", syntax.dtype, list(DType), syntax.span, code="BLC0214")
    dims = tuple(_dim(state, d.size, d.name, env, d.span) for d in syntax.dims)
    plates = [d.name for d in dims if d.is_plate]
    if len(set(plates)) < len(plates):
        state.fail("BLC0214", f"plate `{plates[0]}` appears twice in one type", syntax.span)
    return TensorType(dtype, dims)


def _dim(state: State, expr: ast.Expr, name: str, env: Env, at: Span) -> Dim:
    if isinstance(expr, ast.Name) and env.scope.find(expr.id) is None:
        state.unknown("dimension", expr.id, env.scope.visible(), expr.span, code="BLC0214")
    value = state.evaluate(expr, env)
    if isinstance(value, (PlateRef, PlateSize)):
        if name and name != value.dim.name:
            state.fail("BLC0214", f"the plate `{value.dim.name}` cannot be named `{name}`", at)
        return value.dim
    if not isinstance(value, int) or isinstance(value, bool):
        state.fail("BLC0214", f"a dimension is an integer or a plate, found {describe(value)}", at)
    if value < 1:
        state.fail("BLC0203", "a dimension must be at least 1", at, label=f"this is {value}")
    return Dim(value, name, DimKind.TIME if name == "time" else DimKind.PLAIN) if name else Dim(value)


def dims_of_indices(state: State, indices: tuple[ast.Expr, ...], env: Env) -> tuple[Dim, ...]:
    """Dimensions in brackets: `zeros[batch, 200]`, `Normal(0, 1)[3072]`."""
    named = ((i.value, i.name) if isinstance(i, ast.Named) else (i, "") for i in indices)
    return tuple(_dim(state, size, name, env, size.span) for size, name in named)
