"""Cases of constants, shape changes, indexing, contractions, windows, linear algebra and constraints, by hand.

Invariant: every op of `ir/ops_tensor.py`, and the ops between raw and constrained parameters, have a case.
"""

from __future__ import annotations

import math

import numpy as np

from bl_compiler.ir.types import Dim, DType, dims_of
from tests.unit.reference.build import Case, Typed, case

GRID = np.arange(6.0).reshape(2, 3)
LINE = np.array([10.0, 20.0, 30.0])
_ONE_AXIS: dict[str, object] = {"strides": (1,), "lhs_dilation": (1,), "rhs_dilation": (1,)}
_LOWER = np.array([[2.0, 99.0], [1.0, 4.0]])
_SPREAD = np.array([[4.0, 2.0], [2.0, 5.0]])


def _images(*values: float) -> np.ndarray:
    """One example, one channel."""
    return np.array(values, np.float64).reshape(1, -1, 1)


def _kernel(*values: float) -> np.ndarray:
    return np.array(values, np.float64).reshape(-1, 1, 1)


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


TENSOR_CASES: dict[str, list[Case]] = {
    "tensor.const": [
        case(value=((1.0, 2.5), (3.0, 4.0)), dtype=DType.F32, gives=[[1.0, 2.5], [3.0, 4.0]]),
        case(value=0.1, dtype=DType.F32, gives=0.1),
        case(value=3, dtype=DType.F32, gives=3.0),
        case(value=(True, False), dtype=DType.BOOL, gives=[True, False]),
        case(value=(7,), dtype=DType.U8, gives=[7]),
        case(value=(), dtype=DType.F32, gives=np.zeros(0)),
    ],
    "tensor.full": [
        case(value=2.5, dtype=DType.F32, dims=dims_of(2, 1), gives=[[2.5], [2.5]]),
        case(value=3, dtype=DType.I32, dims=dims_of(2), gives=[3, 3]),
        case(value=True, dtype=DType.BOOL, dims=(), gives=True),
    ],
    "tensor.iota": [
        case(dtype=DType.I32, dims=dims_of(3), gives=[0, 1, 2]),
        case(dtype=DType.F32, dims=(Dim(2, "time"),), gives=[0.0, 1.0]),
    ],
    "tensor.reshape": [case(GRID, dims=dims_of(3, 2), gives=[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])],
    "tensor.broadcast": [
        case(LINE, dims=dims_of(2, 3), gives=[LINE, LINE]),
        case(GRID[:, :1], dims=dims_of(2, 2), gives=[[0.0, 0.0], [3.0, 3.0]]),
    ],
    "tensor.transpose": [
        case(np.arange(6.0).reshape(1, 2, 3), permutation=(2, 0, 1), gives=[[[0.0, 3.0]], [[1.0, 4.0]], [[2.0, 5.0]]])
    ],
    "tensor.concat": [
        case(GRID, np.array([[7], [8]]), axis=1, gives=[[0.0, 1.0, 2.0, 7.0], [3.0, 4.0, 5.0, 8.0]]),
        case(LINE, axis=0, gives=LINE),
    ],
    "tensor.slice": [
        case(GRID, starts=(1, 0), limits=(2, 3), strides=(1, 2), gives=[[3.0, 5.0]]),
        case(LINE, starts=(1,), limits=(1,), strides=(1,), gives=np.zeros(0)),
    ],
    "tensor.reverse": [
        case(GRID, axes=(0, 1), gives=[[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]),
        case(GRID, axes=(), gives=GRID),
    ],
    "tensor.pad": [
        case(GRID, low=(1, -1), high=(0, 1), value=9.0, gives=[[9.0, 9.0, 9.0], [1.0, 2.0, 9.0], [4.0, 5.0, 9.0]]),
        case(LINE, low=(-2,), high=(-1,), gives=np.zeros(0)),
        case(np.array([1, 2]), low=(0,), high=(1,), value=3, gives=[1, 2, 3]),
    ],
    "tensor.take": [
        case(GRID, np.array([[2, 0], [-1, 1]]), axis=1, gives=[[[2.0, 0.0], [2.0, 1.0]], [[5.0, 3.0], [5.0, 4.0]]]),
        case(GRID, np.array(1), axis=0, gives=[3.0, 4.0, 5.0]),
    ],
    "tensor.take_along": [
        case(GRID, np.array([[2], [0]]), axis=1, gives=[[2.0], [3.0]]),
        case(GRID, np.array([[1, 0, -1]]), axis=0, gives=[[3.0, 1.0, 5.0]]),
    ],
    "tensor.one_hot": [
        case(np.array([2, 0, -1, 3]), classes=3, dtype=DType.F32, gives=[[0.0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        case(np.array(1), classes=2, dtype=DType.BOOL, gives=[False, True]),
    ],
    "linear.einsum": [
        case(GRID, LINE, spec="ab,b->a", gives=[80.0, 260.0]),
        case(GRID, spec="ab->ba", gives=GRID.T),
        case(np.array([[1.0, 2.0], [3.0, 4.0]]), spec="aa->", gives=5.0),
        case(
            LINE, np.array([1, 2]), np.array([3.0]), spec="a,b,c->ba", gives=[[30.0, 60.0, 90.0], [60.0, 120.0, 180.0]]
        ),
        case(np.array([1, 2]), np.array([3, 4]), spec="a,a->", gives=11),
    ],
    "linear.conv": [
        case(
            _images(1, 2, 3), _kernel(10, 1), padding=((0, 0),), **_ONE_AXIS, gives=_images(12, 23)
        ),  # not flipped: a convolution here is a correlation
        case(_images(1, 2, 3), _kernel(10, 1), padding=((1, 0),), **_ONE_AXIS, gives=_images(1, 12, 23)),
        case(_images(1, 2, 3), _kernel(10, 1), padding=((-1, 1),), **_ONE_AXIS, gives=_images(23, 30)),
        case(
            np.array([[[1.0, 2.0]]]),
            np.array([[[3.0, 4.0]]]),
            padding=((0, 0),),
            groups=2,
            **_ONE_AXIS,
            gives=[[[3.0, 8.0]]],
        ),
    ],
    "nn.max_pool": [
        case(
            _images(-1, -2, -3), window=(2,), strides=(1,), padding=((1, 1),), gives=_images(-1, -1, -2, -3)
        ),  # padding never wins
        case(np.array([[[3], [5], [4]]]), window=(2,), strides=(2,), padding=((0, 1),), gives=np.array([[[5], [4]]])),
    ],
    "nn.avg_pool": [
        case(_images(1, 2, 6), window=(2,), strides=(2,), padding=((0, 1),), gives=_images(1.5, 6)),
        case(_images(1, 2, 6), window=(3,), strides=(1,), padding=((1, 1),), gives=_images(1.5, 3, 4)),
    ],
    "linalg.cholesky": [
        case(_SPREAD, gives=[[2.0, 0.0], [1.0, 2.0]]),
        case(np.array([[4.0, 1.0], [3.0, 5.0]]), gives=[[2.0, 0.0], [1.0, 2.0]]),
        case(np.stack([np.eye(2), -np.eye(2)]), gives=[np.eye(2), np.full((2, 2), np.nan)]),
    ],
    "linalg.triangular_solve": [
        case(_LOWER, np.array([[4.0], [10.0]]), lower=True, gives=[[2.0], [2.0]]),
        case(_LOWER, np.array([[4.0], [8.0]]), lower=True, transpose=True, gives=[[1.0], [2.0]]),
        case(_LOWER.T, np.array([[4.0], [8.0]]), lower=False, gives=[[1.0], [2.0]]),
        case(_LOWER.T, np.array([[4.0], [10.0]]), lower=False, transpose=True, gives=[[2.0], [2.0]]),
        case(_LOWER, np.array([[[4.0], [10.0]], [[2.0], [1.0]]]), gives=[[[2.0], [2.0]], [[1.0], [0.0]]]),
    ],
    "param.constrain": [
        case(LINE - 20, constraint="real", gives=LINE - 20),
        case(np.array([-1.0, 2.0]), constraint="positive", gives=[_softplus(-1), _softplus(2)]),
        case(np.array([0.0, math.log(3)]), constraint="unit_interval", gives=[0.5, 0.75]),
        case(np.array([0.0, math.log(3)]), constraint="interval", low=-1.0, high=3.0, gives=[1.0, 2.0]),
        case(np.array([[0.0, math.log(3)]]), constraint="simplex", gives=[[0.25, 0.75]]),
        case(_LOWER, constraint="lower_cholesky", gives=[[_softplus(2), 0.0], [1.0, _softplus(4)]]),
    ],
    "param.unconstrain": [
        case(LINE, constraint="real", gives=LINE),
        case(np.array([_softplus(-1), _softplus(40)]), constraint="positive", gives=[-1.0, 40.0]),
        case(np.array([0.5, 0.75]), constraint="unit_interval", gives=[0.0, math.log(3)]),
        case(np.array([1.0, 2.0]), constraint="interval", low=-1.0, high=3.0, gives=[0.0, math.log(3)]),
        case(np.array([[0.25, 0.75]]), constraint="simplex", gives=[[math.log(0.25), math.log(0.75)]]),
        case(
            np.array([[_softplus(2), 0.0], [1.0, _softplus(4)]]),
            constraint="lower_cholesky",
            gives=[[2.0, 0.0], [1.0, 4.0]],
        ),
    ],
}

TENSOR_CASES["tensor.concat"].append(case(np.array([True]), Typed([5], DType.U8), axis=0, gives=[1, 5]))
