"""Observations with a mask: what is left out gives no value and no gradient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.graph import Output
from bl_compiler.ir.types import Dim, dims_of
from tests.support.models import ModelBuilder

JOINT = ("MultivariateNormal", "LowRankMultivariateNormal", "MatrixNormal", "Reshaped")


@pytest.mark.parametrize("family", ["Normal", "StudentT", "Gamma", "Bernoulli", "Categorical", *JOINT])
def test_the_density_under_a_mask_is_finite(family: str) -> None:
    """Where the density itself is finite, a zero cotangent gives a zero gradient."""
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    dims, data, shapes = _masked_case(family, batch)
    params = [b.input(f"p{i}", batch, *shape) for i, shape in enumerate(shapes)]
    x = b.input("x", batch, *dims, dtype="i32" if family == "Categorical" else "f32")
    d = b.dist("MatrixNormal" if family == "Reshaped" else family, *params)
    if family == "Reshaped":
        d = b.add("dist.reshape_event", d, dims=dims_of(*dims))
    b.observe("x", x, d, b.input("mask", batch, dtype="bool"))
    module = b.entries()
    train = module.functions["train"]
    inputs: dict[str, npt.ArrayLike] = {"x": data, "mask": [True, False, True, False]}
    for i, shape in enumerate(shapes):
        value = np.broadcast_to(np.eye(2) if shape == (2, 2) else np.full(shape, 2.0), (4, *shape)).copy()
        value[1::2] = np.nan
        inputs[f"p{i}"] = value
    (density,) = train.of("prob.log_prob")
    watched = train.replace(outputs=[*train.outputs, Output("density", density.result)])
    found = evaluate(watched, inputs=inputs)
    assert np.isfinite(found["density"]).all()
    assert np.isfinite(found["loss"])
    terms = evaluate(module.functions["log_likelihood"], inputs=inputs)["log_prob:x"]
    np.testing.assert_array_equal(terms[1::2], [0.0, 0.0])
    np.testing.assert_allclose(found["nll"], -terms.sum() / 4)


def _masked_case(family: str, batch: Dim) -> tuple[tuple[int, ...], npt.ArrayLike, list[tuple[int, ...]]]:
    """Event dimensions, data that is senseless where masked, and the parameters' dimensions."""
    match family:
        case "Categorical":
            return (), [1, 99, 0, -1], [(3,)]
        case "MultivariateNormal":
            return (2,), [[1.0, 2.0], [np.nan, 0.0], [0.0, 0.0], [np.inf, 1.0]], [(2,), (2, 2)]
        case "LowRankMultivariateNormal":
            return (2,), [[1.0, 2.0], [np.nan, 0.0], [0.0, 0.0], [np.inf, 1.0]], [(2,), (2, 1), (2,)]
        case "MatrixNormal" | "Reshaped":
            data = np.arange(16.0).reshape(4, 2, 2)
            data[1], data[3, 1, 0] = np.nan, np.inf
            shape = (2, 2) if family == "MatrixNormal" else (4,)
            return shape, data.reshape(4, *shape), [(2, 2)] * 3
        case "Bernoulli":
            return (), [1.0, np.nan, 0.0, 7.0], [()]
        case "StudentT":
            return (), [1.0, np.nan, 0.5, np.inf], [(), (), ()]
        case _:
            return (), [1.0, np.nan, 0.5, -np.inf], [(), ()]


def test_a_shared_parameter_is_not_replaced_under_a_mask() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x, mask = b.input("x", batch, 3), b.input("mask", batch, 3, dtype="bool")
    d = b.add("dist.independent", b.dist("Normal", b.input("m", batch, 3), b.param("s", 3)), ndims=0)
    b.observe("x", x, d, mask)
    train = b.entries().functions["train"]
    assert sum(node.op.name == "math.select" for node in train.nodes) == 3
