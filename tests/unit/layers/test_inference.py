"""The types that layers give for types they take: sizes, axis names, plates, element types.

Invariant: expected types are written out or computed by formulas of their own, not by the code under test.
"""

from __future__ import annotations

from math import ceil

import pytest

from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim
from bl_compiler.layers.registry import LAYERS
from tests.support.context import BATCH, DYNAMIC, FakeContext, time

C = FakeContext


def shape(value: Value) -> tuple[int | str, ...]:
    """The sizes of a value."""
    return value.tensor.shape


@pytest.mark.parametrize("dims", [(6,), (BATCH, 6), (DYNAMIC, 6), (BATCH, time(5), 6), (BATCH, 2, 3, 4, 6)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_changes_the_last_axis(dims: tuple[int | Dim, ...], use_bias: bool) -> None:
    c = C()
    x = c.input("f32", *dims)
    y = c.apply("dense", x, 3, use_bias=use_bias, activation="relu")
    assert y.tensor.dims == (*x.tensor.dims[:-1], Dim(3))
    assert set(c.weights) == ({"kernel", "bias"} if use_bias else {"kernel"})


@pytest.mark.parametrize(
    ("dtype", "weight", "result"), [("f32", "f32", "f32"), ("f64", "f64", "f64"), ("bf16", "f32", "f32")]
)
@pytest.mark.parametrize("layer", ["dense", "conv1d", "layer_norm", "batch_norm", "group_norm", "rms_norm"])
def test_weights_are_f32_unless_the_input_is_wider(layer: str, dtype: str, weight: str, result: str) -> None:
    c, arguments = C(), {"dense": (3,), "conv1d": (3, 2), "group_norm": (2,)}
    y = c.apply(layer, c.input(dtype, BATCH, 5, 4), *arguments.get(layer, ()))
    assert {str(w.tensor.dtype) for w in c.weights.values()} == {weight}
    assert str(y.tensor.dtype) == result


@pytest.mark.parametrize(
    "activation", ["relu", "linear", None, LAYERS["tanh"]], ids=["text", "linear", "none", "function"]
)
def test_activations_by_name_or_function(activation: object) -> None:
    c = C()
    assert shape(c.apply("dense", c.input("f32", BATCH, 6), 3, activation=activation)) == (4, 3)


@pytest.mark.parametrize("size", [5, 8, 9])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_sizes(size: int, kernel: int, stride: int, dilation: int) -> None:
    span = (kernel - 1) * dilation + 1
    named = {"strides": stride, "dilation": dilation}
    same, causal = C(), C()
    assert shape(same.apply("conv1d", same.input("f32", BATCH, size, 2), 3, kernel, padding="same", **named)) == (
        4,
        ceil(size / stride),
        3,
    )
    assert shape(causal.apply("conv1d", causal.input("f32", BATCH, size, 2), 3, kernel, padding="causal", **named)) == (
        4,
        ceil(size / stride),
        3,
    )
    if span <= size:
        c = C()
        windows = len(range(0, size - span + 1, stride))
        assert shape(c.apply("conv1d", c.input("f32", BATCH, size, 2), 3, kernel, **named)) == (4, windows, 3)


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_sizes_are_those_of_keras(size: int, kernel: int, stride: int) -> None:
    c = C()
    x = c.input("f32", BATCH, size, 2)
    assert shape(c.apply("conv1d_transpose", x, 3, kernel, stride, "same")) == (4, size * stride, 3)
    c = C()
    wanted = size * stride + max(kernel - stride, 0)
    assert shape(c.apply("conv1d_transpose", c.input("f32", BATCH, size, 2), 3, kernel, stride)) == (4, wanted, 3)


@pytest.mark.parametrize(("n", "sizes"), [(1, (9,)), (2, (9, 7)), (3, (9, 7, 5))])
@pytest.mark.parametrize("leading", [(), (3,), (BATCH,), (BATCH, time(5)), (2, BATCH, 3)])
@pytest.mark.parametrize("layer", ["conv{}d", "conv{}d_transpose", "max_pool{}d", "avg_pool{}d"])
def test_axes_before_the_image_stay(layer: str, n: int, sizes: tuple[int, ...], leading: tuple[int | Dim, ...]) -> None:
    c = C()
    x = c.input("f32", *leading, *sizes, 2)
    arguments = (6, 3) if layer.startswith("conv") else (3, 1)
    y = c.apply(layer.format(n), x, *arguments)
    grown = 2 if "transpose" in layer else -2
    assert y.tensor.dims[: len(leading)] == x.tensor.dims[: len(leading)]
    assert shape(y)[len(leading) :] == (*(s + grown for s in sizes), 6 if layer.startswith("conv") else 2)


def test_pooling_keeps_a_symbolic_plate_in_front() -> None:
    c = C()
    y = c.apply("max_pool2d", c.input("f32", DYNAMIC, time(5), 8, 6, 3))
    assert y.tensor.dims == (DYNAMIC, time(5), Dim(4), Dim(3), Dim(3))


def test_a_sequence_stays_a_sequence_under_convolution() -> None:
    c = C()
    y = c.apply("conv1d", c.input("f32", BATCH, time(5), 3), 7, 3, padding="causal")
    assert y.tensor.dims == (BATCH, time(5), Dim(7))


@pytest.mark.parametrize(("padding", "size"), [(1, 8), ((1, 0), 7), ([(0, 2)], 8), ([2], 10)])
def test_explicit_padding(padding: object, size: int) -> None:
    c = C()
    assert shape(c.apply("conv1d", c.input("f32", BATCH, 8, 2), 3, 3, padding=padding)) == (4, size, 3)


def test_explicit_padding_per_axis() -> None:
    c = C()
    y = c.apply("conv2d", c.input("f32", BATCH, 8, 8, 2), 3, [3, 5], padding=[1, (0, 4)], strides=[1, 2])
    assert shape(y) == (4, 8, 4, 3)


@pytest.mark.parametrize(("groups", "kernel"), [(1, (3, 3, 6, 4)), (2, (3, 3, 3, 4))])
def test_kernels_hold_the_channels_of_a_group(groups: int, kernel: tuple[int, ...]) -> None:
    c = C()
    c.apply("conv2d", c.input("f32", BATCH, 8, 8, 6), 4, 3, groups=groups)
    assert shape(c.weights["kernel"]) == kernel
    field = 9 * 6 // groups
    assert c.inits["kernel"] == pytest.approx(("uniform", *(s * (6 / (field + 36)) ** 0.5 for s in (-1, 1))))


def test_depthwise_kernels_have_the_fans_of_one_channel() -> None:
    c = C()
    c.apply("depthwise_conv2d", c.input("f32", BATCH, 8, 8, 6), 3, depth_multiplier=2, kernel_init="he_uniform")
    assert shape(c.weights["kernel"]) == (3, 3, 1, 12)
    assert c.inits["kernel"] == pytest.approx(("uniform", -((6 / 9) ** 0.5), (6 / 9) ** 0.5))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("zeros", ("constant", 0.0)),
        (2, ("constant", 2.0)),
        (("normal", 0, 0.02), ("normal", 0.0, 0.02)),
        ("orthogonal", ("orthogonal", 1.0)),
        ("identity", ("identity", 1.0)),
        ("normal", ("normal", 0.0, 0.05)),
        ("glorot_uniform", ("uniform", -(0.6**0.5), 0.6**0.5)),
    ],
    ids=str,
)
def test_initializers(given: object, expected: tuple[object, ...]) -> None:
    c = C()
    c.apply("dense", c.input("f32", BATCH, 6), 4, kernel_init=given)
    assert c.inits["kernel"] == pytest.approx(expected)


