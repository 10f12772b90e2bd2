"""Copies of the nodes of `model` in an entry graph, where each declaration means what the entry makes of it.

A site becomes a draw from its posterior or prior, or an input; a point becomes its value; a phase becomes one of its
operands; everything else is copied. Outputs choose afterwards what stays (`prune`), so a frame may copy too much.

Invariant: the copy of a value has the value's type, so copied nodes need no inference. May import: floors 0-1,
`entry_errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.types import Dims, DistType, TensorType, broadcast_dims
from bl_compiler.ir.walk import backward_slice, regions_of
from bl_compiler.passes.entry_errors import UnsupportedRegionError

PASS_NAME = "entries"

_RESULTLESS = ("model.observe", "model.predict", "model.update")
_CONSTANTS = ("tensor.const", "tensor.full", "tensor.iota")
_FORBIDDEN_IN_REGIONS = ("model.sample", "model.point", *_RESULTLESS)


class Latents(StrEnum):
    """Where the values of sites come from. MIXED: global sites from the posterior, local ones from the prior."""

    POSTERIOR = "posterior"
    PRIOR = "prior"
    MIXED = "mixed"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Mode:
    """What declarations mean in an entry.

    Attributes:
        joint: Whether values of different examples belong together, so that every site is drawn once.
    """

    latents: Latents
    training: bool = False
    joint: bool = False

    def distribution(self, node: Node) -> Value:
        """The distribution that a `model.sample` or `model.noise` is drawn from."""
        if node.op.name == "model.noise":
            return node.inputs[0]
        prior, posterior = node.inputs
        local = bool(node.result.tensor.plates)
        from_prior = self.latents is Latents.PRIOR or (self.latents is Latents.MIXED and local)
        return prior if from_prior else posterior

    def uses(self, node: Node) -> tuple[Value, ...]:
        """The operands that matter for the node's results; of a given noise, those of its density."""
        match node.op.name:
            case "model.sample":
                return () if self.latents is Latents.GIVEN else (self.distribution(node),)
            case "model.point":
                return node.inputs[1:]
            case "model.phase":
                return node.inputs[:1] if self.training else node.inputs[1:]
            case _:
                return node.inputs


def live(nodes: Sequence[Node], roots: Iterable[Value], uses: Callable[[Node], Sequence[Value]]) -> set[Value]:
    """The values that the roots are computed from, the roots among them."""
    found = set(roots)
    for node in reversed(nodes):
        if any(result in found for result in node.results):
            found.update(uses(node))
    return found


def prune(graph: Graph) -> Graph:
    """The graph without the nodes that no output needs. Draws may go too: streams come from sites, not from order."""
    return graph.replace(nodes=backward_slice(graph, (o.value for o in graph.outputs)))


def draws(node: Node, mode: Mode) -> bool:
    """Whether evaluating the node in this mode draws something."""
    if node.op.name in ("model.sample", "model.noise", "random.draw"):
        return node.op.name == "random.draw" or mode.latents is not Latents.GIVEN
    return any(draws(inner, mode) for body in regions_of(node) for inner in _live_nodes(body, mode))


def _live_nodes(body: Graph, mode: Mode) -> list[Node]:
    needed = live(body.nodes, (o.value for o in body.outputs), mode.uses)
    return [node for node in body.nodes if any(r in needed for r in node.results)]


def drawn(model: Graph, mode: Mode, counts: Callable[[Node], bool] = lambda _: True) -> set[Value]:
    """The values that depend on a draw, of those draws that count."""
    found: set[Value] = set()
    for node in model.nodes:
        if (draws(node, mode) and counts(node)) or any(value in found for value in mode.uses(node)):
            found.update(node.results)
    return found


def same_axes(a: Dims, b: Dims) -> bool:
    """Whether dimensions agree in sizes and plates; other axis names do not matter here."""
    return [(d.size, d.is_plate and d.name) for d in a] == [(d.size, d.is_plate and d.name) for d in b]


