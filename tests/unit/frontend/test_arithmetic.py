"""Operators on arrays: values, element types, wrong operands."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.lowering import error, lowered, nodes
from tests.support.predicting import value_of

HEAD = "plate batch[4] of 16\n input x: f32[batch, 3]\n"
X = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0], [2.0, 2.0, 2.0], [-1.0, 4.0, 0.0]])


def model(body: str) -> str:
    return f"model m {{ {HEAD} {body}\n predict last = x\n }}"


def input_types(text: str, **settings: object) -> list[str]:
    return [str(n.result.type) for n in nodes(lowered(text, **settings), "model.input")]


Y = np.array([1.0, 2.0, -3.0])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + y", X + Y),
        ("2 - x", 2 - X),
        ("x * 2 / y", X * 2 / Y),
        ("x // 2 + x % 2", X // 2 + X % 2),
        ("(x * x + 1) ** 0.5", (X * X + 1) ** 0.5),
        ("2 ** y", 2**Y),
        ("-x", -X),
        ("x @ y", X @ Y),
        ("x < y and not x == 2 or x > 2.5", ((X < Y) & ~(X == 2)) | (X > 2.5)),
        ("x >= 0 and x <= 2", (X >= 0) & (X <= 2)),
        ("x != 2", X != 2),
        ("where(x > 0, x, 0)", np.where(X > 0, X, 0)),
        ("select(x > 0, 1.0, -x)", np.where(X > 0, 1.0, -X)),
        ("true and x > 0", X > 0),
        ("(x > 0) == (y > 0)", (X > 0) == (Y > 0)),
        ("[x, x] |> concat(axis=-1)", np.concatenate([X, X], -1)),
        ("stack([y, y * 2])", np.stack([Y, Y * 2])),
    ],
)
def test_arithmetic(expression: str, expected: np.ndarray | None) -> None:
    if expected is None:
        return
    found = value_of(expression, "plate b[4] of 4\n input x: f32[b, 3]\n input y: f32[3]", {"x": X, "y": Y})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "expression", "found"),
    [
        ("i32", "v + 1", "i32"),
        ("i32", "v + 1.5", "f32"),
        ("i32", "v * 2.0", "f32"),
        ("u8", "v + 1", "u8"),
        ("bf16", "v * 2", "bf16"),
        ("bf16", "v * 2.5", "bf16"),
        ("f64", "1 / v", "f64"),
        ("bool", "v + 1", "i32"),
        ("bool", "v and true", "bool"),
        ("i32", "v > 0.5", "bool"),
    ],
)
def test_numbers_take_the_element_type_of_arrays(dtype: str, expression: str, found: str) -> None:
    module = lowered(f"model m {{ input v: {dtype}[2]\n predict p = {expression} }}")
    assert str(nodes(module, "model.predict")[0].inputs[0].type) == f"{found}[2]"


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("x + zeros[2]", "BLC0206"),
        ("x + none", "BLC0205"),
        ('x + "a"', "BLC0205"),
        ("x + [1, 2, 3]", "BLC0205"),
        ("x + relu", "BLC0205"),
        ("x @ 3", "BLC0206"),
        ("x @ zeros[4]", "BLC0206"),
        ("not x", "BLC0207"),
        ("x and true", "BLC0207"),
        ("-(x > 0)", "BLC0207"),
        ("x + batch", "BLC0205"),
    ],
)
def test_wrong_arithmetic(expression: str, code: str) -> None:
    text = model(f"let y = {expression}")
    assert error(text).code == code


def test_errors_of_shapes_show_the_shapes_so_far() -> None:
    found = error(model("let h = x |> dense(5)\n let k = h + x"))
    rows = ["x               f32[batch@4, 3]", "h/dense/kernel  f32[3, 5]", "h/dense/bias    f32[5]"]
    assert found.notes == ["\n  ".join(["shapes so far:", *rows, "h               f32[batch@4, 5]"])]
