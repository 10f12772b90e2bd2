"""Small programs for the tests of whole modules.

Invariant: their nodes carry positions in `model.blg`, and one layer's in `blocks.blg`, whose texts are here.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from bl_compiler.backends.jax.program import Program
from bl_compiler.ir.graph import Module, Objective, Optimizer
from bl_compiler.ir.types import Dim, DType, TensorType, dims_of
from bl_compiler.passes.entries import derive_entries
from bl_compiler.source import SourceFile, Span
from tests.support.models import ModelBuilder

MODEL_TEXT = "\n".join(f"statement {i}" for i in range(1, 11)) + "\n"
BLOCKS_TEXT = "\n".join(f"imported {i}" for i in range(1, 11)) + "\n"
SOURCES = {
    "model.blg": SourceFile("model.blg", MODEL_TEXT),
    "blocks.blg": SourceFile("blocks.blg", BLOCKS_TEXT),
}


def line(number: int, file: str = "model.blg") -> Span:
    """The span of a line."""
    return Span(file, number, 1, number, 11)


def regression(
    size: int | str = 4,
    total: int | None = 100,
    objective: Objective | None = None,
    optimizer: Optimizer | None = None,
) -> Module:
    """A Bayesian linear regression over standardized features, with every kind of entry output.

    A mean-field weight, a positive noise scale, a running mean of the features, a predicted value.
    """
    b = ModelBuilder()
    batch = b.plate("batch", size, total)
    with b.at(span=line(1)):
        x = b.input("x", batch, 3)
        y = b.input("y", batch)
    with b.at(span=line(2), scope="standardize"):
        center = b.state("standardize/mean", 3)
        new = b.reduce("mean", x, [0])
        b.update("standardize/mean", b.binary("add", b.binary("mul", center, 0.9), b.binary("mul", new, 0.1)))
        x = b.binary("sub", x, center)
    with b.at(span=line(3), scope="dense"):
        loc = b.param("dense/kernel/loc", 3, init=0.1)
        scale = b.param("dense/kernel/scale", 3, constraint="positive", init=0.01)
        w = b.sample("dense/kernel", b.standard(3), b.dist("Normal", loc, scale))
    with b.at(span=line(4, "blocks.blg"), scope="dense"):
        mean = b.einsum("bi,i->b", x, w)
    with b.at(span=line(5)):
        noise = b.param("noise", constraint="positive", init=1.0)
        b.observe("y", y, b.dist("Normal", mean, noise))
    with b.at(span=line(6)):
        b.predict("growth", b.unary("exp", mean))
    module = b.module(objective or Objective())
    module = Module(module.name, module.functions, module.plates, module.objective, optimizer or Optimizer())
    return derive_entries(module)


def local_model(objective: Objective) -> Module:
    """A latent variable for each example, and a weight shared by all."""
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    with b.at(span=line(1)):
        x, y = b.input("x", batch, 3), b.input("y", batch)
        w = b.weight("w", 3)
        mean = b.einsum("bi,i->b", x, w)
        z = b.sample("z", b.standard(batch), b.dist("Normal", mean, 0.5))
        b.observe("y", y, b.dist("Laplace", b.binary("add", b.unary("sin", z), mean), 0.7))
    return b.entries(objective)


@cache
def program() -> Program:
    """The regression, compiled once."""
    return Program(regression(), sources=SOURCES)


def data(size: int = 4) -> dict[str, np.ndarray]:
    """Data for the regression."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.array([1.0, -2.0, 0.5], np.float32)}


def typed_inputs(*dtypes: DType) -> Module:
    """A module that only reads inputs `x0`, `x1`, … of these element types and predicts them."""
    b = ModelBuilder()
    for i, dtype in enumerate(dtypes):
        value = b.add("model.input", key=f"x{i}", type=TensorType(dtype, dims_of(Dim(2))), name=f"x{i}")
        b.predict(f"y{i}", value)
    b.observe("z", b.input("z", 2), b.standard(2))
    return derive_entries(b.module())
