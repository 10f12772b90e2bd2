"""The pass `moments`: what it integrates out, what it leaves, and the reasons with their source lines."""

from __future__ import annotations

import pytest

from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.moments import laws
from bl_compiler.passes.moments.integrate import Moments, deterministic_reasons, marked
from bl_compiler.passes.pipeline import Pipeline
from tests.support.ir_text import graph as named
from tests.support.lowering import lowered

HEADER = """
  plate batch[4] of 100
  input x: f32[batch, 3]
  input y: f32[batch]
"""
BELIEVE = "believe kernel, bias ~ Normal(0, 1) by mean_field using deterministic"
APPROXIMATE = "believe kernel, bias ~ Normal(0, 1) by mean_field using deterministic(approximate=true)"
ONE = 'x |> dense(5, name="a") |> relu |> dense(1, name="b") |> squeeze(axis=-1)'
TWO = 'x |> dense(5, name="a") |> relu |> dense(5, name="c") |> relu |> dense(1, name="b") |> squeeze(axis=-1)'


def model(body: str, believe: str = BELIEVE) -> Module:
    """The entry points of a model."""
    return derive_entries(lowered(f"model m {{ {HEADER} {believe}\n{body} }}"))


def run(module: Module) -> tuple[Module, PassContext]:
    """The verified module after the pass."""
    ctx = PassContext(CORE_OPS)
    after = Moments().run(module, ctx)
    verify(after, after="moments")
    return after, ctx


def drawn(graph: Graph) -> set[str]:
    """The last two parts of the sites that a graph draws."""
    return {"/".join((n.site or "").split("/")[-2:]) for n in walk(graph) if n.op.name == "random.draw"}


def draw(graph: Graph, ending: str) -> Node:
    """The draw of a site."""
    return next(n for n in walk(graph) if n.op.name == "random.draw" and (n.site or "").endswith(ending))


def reasons(body: str, site: str = "a/kernel", *, entry: str = "train", believe: str = BELIEVE) -> tuple[Reason, ...]:
    """Why a site cannot be integrated out exactly."""
    graph = model(body, believe).functions[entry]
    return deterministic_reasons(graph, draw(graph, site), CORE_OPS)


def texts(body: str, site: str = "a/kernel", *, entry: str = "train", believe: str = BELIEVE) -> list[str]:
    return [reason.text for reason in reasons(body, site, entry=entry, believe=believe)]


# --- what is integrated -----------------------------------------------------------------------------------------------


def test_a_network_with_one_hidden_layer_draws_nothing() -> None:
    after, ctx = run(model(f"observe y ~ Normal({ONE}, 1)"))
    assert drawn(after.functions["train"]) == drawn(after.functions["predict"]) == set()
    assert drawn(after.functions["log_likelihood"]) == {"a/kernel", "a/bias", "b/kernel", "b/bias"}
    assert ctx.journal.hits() == 4 + 4
    assert drawn(after.functions["predict_joint"]) == drawn(after.functions["sample"]) - {"y"} != set()


def test_names_types_and_source_lines_of_outputs_stay() -> None:
    before = model(f"observe y ~ Normal({ONE}, 1)")
    after, _ = run(before)
    for name in ("train", "predict", "log_likelihood"):
        found = {o.name: o.value.type for o in after.functions[name].outputs}
        assert found == {o.name: o.value.type for o in before.functions[name].outputs}
    made = [node for node in after.functions["train"].nodes if "moments" in node.made_by]
    assert any(node.op.name == "math.erf" and node.span.known for node in made)


def test_what_is_predicted_gets_a_variance_of_its_own() -> None:
    after, _ = run(model(f"let f = {ONE}\n observe y ~ Normal(f, 1)\n predict g = f + 1"))
    assert [o.name for o in after.functions["predict"].outputs] == ["mean:y", "variance:y", "value:g", "variance:g"]


def test_nothing_marked_is_nothing_changed() -> None:
    module = model(f"observe y ~ Normal({ONE}, 1)", "believe kernel ~ Normal(0, 1) by mean_field")
    assert run(module)[0] is module


def test_a_draw_that_is_not_marked_counts_as_known() -> None:
    """The expectation given the draws of the first layer: exact, whatever their estimator."""
    body = 'observe y ~ Normal(x |> dense(5, name="a") |> exp |> tanh |> dense(1, name="b") |> squeeze(axis=-1), 1)'
    believe = (
        "believe kernel in dense ~ Normal(0, 1) by mean_field using shared\n"
        "believe bias ~ Normal(0, 1) by mean_field using deterministic"
    )
    after, _ = run(model(body, believe))
    assert drawn(after.functions["train"]) == {"a/kernel", "b/kernel", "a/bias"}


