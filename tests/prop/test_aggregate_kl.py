"""`aggregate-kl` keeps every value, on random programs and on models with plates of every kind.

Invariant: evaluation is by the reference interpreter, in 64 bits, before and after, on the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.running import made_up
from bl_compiler.ir.builder import input_type
from bl_compiler.ir.graph import Module, Objective
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.instruments import VerifyEach
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline
from tests.strategies.programs import Program, programs
from tests.support.lowering import lowered
from tests.support.models import ModelBuilder

SCALES = st.sampled_from([0.01, 0.3, 1.0, 1.7, 100.0, 1e-3])


def aggregated(module: Module, pipeline: str = "aggregate-kl") -> Module:
    ctx = PassContext(CORE_OPS, instruments=(VerifyEach(),))
    after = run_pipeline(module, Pipeline.parse(pipeline), ctx)
    assert run_pipeline(after, Pipeline.parse("aggregate-kl"), ctx) is after
    return after


def check_values_stay(
    entries: Module, after: Module, inputs: Mapping[str, npt.ArrayLike], sizes: Mapping[str, int] | None = None
) -> None:
    params = ReferenceProgram(entries).init(seed=1)
    found, expected = (
        ReferenceProgram(m).run("train", params, inputs, seed=2, sizes=sizes or {}) for m in (after, entries)
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=80)
@given(programs(objectives=("elbo", "elbo2", "iwae", "map")))
def test_values_of_random_programs_stay(program: Program) -> None:
    module = lowered(program.text)
    inputs = {n.attrs.text("key"): input_type(n) for n in module.functions["model"].of("model.input")}
    entries = derive_entries(module)
    check_values_stay(entries, aggregated(entries), made_up(inputs, module, 3))


@st.composite
def sites(draw: st.DrawFn) -> tuple[str, str, float, float, tuple[int, ...], tuple[str, ...], bool]:
    kind = draw(st.sampled_from(["point", "sample"]))
    family = draw(st.sampled_from(["Normal", "Normal", "Laplace" if kind == "point" else "LogNormal", "StudentT"]))
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    plates = tuple(draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True)))
    return kind, family, draw(st.sampled_from([0.0, 0.4])), draw(SCALES), shape, plates, draw(st.booleans())


@settings(max_examples=120)
@given(st.lists(sites(), min_size=1, max_size=4), st.sampled_from([1, 3]), st.booleans())
def test_values_stay_on_plates_of_all_kinds(drawn: list[tuple], samples: int, cleaned: bool) -> None:  # type: ignore[type-arg]
    """Plate `a` is known, `b` has a total that is told when running, the size of a step of `c` is symbolic."""
    b = ModelBuilder()
    dims = {"a": b.plate("a", 2, 10), "b": b.plate("b", 3), "c": b.plate("c", "C", 8)}
    total = b.input("bind", dims["c"])
    center = b.reduce("mean", total, (0,))
    inputs: dict[str, npt.ArrayLike] = {"bind": np.array([0.3, -0.2])}
    for i, (kind, family, loc, scale, sizes, plates, event) in enumerate(drawn):
        shape = [*(dims[p] for p in plates), *sizes]
        parts = (5.0, loc, scale) if family == "StudentT" else (loc, scale)
        prior = b.expand(b.dist(family, *parts), *shape)
        value = b.input(f"v{i}", *shape)
        inputs[f"v{i}"] = np.random.default_rng(i).normal(size=[{"a": 2, "b": 3, "c": 2}[p] for p in plates] + [*sizes])
        if kind == "sample":
            moved = b.binary("add", value, center) if i % 2 else value
            posterior = b.dist("LogNormal" if family == "LogNormal" else "Normal", moved, 0.7)
            if event and sizes:
                prior, posterior = (b.add("dist.independent", d, ndims=len(sizes)) for d in (prior, posterior))
            latent = b.sample(f"s{i}", prior, posterior)
        else:
            latent = b.point(f"s{i}", prior, value)
        center = b.binary("add", center, b.unary("tanh", b.reduce("mean", latent, range(len(shape)))))
    b.observe("y", b.input("y", dims["a"]), b.dist("Normal", center, 1.5))
    entries = b.entries(Objective(samples=samples))
    inputs["y"] = np.array([0.5, -1.0])
    after = aggregated(entries, "cse,aggregate-kl,dce" if cleaned else "aggregate-kl")
    check_values_stay(entries, after, inputs, {"b": 12})
