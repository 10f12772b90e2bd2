"""The clean-up pipeline, the verifier and the text form take a large graph in time that grows with its size alone."""

from __future__ import annotations

from time import perf_counter

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.types import Dim, DType, TensorType
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.instruments import VerifyEach
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline

SECONDS = 15.0
"""Ten times what it takes on a slow core; anything quadratic takes minutes."""


def deep_network(layers: int) -> Module:
    """Layers with something to do for each pass: neutral elements, equal nodes, unused nodes, shape changes."""
    b = GraphBuilder(CORE_OPS, "model")
    x = b.add("model.input", key="x", type=TensorType(DType.F32, (Dim(4), Dim(3))), name="x")
    for _ in range(layers):
        two = b.const(2.0, DType.F32)
        h = b.binary("add", b.binary("mul", two, x), b.const(0.0, DType.F32))
        again = b.binary("mul", two, x)
        b.unary("exp", again)
        turned = b.transpose(b.transpose(b.transpose(b.binary("sub", h, again), (1, 0)), (1, 0)), (1, 0))
        x = b.transpose(b.unary("tanh", turned), (1, 0))
    return Module("deep", {"model": b.finish([("y", x)])})


def test_large_graphs_take_linear_time() -> None:
    module = deep_network(1000)
    size = len(module.functions["model"].nodes)
    assert size > 10_000
    start = perf_counter()
    after = run_pipeline(
        module, Pipeline.parse("canonicalize,fold,cse,dce"), PassContext(CORE_OPS, instruments=(VerifyEach(),))
    )
    assert parse_module(print_module(after), CORE_OPS) == after
    assert perf_counter() - start < SECONDS
    assert len(after.functions["model"].nodes) < size / 2
