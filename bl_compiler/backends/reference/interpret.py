"""Evaluates graphs: the meaning of the IR.

Invariant: after every node, each result has the shape its type says and holds the kind of number it says.
May import: floors 0-1, numpy, the rest of this package but `joint`, `program` and `folding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.reference.distributions import Distribution
from bl_compiler.backends.reference.frame import LAST_STEP, Frame, Runtime
from bl_compiler.backends.reference.noise import GeneratorNoise, NoiseSource
from bl_compiler.backends.reference.tables import NUMPY
from bl_compiler.backends.reference.values import Array, EvaluationError, feed, kind_of, wrap
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.types import Dim, DistType, TensorType
from bl_compiler.ir.walk import walk

NOTHING: Mapping[str, npt.ArrayLike] = MappingProxyType({})
NO_SIZES: Mapping[str, int] = MappingProxyType({})


def evaluate(
    graph: Graph,
    *,
    params: Mapping[str, npt.ArrayLike] = NOTHING,
    inputs: Mapping[str, npt.ArrayLike] = NOTHING,
    noise: NoiseSource | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
    step: float | None = None,
    args: Sequence[npt.ArrayLike | Distribution] = (),
) -> dict[str, Array]:
    """The outputs of a graph.

    Args:
        graph: an entry graph, or a module's function `model`.
        params: raw parameters and statistics by path.
        inputs: what `model.input` reads, by key.
        noise: where draws come from; generators seeded with 0 if left out.
        sizes: totals of plates; also symbolic sizes that no input's shape tells.
        step: the training step; None stands for the time after the last one.
        args: the block arguments.

    Raises:
        EvaluationError: if a feed is missing or misshapen.

    Example:
        >>> from bl_compiler.ir.builder import GraphBuilder
        >>> from bl_compiler.ir.ops import CORE_OPS
        >>> from bl_compiler.ir.types import DType
        >>> b = GraphBuilder(CORE_OPS, "main")
        >>> two = b.const((1.0, 2.0), DType.F32)
        >>> evaluate(b.finish([("y", b.binary("mul", two, two))]))
        {'y': array([1., 4.])}
    """
    frame = make_frame(graph, params=params, inputs=inputs, noise=noise, sizes=sizes, step=step, args=args)
    outputs = run(frame, graph, args)
    return {output.name: _only_array(output.name, value) for output, value in zip(graph.outputs, outputs, strict=True)}


def make_frame(
    graph: Graph,
    *,
    params: Mapping[str, npt.ArrayLike],
    inputs: Mapping[str, npt.ArrayLike],
    noise: NoiseSource | None,
    sizes: Mapping[str, int],
    step: float | None,
    args: Sequence[npt.ArrayLike | Distribution] = (),
) -> Frame:
    """A frame in which to evaluate `graph`; arguments as for `evaluate`."""
    frame = Frame(
        interpret=interpret,
        noise=GeneratorNoise(0) if noise is None else noise,
        params=params,
        inputs=inputs,
        sizes=sizes,
        step=LAST_STEP if step is None else step,
    )
    symbols: dict[str, int] = {}
    for value, given in zip(graph.args, args, strict=True):
        if isinstance(value.type, TensorType) and not isinstance(given, Distribution):
            _bind(value.type.dims, np.shape(given), f"argument `{value.name}`", symbols)
    _bind_feeds(graph, frame, symbols)
    return replace(frame, symbols=symbols)


def run(frame: Frame, graph: Graph, args: Sequence[npt.ArrayLike | Distribution] = ()) -> tuple[Runtime, ...]:
    """The outputs of a graph in a frame, in order."""
    with np.errstate(all="ignore"):
        return interpret(frame, graph, [_argument(v, x) for v, x in zip(graph.args, args, strict=True)])


def interpret(frame: Frame, graph: Graph, args: Sequence[Runtime]) -> tuple[Runtime, ...]:
    """The outputs of a graph whose feeds have been checked."""
    values: dict[Value, Runtime] = {}
    for value, given in zip(graph.args, args, strict=True):
        values[value] = _settled(frame, value, given)
    for node in graph.nodes:
        try:
            results = NUMPY[node.op.name](frame, node, tuple(values[v] for v in node.inputs))
            for value, result in zip(node.results, results, strict=True):
                values[value] = _settled(frame, value, result)
        except Exception as fault:
            fault.add_note(f"in {_where(node)}")
            raise
    return tuple(values[output.value] for output in graph.outputs)


def _where(node: Node) -> str:
    name = next((f" (%{v.name})" for v in node.results if v.name), "")
    site = f"@{node.site}" if node.site else ""
    return f"`{node.op.name}`{site}{name}" + (f" at {node.span}" if node.span.known else "")


def _argument(value: Value, given: npt.ArrayLike | Distribution) -> Runtime:
    if isinstance(given, Distribution) or not isinstance(value.type, TensorType):
        assert isinstance(given, Distribution), value.type
        return given
    return feed(given, value.type.dtype, f"argument `{value.name}`")


def _settled(frame: Frame, value: Value, found: Runtime) -> Runtime:
    """`found` if it is what the type says; integers wrapped to their width.

    Raises:
        EvaluationError: if it is not.
    """
    type_ = value.type
    if isinstance(type_, TensorType):
        if not isinstance(found, np.ndarray) or found.dtype != kind_of(type_.dtype):
            raise EvaluationError(f"a value of type {type_} is held as {getattr(found, 'dtype', type(found).__name__)}")
        _same_shape(frame.shape(type_.dims), found.shape, str(type_))
        return wrap(found, type_.dtype)
    if isinstance(type_, DistType):
        if not isinstance(found, Distribution):
            raise EvaluationError(f"a value of type {type_} is held as {type(found).__name__}")
        _same_shape(frame.shape(type_.batch), found.batch_shape, f"the batch of {type_}")
        _same_shape(frame.shape(type_.event), found.event_shape, f"the event of {type_}")
        return found
    raise EvaluationError(f"no value has type {type_}")


def _same_shape(expected: tuple[int, ...], found: tuple[int, ...], what: str) -> None:
    if expected != found:
        raise EvaluationError(f"{what} should have shape {list(expected)} and has {list(found)}")


def _bind_feeds(graph: Graph, frame: Frame, symbols: dict[str, int]) -> None:
    """Symbolic sizes from the shapes of everything fed, in regions too."""
    for node in walk(graph):
        name = node.attrs.get("key" if node.op.name == "model.input" else "path")
        source = frame.inputs if node.op.name == "model.input" else frame.params
        if node.op.name in ("model.input", "model.param", "model.state") and isinstance(name, str) and name in source:
            _bind(node.attrs.array_type("type").dims, np.shape(source[name]), f"`{name}`", symbols)


def _bind(dims: Sequence[Dim], shape: tuple[int, ...], what: str, symbols: dict[str, int]) -> None:
    fits = len(dims) == len(shape)
    for dim, size in zip(dims, shape, strict=False):
        known = symbols.setdefault(dim.size, size) if isinstance(dim.size, str) else dim.size
        fits = fits and known == size
    if not fits:
        raise EvaluationError(f"{what} has shape {list(shape)}, expected [{', '.join(map(str, dims))}]")


def _only_array(name: str, value: Runtime) -> Array:
    if not isinstance(value, np.ndarray):
        raise EvaluationError(f"the output `{name}` is a distribution")
    return value
