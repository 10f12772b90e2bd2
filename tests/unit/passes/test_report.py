"""The facts of a model as plain data."""

from __future__ import annotations

import json

import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Module, Objective, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import DType, TensorType, dims_of
from bl_compiler.passes.report import Facts, model_facts
from tests.support.models import ModelBuilder


def model(objective: Objective = Objective()) -> Module:  # noqa: B008 (immutable)
    b = ModelBuilder()
    batch = b.plate("batch", 4, 100)
    x = b.input("x", batch, 3)
    z = b.sample("z", b.expand(b.dist("StudentT", 3.0, 0.0, 1.0), batch, 3), b.dist("Normal", x, 0.3))
    jitter = b.noise("jitter", b.standard(batch, 3))
    scale = b.point("scale", b.dist("Gamma", 2.0, 1.0), b.param("scale", constraint="positive"))
    b.state("seen", 2)
    mean = b.einsum("bi,ij->bj", b.binary("add", z, jitter), b.weight("w", 3, 2))
    b.observe("y", b.input("y", batch, 2), b.dist("Normal", mean, scale), b.input("mask", batch, 2, dtype="bool"))
    b.observe("c", b.input("c", batch, dtype="i32"), b.dist("Categorical", mean))
    b.predict("mean", mean)
    return b.module(objective, name="toy")


def by(facts: Facts, part: str, key: str) -> dict[str, Facts]:
    rows = facts[part]
    assert isinstance(rows, list)
    return {row[key]: row for row in rows}


def test_facts_are_plain_data() -> None:
    facts = model_facts(model())
    assert json.loads(json.dumps(facts)) == facts
    assert facts["model"] == "toy"
    assert facts["plates"] == [{"name": "batch", "size": 4, "total": 100}]
    assert facts["inputs"] == [
        {"name": "x", "type": "f32[batch@4, 3]"},
        {"name": "y", "type": "f32[batch@4, 2]"},
        {"name": "mask", "type": "bool[batch@4, 2]"},
        {"name": "c", "type": "i32[batch@4]"},
    ]


def test_parameters_tell_what_is_trained() -> None:
    found = by(model_facts(model()), "parameters", "path")
    assert list(found) == ["scale", "seen", "w/loc", "w/scale"]
    assert found["w/scale"] == {
        "path": "w/scale",
        "type": "f32[3, 2]",
        "count": 6,
        "trained": True,
        "constraint": "positive",
        "init": "constant(0.5)",
    }
    assert found["seen"]["trained"] is False


def test_sites_tell_their_laws() -> None:
    found = by(model_facts(model()), "sites", "path")
    assert list(found) == ["z", "jitter", "scale", "w", "y", "c"]
    told = ("kind", "prior", "posterior", "likelihood", "kl")
    laws = {path: tuple(site[key] for key in told) for path, site in found.items()}
    assert laws == {
        "z": ("sample", "StudentT", "Normal", None, "monte-carlo"),
        "jitter": ("noise", "Normal", None, None, None),
        "scale": ("point", "Gamma", None, None, None),
        "w": ("sample", "Normal", "Normal", None, "closed-form"),
        "y": ("observe", None, None, "Normal", None),
        "c": ("observe", None, None, "Categorical", None),
    }
    assert found["z"]["plates"] == ["batch"]
    assert found["w"]["shape"] == [3, 2]
    assert [found[path]["masked"] for path in ("y", "c")] == [True, False]
    assert found["w"]["estimator"] == "auto"


@pytest.mark.parametrize(("kind", "forms"), [("iwae", ["monte-carlo", "closed-form"]), ("mle", [None, None])])
def test_the_form_of_a_divergence_depends_on_the_objective(kind: str, forms: list[str | None]) -> None:
    found = by(model_facts(model(Objective(kind))), "sites", "path")
    assert [found[path]["kl"] for path in ("z", "w")] == forms


def test_outputs_and_totals() -> None:
    facts = model_facts(model())
    assert facts["outputs"] == [
        {"name": "mean:y", "type": "f32[batch@4, 2]"},
        {"name": "variance:y", "type": "f32[batch@4, 2]"},
        {"name": "probs:c", "type": "f32[batch@4, 2]"},
        {"name": "value:mean", "type": "f32[batch@4, 2]"},
    ]
    assert facts["totals"] == {
        "parameters": 13,
        "statistics": 2,
        "latents": 18,
        "sites": {"sample": 2, "noise": 1, "observe": 2, "point": 1},
    }


def test_a_symbolic_size_has_no_count() -> None:
    b = ModelBuilder()
    batch = b.plate("batch", "B")
    b.observe("x", b.input("x", batch), b.dist("Normal", b.weight("z", batch), 1.0))
    facts = model_facts(b.module())
    assert facts["plates"] == [{"name": "batch", "size": "B", "total": None}]
    assert by(facts, "sites", "path")["z"]["count"] is None
    assert isinstance(facts["totals"], dict)
    assert facts["totals"]["latents"] is None


def test_sites_inside_regions_are_listed() -> None:
    carry = Value(TensorType(DType.F32, dims_of(4)), "h")
    inner = GraphBuilder(CORE_OPS, "body", [carry])
    inner.emit("model.observe", [carry, inner.add("dist.Normal", carry, inner.const(1.0, DType.F32))], {}, site="inner")
    b = ModelBuilder()
    b.add("region.repeat", b.input("x", 4), count=2, carries=1, body=inner.finish([("h", carry)]))
    facts = model_facts(b.module())
    assert list(by(facts, "sites", "path")) == ["inner"]
    assert [row["name"] for row in by(facts, "outputs", "name").values()] == ["mean:inner", "variance:inner"]
