"""What nodes and graphs are predicted to take: laws on random graphs, and figures that can be counted by hand.

Invariant: nothing here runs a program; `tests/diff/test_costs_xla.py` compares the figures with XLA's.
"""

from __future__ import annotations

from dataclasses import astuple
from itertools import product
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Graph, Value
from bl_compiler.ir.improper import IMPROPER
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.ops_math import ANY_UNARY, BINARY, FLOAT_BINARY, FLOAT_UNARY
from bl_compiler.ir.types import Dim, DType, TensorType, dims_of
from bl_compiler.ir.walk import walk
from bl_compiler.passes.costs.cost import ZERO, Cost
from bl_compiler.passes.costs.elementwise import BINARY_WORK, UNARY
from bl_compiler.passes.costs.families import DENSITIES
from bl_compiler.passes.costs.rates import rates_of, seconds
from bl_compiler.passes.costs.totals import gradient_cost, graph_cost, node_cost, nodes_cost, step_cost
from bl_compiler.targets import GENERATIONS, KINDS
from tests.strategies.graphs import graphs

AMOUNTS = st.builds(Cost, *[st.integers(0, 1000).map(float)] * 6)


def builder() -> GraphBuilder:
    return GraphBuilder(CORE_OPS, "train")


def array(b: GraphBuilder, *sizes: int | str | Dim, dtype: DType = DType.F32) -> Value:
    return b.add("model.input", key=f"x{len(b.nodes)}", type=TensorType(dtype, dims_of(*sizes)))


def param(b: GraphBuilder, *sizes: int | str | Dim) -> Value:
    type_ = TensorType(DType.F32, dims_of(*sizes))
    return b.add("model.param", path=f"w{len(b.nodes)}", type=type_, init=("constant", 0.0))


def total(b: GraphBuilder, value: Value) -> Graph:
    """The graph whose loss is the sum of a value."""
    return b.finish([("loss", b.reduce("sum", value, range(value.tensor.rank)))])


# --- laws ------------------------------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS, st.integers(0, 9))
def test_costs_add_up(a: Cost, b: Cost, times: int) -> None:
    assert a + b == b + a
    assert a + ZERO == a
    assert (a + b) * times == times * a + times * b
    assert sum([a] * times, ZERO) == times * a


def test_tables_of_figures_have_no_holes() -> None:
    assert set(UNARY) == {*FLOAT_UNARY, *ANY_UNARY, "leaky_relu"}
    assert set(BINARY_WORK) == {*BINARY, *FLOAT_BINARY}
    assert set(DENSITIES) == {*FAMILIES, *IMPROPER}


@settings(max_examples=60)
@given(graphs())
def test_every_graph_has_a_cost_and_its_arithmetic_is_that_of_its_nodes(graph: Graph) -> None:
    whole, gradient = graph_cost(graph), gradient_cost(graph)
    assert all(isfinite(x) and x >= 0 for x in (*astuple(whole), *astuple(gradient)))
    assert gradient.randoms == 0
    assert step_cost(graph, differentiated=True) == whole + gradient
    assert step_cost(graph, differentiated=False) == whole
    if any(node.op.name.startswith(("region.", "dist.", "prob.", "random.")) for node in walk(graph)):
        return  # Their cost depends on the nodes around them.
    apart = sum((node_cost(node) for node in graph.nodes), ZERO)
    assert (apart.flops, apart.transcendentals) == (whole.flops, whole.transcendentals)
    assert whole.bytes <= apart.bytes + sum(4 * 1024**2 for _ in graph.outputs)


@given(graphs(), st.integers(1, 3))
@settings(max_examples=30)
def test_symbolic_sizes_count_as_told(graph: Graph, times: int) -> None:
    small, large = graph_cost(graph, symbolic=8), graph_cost(graph, symbolic=8 * times)
    assert all(a <= b for a, b in zip(astuple(small), astuple(large), strict=True))


