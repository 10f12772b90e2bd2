"""Numbers out of what a `FakeContext` has built, by the reference interpreter.

Invariant: weights and inputs that a test does not give are drawn from a fixed seed, so every value is exercised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.interpret import make_frame, run
from bl_compiler.backends.reference.noise import GeneratorNoise
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import TensorType
from tests.support.context import FakeContext

Array = npt.NDArray[Any]


def random_array(type_: TensorType, seed: str, sizes: Mapping[str, int]) -> Array:
    """Numbers of a type: standard normal floats, integers from 0 to 3, and so on."""
    generator = np.random.default_rng(crc32(seed.encode()))
    shape = tuple(sizes[s] if isinstance(s, str) else s for s in type_.shape)
    if type_.dtype.is_float:
        return generator.normal(size=shape)
    if type_.dtype.is_integer:
        return generator.integers(0, 4, size=shape)
    return generator.random(shape) < 0.5


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        outputs: the results asked for, in order.
        inputs: the inputs, in order.
        weights: weights and statistics, by role.
        updates: new statistics, by name.
        noise: draws, by the last part of their site.
    """

    outputs: tuple[Array, ...]
    inputs: tuple[Array, ...]
    weights: dict[str, Array]
    updates: dict[str, Array]
    noise: dict[str, Array]

    @property
    def y(self) -> Array:
        """The only output."""
        assert len(self.outputs) == 1
        return self.outputs[0]

    @property
    def x(self) -> Array:
        """The first input."""
        return self.inputs[0]


def evaluated(
    context: FakeContext,
    *results: Value,
    inputs: Sequence[npt.ArrayLike] = (),
    weights: Mapping[str, npt.ArrayLike] | None = None,
    training: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> Evaluated:
    """The results' values in training or in prediction."""
    graph, known = context.graph(*results), sizes or {}
    fed: dict[str, Array] = {}
    for i, node in enumerate(graph.of("model.input")):
        given = np.asarray(inputs[i]) if i < len(inputs) else None
        key = node.attrs.text("key")
        fed[key] = random_array(node.attrs.array_type("type"), key, known) if given is None else given
    params: dict[str, Array] = {}
    for node in graph.of("model.param", "model.state"):
        path = node.attrs.text("path")
        role = path.removeprefix("layer/")
        value = np.asarray(weights[role]) if weights and role in weights else None
        drawn = random_array(node.attrs.array_type("type"), path, known)
        # Statistics may be variances, so those drawn are positive.
        params[path] = (np.abs(drawn) + 0.1 if node.op.name == "model.state" else drawn) if value is None else value
    frame = make_frame(graph, params=params, inputs=fed, noise=GeneratorNoise(7), sizes=known, step=None)
    outputs = run(replace(frame, training=training), graph)
    arrays = tuple(o for o in outputs if isinstance(o, np.ndarray))
    assert len(arrays) == len(results)
    updates, noise = (
        {name.split("/")[-1]: value for name, value in frame.record.stacked(kind).items()}
        for kind in ("update", "value")
    )
    short = {path.removeprefix("layer/"): value for path, value in params.items()}
    return Evaluated(arrays, tuple(fed.values()), short, updates, noise)
