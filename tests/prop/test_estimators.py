"""Random programs through all passes, whatever estimators are preferred: what is exact stays, laws stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.folding import evaluator
from bl_compiler.driver.optimize import optimize
from bl_compiler.driver.running import made_up
from bl_compiler.driver.verify import input_types
from bl_compiler.driver.verifying.feeds import perturbed, sites_of
from bl_compiler.driver.verifying.graphs import random_outputs
from bl_compiler.driver.verifying.run import verify_entries
from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.walk import walk
from bl_compiler.options import Options
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.legality import verdict
from tests.strategies.networks import networks
from tests.strategies.programs import programs
from tests.support.cells import sites_of as sites_of_entry
from tests.support.lowering import lowered
from tests.support.quick import quick_compiles
from tests.support.rewrites import marked

PREFERENCES = st.sampled_from(["auto", "fast", "low-variance"])
TEXTS = st.one_of(networks(), networks(), programs().map(lambda program: program.text))
ESTIMATORS = ("local_reparameterization", "flipout", "grouped(2)", "flipout", "local_reparameterization")
REWRITES = "local-reparameterize,flipout,group-draws,canonicalize,cse,dce"
quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]


def optimized(entries: Module, preference: str) -> Module:
    """After the passes of the default level, each of which is followed by the IR's verifier."""
    options = Options(level=1, estimators=preference)
    return optimize(entries, options, lambda _: None, evaluate=evaluator()).module


def check_exact(model: Module, entries: Module, after: Module) -> None:
    """What depends on no draw has its value still, in 64 bits."""
    params, inputs = perturbed(entries, 1), made_up(input_types(entries), model, 4)
    sites = sites_of(entries, params, inputs, {}, [2])
    for entry, graph in entries.functions.items():
        free = {o.name for o in graph.outputs} - random_outputs(graph)
        if not free or (entry == "log_joint" and not sites):
            continue
        fed = inputs if entry != "log_joint" else {**inputs, **{f"site:{name}": v for name, v in sites[0].items()}}
        found, wanted = (ReferenceProgram(m).run(entry, params, fed, seed=3) for m in (after, entries))
        for name in free:
            limit = 1e-9 if name == "kl" else 1e-6  # what `fold` computes is rounded to 32 bits
            np.testing.assert_allclose(found[name], wanted[name], rtol=limit, atol=1e-9, err_msg=f"{entry}: {name}")


@settings(max_examples=60, suppress_health_check=quiet)
@given(TEXTS, PREFERENCES)
def test_divergences_and_densities_stay(text: str, preference: str) -> None:
    model = lowered(text)
    entries = derive_entries(model)
    after = optimized(entries, preference)
    check_exact(model, entries, after)
    drawn = [n for e in ("train", "predict") for n in walk(after.functions[e]) if n.op.name == "random.draw"]
    assert {n.attrs["estimator"] for n in drawn} <= {"shared"}, "every choice is carried out"


def mixed(entries: Module, seed: int) -> Module:
    """The entry points with each draw marked for an estimator that is exact there, whatever it costs."""
    rng = np.random.default_rng(seed)
    for entry in ("train", "predict"):
        for name, site in sites_of_entry(entries, entry).items():
            exact = [e for e in ESTIMATORS if verdict(site, Estimator.parse(e)).exact]
            if exact:
                chosen = exact[rng.integers(len(exact))]
                entries = marked(entries, chosen, [name], [entry], others=None)
    return entries


@settings(max_examples=40, suppress_health_check=quiet)
@given(networks(), st.integers(0, 99))
def test_any_mixture_of_exact_estimators_can_be_carried_out(text: str, seed: int) -> None:
    model = lowered(text)
    entries = derive_entries(model)
    after = optimize(mixed(entries, seed), Options(pipeline=REWRITES, verify_each=True), lambda _: None).module
    check_exact(model, entries, after)


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=quiet)
@given(networks(layers=2), st.integers(0, 99))
def test_laws_and_expected_gradients_stay_under_any_mixture(text: str, seed: int) -> None:
    entries = derive_entries(lowered(text))
    inputs = made_up(input_types(entries), lowered(text), 5)
    with quick_compiles():
        report = verify_entries(
            mixed(entries, seed), Options(pipeline=REWRITES), inputs, draws=512, only=("train", "predict")
        )
    assert report.fault is None, str(report.diagnostic())


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=quiet)
@given(networks(layers=2), PREFERENCES)
def test_laws_and_expected_gradients_stay(text: str, preference: str) -> None:
    model = lowered(text)
    entries = derive_entries(model)
    inputs = made_up(input_types(entries), model, 5)
    options = Options(level=1, estimators=preference)
    with quick_compiles():
        report = verify_entries(entries, options, inputs, draws=512, only=("train", "predict"))
    assert report.fault is None, str(report.diagnostic())
