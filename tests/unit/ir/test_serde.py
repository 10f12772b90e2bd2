"""The JSON form is strict, and refuses what it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bl_compiler.diagnostics import CompileError
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.serde import VERSION, from_json, to_json
from tests.support.ir_text import module

TEXT = """
    %x = model.input() {key="x", type=f32[batch@4, 3]} in a by b loc("m.blg":1:2-3:4)
    %c = tensor.const() {dtype=!f32, value=(nan, -inf, 1.0)}
    %y = math.add(%x, %c)
    %z = region.draws(%y) {count=2}
      ^body(%a: f32[batch@4, 3]) {
        %d = dist.Normal(%a, %a)
        %e = random.draw(%d) @noise
        return %e
      }
    return y = %z
    """


def data() -> dict[str, Any]:
    """The form as other programs read it."""
    return json.loads(json.dumps(to_json(module(TEXT)), allow_nan=False))


def test_the_form_is_strict_json_with_a_version() -> None:
    found = data()
    assert (found["format"], found["version"]) == ("blir", VERSION)
    assert print_module(from_json(found, CORE_OPS)) == print_module(module(TEXT))


def test_types_are_listed_once() -> None:
    found = data()
    assert len({json.dumps(each) for each in found["types"]}) == len(found["types"]) == 4
    node = found["functions"]["model"]["nodes"][0]
    assert node["results"] == [{"name": "x", "type": node["attrs"]["type"]["type"]}]
    assert node["span"] == [0, 1, 2, 3, 4]
    assert found["files"] == ["m.blg"]


def broken_version(found: dict[str, Any]) -> None:
    found["version"] = 99


def broken_operand(found: dict[str, Any]) -> None:
    found["functions"]["model"]["nodes"][2]["inputs"][0] = 77


def broken_order(found: dict[str, Any]) -> None:
    found["functions"]["model"]["nodes"].reverse()


def broken_index(found: dict[str, Any]) -> None:
    found["functions"]["model"]["nodes"][2]["inputs"][0] = -1


def broken_op(found: dict[str, Any]) -> None:
    found["functions"]["model"]["nodes"][2]["op"] = "math.bogus"


def broken_attribute(found: dict[str, Any]) -> None:
    found["functions"]["model"]["nodes"][1]["attrs"]["value"] = {"bogus": 1}


def broken_type(found: dict[str, Any]) -> None:
    found["types"][0]["kind"] = "bogus"


def broken_dtype(found: dict[str, Any]) -> None:
    found["types"][0]["dtype"] = "f33"


def broken_shape(found: dict[str, Any]) -> None:
    found["functions"] = []


def broken_key(found: dict[str, Any]) -> None:
    del found["objective"]


@pytest.mark.parametrize(
    ("breaks", "code"),
    [
        (broken_version, "BLC0901"),
        (broken_operand, "BLC0105"),
        (broken_order, "BLC0105"),
        (broken_index, "BLC0105"),
        (broken_op, "BLC0105"),
        (broken_attribute, "BLC0105"),
        (broken_type, "BLC0105"),
        (broken_dtype, "BLC0105"),
        (broken_shape, "BLC0105"),
        (broken_key, "BLC0105"),
    ],
)
def test_malformed_data_is_refused(breaks: Callable[[dict[str, Any]], None], code: str) -> None:
    found = data()
    breaks(found)
    with pytest.raises(CompileError) as caught:
        from_json(found, CORE_OPS)
    assert [d.code for d in caught.value.diagnostics] == [code]
