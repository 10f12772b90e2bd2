"""The predicted cost of nodes, of a graph, and of its gradient.

What is counted: the arithmetic of every node by the table; the memory traffic of what fusion leaves (`traffic`); for a
gradient, the reverse sweep over the nodes between what is differentiated and the objective, and the sums where several
gradients of one value meet. A region costs its body times its rounds; a loop's rounds run one after the other, and
repeated draws are counted one by one.

Invariant: costs are additive over independent parts. May import: floors 0-1, `cost`, `work`, `table`, `traffic`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.regions import layout
from bl_compiler.ir.types import DistType, TensorType
from bl_compiler.ir.walk import free_values
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.traffic import Traffic
from bl_compiler.passes.costs.work import SYMBOLIC, Counting, Role, Work, body


def node_cost(node: Node, *, symbolic: int = SYMBOLIC) -> Cost:
    """What one node takes by itself: its operands are read from memory and its results written there.

    Args:
        node: any node of the core ops.
        symbolic: what a symbolic size counts as.
    """
    return nodes_cost([node], symbolic=symbolic)


def nodes_cost(
    nodes: Iterable[Node],
    *,
    differentiated: bool = False,
    symbolic: int = SYMBOLIC,
    needs: Collection[Value] | None = None,
    results: Collection[Value] = (),
) -> Cost:
    """What a sequence of nodes takes, fused as far as they can be.

    Args:
        nodes: in program order; what they read and do not define is in memory.
        differentiated: whether to add the gradient of their results.
        symbolic: what a symbolic size counts as.
        needs: the values from outside that need gradients, parameters among the nodes always doing so; None stands for
            all arrays of floats.
        results: values that are read from outside; those that no node reads are.
    """
    listed = tuple(nodes)
    total = _cost(listed, symbolic, results)
    if differentiated:
        outside = {value for value in free_values(listed) if _is_float(value) and (needs is None or value in needs)}
        total += _reverse(listed, symbolic, outside, None, results)
    return total


def graph_cost(graph: Graph, *, symbolic: int = SYMBOLIC) -> Cost:
    """What one evaluation of a graph takes."""
    return _cost(graph.nodes, symbolic, [output.value for output in graph.outputs])


def gradient_cost(graph: Graph, *, symbolic: int = SYMBOLIC) -> Cost:
    """What the reverse-mode gradient in the parameters takes besides an evaluation.

    The gradient is that of the output `loss` if there is one, else of all outputs.
    """
    losses = [output.value for output in graph.outputs if output.name == "loss"]
    outputs = [output.value for output in graph.outputs]
    return _reverse(graph.nodes, symbolic, set(graph.args), losses or outputs, outputs)


def step_cost(graph: Graph, *, differentiated: bool, symbolic: int = SYMBOLIC) -> Cost:
    """What one evaluation takes, and with `differentiated` its gradient in the parameters too."""
    cost = graph_cost(graph, symbolic=symbolic)
    return cost + gradient_cost(graph, symbolic=symbolic) if differentiated else cost


def _is_float(value: Value) -> bool:
    return isinstance(value.type, DistType) or (isinstance(value.type, TensorType) and value.type.dtype.is_float)


def _counting(nodes: tuple[Node, ...], symbolic: int) -> Counting:
    return Counting(symbolic, {value: node for node in nodes for value in node.results})


def _cost(nodes: tuple[Node, ...], symbolic: int, results: Iterable[Value]) -> Cost:
    traffic = Traffic(nodes, results, _counting(nodes, symbolic))
    total = traffic.forward()
    for node, work in traffic.work.items():
        total += work.forward
        if work.role is Role.REGION:
            total += _rounds(node, work, graph_cost(body(node), symbolic=symbolic))
    return total


def _rounds(node: Node, work: Work, once: Cost) -> Cost:
    """The cost of all rounds of a region op; repeated draws are one batch, so that kernels start once for all."""
    whole = once * work.times
    return replace(whole, kernels=once.kernels) if node.op.name == "region.draws" else whole


def _reverse(
    nodes: tuple[Node, ...],
    symbolic: int,
    sources: Iterable[Value],
    targets: Iterable[Value] | None,
    results: Iterable[Value],
) -> Cost:
    """The reverse sweep from `targets` (None: from everything) to the `sources` and the parameters."""
    counting = _counting(nodes, symbolic)
    traffic = Traffic(nodes, results, counting)
    active = _depending(traffic, sources)
    wanted = active if targets is None else active.intersection(targets)
    reached = set(wanted)
    total = ZERO
    arriving: dict[Value, int] = {}
    for node in reversed(nodes):
        if reached.isdisjoint(node.results):
            continue
        work = traffic.work[node]
        moving = _moving(node, work, active)
        for i in moving:
            total += work.backward[i] or ZERO
            arriving[node.inputs[i]] = arriving.get(node.inputs[i], 0) + 1
        reached.update(node.inputs[i] for i in moving)
        if work.role is Role.REGION:
            inner = body(node)
            inside = _carried(node, [inner.args[i] for i in moving], symbolic)
            outputs = [output.value for output in inner.outputs]
            total += _rounds(node, work, _reverse(inner.nodes, symbolic, inside, outputs, outputs))
    # Gradients that arrive from several readers are added up.
    meeting = sum((many - 1) * counting.elements(value.type) for value, many in arriving.items())
    return total + Cost(flops=meeting) + traffic.backward(reached.__contains__)


def _moving(node: Node, work: Work, active: Collection[Value]) -> list[int]:
    """The operands of a node to which a gradient goes."""
    pairs = zip(node.inputs, work.backward, strict=False)
    return [i for i, (value, gradient) in enumerate(pairs) if value in active and gradient is not None]


def _depending(traffic: Traffic, sources: Iterable[Value]) -> set[Value]:
    """The values through which the gradient in the sources and in the parameters goes."""
    active = set(sources)
    for node, work in traffic.work.items():
        if node.op.name == "model.param" or _moving(node, work, active):
            active.update(value for value in node.results if _is_float(value))
    return active


def _carried(node: Node, sources: Iterable[Value], symbolic: int) -> set[Value]:
    """The arguments of a body through which the gradient goes, those included that get it in a later round."""
    parts, inner = layout(node), body(node)
    found = set(sources)
    traffic = Traffic(inner.nodes, (), _counting(inner.nodes, symbolic))
    while parts is not None:
        active = _depending(traffic, found)
        more = {inner.args[i] for i in range(parts.carries) if inner.outputs[i].value in active} - found
        if not more:
            break
        found |= more
    return found