def test_norms_have_weights_of_the_axes_they_cover() -> None:
    c = C()
    assert shape(c.apply("layer_norm", c.input("f32", BATCH, 5, 6, 7), axis=[1, 3])) == (4, 5, 6, 7)
    assert shape(c.weights["scale"]) == shape(c.weights["bias"]) == (5, 7)


def test_batch_norm_updates_its_statistics_once() -> None:
    c = C()
    for _ in range(2):
        c.apply("batch_norm", c.input("f32", BATCH, 6))
    assert c.updates == ["mean", "var"]


@pytest.mark.parametrize("layer", ["batch_norm", "layer_norm", "group_norm"])
def test_scale_and_offset_can_be_left_out(layer: str) -> None:
    c = C()
    named = {"groups": 2} if layer == "group_norm" else {}
    c.apply(layer, c.input("f32", BATCH, 6), use_scale=False, use_offset=False, **named)
    assert not {"scale", "bias"} & set(c.weights)


def test_embeddings() -> None:
    c = C()
    y = c.apply("embedding", c.input("u8", BATCH, time(5)), 256, 8)
    assert y.tensor.dims == (BATCH, time(5), Dim(8))
    longer = C()
    longer.apply("positional_embedding", longer.input("f32", BATCH, time(5), 8), max_length=9)
    assert shape(longer.weights["embedding"]) == (9, 8)


