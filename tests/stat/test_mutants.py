"""Broken rewrites, conditions and objectives are caught: by the checks that the suite runs, and by `verify`."""

from __future__ import annotations

import pytest

from bl_compiler.driver.verify import Task, verify
from bl_compiler.driver.verifying.report import UNOPTIMIZED, Report
from bl_compiler.driver.verifying.run import verify_entries
from bl_compiler.ir.graph import Module
from bl_compiler.options import Options
from bl_compiler.passes.entries import derive_entries
from tests.support.broken import OBJECTIVES, REFUSED, REWRITES, Rewrite, one_copy
from tests.support.cells import CELLS, FLIPOUT, GROUPED, LOCAL, check_cell
from tests.support.lowering import lowered
from tests.support.meaning import check_meaning
from tests.support.rewrites import Subject, check_across, check_gradients, check_law, exact_sites, marked

PASS = {LOCAL: "local-reparameterize", FLIPOUT: "flipout", GROUPED: "group-draws"}
OFF = "the law of an example is off|an expected gradient is off"


def subject(broken: Rewrite) -> Subject:
    return Subject(CELLS[broken.cell], broken.entry, 4_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", REWRITES)
def test_laws_and_gradients_catch_broken_rewrites(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, check = REWRITES[name], check_gradients if REWRITES[name].entry == "train" else check_law
    found = subject(broken)
    broken.patch(monkeypatch)
    module = found.rewritten(broken.estimator, *broken.sites)
    with pytest.raises(AssertionError, match=OFF):
        check(found, module)


@pytest.mark.parametrize("name", REFUSED)
def test_verdicts_catch_broken_conditions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_cell(CELLS[REWRITES[name].cell])
    REWRITES[name].patch(monkeypatch)
    with pytest.raises(AssertionError, match=r" at .*, not "):
        check_cell(CELLS[REWRITES[name].cell])


def verified(broken: Rewrite, module: Module) -> Report:
    options = Options(pipeline=f"{PASS[broken.estimator]},dce")
    found = subject(broken)
    return verify_entries(module, options, found.inputs, params=found.params, draws=1024, only=(broken.entry,))


@pytest.mark.slow
@pytest.mark.parametrize("name", REWRITES)
def test_verify_catches_broken_rewrites(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = REWRITES[name]
    plain = subject(broken).module
    broken.patch(monkeypatch)
    sites = broken.sites or exact_sites(CELLS[broken.cell], plain, broken.entry, broken.estimator)
    report = verified(broken, marked(plain, broken.estimator, sites, (broken.entry,)))
    assert report.fault is not None
    assert report.fault.name == PASS[broken.estimator]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["signs by position", "scale for variance", "copies of other groups at the second use"]
)
def test_verify_passes_what_is_whole(name: str) -> None:
    broken = REWRITES[name]
    plain = subject(broken).module
    sites = broken.sites or exact_sites(CELLS[broken.cell], plain, broken.entry, broken.estimator)
    report = verified(broken, marked(plain, broken.estimator, sites, (broken.entry,)))
    assert report.fault is None, str(report)


def test_one_draw_for_all_groups_shows_across_examples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps every law that must be kept, so `verify` has nothing to say."""
    one_copy(monkeypatch)
    found = Subject(CELLS["dense"], draws=4_000)
    module = found.rewritten(GROUPED)
    check_law(found, module)
    with pytest.raises(AssertionError, match="the covariance of two examples is off"):
        check_across(found, module, 2)


# --- objectives ------------------------------------------------------------------------------------------------------

MODELS = {
    **{name: CELLS[name].text for name in ("kernel and bias", "layer used twice", "tied", "heavy-tailed prior")},
    "wide prior": CELLS["dense"].text.replace("Normal(0, 1) by", "Normal(0, 2) by"),
    "variational dropout": "input x: f32[batch, 5] input y: f32[batch, 3] "
    "believe kernel ~ LogUniform() by variational_dropout observe y ~ Normal(x |> dense(3), 1)",
    "local latent": "input x: f32[batch, 5] sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), 0.5) "
    "observe x ~ Normal(z |> dense(5), 1)",
}


def model(name: str) -> Module:
    return lowered(f"model m {{ plate batch[8] of 100 {MODELS[name]} }}")


@pytest.mark.parametrize("name", MODELS)
def test_objectives_are_what_their_models_say(name: str) -> None:
    check_meaning(model(name))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_meaning_of_models_catches_broken_objectives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, shown = OBJECTIVES[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError, match=r"`(kl|nll|loss)` is .*, not"):
        check_meaning(model(shown))


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_verify_catches_broken_objectives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides of a comparison of passes share what derives entry points, so the model itself is asked."""
    patch, shown = OBJECTIVES[name]
    patch(monkeypatch)
    module = model(shown)
    options = Options(pipeline="aggregate-kl")
    report = verify(Task(module, derive_entries(module)), options, draws=128, only=("train",))
    assert report.fault is not None
    merging = name == "constants merged wrongly"
    assert report.fault.name == ("aggregate-kl" if merging else UNOPTIMIZED)
    assert merging or "not what the model says" in str(report.diagnostic())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["variational dropout", "local latent", "heavy-tailed prior"])
def test_verify_passes_whole_objectives(name: str) -> None:
    module = model(name)
    report = verify(Task(module, derive_entries(module)), Options(pipeline="aggregate-kl"), draws=128, only=("train",))
    assert report.fault is None, str(report)
    assert report.passes[0].checks[0].kind == "meaning"
