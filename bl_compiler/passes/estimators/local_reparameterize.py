"""Local reparameterization: the pre-activation is drawn instead of the weight.

For y = L(x, w) with independent w ~ Normal(m, s) the elements of y are, given x, Gaussians with mean L(x, m) and
variance L(x², s²) (Kingma, Salimans and Welling 2015, equation 6); for a matrix-normal W with row factor A and column
factor B, x W = x M + ‖x A‖ ε Bᵀ with ε standard normal (Louizos and Welling 2016, equation 7). Noise that is added to
noise is drawn once: Normal(m, s) + Normal(n, t) is Normal(m + n, √(s² + t²)).

May import: floors 0-1, `plan`, `legality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.rewrite import Rewriter
from bl_compiler.passes.estimators.legality import Site
from bl_compiler.passes.estimators.plan import (
    Get,
    Plan,
    as_shared,
    full,
    mapped,
    mapped_variance,
    named,
    re_emit,
    squared,
    way_nodes,
)
from bl_compiler.passes.estimators.uses import Use

RULE = "local-reparameterize"
VARIANCE_FLOOR = 1e-30
"""Below this a variance counts as this: the derivative of a square root at 0 is infinite, and inputs may all be 0. The
noise that it adds is of the order 1e-15."""


def plan(site: Site) -> Plan:
    """The rewrite of a draw with one linear use."""
    (use,) = site.uses.linear
    found = Plan(dropped=way_nodes(site.uses))
    if site.uses.terms:
        # They take a draw of their own: as terms of a sum they have the same expectation with any.
        found.replaced[site.draw] = partial(as_shared, draw=site.draw)
    else:
        found.dropped.add(site.draw)
    make = _matrix_normal if site.posterior.family == "MatrixNormal" else _gaussian
    found.replaced[use.node] = partial(make, site=site, use=use)
    return found


def _gaussian(b: GraphBuilder, get: Get, site: Site, use: Use) -> Value:
    params, draw, c = site.posterior.params, site.draw.result, use.contraction
    mean = mapped(b, get, use.path, full(b, get(params["loc"]), draw))
    scale = full(b, get(params["scale"]), draw)
    result = use.node.result.tensor
    if c.additive:
        # Added to every example: the scale itself where nothing maps it, so that no root is taken.
        spread = root(b, mapped_variance(b, get, use.path, squared(b, scale))) if use.path else scale
        noise = _noise(b, site, b.broadcast(mean, result.dims), b.broadcast(spread, result.dims))
        return re_emit(b, use.node, [noise if i == c.operand else get(v) for i, v in enumerate(use.node.inputs)])
    variance = mapped_variance(b, get, use.path, squared(b, scale))
    means = [mean if i == c.operand else get(v) for i, v in enumerate(use.node.inputs)]
    spreads = [variance if i == c.operand else _coefficient(b, get, use.node, v) for i, v in enumerate(use.node.inputs)]
    center, width = re_emit(b, use.node, means), re_emit(b, use.node, spreads)
    return _noise(b, site, named(b, center, "mean"), root(b, named(b, width, "variance")))


def _coefficient(b: GraphBuilder, get: Get, node: Node, x: Value) -> Value:
    """The square of what multiplies a weight; indices into a table stay what they are."""
    # Squares of integers could leave their type.
    return get(x) if node.op.name == "tensor.take" else squared(b, b.cast(get(x), node.results[0].tensor.dtype))


def root(b: GraphBuilder, variance: Value) -> Value:
    """A standard deviation with finite derivatives."""
    return named(b, b.unary("sqrt", b.binary("max", variance, VARIANCE_FLOOR)), "stddev")


def _noise(b: GraphBuilder, site: Site, mean: Value, scale: Value) -> Value:
    name = site.draw.site if not site.uses.terms else f"{site.draw.site}/noise"
    return b.add("random.draw", b.add("dist.Normal", mean, scale), site=name, estimator="shared")


def _matrix_normal(b: GraphBuilder, get: Get, site: Site, use: Use) -> Value:
    params, node, c = site.posterior.params, use.node, use.contraction
    parts, right = parse_einsum(node.attrs.text("spec"))
    row, column = tuple(parts[c.operand])
    other = 1 - c.operand
    x, outer = get(node.inputs[other]), next(z for z in "zyxwvu" if z not in "".join(parts) + right)
    mean = mapped(b, get, use.path, full(b, get(params["loc"]), site.draw.result))
    means = [mean if i == c.operand else get(v) for i, v in enumerate(node.inputs)]
    kept = parts[other].replace(row, outer)
    projected = b.einsum(f"{parts[other]},{row}{outer}->{kept}", x, get(params["scale_tril_row"]))
    length = root(b, b.reduce("sum", squared(b, projected), (kept.index(outer),)))
    lengths = kept.replace(outer, "")
    dims = node.result.tensor.dims
    zero, one = b.full(0.0, dims, node.result.tensor.dtype), b.full(1.0, dims, node.result.tensor.dtype)
    noise = _noise(b, site, zero, one)
    turned = right.replace(column, outer)
    columns = get(params["scale_tril_column"])
    spread = b.einsum(f"{lengths},{turned},{column}{outer}->{right}", length, noise, columns)
    return b.binary("add", named(b, re_emit(b, node, means), "mean"), spread)


def merge_noise(graph: Graph, ops: OpSet) -> Graph:
    """Draw the sum of two noises of one shape instead of both, where nothing else reads them."""
    rewriter = Rewriter(ops, graph, made_by=RULE)
    exported = {output.value for output in graph.outputs}
    known: dict[Value, Node] = {}
    for node in graph.nodes:
        if node.op.name in ("math.add", "math.sub") and all(_is_own(known, graph, exported, v) for v in node.inputs):
            first, second = (known[rewriter.value(v)] for v in node.inputs)
            if first.result.tensor.dims == second.result.tensor.dims == node.result.tensor.dims:
                start = len(rewriter.builder.nodes)
                rewriter.replace(node, partial(_merged, node=node, draws=(first, second), known=known))
                known.update((result, made) for made in rewriter.builder.nodes[start:] for result in made.results)
                continue
        kept = rewriter.keep(node)
        known.update((result, kept) for result in kept.results)
    merged = rewriter.finish()
    return merged if merged is graph else _without_merged(merged)


def _without_merged(graph: Graph) -> Graph:
    """The graph without noise that nothing reads any more; its site is that of the sum."""
    read = {output.value for output in graph.outputs} | {v for node in graph.nodes for v in node.inputs}
    kept = [n for n in graph.nodes if n.op.name != "random.draw" or RULE not in n.made_by or n.result in read]
    return graph.replace(nodes=kept)


def _is_own(known: dict[Value, Node], graph: Graph, exported: set[Value], value: Value) -> bool:
    node = known.get(value)
    return (
        node is not None
        and node.op.name == "random.draw"
        and RULE in node.made_by
        and value not in exported
        and len(graph.users.get(value, ())) == 1
        and _law(known, node).op.name == "dist.Normal"
    )


def _law(known: dict[Value, Node], draw: Node) -> Node:
    return known[draw.inputs[0]]


def _merged(b: GraphBuilder, node: Node, draws: tuple[Node, Node], known: dict[Value, Node]) -> Sequence[Value]:
    laws = [_law(known, draw) for draw in draws]
    mean = b.add(node.op.name, laws[0].inputs[0], laws[1].inputs[0], name="mean")
    variance = named(b, b.binary("add", *(_variance(b, known, law.inputs[1]) for law in laws)), "variance")
    sum_law = b.add("dist.Normal", mean, root(b, variance))
    return [b.add("random.draw", sum_law, site=draws[0].site, estimator="shared")]


def _variance(b: GraphBuilder, known: dict[Value, Node], scale: Value) -> Value:
    """The square of a scale; what is under the root, where it is one."""
    node = known.get(scale)
    if node is not None and node.op.name == "math.sqrt":
        floored = known.get(node.inputs[0])
        if floored is not None and floored.op.name == "math.max":
            return floored.inputs[0]
    return squared(b, scale)
