"""Every op between arrays, written as JAX, gives what a computation by other means gives, in the IR's element type.

Invariant: an op without a case fails here. The cases are those of the reference interpreter, computed by hand.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from bl_compiler.ir.types import DType
from tests.unit.jax.running import apply
from tests.unit.reference.build import Case
from tests.unit.reference.cases_math import MATH_CASES
from tests.unit.reference.cases_tensor import TENSOR_CASES

CASES = {**MATH_CASES, **TENSOR_CASES}
PARAMETERS = [pytest.param(op, c, id=f"{op}-{i}") for op, cases in CASES.items() for i, c in enumerate(cases)]


@pytest.mark.parametrize(("op", "wanted"), PARAMETERS)
def test_op_agrees_with_another_computation(op: str, wanted: Case) -> None:
    wide = any(value in (DType.I64, DType.F64) for _, value in wanted.attrs)
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(wide):
        found = apply(op, *wanted.operands, **dict(wanted.attrs))
    expected = np.asarray(wanted.expected)
    assert found.shape == expected.shape
    if op == "linalg.cholesky":
        # Where there is no factor, JAX leaves the zeros above the diagonal.
        found, expected = np.tril(found), np.tril(expected)
    rtol = {2: 1e-2}.get(found.dtype.itemsize, 2e-5)
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=rtol, atol=2e-6)