class Frame:
    """One graph under construction: an entry, or with a parent the body of a region within it.

    A frame with a parent takes what it does not compute from the parent as captured arguments. Constants and
    distributions are rebuilt instead: only arrays that are computed cross the border.

    Attributes:
        builder: Appends nodes of the new graph.
        captured: The parent's value behind each argument.
    """

    def __init__(self, model: Graph, mode: Mode, ops: OpSet, name: str, parent: Frame | None = None) -> None:
        self.builder = GraphBuilder(ops, name, () if parent else model.args)
        self.builder.made_by = (PASS_NAME,)
        self.model = model
        self.mode = mode
        self.captured: dict[Value, Value] = {}
        self._parent = parent
        self._copies: dict[Value, Value] = {value: value for value in self.builder.args}

    def value(self, original: Value) -> Value:
        """The copy of a value of the model."""
        if original not in self._copies:
            assert self._parent is not None, f"value `{original.name}` is used before it is defined"
            producer = self.model.producers.get(original)
            if producer and (not isinstance(original.type, TensorType) or producer.op.name in _CONSTANTS):
                self.copy(producer)
            else:
                argument = Value(original.type, original.name)
                self.captured[argument] = self._parent.value(original)
                self._copies[original] = argument
        return self._copies[original]

    def copy(self, node: Node) -> None:
        """Append what the node means in this mode; nothing for declarations without a result."""
        with self.builder.at(span=node.span, scope=node.scope):
            match node.op.name:
                case "model.sample" | "model.noise":
                    self._copies[node.result] = self._latent(node)
                case "model.point" | "model.phase":
                    (chosen,) = self.mode.uses(node)
                    self._copies[node.result] = self.retyped(self.value(chosen), node.result.tensor)
                case name if name not in _RESULTLESS:
                    self._copy_plain(node)

    def _copy_plain(self, node: Node) -> None:
        attrs = node.attrs
        for key, body in attrs.items():
            if isinstance(body, Graph):
                attrs = attrs.with_(**{key: region_body(body, self.mode, self.builder.ops)})
        results = tuple(Value(r.type, r.name) for r in node.results)
        inputs = tuple(self.value(v) for v in node.inputs)
        self.builder.nodes.append(replace(node, inputs=inputs, attrs=attrs, results=results))
        self._copies.update(zip(node.results, results, strict=True))

    def _latent(self, node: Node) -> Value:
        wanted = node.result.tensor
        if self.mode.latents is Latents.GIVEN:
            return self.builder.add("model.input", key=f"site:{node.site}", type=wanted, name=node.result.name)
        d = self.value(self.mode.distribution(node))
        once = self.mode.joint or self.mode.latents is not Latents.POSTERIOR
        estimator = "shared" if once else node.attrs.get("estimator", "auto")
        draw = self.builder.add("random.draw", d, site=node.site, name=node.result.name, estimator=estimator)
        return self.retyped(draw, wanted)

    def retyped(self, x: Value, wanted: TensorType) -> Value:
        """An array as `wanted`: prior and posterior may differ in element type and in which of them names a plate."""
        return self.builder.broadcast(self.builder.cast(x, wanted.dtype), wanted.dims)

    def unexpanded(self, d: Value, batch: Dims) -> Value:
        """The distribution (of the model) under expansions that meeting an array of these dimensions makes anyway."""
        node = self.model.producers.get(d)
        while node is not None and node.op.name == "dist.expand":
            inner, outer = node.inputs[0].type, d.type
            assert isinstance(inner, DistType)
            assert isinstance(outer, DistType)
            if not same_axes(broadcast_dims(inner.batch, batch), broadcast_dims(outer.batch, batch)):
                break
            d = node.inputs[0]
            node = self.model.producers.get(d)
        return d

    def expanded(self, d: Value, full: Dims) -> Value:
        """The copy of a distribution, expanded where it does not span `full` (batch and event) by itself."""
        type_ = d.type
        assert isinstance(type_, DistType)
        if same_axes(type_.batch + type_.event, full):
            return self.value(d)
        return self.builder.add("dist.expand", self.value(d), dims=full[: len(full) - len(type_.event)])

    def finish(self, outputs: Sequence[tuple[str, Value]]) -> Graph:
        """The graph with these outputs and what they need."""
        return prune(self.builder.finish(outputs))

    def finish_region(self, outputs: Sequence[tuple[str, Value]]) -> tuple[Graph, list[Value]]:
        """The closed body with these outputs, and the parent's values for its arguments."""
        graph = self.finish(outputs)
        used = {v for node in graph.nodes for v in node.inputs} | {o.value for o in graph.outputs}
        arguments = [a for a in self.captured if a in used]
        return Graph(graph.name, graph.nodes, graph.outputs, tuple(arguments)), [self.captured[a] for a in arguments]


def region_body(body: Graph, mode: Mode, ops: OpSet) -> Graph:
    """The body of a region op in this mode; the same body if it declares nothing.

    Raises:
        UnsupportedRegionError: It holds a site, an observation, an update or an output of prediction.
    """
    for node in body.nodes:
        if node.op.name in _FORBIDDEN_IN_REGIONS:
            raise UnsupportedRegionError(f"`{node.op.name}` ({node.span}) inside the region `{body.name}`")
    if not any(node.op.name.startswith("model.") or regions_of(node) for node in body.nodes):
        return body
    frame = Frame(body, mode, ops, body.name)
    for node in _live_nodes(body, mode):
        if node.op.name == "model.noise" and mode.latents is Latents.GIVEN:
            raise UnsupportedRegionError(f"noise `{node.site}` inside the region `{body.name}` cannot be given a value")
        frame.copy(node)
    outputs = tuple(Output(o.name, frame.value(o.value)) for o in body.outputs)
    return frame.builder.finish().replace(outputs=outputs)
