"""What the plate analysis says of a graph, held against what the graph computes.

Each check perturbs values in the reference interpreter and returns how many statements it has tested, so that a test
can tell that there were some. Invariant: perturbed values are made of the values that were there, so every op stays in
its domain. May import: the IR, the analysis, the reference interpreter, numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.frame import Frame, Runtime
from bl_compiler.backends.reference.interpret import make_frame
from bl_compiler.backends.reference.noise import GeneratorNoise
from bl_compiler.backends.reference.tables import NUMPY
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter
from bl_compiler.ir.types import TensorType
from bl_compiler.ir.walk import regions_of
from bl_compiler.passes.estimators.mixing import mixed_plates, plates_in
from bl_compiler.passes.estimators.plates import Plates

Array = npt.NDArray[Any]
TOLERANCE = 1e-9


# --- evaluation ------------------------------------------------------------------------------------------------------


def frame_of(graph: Graph, feeds: Mapping[str, Array], seed: int = 0) -> Frame:
    """A frame in which nodes of a graph can be evaluated one by one."""
    return make_frame(graph, params={}, inputs=feeds, noise=GeneratorNoise(seed), sizes={}, step=None)


def evaluated(frame: Frame, node: Node, operands: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
    """The results of one node."""
    with np.errstate(all="ignore"):
        return NUMPY[node.op.name](frame, node, operands)


def values_of(frame: Frame, graph: Graph, changed: Mapping[Value, Array] | None = None) -> dict[Value, Runtime]:
    """Every value of a graph, some being set to something else."""
    found: dict[Value, Runtime] = {}
    for node in graph.nodes:
        results = evaluated(frame, node, tuple([found[v] for v in node.inputs]))
        found.update(zip(node.results, results, strict=True))
        found.update((v, np.asarray(changed[v])) for v in node.results if changed and v in changed)
    return found


def drawn_inputs(graph: Graph) -> Graph:
    """The graph with a standard normal draw in the place of every input of floats; sites are the inputs' keys."""
    rewriter = Rewriter(CORE_OPS, graph)
    for node in graph.nodes:
        if node.op.name != "model.input" or not node.result.tensor.dtype.is_float:
            rewriter.keep(node)
            continue
        b = rewriter.builder
        law = b.add("dist.Normal", *(b.const(x, node.result.tensor.dtype) for x in (0.0, 1.0)))
        law = b.add("dist.expand", law, dims=node.result.tensor.dims)
        drawn = b.add("random.draw", law, site=node.attrs.text("key"), estimator="auto")
        rewriter.substitute(node.result, drawn)
        rewriter.drop(node)
    return rewriter.finish()


# --- elements of plates ----------------------------------------------------------------------------------------------


def once(value: Value) -> list[str]:
    """The plates that an array has one axis for; all pairs of elements are another matter."""
    found = value.tensor.plates
    return sorted({plate for plate in found if found.count(plate) == 1})


def axis_of(value: Value, plate: str) -> int:
    """The axis of an array that belongs to a plate."""
    (axis,) = [i for i, d in enumerate(value.tensor.dims) if d.is_plate and d.name == plate]
    return axis


def copied(x: Array, axis: int, source: int, *targets: int) -> Array:
    """The array with one slice copied to others."""
    moved = np.moveaxis(x.copy(), axis, 0)
    for target in targets:
        moved[target] = np.moveaxis(x, axis, 0)[source]
    return np.moveaxis(moved, 0, axis)


def close(a: Runtime, b: Runtime) -> bool:
    """Whether two arrays are equal up to rounding; distributions by their moments."""
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        return close(a.mean(), b.mean()) and close(a.variance(), b.variance())
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype.kind != "f":
        return bool(np.array_equal(x, y))
    return bool(np.allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))


def _apart(result: Value, before: Runtime, after: Runtime, plate: str, index: int) -> bool:
    """Whether only one element of a plate has changed."""
    assert isinstance(before, np.ndarray)
    assert isinstance(after, np.ndarray)
    if plate not in once(result):
        return False
    axis = axis_of(result, plate)
    return close(np.delete(before, index, axis), np.delete(after, index, axis))


# --- checks ----------------------------------------------------------------------------------------------------------


