"""The op set of the IR. May import: the `ops_*` files."""

from __future__ import annotations

from bl_compiler.ir.ops_dist import DIST_OPS
from bl_compiler.ir.ops_math import MATH_OPS
from bl_compiler.ir.ops_model import MODEL_OPS
from bl_compiler.ir.ops_moments import MOMENT_OPS
from bl_compiler.ir.ops_region import REGION_OPS
from bl_compiler.ir.ops_tensor import TENSOR_OPS
from bl_compiler.ir.opspec import OpSet

CORE_OPS = OpSet(MATH_OPS, TENSOR_OPS, DIST_OPS, MODEL_OPS, REGION_OPS, MOMENT_OPS)
