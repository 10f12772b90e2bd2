"""The shape of the entry points: what each asks for, draws and gives.

Invariant: numbers are looked at in `tests/diff/test_objective.py`; here only what is in a graph.
"""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.graph import Module, Objective, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DType, TensorType, distribution
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import ENTRIES, Fact, PassContext, facts_of
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.entries import Entries, derive_entries
from bl_compiler.passes.entry_errors import EntriesError
from tests.support.models import ModelBuilder, drawn, ops_in

ALL = list(ENTRIES)


def regression() -> ModelBuilder:
    """A Bayesian linear regression on minibatches of 4 out of 100."""
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x, y = b.input("x", batch, 3), b.input("y", batch, 2)
    w = b.weight("w", 3, 2)
    b.observe("y", y, b.dist("Normal", b.einsum("bi,ij->bj", x, w), 0.5))
    return b


def names(module: Module, entry: str) -> list[str]:
    return [output.name for output in module.functions[entry].outputs]


def asked(module: Module, entry: str) -> set[str]:
    """The inputs and parameters of an entry."""
    nodes = module.functions[entry].of("model.input", "model.param", "model.state")
    return {str(node.attrs.get("key", node.attrs.get("path"))) for node in nodes}


def test_a_module_has_every_entry_and_no_model() -> None:
    module = regression().entries()
    assert list(module.functions) == ALL


def test_entries_ask_only_for_what_they_use() -> None:
    module = regression().entries()
    params = {"w/loc", "w/scale"}
    assert {entry: asked(module, entry) for entry in ALL} == {
        "init": set(),
        "train": {"x", "y", *params},
        "predict": {"x", *params},
        "predict_joint": {"x", *params},
        "log_likelihood": {"x", "y", *params},
        "log_joint": {"x", "y", "site:w"},
        "sample": {"x", *params},
        "sample_prior": {"x"},
    }


def test_entries_give_what_they_promise() -> None:
    module = regression().entries()
    assert {entry: names(module, entry) for entry in ALL} == {
        "init": ["param:w/loc", "param:w/scale"],
        "train": ["loss", "nll", "kl"],
        "predict": ["mean:y", "variance:y"],
        "predict_joint": ["mean:y", "variance:y"],
        "log_likelihood": ["log_prob:y"],
        "log_joint": ["log_joint"],
        "sample": ["value:w", "value:y"],
        "sample_prior": ["value:w", "value:y"],
    }


def test_joint_draws_are_predict_with_every_draw_shared() -> None:
    b = regression()
    posterior = b.dist("Normal", 0.0, 1.0)
    z = b.add("model.sample", b.dist("Normal", 0.0, 1.0), posterior, site="z", estimator="flipout")
    b.predict("z", z)
    module = b.entries()
    asked_for = {
        name: {n.site: n.attrs["estimator"] for n in module.functions[name].of("random.draw")}
        for name in ("predict", "predict_joint")
    }
    assert asked_for["predict"] == {"w": "auto", "z": "flipout"}
    assert asked_for["predict_joint"] == {"w": "shared", "z": "shared"}
    assert ops_in(module, "predict") == ops_in(module, "predict_joint")


def test_no_declaration_but_feeds_is_left() -> None:
    module = regression().entries()
    left = {n.op.name for g in module.functions.values() for n in walk(g) if n.op.name.startswith("model.")}
    assert left <= {"model.input", "model.param", "model.state", "model.plate_size", "model.step"}


def test_the_loss_is_what_an_expert_writes() -> None:
    train = ops_in(regression().entries(), "train")
    computed = [op for op in train if not op.startswith(("model.", "tensor.const", "dist.Normal"))]
    assert computed == [
        "param.constrain",
        "random.draw",
        "linear.einsum",
        "prob.kl",
        "math.sum",
        "prob.log_prob",
        "math.sum",
        "math.neg",
        "math.div",
        "math.div",
        "math.add",
    ]


