"""Rewritten graphs share what did not change, keep names and spans, and merge histories."""

from __future__ import annotations

import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_functions, map_graph, merge_made_by
from bl_compiler.ir.verify import verify
from tests.support.ir_text import graph, lines, module, named

TEXT = """
    %x = model.input() {key="x", type=f32[3]}
    %y = math.square(%x) in dense by Old loc("m.blg":1:1-1:2)
    %z = math.exp(%y)
    %w = region.draws(%z) {count=2}
      ^body(%a: f32[3]) {
        %b = math.square(%a)
        return %b
      }
    return y = %y, w = %w
    """


def as_product(node: Node, rewriter: Rewriter) -> bool:
    """Squares as products; the rest as it is."""
    if node.op.name != "math.square":
        return False
    x = rewriter.value(node.inputs[0])
    rewriter.replace(node, lambda builder: [builder.binary("mul", x, x)])
    return True


def test_map_graph_reaches_into_regions() -> None:
    before = graph(TEXT)
    after = map_graph(before, CORE_OPS, as_product, made_by="SquareAsProduct")
    assert lines(after) == [
        '%x = model.input() {key="x", type=f32[3]} : f32[3]',
        "%y = math.mul(%x, %x) : f32[3] in dense by Old, SquareAsProduct",
        "%z = math.exp(%y) : f32[3]",
        "%w = region.draws(%z) {count=2} : f32[draw=2, 3]",
        "^body(%a: f32[3]) {",
        "%b = math.mul(%a, %a) : f32[3] by SquareAsProduct",
        "return %b",
        "}",
        "return y = %y, w = %w",
    ]
    assert named(after, "y").span == named(before, "y").span
    assert named(after, "x") is named(before, "x")
    assert named(after, "z") is named(before, "z")
    verify(Module("m", {"model": after}))
    verify(Module("m", {"model": before}))


def test_nothing_to_change_gives_the_same_graph() -> None:
    before = graph(TEXT)
    assert map_graph(before, CORE_OPS, lambda node, rewriter: False) is before
    whole = module(TEXT)
    assert map_functions(whole, lambda name, found: found) is whole
    changed = map_functions(whole, lambda name, found: map_graph(found, CORE_OPS, as_product))
    assert changed is not whole


def test_substituted_values_reach_readers_and_outputs() -> None:
    before = graph(TEXT)
    rewriter = Rewriter(CORE_OPS, before)
    x, y, *rest = before.nodes
    rewriter.keep(x)
    rewriter.drop(y)
    rewriter.substitute(y.result, x.result)
    for node in rest:
        rewriter.keep(node)
    after = rewriter.finish()
    assert lines(after)[1] == "%z = math.exp(%x) : f32[3]"
    assert after.output("y") is x.result
    verify(Module("m", {"model": after}))


def test_a_value_is_replaced_by_one_of_equal_type_only() -> None:
    before = graph(TEXT)
    rewriter = Rewriter(CORE_OPS, before, made_by="bad-pass")
    x, y, *_ = before.nodes
    rewriter.keep(x)

    def make(builder: GraphBuilder) -> list[object]:
        return [builder.reduce("sum", x.result, [0])]

    with pytest.raises(InternalError, match=r"bad-pass replaces a value of type f32\[3\] by one of type f32\[\]"):
        rewriter.replace(y, make)  # type: ignore[arg-type]


def test_histories_name_each_rule_once() -> None:
    assert merge_made_by(("A", "B"), (), ("B", "C")) == ("A", "B", "C")


def test_graphs_compare_by_structure() -> None:
    found = graph(TEXT)
    assert found == Graph("other name", found.nodes, found.outputs)
    assert found != found.replace(outputs=())
    assert hash(found) == hash(graph(TEXT))
