"""What a compiled module asks for and gives: its inputs, sites, parameters and run-time sizes.

Invariant: read off the entry graphs alone. May import: floors 0-1, `entries`, `rules_model`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bl_compiler.backends.jax.entries import statistics_of, under
from bl_compiler.backends.jax.rules_model import SITE_PREFIX
from bl_compiler.ir.builder import input_type
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.ir.walk import walk
from bl_compiler.source import Span

_GRAPHS = {
    "loss": ("train",),
    "train_step": ("train",),
    "train_init": ("init",),
    "predict": ("predict", "predict_joint"),
}


def graphs_of(entry: str) -> tuple[str, ...]:
    """The graphs behind a public function."""
    return _GRAPHS.get(entry, (entry,))


WIDE = (DType.F64, DType.I64)


@dataclass(frozen=True, slots=True)
class Feed:
    """An array the caller feeds."""

    name: str
    type: TensorType
    span: Span


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained array or a running statistic.

    Attributes:
        type: that of the raw array.
        constraint: the space its value lives in; `low` and `high` bound an `interval`.
        trained: whether gradients train it.
    """

    path: str
    type: TensorType
    constraint: str = "real"
    low: float = 0.0
    high: float = 1.0
    trained: bool = True


@dataclass(frozen=True)
class Interface:
    """The interface of a module.

    Attributes:
        inputs: every array that some function takes, by name.
        sites: the values that `log_joint` takes, by path.
        needs: the inputs of each graph.
        sizes: the plates whose number of examples each graph takes at run time.
    """

    inputs: Mapping[str, Feed]
    sites: Mapping[str, Feed]
    params: Mapping[str, Parameter]
    needs: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, tuple[str, ...]]

    def needed_inputs(self, entry: str) -> tuple[str, ...]:
        """The inputs that a public function takes."""
        found = [name for graph in graphs_of(entry) for name in self.needs.get(graph, ())]
        return tuple(dict.fromkeys(found))

    def needed_sizes(self, entry: str) -> tuple[str, ...]:
        """The plates whose size a public function takes."""
        return tuple(dict.fromkeys(name for graph in graphs_of(entry) for name in self.sizes.get(graph, ())))

    @classmethod
    def of(cls, module: Module) -> Interface:
        """The interface of a module that holds entry graphs."""
        feeds = {name: list(_feeds(graph)) for name, graph in module.functions.items()}
        every = {feed.name: feed for found in feeds.values() for feed in found}
        sites = {key.removeprefix(SITE_PREFIX): feed for key, feed in every.items() if key.startswith(SITE_PREFIX)}
        return cls(
            {key: feed for key, feed in every.items() if not key.startswith(SITE_PREFIX)},
            sites,
            {parameter.path: parameter for parameter in _parameters(module)},
            {name: tuple(f.name for f in found if not f.name.startswith(SITE_PREFIX)) for name, found in feeds.items()},
            {name: tuple(_run_time_sizes(module, graph)) for name, graph in module.functions.items()},
        )


def _feeds(graph: Graph) -> Iterator[Feed]:
    seen: set[str] = set()
    for node in walk(graph):
        if node.op.name == "model.input" and node.attrs.text("key") not in seen:
            seen.add(node.attrs.text("key"))
            yield Feed(node.attrs.text("key"), input_type(node), node.span)


def _run_time_sizes(module: Module, graph: Graph) -> dict[str, None]:
    plates = [n.attrs.text("plate") for n in walk(graph) if n.op.name == "model.plate_size"]
    return {plate: None for plate in plates if module.plate(plate).total is None}


def _parameters(module: Module) -> Iterator[Parameter]:
    graph = module.functions.get("init")
    if graph is None:
        return
    statistics = statistics_of(module)
    for path, value in under("param:", {o.name: o.value for o in graph.outputs}).items():
        producer = graph.producers.get(value)
        yield Parameter(path, value.tensor, *_space(producer), trained=path not in statistics)


def _space(node: Node | None) -> tuple[str, float, float]:
    if node is None or node.op.name != "param.unconstrain":
        return "real", 0.0, 1.0
    return node.attrs.text("constraint"), node.attrs.number("low"), node.attrs.number("high")


def wide_value(module: Module) -> tuple[DType, Span] | None:
    """The first use of a 64-bit element type, with its position."""
    for graph in module.functions.values():
        for node in walk(graph):
            for value in node.results:
                if isinstance(value.type, TensorType) and value.type.dtype in WIDE:
                    return value.type.dtype, node.span
    return None
