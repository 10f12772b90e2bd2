"""What entry graphs draw, and which of their outputs depend on it.

Invariant: nothing here changes what a graph computes; outputs are only added. May import: floors 0-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod

from bl_compiler.ir.graph import Graph, Node, Output
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.types import TensorType
from bl_compiler.ir.walk import backward_slice, effects_of, forward_slice, regions_of, walk

DRAW = "draw:"
"""Prefix of the outputs that `with_draws` adds."""
TERM = "term:"
"""Prefix of the outputs that `terms_of` gives."""


def random_outputs(graph: Graph) -> frozenset[str]:
    """The outputs that depend on something drawn."""
    drawn = [result for node in graph.nodes if Effect.DRAWS in effects_of(node) for result in node.results]
    reached = {result for node in forward_slice(graph, drawn) for result in node.results} | set(drawn)
    return frozenset(output.name for output in graph.outputs if output.value in reached)


def draws_of(graph: Graph) -> frozenset[tuple[object, ...]]:
    """What is drawn for the outputs: sites, what they hold, and how they are nested."""
    needed = backward_slice(graph, [output.value for output in graph.outputs])
    return frozenset(_draws(needed, ()))


def _draws(nodes: Iterable[Node], inside: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
    for node in nodes:
        if node.op.effect is Effect.DRAWS:
            yield (node.site, node.op.name, tuple(str(result.type) for result in node.results), inside)
        for region in regions_of(node):
            rounds = tuple((key, node.attrs[key]) for key in ("count", "length") if key in node.attrs)
            yield from _draws(region.nodes, (*inside, node.op.name, rounds))


def open_draws(graph: Graph) -> tuple[Node, ...]:
    """The nodes that draw outside all regions."""
    return tuple(node for node in graph.nodes if node.op.effect is Effect.DRAWS)


def draws_in_regions(graph: Graph) -> bool:
    """Whether a region draws: its draws cannot be made outputs of the graph."""
    return len(open_draws(graph)) < sum(node.op.effect is Effect.DRAWS for node in walk(graph))


def with_draws(graph: Graph, prefix: str, more: Iterable[Output] = ()) -> Graph:
    """The graph with an output `PREFIXdraw:SITE` for every draw outside regions, and more, prefixed, too."""
    draws = [Output(f"{DRAW}{node.site}", node.result) for node in open_draws(graph)]
    added = tuple(Output(prefix + output.name, output.value) for output in (*draws, *more))
    return Graph(graph.name, graph.nodes, graph.outputs + added, graph.args)


def terms_of(graph: Graph) -> tuple[Output, ...]:
    """What the likelihood makes of each example: log densities of data, and the random parameters of their laws.

    Outputs of `train` average over examples, which hides how the numbers of one example go together. Named after the
    place in the source, which passes keep; where several share a place, by their order.
    """
    drawn = [result for node in graph.nodes if Effect.DRAWS in effects_of(node) for result in node.results]
    random = set(drawn) | {result for node in forward_slice(graph, drawn) for result in node.results}
    found: dict[str, Output] = {}
    for node in graph.of("prob.log_prob"):
        if node.inputs[1] in random or not node.span.known:
            continue
        law = graph.producers.get(node.inputs[0])
        while law is not None and law.op.name in ("dist.expand", "dist.independent"):
            law = graph.producers.get(law.inputs[0])
        named = [("log density", node.result)]
        if law is not None and law.op.name != "dist.mixture":
            named += zip(law.op.operands, law.inputs, strict=False)
        for name, value in named:
            if value in random and isinstance(value.type, TensorType) and value.type.plates:
                place = f"{TERM}{name} at line {node.span.line}"
                found[place if place not in found else f"{place} ({len(found)})"] = Output("", value)
    return tuple(Output(name, output.value) for name, output in found.items())


def is_approximate(graph: Graph) -> bool:
    """Whether an estimator was asked for although it is not exact, so that passes may change laws."""
    return any("(approximate)" in str(node.attrs.get("estimator", "")) for node in walk(graph))


def is_drawn_as(graph: Graph, other: Graph) -> bool:
    """Whether as much is drawn for the outputs: no draw was integrated out, nor folded into another."""
    counts = [sum(draw[1] == "random.draw" for draw in draws_of(each)) for each in (graph, other)]
    return counts[0] == counts[1]


def heaviest(graph: Graph, sizes: Mapping[str, int]) -> int:
    """The number of elements of the largest array that a graph computes; symbolic sizes are looked up, or 1."""
    shapes = (v.type.shape for node in walk(graph) for v in node.results if isinstance(v.type, TensorType))
    return max((prod(sizes.get(s, 1) if isinstance(s, str) else s for s in shape) for shape in shapes), default=1)
