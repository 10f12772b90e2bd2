"""Ways through graphs, regions and their liveness."""

from __future__ import annotations

import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.liveness import liveness
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.regions import layout
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.ir.walk import (
    backward_slice,
    effects_of,
    extract_region,
    forward_slice,
    free_values,
    graphs_in,
    inline,
    is_pure,
    sites,
    topological,
    walk,
)
from tests.support.ir_text import graph, named

DIAMOND = """
    %x = model.input() {key="x", type=f32[]}
    %a = math.exp(%x)
    %b = math.log(%x)
    %c = math.add(%a, %b)
    %d = math.neg(%b)
    return c = %c
    """
NESTED = """
    %x = tensor.const() {dtype=!f32, value=1.0}
    %y = region.draws(%x) {count=2}
      ^body(%a: f32[]) {
        %b = region.draws(%a) {count=3}
          ^body(%c: f32[]) {
            %d = dist.Normal(%c, %c)
            %e = random.draw(%d) @inner
            return %e
          }
        return %b
      }
    %z = region.draws(%x) {count=2}
      ^body(%a: f32[]) {
        %b = math.exp(%a)
        return %b
      }
    return y = %y
    """


def hints(nodes: tuple[Node, ...]) -> list[str]:
    return [node.result.name for node in nodes]


def test_slices_are_in_program_order() -> None:
    found = graph(DIAMOND)
    a, b = named(found, "a"), named(found, "b")
    assert hints(backward_slice(found, [named(found, "c").result])) == ["x", "a", "b", "c"]
    assert hints(backward_slice(found, [named(found, "d").result])) == ["x", "b", "d"]
    assert hints(forward_slice(found, [a.result])) == ["c"]
    assert hints(forward_slice(found, [b.result])) == ["c", "d"]
    assert hints(topological(reversed(found.nodes))) == ["x", "b", "d", "a", "c"]
    assert topological(found.nodes) == found.nodes


def test_circles_have_no_order() -> None:
    x, y = Value(TensorType(DType.F32)), Value(TensorType(DType.F32))
    op = CORE_OPS["math.exp"]
    nodes = Node(op, (y,), op.complete({}), (x,)), Node(op, (x,), op.complete({}), (y,))
    with pytest.raises(InternalError, match="depends on its own results"):
        topological(nodes)


def test_nested_nodes_sites_and_effects() -> None:
    found = graph(NESTED)
    assert [node.op.name for node in walk(found)] == [
        "tensor.const",
        "region.draws",
        "region.draws",
        "dist.Normal",
        "random.draw",
        "region.draws",
        "math.exp",
    ]
    assert len(list(graphs_in(found))) == 4
    assert list(sites(found)) == ["inner"]
    y, z = named(found, "y"), named(found, "z")
    assert (effects_of(y), is_pure(y)) == (frozenset({Effect.DRAWS}), False)
    assert (effects_of(z), is_pure(z)) == (frozenset(), True)


def test_a_slice_becomes_a_closed_region_and_comes_back() -> None:
    found = graph(DIAMOND)
    inside = found.nodes[2:]
    assert [value.name for value in free_values(inside)] == ["x", "a"]
    c, a = named(found, "c").result, named(found, "a").result
    region, captured = extract_region("body", inside, [("c", c)], first=[a])
    assert [value.name for value in captured] == ["a", "x"]
    assert free_values(region.nodes) == (region.args[1], region.args[0])
    b = GraphBuilder(CORE_OPS, "model")
    x = b.add("model.input", key="x", type=TensorType(DType.F32), name="x")
    values = inline(b, region, [b.unary("exp", x), x])
    again = b.finish([("c", values[region.outputs[0].value])])
    assert again == found


def test_inlining_needs_arguments_of_the_declared_types() -> None:
    found = graph(NESTED)
    body = named(found, "z").attrs.graph("body")
    b = GraphBuilder(CORE_OPS, "model")
    with pytest.raises(InternalError, match=r"is i32\[\], not f32\[\]"):
        inline(b, body, [b.const(1, DType.I32)])


def test_copies_can_have_sites_and_scopes_of_their_own() -> None:
    found = graph(NESTED)
    b = GraphBuilder(CORE_OPS, "model")
    inline(b, found, [], site=lambda site: f"0/{site}", scope=lambda scope: "layer0")
    inline(b, found, [], site=lambda site: f"1/{site}", scope=lambda scope: "layer1")
    twice = b.finish()
    assert list(sites(twice)) == ["0/inner", "1/inner"]
    assert [node.scope for node in walk(twice)] == ["layer0"] * 7 + ["layer1"] * 7
    assert list(sites(found)) == ["inner"]


LOOP = """
    %x = model.input() {key="x", type=f32[3]}
    %s = model.input() {key="s", type=f32[2, 3]}
    %a, %b, %e, %f = region.repeat(%x, %x, %x, %s, %s, %x, %x) {carries=3, stacked=2, count=2}
      ^body(%c0: f32[3], %c1: f32[3], %c2: f32[3], %s0: f32[3], %s1: f32[3], %k0: f32[3], %k1: f32[3]) {
        %n0 = math.add(%c0, %c1)
        %n1 = math.add(%c1, %s0)
        %n2 = math.mul(%c2, %k0)
        %o = math.exp(%s1)
        return %n0, %n1, %n2, %o
      }
    return a = %a
    """


def test_the_layout_of_region_ops() -> None:
    loop = named(graph(LOOP), "a")
    parts = layout(loop)
    assert parts is not None
    assert (parts.carries, parts.sliced, parts.sliced_attr) == (3, 2, "stacked")
    assert layout(named(graph(DIAMOND), "a")) is None


def test_a_loop_needs_only_the_carries_that_its_results_depend_on() -> None:
    found = graph(LOOP)
    loop = named(found, "a")
    live = liveness(found, lambda node: False)
    assert live.nodes == {*found.nodes[:2], loop}
    body = live.regions[loop]
    assert body.outputs == {0, 1}
    assert sorted(node.result.name for node in body.nodes) == ["n0", "n1"]
    nothing = liveness(found, lambda node: False, outputs=())
    assert nothing.nodes == set()


def test_a_root_in_a_region_keeps_the_region() -> None:
    found = graph(NESTED)
    live = liveness(found, lambda node: node.op.effect is Effect.DRAWS, outputs=())
    assert named(found, "y") in live.nodes
    assert named(found, "z") not in live.nodes
    assert live.rooted
