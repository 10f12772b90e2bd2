"""Moments of nonlinear functions of Gaussian variables that have no closed form in elementary functions.

Invariant: operands broadcast as NumPy does, and results are elementwise in them. May import: floor 0, `types`, `attrs`,
`opspec`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.opspec import OpSpec
from bl_compiler.ir.types import DType, TensorType, Type, TypeRuleError, broadcast_dims, promote, tensor


def _floats(types: Sequence[Type], attrs: Attrs) -> tuple[Type, ...]:
    arrays = [tensor(t) for t in types]
    dtype: DType = arrays[0].dtype
    for x in arrays:
        if not x.dtype.is_float:
            raise TypeRuleError(f"moments are floats, not {x.dtype}")
        dtype = promote(dtype, x.dtype)
    return (TensorType(dtype, broadcast_dims(*(x.dims for x in arrays))),)


MOMENT_OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "moment.relu_covariance",
        ("mean_a", "mean_b", "variance_a", "variance_b", "covariance"),
        _floats,
        "covariance of max(a, 0) and max(b, 0) for jointly Gaussian a and b with these moments",
    ),
)
