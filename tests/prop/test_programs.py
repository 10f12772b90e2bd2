"""Laws of the front end over random well-typed programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.frontend.format import format_source, format_text
from bl_compiler.frontend.parser import parse
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.serde import from_json, to_json
from bl_compiler.passes.entries import derive_entries
from bl_compiler.source import SourceFile
from tests.strategies.program_values import call, lit, name, pipe
from tests.strategies.programs import InputSpec, Program, programs
from tests.strategies.syntax import shape
from tests.support.lowering import built, lines, lowered, nodes, text_of
from tests.support.replay import replayed

laws = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@laws
@given(programs())
def test_text_parses_back_and_formats_to_itself(program: Program) -> None:
    source = SourceFile("test.blg", program.text)
    file = parse(source, Sink())
    assert file is not None
    assert shape(file) == shape(program.file)
    assert format_source(file) == format_text(source, Sink()) == program.text


@laws
@given(programs())
def test_lowering_is_deterministic(program: Program) -> None:
    first, second = lowered(program.text), lowered(program.text)
    assert first == second
    assert print_module(first) == print_module(second)


@laws
@given(programs())
def test_module_is_what_its_text_and_its_json_say(program: Program) -> None:
    module = lowered(program.text)
    text = print_module(module)
    again = parse_module(text, CORE_OPS)
    assert again == module
    assert again.options == module.options
    assert print_module(again) == text
    assert from_json(to_json(module), CORE_OPS) == module


@laws
@given(programs(python=True))
def test_python_says_the_same(program: Program) -> None:
    model = replayed(program.file)
    assert shape(model.file.items) == shape(program.file.items)
    assert lines(model.to_blg()) == lines(program.text)
    module, sink = built(model)
    assert module is not None, sink.errors
    twin = lowered(program.text)
    assert module == twin
    assert text_of(module) == text_of(twin)


# --- names -----------------------------------------------------------------------------------------------------------


def declarations(module: Module, *, without: str) -> list[object]:
    """Parameters, statistics and sites with their types and initial values, but those of one statement.

    The index of an ensemble's member belongs to all layers together, and stands where the first of them does.
    """
    found: list[object] = []
    for node in module.functions["model"].nodes:
        path = node.attrs.get("path", node.site)
        if isinstance(path, str) and not path.startswith((without, "member_")):
            types = [str(v.type) for v in node.results]
            found.append((node.op.name, path, types, node.attrs.get("init"), node.attrs.get("key")))
    return found


@laws
@given(programs(), st.data())
def test_layers_elsewhere_change_no_names(program: Program, data: st.DataObject) -> None:
    *items, model = program.file.items
    assert isinstance(model, ast.ModelDef)
    statements = model.body.statements
    source = ast.Index(name("zeros"), (lit(2), lit(3)))
    stages = [
        call("dense", 3),
        call("dropout", 0.5),
        name("layer_norm"),
        *([call("stack9", 2)] if data.draw(st.booleans()) else []),
    ]
    layer = ast.LayerDef(
        "stack9",
        (ast.LayerParam("x"), ast.LayerParam("n")),
        ast.Block((ast.Let(("y",), pipe(name("x"), call("dense", name("n")))), ast.Return(name("y")))),
    )
    value = pipe(source, *data.draw(st.permutations(stages)))
    extra = data.draw(st.sampled_from([ast.Let(("extra",), value), ast.Predict("extra", value)]))
    place = data.draw(st.integers(1, len(statements)))
    body = ast.Block((*statements[:place], extra, *statements[place:]))
    edited = replace(program.file, items=(layer, *items, replace(model, body=body)))
    before, after = lowered(program.text), lowered(format_source(edited))
    assert declarations(after, without="extra") == declarations(before, without="extra")


@laws
@given(programs())
def test_paths_are_given_once(program: Program) -> None:
    module = lowered(program.text)
    paths = [n.attrs["path"] for n in nodes(module, "model.param", "model.state")]
    sites = [n.site for n in module.functions["model"].nodes if n.site]
    for names in (paths, sites):
        assert [n for n, count in Counter(names).items() if count > 1] == []


# --- sizes -----------------------------------------------------------------------------------------------------------


@laws
@given(programs())
def test_size_of_the_batch_may_be_left_open(program: Program) -> None:
    fixed, open_ = lowered(program.text), lowered(program.text, batch="dynamic")
    assert [n.op.name for n in fixed.functions["model"].nodes] == [n.op.name for n in open_.functions["model"].nodes]
    assert lowered(program.text, batch=program.batch) == fixed


# --- meaning ---------------------------------------------------------------------------------------------------------


def fed(spec: InputSpec, seed: int) -> np.ndarray:
    """Data for an input."""
    rng = np.random.default_rng(seed)
    match spec.kind:
        case "labels":
            return rng.integers(0, spec.classes, spec.shape)
        case "flags":
            return rng.integers(0, 2, spec.shape)
        case "counts":
            return rng.integers(0, 6, spec.shape)
        case "mask":
            return rng.random(spec.shape) < 0.7
    return rng.normal(size=spec.shape)


@settings(laws, max_examples=60)
@given(programs())
def test_programs_run(program: Program) -> None:
    entries = ReferenceProgram(derive_entries(lowered(program.text)))
    params = entries.init(seed=1)
    inputs = {spec.name: fed(spec, i) for i, spec in enumerate(program.inputs)}
    loss = entries.run("train", params, inputs, seed=2)["loss"]
    assert np.isfinite(loss)
    for value in entries.run("predict", params, inputs, seed=3).values():
        assert np.isfinite(value).all()