@pytest.mark.parametrize("layer", ["dropout", "spatial_dropout", "gaussian_dropout", "gaussian_noise"])
def test_noise_of_size_0_is_no_noise(layer: str) -> None:
    c = C()
    x = c.input("f32", DYNAMIC, 6)
    assert c.apply(layer, x, 0) is x
    assert c.sites == []
    assert c.apply(layer, x, 0.5).tensor == x.tensor
    assert len(c.sites) == 1


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ((BATCH, 5, 3), (BATCH, Dim(15))),
        ((BATCH, time(5)), (BATCH, time(5))),
        ((BATCH,), (BATCH, Dim(1))),
        ((5, 3), (Dim(15),)),
        ((5, BATCH, 3), (BATCH, Dim(15))),
        ((DYNAMIC, 5, 3), (DYNAMIC, Dim(15))),
        ((), (Dim(1),)),
    ],
    ids=str,
)
def test_flatten_keeps_the_plates(dims: tuple[int | Dim, ...], expected: tuple[Dim, ...]) -> None:
    c = C()
    assert c.apply("flatten", c.input("f32", *dims)).tensor.dims == expected


@pytest.mark.parametrize("dims", [(2, 3, 5), (2, -1, 5), ([2, 3, -1],), (BATCH, 6, 5), (-1,)], ids=str)
def test_reshape_keeps_the_plates(dims: tuple[object, ...]) -> None:
    c = C()
    y = c.apply("reshape", c.input("f32", BATCH, 30), *dims)
    assert y.tensor.dims[0] == BATCH
    assert len(y.tensor.dims) == {1: 2 if dims == (-1,) else 4, 3: 3 if BATCH in dims else 4}[len(dims)]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [(None, (4, 5, 3, 2)), ([2, 0, 1], (4, 5, 2, 3)), ([0, 2, 1, 3], (4, 3, 2, 5)), ([3, 0, 1, 2], (5, 4, 2, 3))],
)
def test_transpose(axes: list[int] | None, expected: tuple[int, ...]) -> None:
    c = C()
    assert shape(c.apply("transpose", c.input("f32", BATCH, 2, 3, 5), axes)) == expected


def test_squeeze_keeps_plates_and_sequences_of_one() -> None:
    c = C()
    x = c.input("f32", Dim(1, "batch", BATCH.kind), time(1), 1, 6)
    assert shape(c.apply("squeeze", x)) == (1, 1, 6)
    assert shape(c.apply("squeeze", x, "time")) == (1, 1, 6)
    assert shape(c.apply("squeeze", x, [1, 2])) == (1, 6)


