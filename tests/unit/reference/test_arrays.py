"""Every rule between arrays gives what a computation by other means gives, with the right kind of number.

Invariant: an op without a case fails here.
"""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.backends.reference.tables import ARRAY_RULES
from tests.unit.reference.build import Case, apply
from tests.unit.reference.cases_math import MATH_CASES
from tests.unit.reference.cases_moments import MOMENT_CASES
from tests.unit.reference.cases_tensor import TENSOR_CASES

CASES = {**MATH_CASES, **TENSOR_CASES, **MOMENT_CASES}
PARAMETERS = [pytest.param(op, c, id=f"{op}-{i}") for op, cases in CASES.items() for i, c in enumerate(cases)]


@pytest.mark.parametrize(("op", "wanted"), PARAMETERS)
def test_rule_agrees_with_another_computation(op: str, wanted: Case) -> None:
    found = apply(op, *wanted.operands, **dict(wanted.attrs))
    expected = np.asarray(wanted.expected)
    if expected.dtype.kind != "f" and found.dtype.kind == "f":
        expected = expected.astype(np.float64)
    assert found.dtype.kind == expected.dtype.kind
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_every_array_rule_has_a_case() -> None:
    assert set(CASES) == set(ARRAY_RULES)


@pytest.mark.parametrize("op", ["tensor.take", "tensor.take_along"])
def test_indices_outside_are_refused(op: str) -> None:
    with pytest.raises(Exception, match="an index lies outside"):
        apply(op, np.array([1.0, 2.0]), np.array([2]), axis=0)