# --- arithmetic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "shapes", "flops"),
    [
        ("ab,bc->ac", [(3, 5), (5, 7)], 2 * 3 * 5 * 7),
        ("gab,gbc->gac", [(2, 3, 5), (2, 5, 7)], 2 * 2 * 3 * 5 * 7),
        ("ab,bc,c->a", [(3, 5), (5, 7), (7,)], 2 * 3 * 5 * 7 + 2 * 3 * 7),
        ("ab,ab->ab", [(3, 5), (3, 5)], 15),
        ("ab->a", [(3, 5)], 15),
    ],
)
def test_products(spec: str, shapes: list[tuple[int, ...]], flops: int) -> None:
    b = builder()
    operands = [array(b, *shape) for shape in shapes]
    node = b.emit("linear.einsum", operands, {"spec": spec})
    assert node_cost(node).flops == flops


@given(st.data())
@settings(max_examples=60)
def test_convolutions_count_products_with_elements_only(data: st.DataObject) -> None:
    """Against a count over all pairs of an output and a position in its window."""
    size, window = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    stride, holes, spread = (data.draw(st.integers(1, 3)) for _ in range(3))
    low, high = data.draw(st.integers(0, 3)), data.draw(st.integers(window * 3, 9))
    b = builder()
    x, kernel = array(b, 2, size, 6), array(b, window, 3, 4)
    attrs = {"strides": (stride,), "padding": ((low, high),), "lhs_dilation": (holes,), "rhs_dilation": (spread,)}
    node = b.emit("linear.conv", [x, kernel], {**attrs, "groups": 2})
    outputs = node.result.tensor.dims[1].size
    assert isinstance(outputs, int)
    elements = {i * holes + low for i in range(size)}
    hits = sum(o * stride + k * spread in elements for o, k in product(range(outputs), range(window)))
    assert node_cost(node).flops == 2 * 2 * hits * 3 * 4


def test_draws_count_their_numbers() -> None:
    b = builder()
    d = b.add("dist.Normal", param(b, 10, 20), param(b, 10, 20))
    graph = total(b, b.add("random.draw", d, site="w"))
    assert graph_cost(graph).randoms == 200
    assert gradient_cost(graph).randoms == 0
    signs = builder().emit("random.sign", [], {"dims": dims_of(30)}, site="s")
    assert node_cost(signs).randoms == 30


def test_densities_of_mixtures_and_labels_count_components_and_classes() -> None:
    def density(classes: int) -> Cost:
        b = builder()
        d = b.add("dist.Categorical", array(b, 50, classes))
        return graph_cost(total(b, b.add("prob.log_prob", d, array(b, 50, dtype=DType.I32))))

    assert density(40).transcendentals == pytest.approx(4 * density(10).transcendentals)

    def mixture(components: int) -> Cost:
        b = builder()
        normals = b.add("dist.Normal", array(b, components), array(b, components))
        d = b.add("dist.expand", b.add("dist.mixture", array(b, components), normals), dims=dims_of(70))
        return graph_cost(total(b, b.add("prob.log_prob", d, array(b, 70))))

    assert mixture(8).transcendentals == pytest.approx(4 * mixture(2).transcendentals)


def test_correlated_elements_cost_products_with_their_factors() -> None:
    def draw(family: str, *params: tuple[int, ...]) -> float:
        b = builder()
        d = b.add(f"dist.{family}", *(array(b, *shape) for shape in params))
        return graph_cost(total(b, b.add("random.draw", d, site="w"))).flops

    independent = draw("Normal", (60,), (60,))
    assert draw("MultivariateNormal", (60,), (60, 60)) - independent == 2 * 60 * 60
    assert draw("LowRankMultivariateNormal", (60,), (60, 3), (60,)) - independent == 2 * 60 * 3
    assert draw("MatrixNormal", (12, 5), (12, 12), (5, 5)) - independent == 2 * 60 * (12 + 5)