def test_entries_is_a_pass() -> None:
    module = regression().module()
    made = Entries().run(module, PassContext(CORE_OPS))
    assert made == derive_entries(module)
    assert facts_of(module) == Entries.requires
    assert facts_of(made) == {Fact.ENTRIES}


# --- init ------------------------------------------------------------------------------------------------------------


def test_init_gives_raw_parameters_and_statistics() -> None:
    b = regression()
    b.state("count", 2)
    start = evaluate(b.entries().functions["init"])
    np.testing.assert_allclose(start["param:w/loc"], np.full((3, 2), 0.5))
    np.testing.assert_allclose(np.log1p(np.exp(start["param:w/scale"])), np.full((3, 2), 0.5), rtol=1e-12)
    np.testing.assert_array_equal(start["param:count"], np.zeros(2))


# --- phases, updates, predictions ------------------------------------------------------------------------------------


def test_only_training_takes_the_training_phase() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x, y = b.input("x", batch), b.input("y", batch)
    mask = b.noise("dropout", b.dist("Normal", b.full(1.0, (batch,)), 0.1))
    b.observe("y", y, b.dist("Normal", b.phase(b.binary("mul", x, mask), x), 1.0))
    module = b.entries()
    assert {entry for entry in module.functions if "dropout" in drawn(module, entry)} == {"train"}
    assert asked(module, "log_joint") == {"x", "y"}


def test_statistics_are_updated_in_training_without_gradient() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x = b.input("x", batch)
    old = b.state("mean")
    b.update("mean", b.binary("mul", b.binary("add", old, b.reduce("mean", x, (0,))), 0.5))
    b.observe("x", x, b.dist("Normal", old, 1.0))
    train = b.entries().functions["train"]
    assert train.producers[train.output("state:mean")].op.name == "math.stop_gradient"
    new = evaluate(train, params={"mean": 3.0}, inputs={"x": [1.0, 2.0, 3.0, 6.0]})
    assert new["state:mean"] == 3.0


def test_predictions_are_given_by_prediction_and_sampling() -> None:
    b = regression()
    b.predict("score", b.const(1.0, DType.F32))
    b.predict("y", b.const(2.0, DType.F32))
    module = b.entries()
    assert names(module, "predict") == ["mean:y", "variance:y", "value:score", "value:y"]
    assert names(module, "sample") == ["value:w", "value:y", "value:score"]
    # The site keeps its name: its draw, not the prediction.
    sample = module.functions["sample"]
    assert sample.producers[sample.output("value:y")].op.name == "random.draw"
    assert names(module, "train") == ["loss", "nll", "kl"]


# --- predictive distributions ----------------------------------------------------------------------------------------


def classifier(wrap: str) -> tuple[Module, Dim]:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    logits = b.input("logits", 5, 7) if wrap == "expanded" else b.input("logits", batch, 5, 7)
    labels = b.input("labels", batch, 5, dtype="i32")
    d = b.dist("Categorical", logits)
    if wrap == "expanded":
        d = b.expand(d, batch, 5)
    elif wrap == "independent":
        d = b.add("dist.independent", d, ndims=1)
    elif wrap == "both":
        d = b.expand(b.add("dist.independent", d, ndims=1), batch)
    b.observe("labels", labels, d)
    return b.entries(), batch


@pytest.mark.parametrize("wrap", ["plain", "expanded", "independent", "both"])
def test_classes_are_predicted_by_their_probabilities(wrap: str) -> None:
    module, batch = classifier(wrap)
    predict = module.functions["predict"]
    assert [output.name for output in predict.outputs] == ["probs:labels"]
    assert predict.output("probs:labels").type == TensorType(DType.F32, (batch, Dim(5), Dim(7)))


def test_a_mixture_of_categories_has_no_summary() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    labels = b.input("labels", batch, dtype="i32")
    d = b.add("dist.mixture", b.input("weights", batch, 2), b.dist("Categorical", b.input("logits", batch, 2, 7)))
    b.observe("labels", labels, d)
    module = b.entries()
    assert names(module, "predict") == []
    assert names(module, "sample") == ["value:labels"]


