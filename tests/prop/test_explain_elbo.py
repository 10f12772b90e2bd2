"""The table of a loss adds up to the loss, on random programs and on plates of every kind.

Invariant: values are those of the reference interpreter, in 64 bits.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.explain_elbo import elbo_table, with_values
from bl_compiler.driver.running import made_up
from bl_compiler.ir.builder import input_type
from bl_compiler.ir.graph import Module, Objective
from bl_compiler.ir.verify import verify
from bl_compiler.passes.entries import derive_entries
from tests.strategies.programs import Program, programs
from tests.support.lowering import lowered
from tests.support.models import ModelBuilder

TIGHT = 1e-9


def check_adds_up(
    module: Module, inputs: dict[str, npt.NDArray[np.float64]], sizes: dict[str, int], step: float | None = None
) -> None:
    table = elbo_table(module)
    entries = derive_entries(module)
    itemized = entries.with_functions({**entries.functions, "train": table.itemized.graph})
    verify(itemized)
    params = ReferenceProgram(entries).init(seed=1)
    settings_ = {"seed": 2, "sizes": sizes, "step": step}
    train = ReferenceProgram(entries).run("train", params, inputs, **settings_)  # type: ignore[arg-type]
    found = with_values(table, ReferenceProgram(itemized).run("train", params, inputs, **settings_), sizes)  # type: ignore[arg-type]
    assert found.totals is not None
    for name in ("loss", "nll", "kl"):
        np.testing.assert_allclose(found.totals[name], train[name], rtol=TIGHT, err_msg=name)
    total = sum(row.contribution or 0.0 for row in found.rows) - found.totals.get("bound", 0.0)
    np.testing.assert_allclose(total, train["loss"], rtol=TIGHT, atol=TIGHT)
    nll = sum(row.contribution or 0.0 for row in found.rows if row.part == "likelihood") - found.totals.get("bound", 0)
    np.testing.assert_allclose(nll, train["nll"], rtol=TIGHT, atol=TIGHT)
    model = module.functions["model"]
    declared = Counter(n.site for n in model.of("model.observe"))
    if module.objective.kind != "mle":
        declared += Counter(n.site for n in model.of("model.sample", "model.point"))
    assert Counter(row.site for row in found.rows) == declared


@settings(max_examples=60)
@given(programs())
def test_the_rows_of_random_programs_add_up(program: Program) -> None:
    module = lowered(program.text)
    inputs = {n.attrs.text("key"): input_type(n) for n in module.functions["model"].of("model.input")}
    check_adds_up(module, made_up(inputs, module, 3), {})


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["closed", "open", "point", "observe", "masked"]),
            st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            st.lists(st.integers(1, 3), max_size=1),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([Objective(), Objective(samples=3), Objective(kl_weight=0.0), Objective(anneal=(0.2, 0.9, 10))]),
    st.sampled_from("abc"),
)
def test_the_rows_add_up_on_plates_of_all_kinds(
    drawn: list[tuple[str, list[str], list[int]]], objective: Objective, primary: str
) -> None:
    """Plate `a` is known, the total of `b` is told when running, a step of `c` has a symbolic size."""
    b = ModelBuilder()
    dims = {"a": b.plate("a", 2, 10), "b": b.plate("b", 3), "c": b.plate("c", "C", 8)}
    center = b.reduce("mean", b.input("bind", dims["c"]), (0,))
    rng = np.random.default_rng(7)
    inputs = {"bind": np.array([0.3, -0.2])}
    sizes = {"a": 2, "b": 3, "c": 2}
    for i, (kind, plates, extra) in enumerate(drawn):
        shape = [*(dims[p] for p in plates), *extra]
        inputs[f"v{i}"] = rng.normal(size=[sizes[p] for p in plates] + extra)
        value = b.input(f"v{i}", *shape)
        if kind in ("observe", "masked"):
            mask = None
            if kind == "masked":
                mask = b.input(f"m{i}", *shape, dtype="bool")
                inputs[f"m{i}"] = rng.random(inputs[f"v{i}"].shape) < 0.5
            b.observe(f"s{i}", value, b.dist("Normal", center, 1.5), mask)
            continue
        family = ("StudentT", 5.0) if kind == "open" else ("Normal",)
        prior = b.expand(b.dist(*family, 0.1, 0.4), *shape)
        if kind == "point":
            latent = b.point(f"s{i}", prior, value)
        else:
            latent = b.sample(f"s{i}", prior, b.dist("Normal", value, 0.7))
        center = b.binary("add", center, b.unary("tanh", b.reduce("mean", latent, range(len(shape)))))
    b.observe("y", b.input("y", dims[primary]), b.dist("Normal", center, 1.5))
    inputs["y"] = rng.normal(size=sizes[primary])
    check_adds_up(b.module(objective), inputs, {"b": 12}, step=3.0)
