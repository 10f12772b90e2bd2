"""Constant folding rounds as the element types do, and gives values that are constants again.

Invariant: rounding is compared with NumPy's own float16 and float32, and with ml_dtypes' bfloat16.
"""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_compiler.backends.reference.folding import evaluate_constant, fold_table
from bl_compiler.backends.reference.values import EvaluationError, round_to
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.types import Dim, DType, TensorType, Type, dims_of, dims_text

NUMPY = {DType.F16: np.float16, DType.F32: np.float32, DType.F64: np.float64, DType.BF16: ml_dtypes.bfloat16}


def node(op: str, *types: Type, **attrs: object) -> Node:
    """A node on operands of these types."""
    args = [Value(t) for t in types]
    return GraphBuilder(CORE_OPS, "main", args).emit(op, args, attrs)


@pytest.mark.parametrize("dtype", NUMPY)
@given(data=st.data())
def test_rounding_is_that_of_the_type(dtype: DType, data: st.DataObject) -> None:
    # ml_dtypes rounds float64 to bfloat16 by way of float32, that is twice; numbers of float32 are rounded once.
    x = data.draw(st.floats(allow_nan=False, width=32 if dtype is DType.BF16 else 64))
    with np.errstate(over="ignore"):
        expected = float(np.float64(x).astype(NUMPY[dtype]))
    found = float(round_to(np.asarray(x), dtype))
    assert found == expected
    assert math.copysign(1, found) == math.copysign(1, expected)


@pytest.mark.parametrize("dtype", NUMPY)
@given(bits=st.integers(0, 2**16 - 1))
def test_bf16_neighbors_and_midpoints_round_to_even(dtype: DType, bits: int) -> None:
    """Halfway points between neighboring bfloat16 numbers, the hardest case for every type that is narrower."""
    low = np.array([bits, (bits + 1) % 2**16], np.uint16).view(ml_dtypes.bfloat16).astype(np.float64)
    if np.all(np.isfinite(low)):
        middle = low.sum() / 2
        with np.errstate(over="ignore"):
            assert float(round_to(np.asarray(middle), dtype)) == float(np.float64(middle).astype(NUMPY[dtype]))


def test_bf16_is_rounded_once() -> None:
    """The first number is above the midpoint of its neighbors, yet float32 takes it for that midpoint."""
    assert float(round_to(np.asarray(1 + 2**-8 + 2**-40), DType.BF16)) == 1 + 2**-7
    assert float(round_to(np.asarray(2**-134 * (1 + 2**-40)), DType.BF16)) == 2**-133


def test_not_a_number_stays_so() -> None:
    assert all(math.isnan(float(round_to(np.asarray(math.nan), dtype))) for dtype in NUMPY)


def test_results_are_rounded_to_the_type() -> None:
    f32 = TensorType(DType.F32)
    assert evaluate_constant(node("math.add", f32, f32), [0.1, 0.2]) == float(np.float32(0.1) + np.float32(0.2))
    assert evaluate_constant(node("math.div", f32, f32), [1.0, 3.0]) == float(np.float32(1) / np.float32(3))
    f64 = TensorType(DType.F64)
    assert evaluate_constant(node("math.cast", f32, dtype=DType.F64), [0.1]) == float(np.float32(0.1))
    assert evaluate_constant(node("math.add", f64, f64), [0.1, 0.2]) == 0.1 + 0.2
    assert evaluate_constant(node("math.exp", f32), [100.0]) == math.inf


def test_results_are_python_numbers() -> None:
    pair = TensorType(DType.F32, dims_of(2))
    assert evaluate_constant(node("math.mul", pair, pair), [(1.0, 2.0), (3.0, 4.0)]) == (3.0, 8.0)
    less = evaluate_constant(node("math.lt", pair, TensorType(DType.F32)), [(1.0, 2.0), 1.5])
    assert less == (True, False)
    assert all(type(x) is bool for x in less)
    total = evaluate_constant(node("math.add", *(TensorType(DType.I32),) * 2), [2**31 - 1, 1])
    assert (total, type(total)) == (-(2**31), int)
    cut = TensorType(DType.F32, dims_of(2, 2))
    assert evaluate_constant(node("tensor.transpose", cut, permutation=(1, 0)), [((1, 2), (3, 4))]) == ((1, 3), (2, 4))
    assert evaluate_constant(node("tensor.iota", dtype=DType.I32, dims=dims_of(3)), []) == (0, 1, 2)


def test_only_pure_ops_between_arrays_fold() -> None:
    table = fold_table()
    assert all(CORE_OPS[op].effect is Effect.PURE for op in table)
    assert {"math.add", "linear.conv", "param.constrain"} <= set(table)
    assert not {"model.step", "model.plate_size", "dist.Normal", "prob.log_prob", "region.scan"} & set(table)
    assert table["math.neg"](node("math.neg", TensorType(DType.F32)), [1.0]) == -1.0
    with pytest.raises(EvaluationError, match="cannot be evaluated on constants"):
        evaluate_constant(node("model.step"), [])


def test_what_has_no_result_does_not_fold() -> None:
    greatest = node("math.reduce_max", TensorType(DType.F32, dims_of(0)), axes=(0,))
    with pytest.raises(EvaluationError, match="zero-size"):
        evaluate_constant(greatest, [()])


def test_symbolic_sizes_do_not_fold() -> None:
    full = node("tensor.full", value=0.0, dtype=DType.F32, dims=(Dim("B"),))
    with pytest.raises(EvaluationError, match="the size `B` is not known"):
        evaluate_constant(full, [])
    assert dims_text(full.result.tensor.dims) == "[B]"