def test_repeated_draws_are_integrated_inside_their_region() -> None:
    after, _ = run(model(f"observe y ~ Normal({ONE}, 1)\n objective elbo(samples=3)"))
    assert drawn(after.functions["train"]) == set()


def test_importance_weights_are_no_expectation() -> None:
    body = """sample z: f32[batch] ~ Normal(0, 1) by Normal(zeros[batch], 1) using deterministic
      observe y ~ Normal(z, 1)\n objective iwae(samples=3)"""
    assert texts(body, "z", believe="") == ["`math.logsumexp` of an uncertain value has no moments in closed form"]


def test_a_local_variable_is_integrated_out() -> None:
    body = """sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), 0.5) using deterministic
      observe y ~ Normal(z |> dense(1) |> squeeze(axis=-1), 1)"""
    after, _ = run(model(body, ""))
    assert drawn(after.functions["train"]) == drawn(after.functions["predict"]) == set()


def test_masked_observations_are_integrated() -> None:
    after, _ = run(model(f"input seen: bool[batch]\n observe y ~ Normal({ONE}, 1) where seen"))
    assert drawn(after.functions["train"]) == set()


def test_several_observations_of_one_network_are_integrated() -> None:
    body = f"""input w: f32[batch]\n let f = {ONE}\n observe y ~ Normal(f, 1)\n observe w ~ Normal(2 * f + 1, 2)"""
    after, _ = run(model(body))
    assert drawn(after.functions["train"]) == drawn(after.functions["predict"]) == set()


def test_events_are_summed() -> None:
    body = """input z: f32[batch, 2]\n observe z ~ Normal(x |> dense(5) |> relu |> dense(2), 1)"""
    after, _ = run(model(body))
    assert drawn(after.functions["train"]) == set()


def test_a_convolution_of_data_is_integrated() -> None:
    body = """input image: f32[batch, 6, 6, 1]
      let h = image |> conv2d(2, kernel_size=3, name="a") |> relu |> flatten |> dense(1, name="b")
      observe y ~ Normal(h |> squeeze(axis=-1), 1)"""
    after, _ = run(model(body))
    assert drawn(after.functions["train"]) == set()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_other_likelihoods_have_no_closed_form() -> None:
    body = 'input c: i32[batch]\n observe c ~ Categorical(logits = x |> dense(3, name="a"))'
    assert texts(body) == ["the expected log density of Categorical with uncertain parameters has no closed form"]
    after, ctx = run(model(body))
    assert drawn(after.functions["train"]) == {"a/kernel", "a/bias"}
    assert {entry.fired for entry in ctx.journal.entries} == {False}


def test_a_second_hidden_layer_is_an_approximation() -> None:
    (found,) = reasons(f"observe y ~ Normal({TWO}, 1)")
    assert found.text == "`math.relu` of a value that is not Gaussian"
    assert [step.text.split("`")[1].rpartition("/")[2] for step in found.chain[:1]] == ["kernel"]
    assert sum("math.relu" in step.text for step in found.chain) == 2
    assert all(step.span.known for step in found.chain)
    assert found.chain[-1].span == found.span
    assert reasons(f"observe y ~ Normal({TWO}, 1)", believe=APPROXIMATE, site="b/kernel") == ()


def test_what_a_rectifier_gives_is_not_gaussian() -> None:
    (found,) = texts('observe y ~ Normal(relu((x |> dense(5, name="a") |> relu) - 1) |> sum(axis=-1), 1)')
    assert found == "`math.relu` of a value that is not Gaussian"


def test_the_layers_after_the_first_are_exact_given_its_draw() -> None:
    after, ctx = run(model(f"observe y ~ Normal({TWO}, 1)"))
    assert drawn(after.functions["train"]) == {"a/kernel", "a/bias"}
    refused = [entry for entry in ctx.journal.entries if not entry.fired and entry.function == "train"]
    assert {(entry.site or "").rpartition("a/")[2] for entry in refused} == {"kernel", "bias"}


def test_an_accepted_approximation_integrates_all_layers() -> None:
    after, _ = run(model(f"observe y ~ Normal({TWO}, 1)", APPROXIMATE))
    for entry in ("train", "predict"):
        assert drawn(after.functions[entry]) == set()
    assert any(node.op.name == "moment.relu_covariance" for node in after.functions["train"].nodes)


