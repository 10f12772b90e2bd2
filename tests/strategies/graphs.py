"""Hypothesis strategies for graphs and modules of the IR.

`graphs` draws from (nearly) all ops, with sites, regions, plates, named and symbolic dimensions, odd names and spans.
`numeric_graphs` draws graphs that every backend must evaluate alike: `feeds` gives values for their inputs.
Invariant: what is drawn verifies, in a module that declares `PLATES`. May import: hypothesis, numpy, the IR.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Objective, Optimizer, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DistType, DType, TensorType
from tests.strategies.graph_state import PLATES, Build, is_static, new_build
from tests.strategies.recipes_dist import DECLARATION_RECIPES, DIST_RECIPES, EFFECT_RECIPES, NOT_NUMERIC
from tests.strategies.recipes_math import MATH_RECIPES, Recipe
from tests.strategies.recipes_moments import MOMENT_RECIPES
from tests.strategies.recipes_tensor import TENSOR_RECIPES

_DEEPEST_REGION = 2
_REGION_WEIGHT = 4
_OUTPUTS = ("loss", "y", "param:logits/dense/kernel", "odd name", "é", "in", "loc")


# --- regions ---------------------------------------------------------------------------------------------------------


def _captured(b: Build, most: int) -> list[Value]:
    pool = [v for v in b.pool if isinstance(v.type, (TensorType, DistType))]
    return [b.any_of(pool[-12:]) for _ in range(b.integer(0, most))] if pool else []


def _body(b: Build, args: Sequence[tuple[Value, float]], ops: Sequence[str], depth: int) -> Build:
    """A region with these arguments and a few nodes."""
    inner = Build(b.draw, GraphBuilder(CORE_OPS, "body", [arg for arg, _ in args]), b.numeric, b.pure, inside=True)
    inner.counter = b.counter
    for arg, bound in args:
        inner.push(arg, bound)
    _grow(inner, ops, b.integer(1, 4), depth + 1)
    return inner


def _argument(b: Build, outside: Value, type_: TensorType | None = None) -> tuple[Value, float]:
    return Value(type_ or outside.type, b.any_of(["", "c", "h"])), max(b.bound(outside), 1.0)


def _next_carry(inner: Build, carry: Value) -> Value:
    """A value of the carry's type, within the carry's bound."""
    same = [v for v in inner.pool if v.type == carry.type]
    chosen = inner.any_of(same[-4:])
    if inner.numeric and carry.tensor.dtype.is_float:
        return inner.builder.unary("tanh", chosen)
    return carry if inner.numeric else chosen


def _arrays(b: Build, count: int, ok: Callable[[TensorType], bool]) -> list[Value]:
    """Some arrays, made where there are none."""
    return [b.pick(ok, lambda: TensorType(DType.F32, b.dims(1, 2))) for _ in range(count)]


def _outputs(inner: Build) -> list[Value]:
    found = [v for v in inner.pool if isinstance(v.type, TensorType)]
    return [inner.any_of(found[-6:]) for _ in range(inner.integer(0, 2))] if found else []


def _draws(b: Build, ops: Sequence[str], depth: int) -> None:
    captured = _captured(b, 3)
    inner = _body(b, [_argument(b, v) for v in captured], ops, depth)
    body = inner.builder.finish([("", v) for v in _outputs(inner)])
    b.emit("region.draws", *captured, bound=_bound(inner), count=b.integer(1, 3), body=body)


def _loop(b: Build, op: str, ops: Sequence[str], depth: int) -> None:
    carries = _arrays(b, b.integer(0, 2), lambda t: t.dtype.is_float or not b.numeric)
    sliced = _arrays(b, b.integer(0, 2), is_static)
    sliced = [v for v in sliced if v.tensor.rank and is_static(v.tensor)]
    count = sliced[0].tensor.dims[0].size if sliced else b.integer(1, 3)
    sliced = [v for v in sliced if v.tensor.dims[0].size == count]
    captured = _captured(b, 2)
    args = [_argument(b, v) for v in carries]
    args += [_argument(b, v, v.tensor.with_dims(v.tensor.dims[1:])) for v in sliced]
    args += [_argument(b, v) for v in captured]
    inner = _body(b, args, ops, depth)
    outputs = [_next_carry(inner, arg) for arg, _ in args[: len(carries)]] + _outputs(inner)
    body = inner.builder.finish([("", v) for v in outputs])
    attrs: dict[str, object] = {"carries": len(carries), "body": body}
    if op == "region.repeat":
        attrs |= {"count": count, "stacked": len(sliced)}
    else:
        attrs |= {"length": count, "walked": len(sliced), "reverse": b.flag(), "axis": b.any_of(["time", "step"])}
    b.emit(op, *carries, *sliced, *captured, bound=max(_bound(inner), b.bound(*carries)), **attrs)


def _bound(inner: Build) -> float:
    return inner.bound(*inner.pool)


REGION_OPS = ("region.draws", "region.repeat", "region.scan")
PURE_RECIPES: dict[str, Recipe] = {**MATH_RECIPES, **TENSOR_RECIPES, **DIST_RECIPES, **MOMENT_RECIPES}
RECIPES: dict[str, Recipe] = {**PURE_RECIPES, **EFFECT_RECIPES, **DECLARATION_RECIPES}
PURE_OPS = (*PURE_RECIPES, *REGION_OPS)
ALL_OPS = (*RECIPES, *REGION_OPS)
NUMERIC_OPS = tuple(op for op in PURE_OPS if op not in NOT_NUMERIC)


def _grow(b: Build, ops: Sequence[str], count: int, depth: int = 0) -> None:
    """Append about `count` nodes."""
    if depth:
        ops = [op for op in ops if op not in DECLARATION_RECIPES]
    weighted = [*ops, *[op for op in ops if op in REGION_OPS] * _REGION_WEIGHT]
    for op in b.draw(st.lists(st.sampled_from(weighted), min_size=count, max_size=count)) if ops else ():
        if op not in REGION_OPS:
            RECIPES[op](b, op)
        elif depth < _DEEPEST_REGION and op == "region.draws":
            _draws(b, ops, depth)
        elif depth < _DEEPEST_REGION:
            _loop(b, op, ops, depth)


def _sizes(most: int) -> st.SearchStrategy[int]:
    """Large ones more often than hypothesis would; still the smallest when shrunk."""
    return st.one_of(st.integers(0, most), st.integers(most // 2, most))


# --- strategies ------------------------------------------------------------------------------------------------------


@st.composite
def graphs(
    draw: st.DrawFn, *, ops: Collection[str] = ALL_OPS, pure: bool = False, size: int = 12, name: str = "model"
) -> Graph:
    """A graph of about `size` nodes of the given ops.

    Args:
        draw: hypothesis's.
        ops: names of ops to choose from; guards and operands may bring in a few others.
        pure: no sites, and no effects but inputs.
        size: the number of choices; some make several nodes, some none.
        name: the graph's name.
    """
    b = new_build(draw, numeric=False, pure=pure, name=name)
    _grow(b, [op for op in ops if not pure or op in PURE_OPS], b.draw(_sizes(size)))
    return _finished(b)


@st.composite
def numeric_graphs(draw: st.DrawFn, *, ops: Collection[str] = NUMERIC_OPS, size: int = 8) -> Graph:
    """A graph whose outputs any two backends agree on up to rounding; `feeds` gives its inputs."""
    b = new_build(draw, numeric=True, pure=True)
    b.float_array(0, 3)
    _grow(b, [op for op in ops if op in NUMERIC_OPS], b.draw(_sizes(size)))
    return _finished(b)


def _finished(b: Build) -> Graph:
    arrays = [v for v in b.pool if isinstance(v.type, TensorType)]
    count = min(b.integer(0 if not b.numeric else 1, 4), len(arrays), len(_OUTPUTS))
    names = b.draw(st.permutations(_OUTPUTS))[:count]
    return b.builder.finish([(name, b.any_of(arrays[-10:])) for name in names])


@st.composite
def modules(draw: st.DrawFn, *, ops: Collection[str] = ALL_OPS, pure: bool = False, size: int = 12) -> Module:
    """A module with the function `model` and sometimes others."""
    functions = {"model": draw(graphs(ops=ops, pure=pure, size=size))}
    if not draw(st.integers(0, 3)):
        functions["train"] = draw(graphs(ops=PURE_OPS, pure=True, size=4, name="odd name"))
    anneal = draw(st.sampled_from([None, (0.0, 1.0, 100)]))
    objective = Objective(draw(st.sampled_from(["elbo", "iwae", "map"])), draw(st.integers(1, 4)), 0.5, anneal)
    schedule = ("cosine", (("init_value", 1e-3), ("steps", 10), ("alpha", None)))
    rate = draw(st.sampled_from([1e-3, schedule]))
    arguments = (("learning_rate", rate), ("nesterov", True), ("kind", "odd one"), ("clip", None))
    optimizer = Optimizer("adam", arguments[: draw(st.integers(0, len(arguments)))])
    options = draw(st.sampled_from([(), (("bayesian", True), ("widths", (1, 2)))]))
    return Module(draw(st.sampled_from(["m", "odd name"])), functions, PLATES, objective, optimizer, options)


def module_of(graph: Graph) -> Module:
    """The graph as the function `model` of a module that declares its plates."""
    return Module("m", {"model": graph}, PLATES)


def input_types(graph: Graph) -> Mapping[str, TensorType]:
    """The inputs of a graph by key."""
    return {node.attrs.text("key"): node.result.tensor for node in graph.of("model.input")}


def feeds(graph: Graph, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    """Values for the inputs of a numeric graph: floats in [-2, 2], integers from 0 to 3."""
    rng = np.random.default_rng(seed)
    found: dict[str, npt.NDArray[np.generic]] = {}
    for key, type_ in input_types(graph).items():
        shape = tuple(size for size in type_.shape if isinstance(size, int))
        if type_.dtype.is_float:
            found[key] = rng.uniform(-2.0, 2.0, shape).astype(np.float32)
        elif type_.dtype is DType.BOOL:
            found[key] = rng.integers(0, 2, shape).astype(np.bool_)
        else:
            found[key] = rng.integers(0, 4, shape).astype(np.int32)
    return found


seeds = st.integers(0, 2**16)
