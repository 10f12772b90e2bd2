"""Functions against NumPy and SciPy: elementwise, reductions, products, indexing, changes of shape.

Invariant: the expected value comes from a function of the same name, or from the definition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from bl_compiler.ir.graph import Value
from bl_compiler.layers.registry import LAYERS
from tests.support.context import BATCH, FakeContext, time
from tests.support.evaluation import Array, Evaluated, evaluated

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
SELU = (1.0507009873554805, 1.6732632423543772)


def run(name: str, *dims: int, dtype: str = "f64", given: Array | None = None, **named: object) -> Evaluated:
    """A function of one input."""
    c = FakeContext()
    y = c.apply(name, c.input(dtype, *(dims if given is None else given.shape)), **named)
    return evaluated(c, y, inputs=() if given is None else [given])


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return np.asarray(special.expit(x))


ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: np.log(sigmoid(x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "selu": lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x)),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "identity": lambda x: x,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "soft_sign": lambda x: x / (1 + abs(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "exp": np.exp,
    "expm1": np.expm1,
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "erf": special.erf,
    "stop_gradient": lambda x: x,
    "gammaln": special.gammaln,
    "lgamma": special.gammaln,
    "digamma": special.digamma,
    "negative": np.negative,
    "neg": np.negative,
}
ON_UNIT_INTERVAL: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "logit": special.logit,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    given = np.concatenate([np.linspace(-7.3, 7.2, 40), [0.5, 1.5, -0.5]])
    np.testing.assert_allclose(run(name, given=given).y, ELEMENTWISE[name](given), **CLOSE)


@pytest.mark.parametrize("name", ON_UNIT_INTERVAL)
def test_elementwise_on_the_unit_interval(name: str) -> None:
    given = np.linspace(0.01, 0.99, 40)
    np.testing.assert_allclose(run(name, given=given).y, ON_UNIT_INTERVAL[name](given), **CLOSE)


@pytest.mark.parametrize(
    ("name", "named", "wanted"),
    [
        ("gelu", {"approximate": False}, lambda x: x * special.ndtr(x)),
        ("elu", {"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
        ("celu", {"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
        ("leaky_relu", {"negative_slope": 0.3}, lambda x: np.where(x > 0, x, 0.3 * x)),
        ("softmax", {}, lambda x: special.softmax(x, axis=-1)),
        ("softmax", {"axis": 0}, lambda x: special.softmax(x, axis=0)),
        ("log_softmax", {"axis": -2}, lambda x: special.log_softmax(x, axis=-2)),
        ("glu", {}, lambda x: x[..., :3] * sigmoid(x[..., 3:])),
        ("logsumexp", {}, special.logsumexp),
        ("logsumexp", {"axis": [0, 2]}, lambda x: special.logsumexp(x, axis=(0, 2))),
        ("norm", {"axis": -1}, lambda x: np.linalg.norm(x, axis=-1)),
        ("std", {"axis": 1, "ddof": 1}, lambda x: x.std(axis=1, ddof=1)),
        ("var", {"axis": [0, -1], "keepdims": True}, lambda x: x.var(axis=(0, 2), keepdims=True)),
        ("cumsum", {"axis": 1}, lambda x: np.cumsum(x, axis=1)),
        ("cumsum", {}, np.cumsum),
        ("argmax", {}, np.argmax),
        ("argmin", {"axis": 1}, lambda x: np.argmin(x, axis=1)),
        ("transpose", {}, np.transpose),
        ("transpose", {"axes": [2, 0, 1]}, lambda x: np.transpose(x, (2, 0, 1))),
        ("swapaxes", {"axis1": 0, "axis2": -1}, lambda x: np.swapaxes(x, 0, -1)),
        ("moveaxis", {"source": 0, "destination": -1}, lambda x: np.moveaxis(x, 0, -1)),
        ("expand_dims", {"axis": [0, -1]}, lambda x: np.expand_dims(x, (0, -1))),
        ("flatten", {}, np.ravel),
        ("flip", {"axis": [0, 2]}, lambda x: np.flip(x, (0, 2))),
        ("tile", {"reps": 3}, lambda x: np.tile(x, 3)),
        ("tile", {"reps": [2, 1, 3]}, lambda x: np.tile(x, (2, 1, 3))),
        ("tile", {"reps": [2, 2, 1, 3]}, lambda x: np.tile(x, (2, 2, 1, 3))),
        ("pad", {"widths": 1, "value": 9.0}, lambda x: np.pad(x, 1, constant_values=9.0)),
        ("pad", {"widths": (1, 2)}, lambda x: np.pad(x, (1, 2))),
        ("pad", {"widths": [(1, 0), 2, (0, 3)]}, lambda x: np.pad(x, ((1, 0), (2, 2), (0, 3)))),
        ("raster", {}, lambda x: x.reshape(-1, x.shape[-1])),
    ],
    ids=lambda v: "" if callable(v) else str(v),
)
def test_functions_with_arguments(name: str, named: dict[str, object], wanted: Callable[[Array], Array]) -> None:
    found = run(name, 4, 5, 6, **named)
    expected = np.asarray(wanted(found.x))
    assert found.y.shape == expected.shape
    np.testing.assert_allclose(found.y, expected, **CLOSE)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "any", "all"])
@pytest.mark.parametrize("axis", [None, 0, -1, [0, 1]], ids=str)
@pytest.mark.parametrize("dtype", ["f64", "i32", "bool"])
def test_reductions(name: str, axis: int | list[int] | None, dtype: str) -> None:
    found = run(name, 3, 4, 2, dtype=dtype, axis=axis)
    wanted = getattr(np, name)(found.x, axis=tuple(axis) if isinstance(axis, list) else axis)
    np.testing.assert_allclose(found.y, wanted, **CLOSE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply), ("divide", np.divide)),
        *(("floor_divide", np.floor_divide), ("mod", np.mod), ("remainder", np.mod), ("arctan2", np.arctan2)),
        *(("maximum", np.maximum), ("minimum", np.minimum), ("logaddexp", np.logaddexp)),
        *(("pow", lambda x, y: np.power(abs(x), y)), ("power", lambda x, y: np.power(abs(x), y))),
        ("vecdot", lambda x, y: (x * y).sum(-1)),
    ],
)
def test_functions_of_two_arrays(name: str, wanted: Callable[[Array, Array], Array]) -> None:
    c = FakeContext()
    x, y = c.input("f64", BATCH, 6), c.input("f64", 6)
    found = evaluated(c, c.apply(name, c.apply("abs", x) if name in ("pow", "power") else x, y))
    np.testing.assert_allclose(found.y, wanted(*found.inputs), **CLOSE)


PRODUCTS = [
    *(((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5))),
    *(((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5))),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS)
@pytest.mark.parametrize("name", ["matmul", "dot"])
def test_products(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply(name, c.input("f64", *left), c.input("f64", *right)))
    np.testing.assert_allclose(found.y, getattr(np, name)(*found.inputs), **CLOSE)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        *(("ij,jk->ik", ((3, 4), (4, 5))), ("ij,jk", ((3, 4), (4, 5))), ("ij -> ji", ((3, 4),)), ("ba", ((3, 4),))),
        *(("...i,ij->...j", ((2, 3, 4), (4, 5))), ("i,i", ((4,), (4,))), ("i...,...j", ((2, 3, 4), (3, 4, 5)))),
        *(("...,...->...", ((2, 3), (3,))), ("ii->i", ((3, 3),)), ("ij,kj,k->i", ((2, 3), (4, 3), (4,)))),
    ],
)
def test_einsum(spec: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("einsum", spec, *(c.input("f64", *s) for s in shapes)))
    np.testing.assert_allclose(found.y, np.einsum(spec, *found.inputs), **CLOSE)


def test_reading_by_index() -> None:
    c = FakeContext()
    x, flat, along = c.input("f64", 5, 6), c.input("i32", 2, 3), c.input("i32", 5, 2)
    results = (
        c.apply("take", x, flat),
        c.apply("take", x, flat, 1),
        c.apply("take_along_axis", x, along),
        c.apply("one_hot", flat, 3),
    )
    found = evaluated(c, *results)
    a, i, j = found.inputs
    np.testing.assert_array_equal(found.outputs[0], np.take(a, i))
    np.testing.assert_array_equal(found.outputs[1], np.take(a, i, axis=1))
    np.testing.assert_array_equal(found.outputs[2], np.take_along_axis(a, j, axis=-1))
    np.testing.assert_array_equal(found.outputs[3], i[..., None] == np.arange(3))


@pytest.mark.parametrize("name", ["where", "select"])
def test_choice(name: str) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply(name, c.input("bool", 4, 6), c.input("f64", 6), c.input("f64", 4, 1)))
    np.testing.assert_array_equal(found.y, np.where(*found.inputs))


def test_clip() -> None:
    c = FakeContext()
    x, low = c.input("f64", 4, 6), c.b.const(-0.5, c.input("f64").tensor.dtype)
    high = c.input("f64", 6)
    found = evaluated(c, c.apply("clip", x, low, high), c.apply("clip", x, None, high), c.apply("clip", x))
    a, _, top = found.inputs
    for got, bottom, limit in zip(found.outputs, (-0.5, -np.inf, -np.inf), (top, top, np.inf), strict=True):
        np.testing.assert_array_equal(got, np.minimum(np.maximum(a, bottom), limit))


def test_bytes_and_element_types() -> None:
    pixels = np.array([0, 1, 127, 128, 255])
    rescaled = run("rescale", dtype="u8", given=pixels)
    np.testing.assert_allclose(rescaled.y, pixels / 127.5 - 1)
    assert (rescaled.y[0], rescaled.y[-1]) == (-1.0, 1.0)
    c = FakeContext()
    found = evaluated(c, c.apply("cast", c.input("f64", 3), "i32"), inputs=[np.array([-1.7, 0.0, 2.9])])
    np.testing.assert_array_equal(found.y, [-1, 0, 2])


def test_arrays_put_together_and_taken_apart() -> None:
    c = FakeContext()
    x, y = c.input("f64", 4, 6), c.input("f64", 4, 2)
    pieces = LAYERS["split"].function(c, x, [1, 2, 3])
    assert isinstance(pieces, tuple)
    parts: list[Value] = [p for p in pieces if isinstance(p, Value)]
    results = (c.apply("concat", [x, y]), c.apply("concat", parts), c.apply("stack", [x, x], -1), *parts)
    found = evaluated(c, *results)
    a, b = found.inputs
    np.testing.assert_array_equal(found.outputs[0], np.concatenate([a, b], -1))
    np.testing.assert_array_equal(found.outputs[1], a)
    np.testing.assert_array_equal(found.outputs[2], np.stack([a, a], -1))
    for got, wanted in zip(found.outputs[3:], np.split(a, [1, 3], -1), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_shift_right_puts_a_zero_step_in_front() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("shift_right", c.input("f64", BATCH, time(5), 3)))
    np.testing.assert_array_equal(found.y[:, 0], 0.0)
    np.testing.assert_array_equal(found.y[:, 1:], found.x[:, :-1])


def test_flatten_moves_the_plates_to_the_front() -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("flatten", c.input("f64", 2, BATCH, 3)))
    np.testing.assert_array_equal(found.y, np.moveaxis(found.x, 1, 0).reshape(4, 6))


def test_global_pooling_is_over_positions() -> None:
    c = FakeContext()
    x = c.input("f64", BATCH, 5, 4, 3)
    found = evaluated(c, c.apply("global_avg_pool", x), c.apply("global_max_pool", x, keepdims=True))
    np.testing.assert_allclose(found.outputs[0], found.x.mean((1, 2)), **CLOSE)
    np.testing.assert_array_equal(found.outputs[1], found.x.max((1, 2), keepdims=True))


@pytest.mark.parametrize(("x", "y"), [(1e4, 1e4), (-1e4, 0.0), (700.0, -700.0)])
def test_logaddexp_does_not_overflow(x: float, y: float) -> None:
    c = FakeContext()
    found = evaluated(c, c.apply("logaddexp", c.input("f64"), c.input("f64")), inputs=[x, y])
    np.testing.assert_allclose(found.y, np.logaddexp(x, y))


def test_a_number_beside_a_bool_is_an_integer() -> None:
    c = FakeContext()
    found = evaluated(c, c.b.binary("mul", c.input("bool", 3), 2), inputs=[np.array([True, False, True])])
    np.testing.assert_array_equal(found.y, [2, 0, 2])
