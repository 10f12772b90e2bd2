"""Graphs written as Python and run: what the tests of the JAX backend share.

Invariant: operands enter as inputs, so that nothing but the op under test is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bl_compiler.backends.jax.emit import EmittedModule, emit_module
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, TensorType
from tests.unit.reference.build import typed

Array = np.ndarray[Any, Any]
PLATES = (PlateInfo("batch", 4, 100), PlateInfo("open", 2))


def module_of(graph: Graph, entry: str = "predict") -> Module:
    """A module that holds one entry graph."""
    return Module("m", {entry: graph}, PLATES)


def emitted(graph: Graph, entry: str = "predict") -> EmittedModule:
    """The text of a module that holds one entry graph."""
    return emit_module(module_of(graph, entry))


def function_of(graph: Graph) -> Callable[..., Any]:
    """The graph as `f(params, inputs, key) -> outputs`."""
    return emitted(graph).namespace["_predict"]  # type: ignore[no-any-return]


def outputs_of(
    graph: Graph, inputs: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None, seed: int = 0
) -> dict[str, Array]:
    """The outputs of a graph, compiled."""
    found = jax.jit(function_of(graph))(dict(params or {}), dict(inputs or {}), jax.random.key(seed))
    return {name: np.asarray(value) for name, value in found.items()}


def inputs_for(b: GraphBuilder, operands: Sequence[object]) -> tuple[list[Value], dict[str, Array]]:
    """Inputs `x0`, `x1`, … of the operands' types, and what to feed them."""
    values, fed = [], {}
    for i, operand in enumerate(operands):
        x, dtype = typed(operand)
        type_ = TensorType(dtype, tuple(Dim(n) for n in x.shape))
        values.append(b.add("model.input", key=f"x{i}", type=type_, name=f"x{i}"))
        fed[f"x{i}"] = x.astype(np.float32) if dtype.is_float else x
    return values, fed


def apply(op: str, *operands: object, seed: int = 0, site: str | None = None, **attrs: object) -> Array:
    """The only result of an op."""
    b = GraphBuilder(CORE_OPS, "predict")
    values, fed = inputs_for(b, operands)
    result = b.add(op, *values, site=site, **attrs)
    found = outputs_of(b.finish([("y", result)]), fed, seed=seed)["y"]
    assert found.dtype == np.dtype(jax.numpy.dtype(NUMPY[result.tensor.dtype])), op
    return found


NUMPY = {
    "bool": "bool",
    "u8": "uint8",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
}