def test_summaries_and_draws_are_per_element_of_the_data() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    b.observe("x", b.input("x", batch, 3, dtype="f64"), b.dist("Normal", b.param("m"), 1.0))
    module = b.entries()
    assert module.functions["predict"].output("mean:x").type == TensorType(DType.F32, (batch, Dim(3)))
    assert module.functions["sample"].output("value:x").type == TensorType(DType.F64, (batch, Dim(3)))


def test_log_likelihood_is_per_plate_element() -> None:
    module = regression().entries()
    (batch,) = module.functions["log_likelihood"].output("log_prob:y").tensor.dims
    assert batch.is_plate


# --- sampling --------------------------------------------------------------------------------------------------------


def autoencoder() -> ModelBuilder:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x = b.input("x", batch, 3)
    code = b.einsum("bi,ij->bj", x, b.weight("encoder", 3, 2))
    z = b.sample("z", b.standard(batch, 2), b.dist("Normal", code, 0.3))
    b.observe("x", x, b.dist("Bernoulli", b.einsum("bj,ji->bi", z, b.weight("decoder", 2, 3))))
    return b


def test_sampling_draws_globals_from_the_posterior_and_locals_from_the_prior() -> None:
    module = autoencoder().entries()
    assert asked(module, "sample") == {f"{w}/{p}" for w in ("encoder", "decoder") for p in ("loc", "scale")}
    assert asked(module, "sample_prior") == set()
    assert drawn(module, "sample_prior") == {"encoder", "decoder", "z", "x"}
    # Fed back as data, a draw has the data's element type.
    assert module.functions["sample"].output("value:x").tensor.dtype is DType.F32


def test_points_are_sampled_as_trained() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    m = b.point("m", b.dist("Normal", 0.0, 1.0), b.param("m"))
    b.observe("x", b.input("x", batch), b.dist("Normal", m, 1.0))
    assert asked(b.entries(), "sample_prior") == {"m"}


def test_noise_that_matters_is_a_latent_of_joint_and_samples() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x = b.input("x", batch)
    jitter = b.noise("jitter", b.expand(b.dist("Normal", 0.0, b.noise("width", b.dist("Exponential", 1.0))), batch))
    b.noise("unused", b.dist("Normal", 0.0, 1.0))
    b.observe("y", b.input("y", batch), b.dist("Normal", b.binary("add", x, jitter), 1.0))
    module = b.entries()
    assert asked(module, "log_joint") == {"x", "y", "site:jitter", "site:width"}
    assert names(module, "sample") == ["value:width", "value:jitter", "value:y"]


def test_a_prior_and_a_posterior_may_differ_in_what_names_the_plate() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    z = b.sample("z", b.standard(batch, 2), b.dist("Normal", b.param("loc", 4, 2), 1.0))
    b.observe("x", b.input("x", batch, 2), b.dist("Normal", z, 1.0))
    module = b.entries()
    assert module.functions["sample"].output("value:z").type == z.type
    assert module.functions["train"].output("loss").type == TensorType(DType.F32)


# --- KL and repeated draws -------------------------------------------------------------------------------------------


def test_a_site_counts_once_however_often_it_is_used() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    h, w = b.input("x", batch, 3), b.weight("w", 3, 3)
    for _ in range(3):
        h = b.unary("tanh", b.einsum("bi,ij->bj", h, w))
    b.observe("y", b.input("y", batch, 3), b.dist("Normal", h, 1.0))
    train = ops_in(b.entries(), "train")
    assert [train.count(op) for op in ("prob.kl", "random.draw", "linear.einsum")] == [1, 1, 3]


