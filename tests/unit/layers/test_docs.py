"""Laws of declaration that hold for every layer and function: documentation, annotations, roles, one ordinary call.

Invariant: `blc explain LAYER` and the pages about layers print these texts, so they say what a user needs.
"""

from __future__ import annotations

import re

import pytest

from bl_compiler.ir.graph import Value
from bl_compiler.layers.registry import LAYERS
from bl_compiler.layers.spec import LayerSet, function
from tests.support.calls import CALLS
from tests.support.context import FakeContext

ARRAYS = {"Value", "Value | None", "Sequence[Value]"}


def section(doc: str, name: str) -> str:
    """A section of a Google docstring, without its heading."""
    found = re.search(rf"^{name}:\n((?:    .*\n?|\n)+)", doc, flags=re.MULTILINE)
    return found.group(1) if found else ""


def test_every_layer_has_a_call() -> None:
    assert set(CALLS) == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_documentation_names_every_parameter(name: str) -> None:
    spec = LAYERS[name]
    described = re.findall(r"^    \*?(\w+):", section(spec.doc, "Args"), flags=re.MULTILINE)
    assert described == [p.name for p in spec.params]
    assert section(spec.doc, "Returns")


@pytest.mark.parametrize("name", LAYERS)
def test_documentation_is_laid_out(name: str) -> None:
    lines = LAYERS[name].doc.splitlines()
    assert lines[0].endswith(".")
    assert lines[0][0] == lines[0][0].upper()
    assert lines[1] == ""
    assert [line for line in lines if len(line) > 120 or line != line.rstrip()] == []
    assert "ctx" not in LAYERS[name].doc


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_parameters_take_arrays(name: str) -> None:
    spec = LAYERS[name]
    for p in spec.params:
        assert (p.kind in ARRAYS) == ("Value" in p.kind)
    assert spec.inputs
    assert spec.params[0].kind in ARRAYS or name == "einsum"


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_asks_for_the_weights_it_declares(name: str) -> None:
    context = FakeContext()
    result = CALLS[name](context)
    for value in result if isinstance(result, tuple) else (result,):
        assert isinstance(value, Value)
    assert {w for w in context.weights if not w.startswith("state:")} == set(LAYERS[name].roles)
    assert not LAYERS[name].stateless or not (context.weights or context.sites)


@pytest.mark.parametrize("name", [n for n in LAYERS if LAYERS[n].roles])
def test_every_weight_is_documented(name: str) -> None:
    weights = re.search(r"^Weights: (.*?)\n\n", LAYERS[name].doc, flags=re.MULTILINE | re.DOTALL)
    assert weights is not None
    assert [role for role in LAYERS[name].roles if role not in weights.group(1)] == []


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="`relu` is declared twice"):
        LayerSet([LAYERS["relu"]], [LAYERS["relu"]])


def test_a_trailing_underscore_is_no_part_of_a_name() -> None:
    def max_(ctx: object, x: Value) -> Value:
        return x

    assert function(max_).name == "max"