def test_raster_and_shift_right() -> None:
    c = C()
    y = c.apply("raster", c.input("u8", BATCH, 6, 5, 3))
    assert str(y.type) == "u8[batch@4, pixel~30, 3]"
    assert c.apply("shift_right", y).type == y.type
    assert str(c.apply("raster", c.input("u8", BATCH, 6, 5)).type) == "u8[batch@4, pixel~30]"


@pytest.mark.parametrize(("axis", "expected"), [(0, (2, 4, 6)), (1, (4, 2, 6)), (-1, (4, 6, 2))])
def test_stack(axis: int, expected: tuple[int, ...]) -> None:
    c = C()
    assert shape(c.apply("stack", [c.input("f32", BATCH, 6), c.input("f32", BATCH, 6)], axis)) == expected


@pytest.mark.parametrize(("parts", "expected"), [(3, (2, 2, 2)), ([1, 5], (1, 5)), (1, (6,)), ([6], (6,))])
def test_split(parts: object, expected: tuple[int, ...]) -> None:
    c = C()
    pieces = LAYERS["split"].function(c, c.input("f32", DYNAMIC, 6), parts)
    assert isinstance(pieces, tuple)
    assert [p.tensor.shape for p in pieces] == [("B", n) for n in expected]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [(None, ()), (-1, (4, 5)), ("time", (4, 6)), ("batch", (5, 6)), ([1, -1], (4,)), (["time", 2], (4,))],
)
@pytest.mark.parametrize("layer", ["sum", "mean", "max", "logsumexp", "var", "std", "norm"])
def test_reductions(layer: str, axis: object, expected: tuple[int, ...]) -> None:
    c = C()
    x = c.input("f32", BATCH, time(5), 6)
    assert shape(c.apply(layer, x, axis)) == expected
    assert len(shape(c.apply(layer, x, axis, keepdims=True))) == 3


@pytest.mark.parametrize(
    ("layer", "dtype", "result"), [("mean", "i32", "f32"), ("sum", "bool", "i32"), ("all", "i32", "bool")]
)
@pytest.mark.parametrize("dims", [(), (3,)])
def test_reductions_change_element_types(layer: str, dtype: str, result: str, dims: tuple[int, ...]) -> None:
    c = C()
    assert str(c.apply(layer, c.input(dtype, *dims)).type) == f"{result}[]"


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((3, 4), (4, 5), (3, 5)),
        ((4,), (4, 5), (5,)),
        ((3, 4), (4,), (3,)),
        ((4,), (4,), ()),
        ((2, 3, 4), (4, 5), (2, 3, 5)),
        ((2, 3, 4), (2, 4, 5), (2, 3, 5)),
        ((3, 4), (2, 4, 5), (2, 3, 5)),
        ((1, 3, 4), (2, 4, 5), (2, 3, 5)),
        ((2, 1, 3, 4), (6, 4, 5), (2, 6, 3, 5)),
        ((2, 3, 4), (4,), (2, 3)),
        ((1, 3, 4), (1, 4, 5), (1, 3, 5)),
    ],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], expected: tuple[int, ...]) -> None:
    c = C()
    assert shape(c.apply("matmul", c.input("f32", *left), c.input("f32", *right))) == expected


def test_gaussian_is_a_distribution_over_half_the_axis() -> None:
    c = C()
    assert str(c.apply("gaussian", c.input("f32", BATCH, 6)).type) == "Normal<f32[batch@4, 3][]>"


@pytest.mark.parametrize(("dims", "expected"), [((BATCH, 6, 5, 3), (4, 3)), ((BATCH, time(5), 3), (4, 3))])
def test_global_pooling(dims: tuple[int | Dim, ...], expected: tuple[int, ...]) -> None:
    c = C()
    assert shape(c.apply("global_avg_pool", c.input("f32", *dims))) == expected
    assert len(shape(c.apply("global_max_pool", c.input("f32", *dims), keepdims=True))) == len(dims)
