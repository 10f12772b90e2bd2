"""One ordinary call of every layer and function, for laws that hold for all of them.

Invariant: `CALLS` names everything in the registry, so a new layer without a call fails a test.
"""

from __future__ import annotations

from collections.abc import Callable

from bl_compiler.layers.registry import LAYERS
from tests.support.context import BATCH, FakeContext, time

Call = Callable[[FakeContext], object]


def call(layer: str, *dims: int, dtype: str = "f32", **named: object) -> Call:
    """A call on one input [batch, dims…]."""
    return lambda c: LAYERS[layer].function(c, c.input(dtype, BATCH, *dims), **named)


def pair(layer: str, *, dtype: str = "f32", other: tuple[int, ...] = (6,)) -> Call:
    """A call on two inputs."""
    return lambda c: LAYERS[layer].function(c, c.input(dtype, BATCH, 6), c.input("f32", *other))


def listed(layer: str, **named: object) -> Call:
    """A call on a list of two inputs."""
    return lambda c: LAYERS[layer].function(c, [c.input("f32", BATCH, 6), c.input("f32", BATCH, 6)], **named)


def choice(layer: str) -> Call:
    """A call on a condition and two inputs."""
    return lambda c: LAYERS[layer].function(
        c, c.input("bool", BATCH, 6), c.input("f32", BATCH, 6), c.input("f32", BATCH, 6)
    )


def indexed(layer: str, *dims: int) -> Call:
    """A call on an array and indices into it."""
    return lambda c: LAYERS[layer].function(c, c.input("f32", BATCH, 6), c.input("i32", *dims), axis=-1)


IMAGES = {1: (8,), 2: (8, 7), 3: (8, 7, 6)}

CALLS: dict[str, Call] = {
    "dense": call("dense", 6, units=3),
    **{f"conv{n}d": call(f"conv{n}d", *s, 2, filters=4, kernel_size=3) for n, s in IMAGES.items()},
    **{f"conv{n}d_transpose": call(f"conv{n}d_transpose", *s, 2, filters=4, kernel_size=3) for n, s in IMAGES.items()},
    **{f"depthwise_conv{n}d": call(f"depthwise_conv{n}d", *IMAGES[n], 2, kernel_size=3) for n in (1, 2)},
    **{f"separable_conv{n}d": call(f"separable_conv{n}d", *IMAGES[n], 2, filters=4, kernel_size=3) for n in (1, 2)},
    **{f"{kind}_pool{n}d": call(f"{kind}_pool{n}d", *s, 2) for kind in ("max", "avg") for n, s in IMAGES.items()},
    **{name: call(name, 8, 7, 4) for name in ("batch_norm", "layer_norm", "rms_norm", "instance_norm")},
    "group_norm": call("group_norm", 8, 7, 4, groups=2),
    "embedding": call("embedding", 5, dtype="i32", vocab=11, features=3),
    "positional_embedding": call("positional_embedding", 5, 3),
    **{name: call(name, 5, 3, rate=0.25) for name in ("dropout", "spatial_dropout", "gaussian_dropout")},
    "gaussian_noise": call("gaussian_noise", 5, 3, stddev=0.1),
    "gaussian": call("gaussian", 6),
    "flatten": call("flatten", 5, 3),
    "reshape": lambda c: LAYERS["reshape"].function(c, c.input("f32", BATCH, 6), 2, 3),
    "transpose": call("transpose", 5, 3),
    "swapaxes": call("swapaxes", 5, 3, axis1=-1, axis2=-2),
    "moveaxis": call("moveaxis", 5, 3, source=-1, destination=1),
    "expand_dims": call("expand_dims", 6, axis=-1),
    "squeeze": call("squeeze", 1, 6, 1),
    "raster": call("raster", 5, 4, 3),
    "split": call("split", 6, parts=2),
    "tile": call("tile", 6, reps=2),
    "pad": call("pad", 6, widths=1),
    "flip": call("flip", 6),
    "reverse": call("reverse", 6),
    "shift_right": lambda c: LAYERS["shift_right"].function(c, c.input("f32", BATCH, time(5), 3)),
    **{name: listed(name) for name in ("concat", "concatenate", "stack")},
    **{name: choice(name) for name in ("where", "select")},
    "clip": lambda c: LAYERS["clip"].function(c, c.input("f32", BATCH, 6), c.input("f32"), c.input("f32", 6)),
    **{name: call(name, 6, dtype="f32") for name in ("sum", "mean", "prod", "max", "min", "logsumexp", "var", "std")},
    **{name: call(name, 6, dtype="bool") for name in ("any", "all")},
    **{name: call(name, 6) for name in ("norm", "argmax", "argmin", "cumsum")},
    **{name: call(name, 5, 3) for name in ("global_avg_pool", "global_max_pool")},
    "cast": lambda c: LAYERS["cast"].function(c, c.input("i32", BATCH, 6), "f32"),
    "astype": lambda c: LAYERS["astype"].function(c, c.input("i32", BATCH, 6), "f32"),
    "rescale": call("rescale", 6, dtype="u8"),
    "one_hot": call("one_hot", 6, dtype="i32", classes=4),
    "matmul": pair("matmul", other=(6, 2)),
    "dot": pair("dot", other=(6, 2)),
    "vecdot": pair("vecdot"),
    "einsum": lambda c: LAYERS["einsum"].function(c, "bi,ij->bj", c.input("f32", BATCH, 6), c.input("f32", 6, 2)),
    "take": indexed("take", 3),
    "take_along_axis": indexed("take_along_axis", 4, 3),
    **{
        name: pair(name)
        for name in (
            *("add", "subtract", "multiply", "divide", "floor_divide", "mod", "remainder", "pow", "power"),
            *("maximum", "minimum", "arctan2", "logaddexp"),
        )
    },
    **{
        name: call(name, 6)
        for name in (
            *(
                "relu",
                "relu6",
                "sigmoid",
                "log_sigmoid",
                "tanh",
                "softplus",
                "selu",
                "hard_tanh",
                "hard_sigmoid",
                "mish",
            ),
            *("identity", "silu", "swish", "hard_silu", "hard_swish", "soft_sign", "softsign", "gelu", "elu", "celu"),
            *("leaky_relu", "softmax", "log_softmax", "glu", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square"),
            *("reciprocal", "abs", "sign", "floor", "ceil", "round", "sin", "cos", "tan", "arcsin", "arccos", "arctan"),
            *("sinh", "cosh", "erf", "digamma", "logit", "stop_gradient", "gammaln", "lgamma", "negative", "neg"),
        )
    },
}