def test_an_unused_site_is_counted_without_being_drawn() -> None:
    b = regression()
    b.weight("spare", 5)
    module = b.entries()
    assert ops_in(module, "train").count("prob.kl") == 2
    assert drawn(module, "train") == {"w"}


def test_repeated_draws_close_over_computed_arrays_only() -> None:
    b = autoencoder()
    train = b.entries(Objective(samples=3)).functions["train"]
    (region,) = train.of("region.draws")
    body = region.attrs.graph("body")
    assert region.attrs.integer("count") == 3
    assert all(isinstance(value.type, TensorType) for value in region.inputs)
    producers = {train.producers[value].op.name for value in region.inputs}
    assert producers == {"model.param", "param.constrain", "model.input"}
    assert not [node for node in body.nodes if node.op.name.startswith("model.")]
    # The weights' divergences depend on no draw; the local site's does.
    assert [sum(n.op.name == "prob.kl" for n in g.nodes) for g in (train, body)] == [2, 1]


def test_a_model_without_draws_is_not_repeated() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    b.observe("x", b.input("x", batch), b.dist("Normal", b.param("m"), 1.0))
    assert "region.draws" not in ops_in(b.entries(Objective(samples=5)), "train")


def test_iwae_draws_globals_once() -> None:
    train = autoencoder().entries(Objective("iwae", samples=3)).functions["train"]
    (region,) = train.of("region.draws")
    inside = {node.site for node in region.attrs.graph("body").nodes if node.op.name == "random.draw"}
    assert inside == {"z"}
    assert {node.site for node in train.of("random.draw")} == {"encoder", "decoder"}


@pytest.mark.parametrize("fault", ["no plate", "second plate", "event", "global"])
def test_iwae_refuses_what_is_not_per_element(fault: str) -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    other = b.plate("users", 2, 10)
    if fault == "no plate":
        b.observe("x", b.input("x", 4), b.dist("Normal", b.weight("m"), 1.0))
    elif fault == "second plate":
        b.observe("x", b.input("x", batch), b.dist("Normal", b.weight("m"), 1.0))
        b.weight("u", other)
    elif fault == "event":
        joint = b.add("dist.independent", b.dist("Normal", b.param("m", batch), 1.0), ndims=1)
        b.observe("x", b.input("x", batch), joint)
    else:
        z = b.weight("z", batch)
        b.observe("x", b.input("x", batch), b.dist("Normal", z, 1.0))
        b.sample("g", b.dist("Normal", 0.0, 1.0), b.dist("Normal", b.reduce("mean", z, (0,)), 1.0))
    with pytest.raises(EntriesError, match="iwae") as caught:
        b.entries(Objective("iwae", samples=2))
    assert caught.value.code == "BLC0306"


def test_the_form_of_a_divergence_follows_the_table() -> None:
    b = ModelBuilder()
    normal, student = b.standard(3), b.expand(b.dist("StudentT", 3.0, 0.0, 1.0), 3)
    joint = b.add("dist.independent", normal, ndims=1)
    vector = b.dist("MultivariateNormal", b.param("m", 3), b.param("l", 3, 3, constraint="lower_cholesky"))

    def form(q: Value, p: Value) -> str:
        return kl_form(distribution(q.type), distribution(p.type))

    closed = ((normal, normal), (joint, normal), (normal, joint), (vector, vector), (vector, joint))
    assert [form(q, p) for q, p in closed] == ["closed-form"] * 5
    assert [form(normal, student), form(vector, student)] == ["monte-carlo"] * 2


@pytest.mark.parametrize("kind", ["elbo", "iwae"])
def test_half_precision_is_summed_in_single(kind: str) -> None:
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x = b.input("x", batch, 3, dtype="bf16")
    b.observe("x", x, b.add("dist.Normal", x, b.const(1.0, DType.BF16)))
    train = b.entries(Objective(kind)).functions["train"]
    assert {node.result.tensor.dtype for node in train.of("math.sum")} == {DType.F32}
    assert train.output("loss").type == TensorType(DType.F32)
