"""The plate analysis: nothing that it calls apart meets, and it is not silent about what meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import PlateRule
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.mixing import MIXED_AXES, mixed_plates
from bl_compiler.passes.estimators.plates import Plates, analyze
from bl_compiler.passes.estimators.rewriting import facts_of_entry
from tests.strategies.graphs import NUMERIC_OPS, REGION_OPS, feeds, numeric_graphs, seeds
from tests.support.aligned import check_additive, check_meetings, check_nodes, drawn_inputs
from tests.support.lowering import lowered

laws = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
_SHAPES = tuple(op for op in NUMERIC_OPS if op in MIXED_AXES or op.startswith(("linear.", "nn.", "linalg.")))
_TURNS = ("tensor.transpose", "tensor.reshape", "math.add", "math.mul", "math.select")
_SMOOTH = tuple(op for op in NUMERIC_OPS if op not in REGION_OPS)

BATCH, ROWS = Dim(4, "batch", DimKind.PLATE), Dim(4, "rows", DimKind.PLATE)


# --- one op ----------------------------------------------------------------------------------------------------------


@laws
@given(numeric_graphs(ops=(*_SHAPES, *_TURNS * 3), size=10), seeds)
def test_elements_stay_apart_in_every_op_that_does_not_say_it_mixes_them(graph: Graph, seed: int) -> None:
    check_nodes(graph, feeds(graph, seed))


def test_every_op_that_says_axes_tells_which() -> None:
    assert MIXED_AXES.missing(n for n, op in CORE_OPS.items() if op.plates is PlateRule.AXES) == set()


class Shop(GraphBuilder):
    """A builder with inputs."""

    def __init__(self) -> None:
        super().__init__(CORE_OPS, "main")

    def x(self, *dims: int | Dim, dtype: DType = DType.F32) -> Value:
        return self.add("model.input", key=f"x{len(self.nodes)}", type=TensorType(dtype, dims_of(*dims)))

    def i(self, *dims: int | Dim) -> Value:
        return self.x(*dims, dtype=DType.I32)

    def op(self, name: str, *inputs: Value, **attrs: object) -> Node:
        return self.emit(name, inputs, attrs)


def _conv(b: Shop, x: Value, kernel: Value) -> Node:
    none = {"padding": ((0, 0),), "lhs_dilation": (1,), "rhs_dilation": (1,)}
    return b.op("linear.conv", x, kernel, strides=(1,), **none)


MIXING: dict[str, tuple[Callable[[Shop], Node], int]] = {
    "sum": (lambda b: b.op("math.sum", b.x(BATCH, 3), axes=(0,)), 0),
    "mean that keeps the axis": (lambda b: b.op("math.mean", b.x(BATCH, 3), axes=(0,), keepdims=True), 0),
    "logsumexp": (lambda b: b.op("math.logsumexp", b.x(2, BATCH), axes=(0, 1)), 0),
    "argmax": (lambda b: b.op("math.argmax", b.x(BATCH, 3), axis=0), 0),
    "softmax": (lambda b: b.op("math.softmax", b.x(BATCH, 3), axis=0), 0),
    "cumsum": (lambda b: b.op("math.cumsum", b.x(BATCH, 3), axis=0), 0),
    "reverse": (lambda b: b.op("tensor.reverse", b.x(BATCH, 3), axes=(0,)), 0),
    "contraction": (lambda b: b.op("linear.einsum", b.x(BATCH, 3), b.x(4, 2), spec="bi,bj->ij"), 0),
    "outer product": (lambda b: b.op("linear.einsum", b.x(BATCH), b.x(BATCH), spec="a,b->ab"), 0),
    "reshape that merges": (lambda b: b.op("tensor.reshape", b.x(BATCH, 3), dims=(Dim(12),)), 0),
    "reshape that moves": (lambda b: b.op("tensor.reshape", b.x(3, BATCH), dims=(BATCH, Dim(3))), 0),
    "slice": (lambda b: b.op("tensor.slice", b.x(BATCH), starts=(1,), limits=(3,), strides=(1,)), 0),
    "padding": (lambda b: b.op("tensor.pad", b.x(BATCH), low=(1,), high=(0,)), 0),
    "take along": (lambda b: b.op("tensor.take", b.x(BATCH, 3), b.i(BATCH), axis=0), 0),
    "take of all pairs": (lambda b: b.op("tensor.take", b.x(BATCH, 3), b.i(BATCH), axis=1), 1),
    "take_along": (lambda b: b.op("tensor.take_along", b.x(BATCH, 3), b.i(BATCH, 3), axis=0), 0),
    "concat": (lambda b: b.op("tensor.concat", b.x(BATCH), b.x(3), axis=0), 0),
    "cholesky": (lambda b: b.op("linalg.cholesky", b.x(BATCH, BATCH)), 0),
    "convolution over examples": (lambda b: _conv(b, b.x(1, BATCH, 2), b.x(2, 2, 3)), 0),
    "channels that are examples": (lambda b: _conv(b, b.x(BATCH, 5, 4), b.x(2, BATCH, 3)), 1),
    "pooling over examples": (
        lambda b: b.op("nn.avg_pool", b.x(1, BATCH, 2), window=(2,), strides=(1,), padding=((0, 0),)),
        0,
    ),
    "a vector's elements": (lambda b: b.op("dist.MultivariateNormal", b.x(BATCH), b.x(4, 4)), 0),
    "independent": (lambda b: b.op("dist.independent", b.add("dist.Normal", b.x(BATCH), b.x()), ndims=1), 0),
    "components": (lambda b: b.op("dist.mixture", b.x(BATCH), b.add("dist.Normal", b.x(4), b.x())), 0),
    "a value's event": (
        lambda b: b.op(
            "prob.log_prob",
            b.add("dist.independent", b.add("dist.Normal", b.x(BATCH, 4), b.x()), ndims=1),
            b.x(1, BATCH),
        ),
        1,
    ),
}


@pytest.mark.parametrize("case", MIXING)
def test_ops_that_combine_elements_of_a_plate_say_so(case: str) -> None:
    make, operand = MIXING[case]
    assert "batch" in mixed_plates(make(Shop()), operand)


APART: dict[str, tuple[Callable[[Shop], Node], int]] = {
    "features summed": (lambda b: b.op("math.sum", b.x(BATCH, 3), axes=(1,)), 0),
    "dense": (lambda b: b.op("linear.einsum", b.x(BATCH, 3), b.x(3, 2), spec="bi,ij->bj"), 0),
    "features merged": (lambda b: b.op("tensor.reshape", b.x(BATCH, 3, 2), dims=(BATCH, Dim(6))), 0),
    "table": (lambda b: b.op("tensor.take", b.x(5, 3), b.i(BATCH), axis=0), 1),
    "turned": (lambda b: b.op("tensor.transpose", b.x(BATCH, 3), permutation=(1, 0)), 0),
    "images": (lambda b: _conv(b, b.x(BATCH, 5, 2), b.x(2, 2, 3)), 0),
    "density": (lambda b: b.op("prob.log_prob", b.add("dist.Normal", b.x(BATCH, 2), b.x()), b.x(BATCH, 2)), 1),
}


@pytest.mark.parametrize("case", APART)
def test_layers_keep_examples_apart(case: str) -> None:
    make, operand = APART[case]
    assert mixed_plates(make(Shop()), operand) == set()


# --- a graph ---------------------------------------------------------------------------------------------------------


@laws
@given(numeric_graphs(ops=_SMOOTH, size=10), seeds, st.sampled_from([(), ("loss",), ("loss", "y", "in")]))
def test_elements_that_do_not_meet_below_a_value_do_not(graph: Graph, seed: int, wanted: tuple[str, ...]) -> None:
    graph = drawn_inputs(graph)
    check_meetings(analyze(graph, wanted), feeds(graph, seed), wanted)


@laws
@given(numeric_graphs(size=10), seeds)
def test_terms_enter_expectations_with_coefficients_free_of_draws(graph: Graph, seed: int) -> None:
    graph = drawn_inputs(graph)
    wanted = [o.name for o in graph.outputs]
    check_additive(analyze(graph, wanted), feeds(graph, seed), wanted)


def test_the_laws_have_something_to_say() -> None:
    b = Shop()
    x = b.x(BATCH, 3)
    loss = b.reduce("sum", b.unary("square", b.einsum("bi,ij->bj", x, b.x(3, 2))), (0, 1))
    graph = drawn_inputs(b.finish([("loss", loss)]))
    fed = feeds(graph, 0)
    facts = analyze(graph, ["loss"])
    assert check_nodes(graph, fed) >= 8
    assert check_meetings(facts, fed, ["loss"]) >= 3
    assert check_additive(facts, fed, ["loss"]) >= 2
    with pytest.raises(AssertionError, match="affine"):
        check_additive(replace(facts, additive={r for node in graph.nodes for r in node.results}), fed, ["loss"])
    with pytest.raises(AssertionError, match="mixes"):
        check_meetings(replace(facts, meetings={}), fed, [])


# --- models ----------------------------------------------------------------------------------------------------------

HEAD = "model m { plate batch[8] of 100 input x: f32[batch, 5] input y: f32[batch, 5] "
BELIEF = "believe kernel ~ Normal(0, 1) by mean_field "


def facts_of(text: str, entry: str = "train") -> Plates:
    return facts_of_entry(entry, derive_entries(lowered(f"{HEAD}{BELIEF}{text} }}")).functions[entry])


def product(facts: Plates) -> Value:
    """What the examples make of the drawn kernel."""
    for graph in graphs_in(facts.graph):
        for node in graph.of("linear.einsum"):
            if facts.draws.get(node.inputs[1]):
                return node.result
    raise AssertionError("no kernel")


CHAINS = {
    "let h = x |> dense(5) observe y ~ Normal(h - mean(h, axis=0), 1)": ["math.add", "math.mean"],
    "let h = x |> dense(5) |> batch_norm observe y ~ Normal(h, 1)": ["math.add", "math.mean"],
    "let h = x |> dense(5) |> tanh observe y ~ Normal(h |> softmax(axis=0), 1)": [
        "math.add",
        "math.tanh",
        "math.softmax",
    ],
    "let h = x |> dense(5) |> batch_norm observe y ~ Normal(h, 1) objective elbo(samples=3)": ["math.add", "math.mean"],
}


@pytest.mark.parametrize("text", CHAINS)
def test_a_meeting_tells_the_way_to_it(text: str) -> None:
    facts = facts_of(text)
    value = product(facts)
    found = facts.meeting(value, ["batch"])
    assert found is not None
    steps = [step.text.split("`")[-2] for step in facts.chain(value, "batch")]
    assert steps == CHAINS[text]
    assert found.node.op.name == steps[-1]
    assert all(step.span.known for step in facts.chain(value, "batch"))


APART_MODELS = (
    "observe y ~ Normal(x |> dense(5) |> tanh |> dense(5), 1)",
    "observe y ~ Normal(x |> batch_norm |> dense(5), 1)",
    "observe y ~ Normal(x |> dense(5), 1) objective elbo(samples=3, kl_weight=0.5)",
    "observe y ~ Normal(x |> dense(5) |> softmax, 1)",
)


@pytest.mark.parametrize("text", APART_MODELS)
def test_examples_of_ordinary_networks_meet_in_the_loss_alone(text: str) -> None:
    facts = facts_of(text)
    assert facts.meeting(product(facts), ["batch"]) is None
    assert facts.graph.output("loss") in facts.additive


def test_what_is_averaged_within_a_logarithm_is_no_sum_over_draws() -> None:
    latent = "sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x[:, :2], 1) observe y ~ Normal(z |> dense(5), 1)"
    facts = facts_of(f"{latent} objective iwae(samples=3)")
    (draw,) = [node for graph in graphs_in(facts.graph) for node in graph.of("random.draw") if node.site == "z"]
    (total,) = facts.graph.of("math.logsumexp")
    assert draw.result not in facts.additive
    assert total.inputs[0] not in facts.additive
    assert total.result in facts.additive


def test_a_named_prediction_may_mix_what_the_loss_does_not() -> None:
    text = "let h = x |> dense(5) predict c = h - mean(h, axis=0) observe y ~ Normal(h, 1)"
    train, predict = facts_of(text), facts_of(text, "predict")
    assert train.meeting(product(train), ["batch"]) is None
    assert predict.meeting(product(predict), ["batch"]) is not None


def test_statistics_for_the_next_step_are_no_expectation() -> None:
    facts = facts_of("let h = x |> dense(5) |> batch_norm observe y ~ Normal(h, 1)")
    states = [o.value for o in facts.graph.outputs if o.name.startswith("state:")]
    assert states
    assert not facts.additive.intersection(states)
