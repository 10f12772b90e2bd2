"""Covariances of linear and multilinear functions of draws, for every set of axes, against exact ones.

The exact ones come from values of the function at a few points (`tests/support/moments.py`); no rule takes part.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DimKind, DType
from bl_compiler.passes.moments.laws import inner_axes
from tests.support.moments import Setting, emitted, exact, restricted

B = Dim(2, "batch", DimKind.PLATE)
D2, D3, D4 = Dim(2), Dim(3), Dim(4)
_CONV: dict[str, Any] = {"padding": ((1, 0),), "lhs_dilation": (1,), "rhs_dilation": (1,), "groups": 1}


def _mask(b: GraphBuilder) -> Value:
    return b.const(((True, False), (False, True), (True, True), (True, False)), DType.BOOL)


CASES: dict[str, Setting] = {
    "dense": Setting({"w": (D3, D2)}, {"x": (B, D3)}, lambda b, w, x: b.einsum("ab,bc->ac", x["x"], w["w"])),
    "dense and bias": Setting(
        {"w": (D3, D2), "v": (D2,)},
        {"x": (B, D3)},
        lambda b, w, x: b.binary("add", b.einsum("ab,bc->ac", x["x"], w["w"]), w["v"]),
    ),
    "dense at positions": Setting(
        {"w": (D3, D2), "v": (D2,)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.binary("add", b.einsum("atb,bc->atc", x["x"], w["w"]), w["v"]),
    ),
    "two layers": Setting(
        {"w": (D3, D2), "v": (D2, D3)},
        {"x": (B, D3)},
        lambda b, w, x: b.einsum("ab,bc->ac", b.einsum("ab,bc->ac", x["x"], w["w"]), w["v"]),
    ),
    "two layers at positions": Setting(
        {"w": (D2, D3), "v": (D3, D2)},
        {"x": (B, D3, D2)},
        lambda b, w, x: b.einsum("tab,bc->tac", b.einsum("tab,bc->tac", x["x"], w["w"]), w["v"]),
    ),
    "point layer": Setting(
        {"w": (D3, D2)},
        {"x": (B, D3), "k": (D2, D3)},
        lambda b, w, x: b.einsum("ab,bc->ac", b.einsum("ab,bc->ac", x["x"], w["w"]), x["k"]),
    ),
    "local draw": Setting({"z": (B, D3), "w": (D3, D2)}, {}, lambda b, w, x: b.einsum("ab,bc->ac", w["z"], w["w"])),
    "three factors": Setting(
        {"u": (D2,), "w": (D2, D3), "v": (D3,)}, {}, lambda b, w, x: b.einsum("a,ab,b->ab", w["u"], w["w"], w["v"])
    ),
    "outer product": Setting({"u": (D2,), "v": (D3,)}, {}, lambda b, w, x: b.einsum("a,b->ba", w["u"], w["v"])),
    "elementwise product": Setting(
        {"u": (B, D2, D3), "v": (Dim(1), D3)}, {}, lambda b, w, x: b.binary("mul", w["u"], w["v"])
    ),
    "scaled": Setting({"w": (D2, D3)}, {"x": (D2, Dim(1))}, lambda b, w, x: b.binary("div", w["w"], x["x"])),
    "numbers": Setting(
        {"w": (D2, D3)}, {}, lambda b, w, x: b.binary("sub", 1.5, b.unary("neg", b.binary("mul", w["w"], 3.0)))
    ),
    "difference": Setting({"u": (B, D3), "v": (D3,)}, {}, lambda b, w, x: b.binary("sub", w["u"], w["v"])),
    "broadcast": Setting({"u": (D3,)}, {}, lambda b, w, x: b.broadcast(w["u"], (B, D2, D3))),
    "sum of features": Setting({"u": (B, D2, D3)}, {}, lambda b, w, x: b.reduce("sum", w["u"], (1,))),
    "kept mean": Setting({"u": (B, D2, D3)}, {}, lambda b, w, x: b.reduce("mean", w["u"], (2,), keepdims=True)),
    "mean of a dense value": Setting(
        {"w": (D3,)}, {"x": (B, D4, D3)}, lambda b, w, x: b.reduce("mean", b.einsum("atb,b->at", x["x"], w["w"]), (1,))
    ),
    "transpose": Setting(
        {"w": (D3, D2)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.transpose(b.einsum("atb,bc->atc", x["x"], w["w"]), (2, 0, 1)),
    ),
    "flatten": Setting(
        {"w": (D3, D2)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.reshape(b.einsum("atb,bc->atc", x["x"], w["w"]), (B, Dim(8))),
    ),
    "split": Setting(
        {"w": (D3,)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.reshape(b.einsum("atb,b->at", x["x"], w["w"]), (B, D2, Dim(1), D2)),
    ),
    "merge independent": Setting({"u": (B, D2, D3)}, {}, lambda b, w, x: b.reshape(w["u"], (B, Dim(6)))),
    "slice": Setting(
        {"w": (D3, D2)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.add(
            "tensor.slice",
            b.einsum("atb,bc->atc", x["x"], w["w"]),
            starts=(0, 1, 0),
            limits=(2, 4, 2),
            strides=(1, 2, 1),
        ),
    ),
    "concat": Setting(
        {"w": (D3, D2), "u": (B, D3)},
        {"x": (B, D3)},
        lambda b, w, x: b.add("tensor.concat", x["x"], b.einsum("ab,bc->ac", x["x"], w["w"]), w["u"], axis=1),
    ),
    "concat of positions": Setting(
        {"w": (D3, D2), "u": (B, Dim(1), D2)},
        {"x": (B, D3, D3)},
        lambda b, w, x: b.add("tensor.concat", b.einsum("atb,bc->atc", x["x"], w["w"]), w["u"], axis=1),
    ),
    "pad": Setting(
        {"w": (D3, D2)},
        {"x": (B, D2, D3)},
        lambda b, w, x: b.add(
            "tensor.pad", b.einsum("atb,bc->atc", x["x"], w["w"]), low=(0, 1, 0), high=(0, 0, 2), value=7.0
        ),
    ),
    "embedding": Setting(
        {"w": (D4, D2)},
        {},
        lambda b, w, x: b.add("tensor.take", w["w"], b.const(((0, 3, 3), (1, 1, 0)), DType.I32), axis=0),
    ),
    "columns": Setting(
        {"w": (D3, D4)},
        {"x": (B, D2, D3)},
        lambda b, w, x: b.add(
            "tensor.take", b.einsum("atb,bc->atc", x["x"], w["w"]), b.const((2, 0, 2), DType.I32), axis=2
        ),
    ),
    "mask": Setting(
        {"w": (D3, D2)},
        {"x": (B, D4, D3)},
        lambda b, w, x: b.add(
            "math.select", _mask(b), b.einsum("atb,bc->atc", x["x"], w["w"]), b.const(5.0, x["x"].tensor.dtype)
        ),
    ),
    "mask of the other": Setting(
        {"u": (D2,)}, {}, lambda b, w, x: b.add("math.select", _mask(b), b.const(5.0, w["u"].tensor.dtype), w["u"])
    ),
    "convolution": Setting(
        {"k": (D2, D2, D3)},
        {"x": (B, D4, D2)},
        lambda b, w, x: b.add("linear.conv", x["x"], w["k"], strides=(2,), **_CONV),
    ),
    "convolution, flattened, dense": Setting(
        {"k": (D2, D2, D2), "w": (Dim(8), D2)},
        {"x": (B, D4, D2)},
        lambda b, w, x: b.einsum(
            "ab,bc->ac",
            b.reshape(b.add("linear.conv", x["x"], w["k"], strides=(1,), **_CONV), (B, Dim(8))),
            w["w"],
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_mean_and_every_covariance_are_exact(name: str) -> None:
    setting = CASES[name]
    found = emitted(setting)
    mean, covariance = exact(setting)
    np.testing.assert_allclose(found.pop("mean"), mean, rtol=1e-10, atol=1e-12)
    dims = setting.graph(drawn=False).output("y").tensor.dims
    inner = sorted(inner_axes(dims))
    assert len(found) == 2 ** len(inner)
    for n in range(len(inner) + 1):
        for axes in combinations(inner, n):
            wanted = restricted(covariance, dims, axes)
            np.testing.assert_allclose(found["".join(map(str, axes))], wanted, rtol=1e-9, atol=1e-10, err_msg=str(axes))
