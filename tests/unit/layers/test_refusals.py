"""Every wrong argument has one clear message: which argument, what is wrong, what to write.

Invariant: a message follows the house style: lower case, no final period, no advice (that is in the help).
"""

from __future__ import annotations

import pytest

from bl_compiler.ir.graph import Value
from bl_compiler.layers.registry import LAYERS
from bl_compiler.layers.spec import ArgumentError
from tests.support.context import BATCH, DYNAMIC, FakeContext, time

IMAGE = ("f32", BATCH, 8, 8, 6)
VECTOR = ("f32", BATCH, 6)
INDICES = ("i32", BATCH, 6)


def refusal(layer: str, *arguments: object, **named: object) -> ArgumentError:
    """The error of a call; tuples that start with an element type stand for inputs."""
    context = FakeContext()
    inputs = [context.input(*a) if _is_type(a) else a for a in arguments]
    with pytest.raises(ArgumentError) as caught:
        LAYERS[layer].function(context, *inputs, **named)
    fault = caught.value
    assert fault.message[0] == fault.message[0].lower()
    assert not fault.message.endswith(".")
    assert fault.help
    assert fault.argument in {p.name for p in LAYERS[layer].params}
    return fault


def _is_type(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and value[0] in ("f32", "i32", "u8", "bool")


BAD = [
    (("dense", VECTOR, 0), "units", "`units` must be at least 1, found 0", "write 1 or a greater number"),
    (("dense", VECTOR, 2.0), "units", "`units` must be an integer, found 2.0", "such as `units=1`"),
    (("dense", VECTOR, True), "units", "`units` must be an integer, found true", "whole number"),
    (("dense", VECTOR, "3"), "units", '`units` must be an integer, found "3"', "whole number"),
    (("dense", INDICES, 3), "x", "`dense` needs floats, found i32", "use `embedding`"),
    (("dense", ("f32",), 3), "x", "`dense` needs at least one axis, found a scalar f32[]", "expand_dims"),
    (("dense", ("f32", BATCH), 3), "x", "`dense` works on the last axis, and in f32[batch@4] that is", "expand_dims"),
    (("dense", ("f32", 3, DYNAMIC), 3), "x", "is the plate `batch`", "expand_dims"),
    (("dense", VECTOR, 3, 1), "use_bias", "`use_bias` must be true or false, found 1", "`use_bias=true`"),
    (("dense", VECTOR, 3, True, "rleu"), "activation", '`activation` cannot be "rleu"', 'did you mean "relu"?'),
    (("dense", VECTOR, 3, True, 4), "activation", "`activation` must be a function, found 4", "`activation=relu`"),
    (("dense", VECTOR, 3, True, None, "glorot"), "kernel_init", '`kernel_init` cannot be "glorot"', "glorot_"),
    (
        ("dense", VECTOR, 3, True, None, ("normal", 1)),
        "kernel_init",
        '"normal" takes 2 numbers, found [1]',
        "mean, stddev",
    ),
    (("dense", VECTOR, 3, True, None, ("normal", 0, -1)), "kernel_init", "must be at least 0, found -1", "at least 0"),
    (("dense", VECTOR, 3, True, None, ()), "kernel_init", "`kernel_init` is an empty list", '("normal", 0, 0.02)'),
    (("dense", VECTOR, 3, True, None, None), "kernel_init", "`kernel_init` cannot be none", '"glorot_uniform"'),
    (
        ("dense", VECTOR, 3, True, None, "zeros", "orthogonal"),
        "bias_init",
        '"orthogonal" needs a weight with two',
        '"zeros"',
    ),
    (("conv2d", IMAGE, 0, 3), "filters", "`filters` must be at least 1, found 0", "write 1"),
    (
        ("conv2d", IMAGE, 4, [3, 3, 3]),
        "kernel_size",
        "an integer or a list of 2 integers, found [3, 3, 3]",
        "each spatial",
    ),
    (("conv2d", IMAGE, 4, 0), "kernel_size", "`kernel_size` must be at least 1, found 0", "write 1"),
    (
        ("conv2d", IMAGE, 4, 9),
        "kernel_size",
        "a window over 9 elements does not fit into the input's height of 8",
        '"same"',
    ),
    (("conv2d", IMAGE, 4, 5, 1, 0, 4), "kernel_size", "a window over 17 elements", "smaller window"),
    (("conv2d", IMAGE, 4, 3, 1, "smae"), "padding", '`padding` cannot be "smae"', 'did you mean "same"?'),
    (("conv2d", IMAGE, 4, 3, 1, "causal"), "padding", '`padding` cannot be "causal"', '"same", "valid"'),
    (
        ("conv2d", IMAGE, 4, 3, 1, [1, 2, 3]),
        "padding",
        "explicit for 2 spatial axes, found [1, 2, 3]",
        "(before, after)",
    ),
    (("conv2d", IMAGE, 4, 3, 1, [1, (2,)]), "padding", "an integer or a pair for each axis, found [2]", "`(1, 0)`"),
    (("conv2d", IMAGE, 4, 3, 1, -1), "padding", "`padding` must be at least 0, found -1", "write 0"),
    (("conv2d", IMAGE, 4, 3, 0), "strides", "`strides` must be at least 1, found 0", "write 1"),
    (("conv2d", IMAGE, 4, 3, 1, "same", 1, 4), "groups", "6 channels do not divide into 4 groups", "one of 1, 2, 3, 6"),
    (("conv2d", IMAGE, 4, 3, 1, "same", 1, 3), "filters", "4 filters do not divide into 3 groups", "multiple"),
    (
        ("conv2d", ("f32", BATCH, 28, 28), 4, 3),
        "x",
        "`conv2d` needs […, height, width, channels], found",
        "expand_dims(-1)",
    ),
    (("conv2d", ("u8", BATCH, 8, 8, 3), 4, 3), "x", "`conv2d` needs floats, found u8", "cast"),
    (
        ("conv2d", ("f32", DYNAMIC, 5, 8, 8, 3), 4, 3),
        "x",
        "joining the leading axes into one needs a size known",
        "--batch",
    ),
    (
        ("conv1d", ("f32", BATCH, 8), 4, 3),
        "x",
        "`conv1d` needs […, steps, channels], found f32[batch@4, 8]",
        "expand_dims",
    ),
    (("conv1d_transpose", ("f32", BATCH, 8, 2), 4, 3, 1, 1), "padding", "`padding` cannot be 1", '"same", "valid"'),
    (("max_pool2d", IMAGE, 9), "window", "a window over 9 elements does not fit", "smaller"),
    (("max_pool2d", IMAGE, 2, 2, 2), "padding", "padding of 2 holds a whole window of size 2", "less padding"),
    (("avg_pool1d", ("i32", BATCH, 8, 2)), "x", "`avg_pool1d` needs floats, found i32", "cast"),
    (("batch_norm", ("f32", 6)), "x", "`batch_norm` needs an axis besides the channels, found f32[6]", "layer_norm"),
    (
        ("batch_norm", VECTOR, 1.5),
        "momentum",
        "`momentum` must be at least 0 and at most 1, found 1.5",
        "write a number",
    ),
    (("batch_norm", VECTOR, 0.9, -1), "epsilon", "`epsilon` must be at least 0, found -1", "at least 0"),
    (("batch_norm", VECTOR, 0.9, "a"), "epsilon", '`epsilon` must be a number, found "a"', "write a number"),
    (("layer_norm", VECTOR, "batch"), "axis", "`batch` is a plate, and its examples have no order", "another axis"),
    (("layer_norm", VECTOR, []), "axis", "`axis` names no axis of f32[batch@4, 6]", "`axis=-1`"),
    (("group_norm", VECTOR, 4), "groups", "6 channels do not divide into 4 groups", "one of 1, 2, 3, 6"),
    (("instance_norm", VECTOR), "x", "needs [plates…, positions…, channels], found f32[batch@4, 6]", "layer_norm"),
    (("embedding", VECTOR, 5, 3), "x", "`embedding` needs integers, found f32", "use `dense`"),
    (("embedding", INDICES, 0, 3), "vocab", "`vocab` must be at least 1", "write 1"),
    (("positional_embedding", VECTOR), "x", "needs [..., steps, features], found f32[batch@4, 6]", "expand_dims"),
    (("positional_embedding", ("f32", BATCH, 9, 6), 8), "max_length", "is 8, and the sequence has 9 steps", "write 9"),
    (("dropout", VECTOR, 1), "rate", "`rate` must be at least 0 and below 1, found 1", "below 1"),
    (("dropout", VECTOR, float("nan")), "rate", "`rate` must be a number, found nan", "write a number"),
    (("dropout", INDICES, 0.5), "x", "`dropout` needs floats, found i32", "cast"),
    (("reshape", VECTOR, 4, 2), "dims", "cannot reshape the 6 elements of [6] to [4, 2]", "same product"),
    (("reshape", VECTOR, -1, -1), "dims", "cannot reshape the 6 elements of [6] to [-1, -1]", "one of them may be -1"),
    (("reshape", VECTOR, -1, 4), "dims", "cannot reshape the 6 elements of [6] to [-1, 4]", "same product"),
    (
        ("reshape", VECTOR, 6, BATCH),
        "dims",
        "`reshape` keeps the plates where they are: in front",
        "leave the plates out",
    ),
    (("transpose", IMAGE, [0, 0, 1]), "axes", "[0, 0, 1] is no permutation of the axes of f32", "every axis once"),
    (("squeeze", VECTOR, 1), "axis", "axis 1 of f32[batch@4, 6] has size 6", "size 1"),
    (("expand_dims", VECTOR, 4), "axis", "`axis` 4 is out of range for f32[batch@4, 6, 1]", "from -3 to 2"),
    (("raster", VECTOR), "x", "`raster` needs [plates…, height, width, channels], found f32[batch@4, 6]", "reshape"),
    (("concat", []), "arrays", "`concat` needs at least one array", "[a, b] |> concat"),
    (("split", VECTOR, 4), "parts", "an axis of size 6 does not divide into 4 equal parts", "one of 1, 2, 3, 6"),
    (("split", VECTOR, [2, 3]), "parts", "`parts` [2, 3] add up to 5, and the axis has size 6", "sizes of the pieces"),
    (("split", VECTOR, 2, "batch"), "axis", "`batch` is a plate, and its examples have no order", "another axis"),
    (("tile", VECTOR, [2, 1]), "reps", "`batch` is a plate and cannot be repeated", "write 1"),
    (
        ("pad", IMAGE, [1, 2, 3, 4]),
        "widths",
        "must fit the 3 axes after the plates, found [1, 2, 3, 4]",
        "(before, after)",
    ),
    (("flip", VECTOR, 0), "axis", "`batch` is a plate, and its examples have no order", "another axis"),
    (("shift_right", ("f32", DYNAMIC)), "x", "`shift_right` needs a sequence axis, found f32[batch@B]", "time=50"),
    (("softmax", VECTOR, 2), "axis", "`axis` 2 is out of range for f32[batch@4, 6]", "from -2 to 1"),
    (("softmax", ("f32",)), "axis", "`axis` -1 is out of range for f32[]", "a scalar has no axes"),
    (("softmax", ("f32", BATCH, time(5)), "tiem"), "axis", 'f32[batch@4, time~5] has no axis "tiem"', '"time"?'),
    (("softmax", VECTOR, "channels"), "axis", 'f32[batch@4, 6] has no axis "channels"', "named axes: batch"),
    (("sum", VECTOR, [1, -1]), "axis", "`axis` names an axis twice: [1, -1]", "once"),
    (("glu", ("f32", BATCH, 5)), "x", "`glu` splits an axis in two halves, and this one has size 5", "even"),
    (("gaussian", ("f32", BATCH, 5)), "x", "`gaussian` splits an axis in two halves", "even number of units"),
    (("celu", VECTOR, 0), "alpha", "`alpha` must be above 0, found 0", "above 0"),
    (("where", VECTOR, VECTOR, VECTOR), "condition", "`where` needs a bool condition, found f32", "`x > 0`"),
    (("cast", VECTOR, "float32"), "dtype", '`dtype` cannot be "float32"', '"f32"'),
    (("rescale", VECTOR), "x", "`rescale` needs integers, found f32", "arithmetic"),
    (("one_hot", VECTOR, 3), "x", "`one_hot` needs integers, found f32", "cast"),
    (("var", VECTOR, -1, 6), "ddof", "`ddof` 6 leaves nothing of 6 elements", "smaller"),
    (("argmax", ("f32", DYNAMIC, 6)), "x", "`argmax` without an axis needs a size known at compile time", "--batch"),
    (("matmul", VECTOR, ("f32", 5, 3)), "y", "`matmul` sums over 6 of f32[batch@4, 6] and 5 of f32[5, 3]", "transpose"),
    (("matmul", VECTOR, ("f32",)), "y", "`matmul` needs arrays, found a scalar", "write `*`"),
    (("dot", VECTOR, ("f32", 5, 3)), "y", "`dot` sums over 6 of f32[batch@4, 6] and 5 of f32[5, 3]", "transpose"),
    (("global_avg_pool", VECTOR), "x", "needs [plates…, positions…, channels], found f32[batch@4, 6]", "leave it out"),
]


@pytest.mark.parametrize(
    ("call", "argument", "message", "way_out"), BAD, ids=[f"{c[0][0]}-{c[1]}-{i}" for i, c in enumerate(BAD)]
)
def test_refusals(call: tuple[object, ...], argument: str, message: str, way_out: str) -> None:
    layer, *arguments = call
    fault = refusal(str(layer), *arguments)
    assert fault.argument == argument
    assert message in fault.message
    assert way_out in fault.help


def test_distributions_are_no_arrays() -> None:
    c = FakeContext()
    d = c.apply("gaussian", c.input("f32", BATCH, 6))
    for layer, arguments in (("relu", (d,)), ("dense", (d, 3)), ("concat", ([d],)), ("maximum", (d, d))):
        fault = refusal(layer, *arguments)
        assert "must be an array, found a distribution Normal<f32[batch@4, 3][]>" in fault.message
        assert fault.code == "BLC0205"


def test_arrays_of_unlike_shapes_are_not_joined() -> None:
    c = FakeContext()
    x, y, z = c.input("f32", BATCH, 6), c.input("f32", 5, 6), c.input("f32", 6)
    assert "cannot join [batch@4, 6] and [5, 6] along axis 1" in refusal("concat", [x, y]).message
    assert "needs arrays of one rank, found [batch@4, 6] and [6]" in refusal("concat", [x, z]).message
    assert "needs arrays of one shape, found [batch@4, 6] and [5, 6]" in refusal("stack", [x, y]).message
    assert "needs arrays, found scalars" in refusal("concat", [c.input("f32")]).message


def test_einsum_counts_its_arrays() -> None:
    c = FakeContext()
    x = c.input("f32", 3, 4)
    assert "`spec` describes 2 arrays, and there are 1" in refusal("einsum", "ij,jk->ik", x).message
    assert "`spec` must be a string, found an array" in refusal("einsum", x, x).message


def test_an_argument_given_as_an_array_is_named() -> None:
    c = FakeContext()
    x: Value = c.input("f32", 3, 4)
    assert refusal("sum", x, x).message == "`axis` must be an integer, found an array"
    assert refusal("max", x, x).help == "write `maximum(x, y)`"
    assert refusal("dropout", x, x).message == "`rate` must be a number, found an array"
