"""`blc explain MODEL`: the choice of estimators and the loss, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.cli.explain_estimators import estimators_text
from bl_compiler.driver.explain_estimators import decision_facts, groups_of
from bl_compiler.ir.estimators import Estimator
from bl_compiler.passes.estimators.decisions import Candidate, Decision, Reason, Step
from bl_compiler.source import NO_SPAN, SourceFile, Span
from tests.support.quick import quick_compiles
from tests.support.shell import BROKEN, REGRESSION, Shell

LATENT = """\
model latent {
  plate batch[8]
  input x: f32[batch, 3]
  input y: f32[batch]
  input seen: bool[batch]

  believe kernel ~ Normal(0, 0.5) by mean_field
  believe bias ~ Normal(0, 2) by point
  sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), 0.3)
  sample w: f32[2] ~ StudentT(5, 0, 1) by mean_field
  observe y ~ Normal(sum((z |> dense(2)) * w, axis=-1), 1) where seen
  OBJECTIVE
}
"""
OBJECTIVES = {
    "": 1.0,
    "objective elbo(samples=2, kl_weight=0.5)": 0.5,
    "objective elbo(kl_weight=anneal(0, 1, steps=10))": 0.3,
    "objective iwae(samples=3)": 1.0,
}


@pytest.fixture
def quick() -> Iterator[None]:
    with quick_compiles():
        yield


# --- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_table_is_the_loss_of_the_program(blc: Shell, objective: str) -> None:
    import bl_compiler as bl

    blc.write("m.blg", LATENT.replace("OBJECTIVE", objective))
    program = bl.compile("m.blg")
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.normal(size=(8, 3)).astype("f4"),
        "y": rng.normal(size=8).astype("f4"),
        "seen": np.arange(8) % 3 > 0,
    }
    params = {path: np.asarray(value) for path, value in program.init(3).items()}
    params = {path: (value + rng.normal(size=value.shape) / 3).astype("f4") for path, value in params.items()}
    np.savez(blc.folder / "p.npz", **params)
    np.savez(blc.folder / "i.npz", **inputs)
    loss, parts = program.loss(params, inputs, 5, sizes={"batch": 8}, step=3)
    rest = ["--params", "p.npz", "--inputs", "i.npz", "--seed", "5", "--step", "3"]
    done = blc("explain", "m.blg", "--elbo", *rest, "--format", "json")
    assert done.code == 0, done.err
    table = json.loads(done.out)
    totals = table["totals"]
    np.testing.assert_allclose(
        [totals["loss"], totals["nll"], totals["kl"]], [float(loss), float(parts["nll"]), float(parts["kl"])], rtol=1e-6
    )
    assert totals["weight"] == pytest.approx(OBJECTIVES[objective])
    added = sum(term["contribution"] or 0.0 for term in table["terms"]) - totals.get("bound", 0.0)
    np.testing.assert_allclose(added, float(loss), rtol=1e-5)
    assert "inputs are random" not in done.err


@pytest.mark.usefixtures("quick")
def test_an_open_size_is_told(blc: Shell) -> None:
    text = """model m { plate batch[8]%s input y: f32[batch] sample w: f32[] ~ Normal(0, 1) by mean_field
    observe y ~ Normal(w, 1) }"""
    for name, of, told in (("open.blg", "", True), ("closed.blg", " of 40", False)):
        blc.write(name, text % of)
        done = blc("explain", name, "--elbo", "--params", "init")
        assert done.code == 0, done.err
        assert ("plate `batch` is: N = 8" in done.err) is told


@pytest.mark.usefixtures("quick")
def test_a_run_gives_its_parameters_and_its_step(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    rng = np.random.default_rng(0)
    np.savez(blc.folder / "d.npz", x=rng.normal(size=(32, 3)).astype("f4"), y=rng.normal(size=32).astype("f4"))
    assert blc("train", "m.blg", "--data", "d.npz", "--steps", "2", "--out", "run").code == 0
    done = blc("explain", "m.blg", "--elbo", "--params", "run")
    assert done.code == 0, done.err
    assert "inputs are random" in done.err
    trained, initial = (done.out, blc("explain", "m.blg", "--elbo", "--params", "init").out)
    assert [line.split()[:1] for line in trained.splitlines()] == [line.split()[:1] for line in initial.splitlines()]
    assert trained != initial


def test_the_table_says_what_each_term_is(blc: Shell) -> None:
    blc.write("m.blg", LATENT.replace("OBJECTIVE", ""))
    table = json.loads(blc("explain", "m.blg", "--elbo", "--format", "json").out)
    rows = {term["site"]: term for term in table["terms"]}
    assert table["totals"] is None
    assert {s: (r["part"], r["form"], r["count"], r["scale"]) for s, r in rows.items()} == {
        "y": ("likelihood", "-log p(x)", 8, "1/B = 1/8"),
        "z": ("kl", "closed form KL(Normal ‖ Normal)", 16, "1/B = 1/8"),
        "w": ("kl", "Monte Carlo: log q(w) - log p(w)", 2, "1/N[batch]"),
        "z/dense/kernel": ("kl", "closed form KL(Normal ‖ Normal)", 6, "1/N[batch]"),
        "z/dense/bias": ("prior", "-log p(w)", 2, "1/N[batch]"),
        "y/dense/kernel": ("kl", "closed form KL(Normal ‖ Normal)", 4, "1/N[batch]"),
        "y/dense/bias": ("prior", "-log p(w)", 2, "1/N[batch]"),
    }
    assert (rows["y"]["masked"], rows["z"]["masked"]) == (True, False)
    assert (rows["w"]["prior"], rows["w"]["posterior"]) == ("StudentT(5, 0, 1)", "Normal(loc, scale)")
    assert rows["w"]["line"] == 10
    text = blc("explain", "m.blg", "--elbo").out
    assert text.startswith("loss = nll + kl, in nats per element of plate `batch`\n")
    assert "-log p(x), masked" in text


def test_known_sizes_are_numbers_and_symbolic_ones_means(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    fixed = json.loads(blc("explain", "m.blg", "--elbo", "--format", "json").out)
    assert [t["scale"] for t in fixed["terms"]] == ["1/B = 1/8", "1/N = 1/32", "1/N = 1/32"]
    open_ = json.loads(blc("explain", "m.blg", "--elbo", "--format", "json", "--batch", "dynamic").out)
    assert [t["scale"] for t in open_["terms"]] == ["mean over `batch`", "1/N = 1/32", "1/N = 1/32"]
    assert open_["terms"][0]["count"] is None


def test_posteriors_are_named_under_what_shapes_them(blc: Shell) -> None:
    for form, shown in (
        ("low_rank(2)", "LowRankMultivariateNormal(loc, "),
        ("matrix_normal", "MatrixNormal(loc, "),
        ("mean_field(family=Laplace)", "Laplace(loc, scale)"),
    ):
        blc.write("m.blg", REGRESSION.replace("mean_field", form))
        table = json.loads(blc("explain", "m.blg", "--elbo", "--format", "json").out)
        assert all(t["posterior"].startswith(shown) for t in table["terms"] if t["part"] == "kl"), form
        assert sum(t["part"] == "kl" for t in table["terms"]) == 2


def test_objectives_without_a_kl_say_so(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION.replace("  observe", "  objective mle\n  observe"))
    done = blc("explain", "m.blg", "--elbo")
    assert done.out.startswith("loss = nll, in nats")
    assert len(done.out.splitlines()) == 4


# --- estimators ------------------------------------------------------------------------------------------------------


def test_draws_of_one_outcome_stand_together_and_reasons_name_lines(blc: Shell) -> None:
    convolution = """\
