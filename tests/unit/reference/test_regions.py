"""Regions: independent draws, repeated layers and scans agree with loops in Python, and tell their rounds' draws apart.

Invariant: bodies are closed graphs built with the same builder that layers use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.backends.reference.noise import FixedNoise, GeneratorNoise
from bl_compiler.backends.reference.vectors import RUNTIME_FAMILIES
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of

SCALAR = TensorType(DType.F32)
VECTOR = TensorType(DType.F32, dims_of(2))
Body = Callable[[GraphBuilder, Sequence[Value]], Sequence[Value]]


def region(types: Sequence[TensorType], body: Body) -> Graph:
    """A closed body on arguments of these types."""
    args = [Value(t) for t in types]
    b = GraphBuilder(CORE_OPS, "body", args)
    return b.finish([(str(i), v) for i, v in enumerate(body(b, args))])


def run(
    op: str, body: Graph, operands: Sequence[object], noise: GeneratorNoise | FixedNoise | None = None, **attrs: object
) -> list[np.ndarray]:
    """The results of a region op on these operands."""
    args = [Value(TensorType(DType.F32, dims_of(*np.shape(x)))) for x in operands]
    b = GraphBuilder(CORE_OPS, "main", args)
    node = b.emit(op, args, {"body": body, **attrs})
    graph = b.finish([(str(i), v) for i, v in enumerate(node.results)])
    return list(evaluate(graph, args=[np.asarray(x) for x in operands], noise=noise).values())


def gaussian(b: GraphBuilder, loc: Value, site: str = "w") -> Value:
    """A draw around `loc`."""
    return b.add("random.draw", b.add("dist.Normal", loc, b.const(1.0, DType.F32)), site=site)


def test_draws_are_independent_and_stacked() -> None:
    body = region([VECTOR], lambda b, args: [gaussian(b, args[0]), b.binary("mul", args[0], 2.0)])
    drawn, doubled = run("region.draws", body, [np.array([0.0, 10.0])], GeneratorNoise(7), count=3)
    np.testing.assert_array_equal(doubled, [[0.0, 20.0]] * 3)
    d = RUNTIME_FAMILIES["Normal"](np.array([0.0, 10.0]), 1.0)
    np.testing.assert_array_equal(drawn, [GeneratorNoise(7).draw("w", (i,), d, (2,)) for i in range(3)])
    assert np.unique(drawn).size == 6


def test_no_draws_at_all() -> None:
    body = region([VECTOR], lambda b, args: [gaussian(b, args[0])])
    (drawn,) = run("region.draws", body, [np.zeros(2)], count=0)
    assert drawn.shape == (0, 2)


def test_repeat_carries_slices_and_captures() -> None:
    """The map h to a h + c, with one a for each round; the values of h on the way are stacked."""

    def step(b: GraphBuilder, args: Sequence[Value]) -> list[Value]:
        h, a, c = args
        new = b.binary("add", b.binary("mul", a, h), c)
        return [new, h]

    body = region([VECTOR, SCALAR, SCALAR], step)
    rounds = np.array([2.0, 3.0, 0.5])
    last, seen = run("region.repeat", body, [np.array([1.0, -1.0]), rounds, 4.0], count=3, carries=1, stacked=1)
    h, expected = np.array([1.0, -1.0]), []
    for a in rounds:
        expected.append(h)
        h = a * h + 4.0
    np.testing.assert_allclose(last, h)
    np.testing.assert_allclose(seen, expected)


def test_repeat_of_no_rounds_gives_the_carries() -> None:
    body = region([VECTOR, SCALAR], lambda b, args: [args[0], args[1]])
    last, seen = run("region.repeat", body, [np.ones(2), np.zeros(0)], count=0, carries=1, stacked=1)
    np.testing.assert_array_equal(last, [1.0, 1.0])
    assert seen.shape == (0,)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_walks_in_either_direction(reverse: bool) -> None:
    """Running sums; emitted values lie where the walked ones do."""

    def step(b: GraphBuilder, args: Sequence[Value]) -> list[Value]:
        total = b.binary("add", args[0], args[1])
        return [total, total]

    x = np.arange(8.0).reshape(4, 2)
    attrs: dict[str, object] = {"length": 4, "carries": 1, "walked": 1, "reverse": reverse}
    last, sums = run("region.scan", region([VECTOR, VECTOR], step), [np.zeros(2), x], **attrs)
    expected = np.cumsum(x[::-1], 0)[::-1] if reverse else np.cumsum(x, 0)
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(last, x.sum(0))


def test_draws_of_a_reversed_scan_belong_to_places() -> None:
    body = region([SCALAR], lambda b, args: [gaussian(b, args[0])])
    attrs: dict[str, object] = {"length": 3, "carries": 0, "walked": 1}
    forward, backward = (
        run("region.scan", body, [np.arange(3.0)], GeneratorNoise(0), reverse=r, **attrs)[0] for r in (False, True)
    )
    np.testing.assert_array_equal(forward, backward)


def test_rounds_of_nested_regions_nest() -> None:
    inner = region([SCALAR], lambda b, args: [gaussian(b, args[0])])
    outer = region([SCALAR], lambda b, args: [b.add("region.draws", args[0], count=2, body=inner)])
    (drawn,) = run("region.draws", outer, [0.0], GeneratorNoise(0), count=3)
    d = RUNTIME_FAMILIES["Normal"](0.0, 1.0)
    expected = [[GeneratorNoise(0).draw("w", (i, j), d, ()) for j in range(2)] for i in range(3)]
    np.testing.assert_array_equal(drawn, expected)
    stated = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(run("region.draws", outer, [0.0], FixedNoise({"w": stated}), count=3)[0], stated)


def test_distributions_can_be_captured() -> None:
    b = GraphBuilder(CORE_OPS, "main")
    d = b.add("dist.Normal", b.const(0.0, DType.F32), b.const(1.0, DType.F32))
    arg = Value(d.type)
    inner = GraphBuilder(CORE_OPS, "body", [arg])
    body = inner.finish([("x", inner.add("random.draw", arg, site="w"))])
    graph = b.finish([("x", b.add("region.draws", d, count=4, body=body))])
    assert np.unique(evaluate(graph)["x"]).size == 4


def test_walked_axes_may_be_named() -> None:
    time = Dim(3, "time", DimKind.TIME)
    args = [Value(TensorType(DType.F32, (time,)))]
    body = region([SCALAR], lambda b, inner: [b.binary("mul", inner[0], 2.0)])
    b = GraphBuilder(CORE_OPS, "main", args)
    y = b.add("region.scan", *args, length=3, carries=0, walked=1, body=body)
    np.testing.assert_array_equal(evaluate(b.finish([("y", y)]), args=[np.arange(3.0)])["y"], [0.0, 2.0, 4.0])
