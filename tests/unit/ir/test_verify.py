"""Each kind of violation is found, and told with the node, its neighbors and its source.

Graphs are broken on purpose by building nodes without the builder, which would refuse them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.graph import Graph, Module, Node, Output, PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import REQUIRED
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType
from bl_compiler.ir.verify import VerifyError, unreached_sites, verify, violations
from bl_compiler.source import Span
from tests.support.ir_text import graph, module

F32 = TensorType(DType.F32)
VECTOR = TensorType(DType.F32, (Dim(3),))


def value(name: str = "v", type_: TensorType = F32) -> Value:
    return Value(type_, name)


def node(
    op: str, inputs: tuple[Value, ...], results: tuple[Value, ...], site: str | None = None, **attrs: object
) -> Node:
    """A node as it is, unchecked."""
    return Node(CORE_OPS[op], inputs, Attrs({**CORE_OPS[op].attrs, **attrs}), results, site)


def messages(*nodes: Node, outputs: tuple[Output, ...] = (), plates: tuple[PlateInfo, ...] = ()) -> list[str]:
    found = Module("m", {"model": Graph("model", nodes, outputs)}, plates)
    return [violation.message for violation in violations(found)]


def const(result: Value) -> Node:
    return node("tensor.const", (), (result,), value=1.0, dtype=DType.F32)


def test_reading_before_the_definition() -> None:
    x, y = value("x"), value("y")
    assert messages(node("math.exp", (x,), (y,)), const(x)) == ["`math.exp` reads `%x` before it is defined"]


def test_two_definitions() -> None:
    x = value("x")
    assert messages(const(x), const(x)) == ["`tensor.const` defines `%x` a second time"]


def test_outputs() -> None:
    x = value("x")
    found = messages(const(x), outputs=(Output("a", value("y")), Output("b", x), Output("b", x)))
    assert found == ["output `a` is not defined by any node", "two outputs are named `b`"]


def test_recorded_types() -> None:
    x, y = value("x"), value("y", VECTOR)
    expected = ["`math.exp` gives f32[] and is recorded as f32[3]"]
    assert messages(const(x), node("math.exp", (x,), (y,))) == expected


def test_number_of_results_and_of_operands() -> None:
    x = value("x")
    assert messages(node("math.exp", (), (x,))) == ["`math.exp` takes 1 operands, not 0"]
    assert messages(const(x), node("math.exp", (x,), ())) == ["`math.exp` gives f32[] and is recorded as nothing"]


def test_attributes() -> None:
    x = value("x")
    assert messages(node("tensor.const", (), (x,))) == ["`tensor.const` needs `dtype`"]
    assert messages(node("math.exp", (x,), (), bogus=1))[1:] == ["`math.exp` has no attribute `bogus`"]
    short = Node(CORE_OPS["tensor.const"], (), Attrs({"value": 1.0}), (x,))
    assert messages(short) == ["`tensor.const` needs `dtype`"]
    listed = node("tensor.const", (), (x,), value=[1.0], dtype=DType.F32)
    assert messages(listed) == ["attribute `value` of `tensor.const` is no attribute value: [1.0]"]
    wrong = node("tensor.const", (), (x,), value=1.0, dtype="f32")
    assert messages(wrong) == ["`tensor.const` has an attribute of the wrong kind: `dtype` = 'f32'"]
    assert CORE_OPS["tensor.const"].attrs["dtype"] is REQUIRED


def test_sites() -> None:
    text = """
        %x = tensor.const() {dtype=!f32, value=1.0}
        %d = dist.Normal(%x, %x)
        %a = random.draw(%d) @a
        %b = random.draw(%d) @b
        return
        """
    x, d, a, b = graph(text).nodes
    assert messages(x, d, a, replace(b, site="a")) == ["site `a` appears twice"]
    assert messages(x, d, replace(a, site=None)) == ["`random.draw` needs a site"]
    assert messages(replace(x, site="a")) == ["`tensor.const` carries no site"]


def test_a_site_in_a_region_is_one_of_the_function() -> None:
    text = """
        %x = tensor.const() {dtype=!f32, value=1.0}
        %y = region.draws(%x) {count=2}
          ^body(%a: f32[]) {
            %d = dist.Normal(%a, %a)
            %e = random.draw(%d) @SITE
            return %e
          }
        %d = dist.Normal(%x, %x)
        %z = random.draw(%d) @a
        return
        """
    assert list(violations(module(text.replace("SITE", "b")))) == []
    (found,) = violations(module(text.replace("SITE", "a"), checked=False))
    assert found.message == "site `a` appears twice"


def test_regions_are_closed() -> None:
    x, y, inner = value("x"), value("y", TensorType(DType.F32, (Dim(2, "draw"),))), value("i")
    body = Graph("body", (node("math.exp", (x,), (inner,)),), (Output("", inner),))
    found = messages(const(x), node("region.draws", (), (y,), count=2, body=body))
    assert found == ["a region reads `%x` of an enclosing graph; regions are closed"]


def test_the_arguments_of_a_region_fit_its_operands() -> None:
    x, arg = value("x"), value("a", VECTOR)
    body = Graph("body", (), (), (arg, arg))
    found = messages(const(x), node("region.draws", (x,), (), count=2, body=body))
    assert found == [
        "the region takes 2 arguments of other types than the 1 given",
        "an argument is listed twice",
    ]


def test_declarations() -> None:
    def declared(op: str, **attrs: object) -> Node:
        return node(op, (), (value(),), type=F32, **attrs)

    inputs = declared("model.input", key="x"), declared("model.input", key="x")
    assert messages(*inputs) == ["input `x` is declared twice"]
    weights = declared("model.param", path="w", init=("constant", 0.0)), declared("model.state", path="w", init=())
    assert messages(*weights) == ["parameter `w` is declared twice"]
    x = value("x")
    updates = node("model.update", (x,), (), path="s"), node("model.predict", (x,), (), key="p")
    assert messages(const(x), *updates) == ["statistic `s` is updated and not declared"]
    assert messages(const(x), updates[1], updates[1]) == ["prediction `p` is declared twice"]


def test_plates() -> None:
    plate = TensorType(DType.F32, (Dim(4, "batch", DimKind.PLATE),))
    x = node("model.input", (), (value("x", plate),), key="x", type=plate)
    assert messages(x) == ["plate `batch` of f32[batch@4] is not declared"]
    assert messages(x, plates=(PlateInfo("batch", 4),)) == []
    size = node("model.plate_size", (), (value(),), plate="rows")
    assert messages(size) == ["plate `rows` is not declared"]


def test_the_message_names_pass_function_node_neighbors_and_source() -> None:
    x, y = value("x"), value("y")
    bad = replace(node("math.exp", (y,), (value("z"),)), span=Span("m.blg", 7, 3, 7, 9), made_by=("BadRule",))
    found = Module("m", {"train": Graph("train", (const(x), bad))})
    with pytest.raises(VerifyError) as caught:
        verify(found, after="bad-pass{size=3}")
    assert str(caught.value).splitlines() == [
        "after bad-pass{size=3}: function `train`: `math.exp` reads `%y` before it is defined",
        "source: m.blg:7:3",
        "made by: BadRule",
        "  %x = tensor.const() {dtype=!f32, value=1.0} : f32[]",
        '> %z = math.exp(%?y) : f32[] by BadRule loc("m.blg":7:3-7:9)',
    ]
    assert caught.value.node is bad
    assert caught.value.span == bad.span


def test_unreached_sites() -> None:
    text = """
        %x = model.input() {key="x", type=f32[]}
        %p = dist.Normal(%x, %x)
        %hyper = model.sample(%p, %p) @hyper
        %q = dist.Normal(%hyper, %x)
        %used = model.sample(%q, %p) @used
        %unused = model.sample(%p, %p) @unused
        %dead = math.exp(%unused)
        %kept, %lost = region.repeat(%used, %unused) {carries=2, count=3}
          ^body(%a: f32[], %b: f32[]) {
            %d = dist.Normal(%a, %a)
            %inner = model.sample(%d, %d) @inner
            %other = model.sample(%d, %d) @other
            %next = math.add(%b, %other)
            return %inner, %next
          }
        %d = dist.Normal(%kept, %x)
        model.observe(%x, %d) @obs
        return
        """
    assert [node.site for node in unreached_sites(graph(text))] == ["unused", "other"]


def test_all_sites_are_unreached_without_an_observation() -> None:
    text = """
        %x = model.input() {key="x", type=f32[]}
        %y = region.draws(%x) {count=2}
          ^body(%a: f32[]) {
            %d = dist.Normal(%a, %a)
            %inner = model.sample(%d, %d) @inner
            return %inner
          }
        return
        """
    assert [node.site for node in unreached_sites(graph(text))] == ["inner"]
    assert unreached_sites(graph(text.replace("return\n        ", "return y = %y\n"))) == []


def test_functions_that_were_checked_are_not_checked_again() -> None:
    broken = Graph("model", (node("math.neg", (value("nowhere"),), (value(),)),))
    before = Module("m", {"model": broken})
    assert list(violations(before))
    assert not list(violations(before, before))
    assert list(violations(replace(before, plates=(PlateInfo("batch", 4, 8),)), before)), "other plates"
    assert list(violations(before.with_functions({"other": broken}), before)), "another function"