model m {
  plate batch[8] of 32
  input x: f32[batch, 8, 8, 1]
  input y: i32[batch]
  believe kernel ~ Normal(0, 1) by mean_field
  let logits = x |> conv2d(4, 3) |> relu |> flatten |> dense(4) |> relu |> dense(4) |> dense(3)
  observe y ~ Categorical(logits=logits)
}
"""
    blc.write("m.blg", convolution)
    done = blc("explain", "m.blg", "--entry", "train")
    assert (done.code, done.err) == (0, "")
    assert "every position of an example" in done.out
    assert "m.blg:6:21" in done.out
    assert "let logits = x |> conv2d(4, 3)" in done.out
    data = json.loads(blc("explain", "m.blg", "--format", "json").out)
    assert {d["entry"] for d in data["decisions"]} == {"train", "predict", "log_likelihood"}
    conv = next(d for d in data["decisions"] if d["site"] == "logits/conv2d/kernel" and d["entry"] == "train")
    local = next(c for c in conv["candidates"] if c["estimator"] == "local_reparameterization")
    assert not local["exact"]
    assert local["reasons"][0]["at"]["line"] == 6
    assert local["reasons"][0]["chain"]
    one = json.loads(blc("explain", "m.blg", "--format", "json", "--site", "logits/conv2d/kernel").out)
    assert {d["site"] for d in one["decisions"]} == {"logits/conv2d/kernel"}
    several = json.loads(blc("explain", "m.blg", "--format", "json", "--site", "logits/*", "--entry", "train").out)
    assert len(several["decisions"]) == 4
    shared = blc("explain", "m.blg", "--estimators", "shared").out
    assert "`--estimators shared`" in shared


def test_models_without_draws_have_no_choice(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION.replace("  believe kernel ~ Normal(0, 1) by mean_field\n", ""))
    assert "no draw has a choice" in blc("explain", "m.blg").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["m.blg", "--entry", "sample"], 2, "unknown entry point with a choice `sample`"),
        (["m.blg", "--site", "mean/dense/kernl"], 2, "did you mean `mean/dense/kernel`?"),
        (["m.blg", "--params", "init"], 2, "give values to `--elbo`"),
        (["m.blg", "--elbo", "--step", "3"], 2, "values need parameters"),
        (["m.blg", "--elbo", "--site", "y"], 2, "choose estimators"),
        (["m.blg", "--elbo", "--params", "gone.npz"], 2, "cannot read `gone.npz`"),
        (["dense", "--elbo"], 2, "`dense` is no model file"),
        (["gone.blg"], 2, "gone.blg"),
        (["broken.blg"], 1, "BLC0201"),
        (["entries.blir", "--elbo"], 2, "holds entry points and no model"),
    ],
)
def test_wrong_requests_are_told(blc: Shell, arguments: list[str], code: int, message: str) -> None:
    blc.write("m.blg", REGRESSION)
    blc.write("broken.blg", BROKEN)
    blc("opt", "m.blg", "-p", "cse", "-o", "entries.blir")
    done = blc("explain", *arguments)
    assert message in done.err
    assert (done.code, done.out) == (code, "")


def test_entry_points_in_ir_are_explained(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    blc("opt", "m.blg", "-p", "", "-o", "entries.blir")
    from_ir, from_model = (json.loads(blc("explain", f, "--format", "json").out) for f in ("entries.blir", "m.blg"))
    assert [d["chosen"] for d in from_ir["decisions"]] == [d["chosen"] for d in from_model["decisions"]]


# --- laws of the renderer --------------------------------------------------------------------------------------------

SOURCE = SourceFile("m.blg", "one\ntwo\n  three\n")
spans = st.sampled_from([NO_SPAN, Span("m.blg", 3, 3, 3, 8), Span("m.blg", 1, 1, 1, 2), Span("other.blg", 9, 1, 9, 2)])
texts = st.sampled_from(["it is used twice", "`math.mean` combines the elements of plate `batch`"])
steps = st.builds(Step, st.sampled_from(["draw of `w`", "`math.add`"]), spans)
reasons = st.builds(Reason, texts, spans, st.lists(steps, max_size=10).map(tuple))
figures = st.floats(0, 1e15)
NAMES = ("shared", "grouped(8)", "flipout", "local_reparameterization", "deterministic")


@st.composite
def made_decisions(draw: st.DrawFn) -> list[Decision]:
    found = []
    for entry in ("train", "predict"):
        for i in range(draw(st.integers(0, 12))):
            candidates = tuple(
                Candidate(
                    Estimator.parse(name),
                    () if name == "shared" else tuple(draw(st.lists(reasons, max_size=2))),
                    name == "shared" or draw(st.booleans()),
                    *(draw(figures) for _ in range(5)),
                )
                for name in NAMES
            )
            chosen = draw(st.sampled_from([c.estimator for c in candidates if c.exact]))
            found.append(
                Decision(entry, f"s{i}", draw(spans), Estimator.parse("auto"), candidates, chosen, "least time")
            )
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(made_decisions())
def test_all_that_was_decided_is_told(found: list[Decision]) -> None:
    groups = groups_of(found)
    assert sorted((d.entry, d.site) for g in groups for d in g.decisions) == sorted((d.entry, d.site) for d in found)
    assert [g.first.entry for g in groups] == sorted((g.first.entry for g in groups), reverse=True)
    text = estimators_text(groups, {"m.blg": SOURCE}, "settings")
    for group in groups:
        assert f"-> {group.first.chosen}: least time" in text
        for d in group.decisions:
            assert d.chosen == group.first.chosen
        for candidate in group.first.candidates:
            assert all(reason.text in text for reason in candidate.reasons)
    facts: Any = json.loads(json.dumps([decision_facts(d) for d in found]))
    for d, f in zip(found, facts, strict=True):
        assert [c["estimator"] for c in f["candidates"]] == [str(c.estimator) for c in d.candidates]
        for c, shown in zip(d.candidates, f["candidates"], strict=True):
            assert [len(r.chain) for r in c.reasons] == [len(r["chain"]) for r in shown["reasons"]]
            assert (shown["flops"], shown["variance"], shown["exact"]) == (c.flops, c.variance, c.exact)
