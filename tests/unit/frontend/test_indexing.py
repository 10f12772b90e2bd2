"""Indexing means what it means in NumPy, as the reference interpreter runs it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.lowering import error, lowered, nodes, spelled
from tests.support.predicting import predicted, value_of

SHAPE = (4, 3, 5)
X = np.arange(60, dtype=float).reshape(SHAPE)
INPUT = "plate b[4] of 4\n input x: f32[b, 3, 5]\n input i: i32[2, 2]"


def indexed(expression: str) -> np.ndarray:
    return value_of(expression, INPUT, {"x": X, "i": [[0, 2], [1, 0]]})


# --- random indices --------------------------------------------------------------------------------------------------

bounds = st.one_of(st.none(), st.integers(-8, 8))


@st.composite
def slices(draw: st.DrawFn) -> slice:
    step = draw(st.one_of(st.none(), st.integers(-3, 3).filter(bool)))
    return slice(draw(bounds), draw(bounds), step)


@st.composite
def indices(draw: st.DrawFn) -> tuple[object, ...]:
    """A basic index of an array of SHAPE: integers, slices, none, one `...`."""
    count = draw(st.integers(0, 3))
    ellipsis = draw(st.integers(0, count)) if draw(st.booleans()) else None
    found: list[object] = []
    for position in range(count):
        if position == ellipsis:
            found.append(...)
        behind = ellipsis is not None and position >= ellipsis
        size = SHAPE[position - count if behind else position]
        found.append(draw(st.one_of(st.integers(-size, size - 1), slices())))
    if ellipsis == count:
        found.append(...)
    for _ in range(draw(st.integers(0, 2))):
        found.insert(draw(st.integers(0, len(found))), None)
    return tuple(found)


def written(index: object) -> str:
    """An index in the language."""
    match index:
        case slice():
            parts = ["" if p is None else str(p) for p in (index.start, index.stop, index.step)]
            return ":".join(parts if parts[2] else parts[:2])
        case None:
            return "none"
        case _:
            return "..." if index is ... else str(index)


@settings(max_examples=150)
@given(indices())
def test_basic_indexing_is_that_of_numpy(index: tuple[object, ...]) -> None:
    expected = X[index]
    if not index:
        return
    found = indexed(f"x[{', '.join(map(written, index))}]")
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60)
@given(st.lists(st.integers(), min_size=1, max_size=6), st.one_of(st.integers(-6, 5), slices()))
def test_indexing_of_lists_is_that_of_python(items: list[int], index: int | slice) -> None:
    items = [i % 100 for i in items]
    expression = f"{items}[{written(index)}]"
    if isinstance(index, int) and not -len(items) <= index < len(items):
        assert error(f"model m {{ predict p = 0 * {expression} }}").code == "BLC0203"
        return
    expected = items[index]
    found = value_of(f"sum(zeros[1] + {expression})" if isinstance(expected, int) else f"{expression} == {expected}")
    assert found == (expected if isinstance(expected, int) else True)


# --- cases -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_integer_array(axis: int) -> None:
    expression = ["x[i]", "x[:, i]", "x[..., i]"][axis]
    np.testing.assert_array_equal(indexed(expression), np.take(X, [[0, 2], [1, 0]], axis=axis))


def test_integer_array_with_slices() -> None:
    np.testing.assert_array_equal(indexed("x[1:3, i, ::-1]"), X[1:3, :, ::-1][:, [[0, 2], [1, 0]]])


def test_indices_may_be_computed() -> None:
    np.testing.assert_array_equal(indexed("x[:, x.shape[1] - 1, [0, 3][1]]"), X[:, 2, 3])


def test_index_of_an_index() -> None:
    np.testing.assert_array_equal(indexed("x[1:][:2][0][1]"), X[1:][:2][0][1])


def test_whole_slices_make_no_node() -> None:
    module = lowered(f"model m {{ {INPUT}\n predict p = x[:, 0:, ::1] }}")
    assert [n.op.name for n in nodes(module, "tensor.slice", "tensor.reshape")] == []


def test_plates_survive_indexing_of_other_axes() -> None:
    module = lowered(f"model m {{ {INPUT}\n predict p = x[:, 0, none, 1:4] }}")
    assert str(nodes(module, "model.predict")[0].inputs[0].type) == "f32[b@4, 1, 3]"


def test_attributes_of_arrays() -> None:
    text = f"""model m {{ {INPUT}
      predict a = zeros[x.shape[0], x.shape[-1]] + x.ndim
      predict b = x.T
      predict size = zeros[1] + x.size
      predict same = x.dtype == "f32"
    }}"""
    found = predicted(text, {"x": X, "i": np.zeros((2, 2))})
    assert found["a"].shape == (4, 5)
    np.testing.assert_array_equal(found["b"], X.T)
    assert (found["a"][0, 0], found["size"][0], found["same"]) == (3, 60, True)


def test_size_of_a_plate_is_a_number_and_the_plate() -> None:
    text = f"""model m {{ {INPUT}
      sample z: f32[x.shape[0], 2] ~ Normal(0, 1) by Normal(zeros[b, 2], 1)
      predict p = z + x.shape[0] * 2
    }}"""
    module = lowered(text)
    assert str(nodes(module, "model.sample")[0].result.type) == "f32[b@4, 2]"
    assert str(nodes(lowered(text.replace(" * 2", " - 0"), batch=2), "model.sample")[0].result.type) == "f32[b@2, 2]"


def test_size_of_a_dynamic_plate_is_the_plate() -> None:
    text = f"model m {{ {INPUT}\n predict p = zeros[x.shape[0], 2] + reshape(x, x.shape[0], 15)[:, :2] }}"
    assert str(nodes(lowered(text, batch="dynamic"), "model.predict")[0].inputs[0].type) == "f32[b@b, 2]"
    assert str(nodes(lowered(text), "model.predict")[0].inputs[0].type) == "f32[b@4, 2]"


@pytest.mark.parametrize(
    ("expression", "code", "pointed"),
    [
        ("x[4]", "BLC0206", "4"),
        ("x[0, -4]", "BLC0206", "-4"),
        ("x[0, 0, 0, 0]", "BLC0206", None),
        ("x[..., ...]", "BLC0206", None),
        ("x[::0]", "BLC0203", "::0"),
        ("[1, 2][::0]", "BLC0203", "::0"),
        ("[1, 2][2]", "BLC0203", "2"),
        ("[1, 2][0, 1]", "BLC0204", None),
        ("[1, 2][...]", "BLC0209", "..."),
        ("x[1.5]", "BLC0205", "1.5"),
        ("x[true]", "BLC0205", "true"),
        ("x[0.5:]", "BLC0205", "0.5"),
        ("x[i:]", "BLC0205", "i"),
        ("x[x]", "BLC0207", None),
        ("x[time=3]", "BLC0209", "time=3"),
        ("x[b]", "BLC0205", "b"),
        ("3[0]", "BLC0205", None),
        ("relu[0]", "BLC0205", None),
        ("x[i, i]", "BLC0210", None),
        ("x[0, i]", "BLC0210", None),
        ("x.shape[3]", "BLC0203", "3"),
        ("x.shap", "BLC0201", "shap"),
        ("(3).shape", "BLC0205", None),
        ("[1, 2].T", "BLC0205", None),
    ],
)
def test_wrong_index(expression: str, code: str, pointed: str | None) -> None:
    text = f"model m {{ {INPUT}\n let y = {expression}\n predict p = x }}"
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed or expression)


@pytest.mark.parametrize("expression", ["x[0]", "x[:2]", "x[::-1]", "x.size", "x[-1:]"])
def test_elements_of_a_dynamic_plate_are_not_known(expression: str) -> None:
    text = f"model m {{ {INPUT}\n let y = {expression}\n predict p = x }}"
    assert error(text, batch="dynamic").code == "BLC0208"


@pytest.mark.parametrize("expression", ["x[:]", "x[:, 1]", "x[..., 0]", "x[none]", "x[:, ::-1]", "x[:, i]", "x[0:]"])
def test_other_axes_of_a_dynamic_plate(expression: str) -> None:
    lowered(f"model m {{ {INPUT}\n predict p = {expression} }}", batch="dynamic")
