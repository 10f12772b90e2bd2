"""All layers and built-in functions, in one place.

Invariant: `LAYERS` is a value handed down, built here once; importing a layer's file adds nothing to it.
May import: floors 0-1, the rest of `layers`.
"""

from __future__ import annotations

from bl_compiler.layers.activations import ACTIVATIONS
from bl_compiler.layers.algebra import ALGEBRA
from bl_compiler.layers.assemble import ASSEMBLE
from bl_compiler.layers.conv import CONV
from bl_compiler.layers.conv_transpose import CONV_TRANSPOSE
from bl_compiler.layers.dense import DENSE
from bl_compiler.layers.dropout import DROPOUT
from bl_compiler.layers.embedding import EMBEDDING
from bl_compiler.layers.math import MATH
from bl_compiler.layers.norm import NORM
from bl_compiler.layers.outputs import OUTPUTS
from bl_compiler.layers.pooling import POOLING
from bl_compiler.layers.reductions import REDUCTIONS
from bl_compiler.layers.shape import SHAPE
from bl_compiler.layers.spec import LayerSet

LAYERS = LayerSet(
    DENSE,
    CONV,
    CONV_TRANSPOSE,
    POOLING,
    NORM,
    EMBEDDING,
    DROPOUT,
    SHAPE,
    ASSEMBLE,
    ACTIVATIONS,
    MATH,
    REDUCTIONS,
    ALGEBRA,
    OUTPUTS,
)