def check_nodes(graph: Graph, feeds: Mapping[str, Array]) -> int:
    """What `mixed_plates` does not list is aligned: an element of the operand changes that element of results alone."""
    frame, count = frame_of(graph, feeds), 0
    values = values_of(frame, graph)
    for node in graph.nodes:
        if not regions_of(node) and all(isinstance(r.type, TensorType) for r in node.results):
            count += sum(_check_operand(frame, node, i, values) for i in range(len(node.inputs)))
    return count


def _check_operand(frame: Frame, node: Node, operand: int, values: Mapping[Value, Runtime]) -> int:
    value = node.inputs[operand]
    if not isinstance(value.type, TensorType):
        return 0
    operands = [values[v] for v in node.inputs]
    before, x, count = [values[r] for r in node.results], operands[operand], 0
    assert isinstance(x, np.ndarray)
    for plate in sorted(set(once(value)) - mixed_plates(node, operand)):
        axis = axis_of(value, plate)
        for index in range(x.shape[axis]):
            operands[operand] = copied(x, axis, (index + 1) % x.shape[axis], index)
            after = evaluated(frame, node, tuple(operands))
            for result, a, b in zip(node.results, before, after, strict=True):
                assert plate in plates_in(result), f"{node.op.name} loses plate {plate} and does not say so"
                assert _apart(result, a, b, plate, index), f"{node.op.name} mixes plate {plate} of operand {operand}"
                count += 1
    return count


def check_meetings(facts: Plates, feeds: Mapping[str, Array], wanted: Collection[str]) -> int:
    """Where elements of a plate are said not to meet below a value, they do not.

    An element of the value then changes that element alone of outputs whose law matters; in outputs of which only the
    expectation does (`wanted`) two elements have effects that add up.
    """
    graph = facts.graph
    frame, count = frame_of(graph, feeds), 0
    before = values_of(frame, graph)
    for value in [r for node in graph.nodes for r in node.results]:
        x = before[value]
        if not isinstance(value.type, TensorType) or not isinstance(x, np.ndarray):
            continue
        for plate in once(value):
            if facts.meeting(value, [plate]) is not None:
                continue
            axis = axis_of(value, plate)
            first, second, both = (
                values_of(frame, graph, {value: copied(x, axis, 2, *targets)}) for targets in ((0,), (1,), (0, 1))
            )
            for output in graph.outputs:
                a, b, c, d = (_array(each[output.value]) for each in (before, first, second, both))
                if output.name not in wanted:
                    assert close(b, a) or _apart(output.value, a, b, plate, 0), f"{output.name} mixes plate {plate}"
                else:
                    assert close(d + a, b + c), f"elements of plate {plate} do not add up in {output.name}"
                count += not close(b, a)
    return count


def _array(x: Runtime) -> Array:
    assert not isinstance(x, Distribution)
    return x.astype(np.float64) if x.dtype == np.bool_ else np.asarray(x)


def check_additive(facts: Plates, feeds: Mapping[str, Array], wanted: Collection[str], seed: int = 0) -> int:
    """What is called additive enters the wanted outputs with coefficients free of draws, and no other output."""
    graph, count = facts.graph, 0
    frames = [frame_of(graph, feeds, s) for s in (seed, seed + 1)]
    before = [values_of(frame, graph) for frame in frames]
    for value in [r for node in graph.nodes for r in node.results]:
        if value not in facts.additive or not facts.draws.get(value) or not isinstance(value.type, TensorType):
            continue
        if not value.type.dtype.is_float:
            continue
        step = np.random.default_rng(seed).normal(size=_array(before[0][value]).shape)
        after = [
            values_of(frame, graph, {value: _array(values[value]) + step})
            for frame, values in zip(frames, before, strict=True)
        ]
        for output in graph.outputs:
            moved = [
                np.asarray(_array(a[output.value]) - _array(b[output.value]))
                for a, b in zip(after, before, strict=True)
            ]
            if output.name in wanted:
                assert close(*moved), f"{output.name} is not affine in `{value.name}` with fixed coefficients"
                count += bool(np.any(moved[0] != 0))
            else:
                assert not np.any(moved[0]), f"{output.name} depends on an additive value"
    return count