def test_normalizers_are_computed_once_for_each_parameter() -> None:
    def density(*scale: int) -> Cost:
        b = builder()
        d = b.add("dist.Normal", array(b, 1000), array(b, *scale))
        return graph_cost(total(b, b.add("prob.log_prob", d, array(b, 1000))))

    assert density().transcendentals == 1
    assert density(1000).transcendentals == 1000


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trained", "times"), [((), 0), ((0,), 1), ((1,), 1), ((0, 1), 2)])
def test_a_product_costs_once_more_for_each_operand_with_a_gradient(trained: tuple[int, ...], times: int) -> None:
    b = builder()
    x, w = (param(b, 40, 50) if i in trained else array(b, 40, 50) for i in range(2))
    product_ = b.emit("linear.einsum", [x, w], {"spec": "ab,cb->ac"})
    found = gradient_cost(total(b, product_.result))
    assert found.flops == times * node_cost(product_).flops
    assert (found.bytes > 0) == (times > 0)


def test_the_gradient_reaches_back_to_the_first_parameter_only() -> None:
    b = builder()
    hidden = b.add("linear.einsum", array(b, 40, 50), param(b, 50, 30), spec="ab,bc->ac")
    out = b.add("linear.einsum", b.unary("relu", hidden), param(b, 30, 8), spec="ab,bc->ac")
    found = gradient_cost(total(b, out))
    assert found.flops == pytest.approx(2 * 40 * 50 * 30 + 2 * (2 * 40 * 30 * 8), rel=0.05)


def test_what_stops_gradients_costs_none() -> None:
    b = builder()
    stopped = b.add("math.stop_gradient", b.unary("exp", param(b, 100)))
    assert gradient_cost(total(b, stopped)) == ZERO
    b = builder()
    labels = b.add("random.draw", b.add("dist.Bernoulli", param(b, 100)), site="s")
    assert gradient_cost(total(b, b.cast(labels, DType.F32))) == ZERO


def test_only_the_loss_is_differentiated() -> None:
    b = builder()
    w = param(b, 100)
    loss = b.reduce("sum", b.unary("exp", w), (0,))
    state = b.reduce("sum", b.unary("lgamma", w), (0,))
    with_state = b.finish([("loss", loss), ("state:s", state)])
    assert gradient_cost(with_state).flops == gradient_cost(b.finish([("loss", loss)])).flops


def test_values_from_outside_need_gradients_as_told() -> None:
    b = builder()
    x, w = array(b, 40, 50), param(b, 50, 30)
    node = b.emit("linear.einsum", [x, w], {"spec": "ab,bc->ac"})
    forward = nodes_cost([node]).flops
    assert nodes_cost([node], differentiated=True).flops == 3 * forward
    assert nodes_cost([node], differentiated=True, needs={w}).flops == 2 * forward
    assert nodes_cost([node], differentiated=True, needs=()).flops == forward