def test_full_covariances_are_made_only_where_a_later_layer_needs_them() -> None:
    after, _ = run(model(f"observe y ~ Normal({ONE}, 1)", APPROXIMATE))
    assert not any(node.op.name == "moment.relu_covariance" for node in after.functions["train"].nodes)


REFUSED = {
    "tanh": (
        'observe y ~ Normal(x |> dense(5, name="a") |> tanh |> dense(1) |> squeeze(axis=-1), 1)',
        "`math.tanh` of an uncertain value has no moments in closed form",
    ),
    "scale": (
        'let f = x |> dense(2, name="a")\n observe y ~ Normal(f[:, 0], exp(f[:, 1]))',
        "the expected log density of a Normal whose scale is uncertain has no closed form here",
    ),
    "residual": (
        """let h = x |> dense(3, name="a")
          observe y ~ Normal((h + (h |> relu |> dense(3))) |> dense(1) |> squeeze(axis=-1), 1)""",
        "a Gaussian log density needs a variance, and the variance of a sum of values that depend on the same draw",
    ),
    "tied": (
        'let a = dense(3, name="a")\n observe y ~ Normal(x |> a |> a |> dense(1) |> squeeze(axis=-1), 1)',
        "a product of values that depend on the same draw `a/kernel`",
    ),
    "batch norm": (
        'observe y ~ Normal(x |> dense(3, name="a") |> batch_norm |> dense(1) |> squeeze(axis=-1), 1)',
        "`math.square` needs the variance of its argument",
    ),
    "two convolutions": (
        """input image: f32[batch, 6, 6, 1]
          let h = image |> conv2d(2, kernel_size=3, name="a") |> relu |> conv2d(2, kernel_size=3) |> relu
          observe y ~ Normal(h |> flatten |> dense(1) |> squeeze(axis=-1), 1)""",
        "`math.relu` needs the variance of its argument, and the covariance of a convolution of an uncertain value",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name: str) -> None:
    body, wanted = REFUSED[name]
    found = texts(body)
    assert any(text.startswith(wanted) for text in found), found
    assert drawn(run(model(body))[0].functions["train"]) >= {"a/kernel"}


def test_statistics_of_batches_are_those_of_draws() -> None:
    """In training the running statistics are taken of values that are drawn; in prediction they are known numbers."""
    body = 'observe y ~ Normal(x |> dense(3, name="a") |> batch_norm |> dense(1) |> squeeze(axis=-1), 1)'
    assert any(text.startswith("the statistic `") for text in texts(body))
    assert texts(body, entry="predict") == []
    assert drawn(run(model(body))[0].functions["predict"]) == set()


def test_a_reshape_that_mixes_examples_has_no_variance() -> None:
    graph = named(
        """
        %w = model.input() {key="w", type=f32[4, 4]}
        %one = tensor.const() {dtype=!f32, value=1.0}
        %d = dist.Normal(%w, %one)
        %e = dist.expand(%d) {dims=(<batch@4>, <4>)}
        %z = random.draw(%e) {estimator="deterministic"} @z
        %flat = tensor.reshape(%z) {dims=(<4>, <batch@4>)}
        %y = math.square(%flat)
        return value:y = %y
    """,
        function="predict",
    )
    found = deterministic_reasons(graph, draw(graph, "z"), CORE_OPS)
    assert [reason.text for reason in found] == [
        "`math.square` needs the variance of its argument, and a reshape mixes examples"
    ]


def test_other_entry_points_ask_for_the_draws_themselves() -> None:
    for entry in ("sample", "log_likelihood"):
        assert texts(f"observe y ~ Normal({ONE}, 1)", entry=entry) == [f"`{entry}` asks for the draws themselves"]


def test_a_covariance_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "MOST_ELEMENTS", 20)
    graph = model(f"observe y ~ Normal({TWO}, 1)", APPROXIMATE).functions["train"]
    (found,) = deterministic_reasons(graph, draw(graph, "c/kernel"), CORE_OPS, approximate=True)
    assert found.text == "the covariance of `math.relu` has 25 elements for each example, more than 20"


def test_divergences_by_monte_carlo_need_the_draw() -> None:
    body = 'observe y ~ Normal(x |> dense(1, name="a") |> squeeze(axis=-1), 1)'
    believe = "believe kernel ~ StudentT(3, 0, 1) by mean_field using deterministic"
    assert texts(body, believe=believe) == ["the expected log density of StudentT has no closed form here"]


def test_the_pass_is_known_by_name() -> None:
    assert Pipeline.parse("moments").passes == (Moments(),)
    graph = model(f"observe y ~ Normal({ONE}, 1)").functions["train"]
    assert len(marked(graph)) == 4