def test_gradients_of_kernels_with_groups_take_all_pairs_of_groups() -> None:
    def gradient(groups: int) -> Cost:
        b = builder()
        attrs = {"strides": (1,), "padding": ((0, 0),), "lhs_dilation": (1,), "rhs_dilation": (1,), "groups": groups}
        x, kernel = array(b, 2, 9, 24), param(b, 3, 24 // groups, 12)
        return gradient_cost(total(b, b.emit("linear.conv", [x, kernel], attrs).result))

    assert gradient(1).naive == 0
    assert gradient(4).naive == 4 * gradient(4).flops == gradient(1).flops
    assert seconds(gradient(4), "cpu") > 10 * seconds(gradient(1), "cpu")


# --- regions ---------------------------------------------------------------------------------------------------------


def _body(op: str) -> Graph:
    inner = GraphBuilder(CORE_OPS, "body", [Value(TensorType(DType.F32, dims_of(30))) for _ in range(2)])
    carry, captured = inner.args
    return inner.finish([("", inner.unary(op, inner.binary("add", carry, captured)))])


def test_regions_cost_their_body_times_their_rounds() -> None:
    body = _body("tanh")
    for op, attrs in (("region.draws", {"count": 7}), ("region.repeat", {"count": 7, "carries": 1})):
        b = builder()
        node = b.emit(op, [array(b, 30), array(b, 30)], {**attrs, "body": body})
        found, once = node_cost(node), graph_cost(body)
        assert (found.flops, found.bytes, found.transcendentals) == (
            7 * once.flops,
            7 * once.bytes,
            7 * once.transcendentals,
        )
        assert found.kernels == (once.kernels if op == "region.draws" else 7 * once.kernels)


def test_gradients_go_around_loops() -> None:
    """The carry starts as data; from the second round on it depends on the parameter, so `tanh` is differentiated."""
    b = builder()
    attrs = {"count": 5, "carries": 1, "body": _body("tanh")}
    (carry,) = b.emit("region.repeat", [array(b, 30), param(b, 30)], attrs).results
    assert gradient_cost(total(b, carry)).flops >= 5 * 30 * UNARY["tanh"].back_flops


# --- memory ----------------------------------------------------------------------------------------------------------


def test_chains_of_elementwise_ops_go_through_memory_once() -> None:
    b = builder()
    x = array(b, 1000)
    y = b.unary("relu", b.unary("exp", b.binary("mul", x, 2.0)))
    graph = b.finish([("y", y)])
    assert graph_cost(graph).bytes == 2 * 4000
    assert graph_cost(graph).kernels == 1


def test_values_that_two_nodes_read_are_written() -> None:
    b = builder()
    x = array(b, 1000)
    shared = b.unary("exp", x)
    graph = b.finish([("a", b.unary("sin", shared)), ("b", b.unary("cos", shared))])
    assert graph_cost(graph).bytes == (2 + 2 + 2) * 4000


def test_reductions_are_computed_with_what_they_read_and_views_move_nothing() -> None:
    b = builder()
    x = array(b, 10, 100)
    y = b.reduce("sum", b.reshape(b.unary("exp", x), dims_of(1000)), (0,))
    assert graph_cost(b.finish([("y", y)])).bytes == 4000 + 4


def test_products_read_operands_and_write_results() -> None:
    b = builder()
    y = b.unary("relu", b.add("linear.einsum", array(b, 40, 50), array(b, 50, 30), spec="ab,bc->ac"))
    expected = 40 * 50 + 50 * 30 + 40 * 30 + 2 * 40 * 30
    assert graph_cost(b.finish([("y", y)])).bytes == 4 * expected


def test_indexing_reads_what_it_takes_and_its_gradient_the_whole_table() -> None:
    b = builder()
    taken = b.add("tensor.take", param(b, 1000, 16), array(b, 5, dtype=DType.I32), axis=0)
    graph = b.finish([("loss", taken)])
    assert graph_cost(graph).bytes == 2 * (5 * 16 * 4) + 5 * 4
    assert gradient_cost(graph).bytes >= 1000 * 16 * 4


# --- time ------------------------------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS)
def test_more_work_takes_longer_on_every_target(a: Cost, more: Cost) -> None:
    for target in KINDS:
        assert 0 <= seconds(a, target) <= seconds(a + more, target)
        assert seconds(a * 2, target) == pytest.approx(2 * seconds(a, target))


def test_arithmetic_and_traffic_overlap_and_the_rest_comes_on_top() -> None:
    rates = rates_of("cpu")
    both = Cost(flops=rates.flops, bytes=2 * rates.bytes)
    assert seconds(both, "cpu") == pytest.approx(2)
    assert seconds(both + Cost(randoms=rates.randoms), "cpu") == pytest.approx(3)
    assert seconds(both + Cost(transcendentals=rates.transcendentals), "cpu") == pytest.approx(3)


def test_every_generation_has_rates() -> None:
    shapes = {2: "1x1", 3: "1x1x1"}
    found = [rates_of(f"tpu:{name}:{shapes[g.rank]}") for name, g in GENERATIONS.items()]
    assert len({rates.flops for rates in found}) == len(GENERATIONS)
    assert rates_of("tpu") == rates_of("tpu:v5e:1x1")
