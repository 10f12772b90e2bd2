"""The engine applies rules until none fires, tells why others did not, and never loops in silence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Module, Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.passes.engine import RuleSet, apply_rules
from bl_compiler.passes.journal import Journal
from bl_compiler.passes.rules import Match, Rule, View, made_by, same_value
from tests.support.ir_text import graph, lines, named

TEXT = """
    %x = model.input() {key="x", type=f32[3]}
    %y = math.square(%x) in dense by Old loc("m.blg":2:3-2:9)
    %z = math.square(%y)
    %w = region.draws(%x) {count=2}
      ^body(%a: f32[3]) {
        %b = math.square(%a)
        return %b
      }
    return z = %z, w = %w
    """


def any_match(node: Node, view: View) -> Match:
    return Match(node)


def to_product(match: Match, builder: GraphBuilder) -> Sequence[Value]:
    x = match.root.inputs[0]
    return [builder.binary("mul", x, x)]


SQUARE_TO_MUL = Rule("SquareToMul", ("math.square",), any_match, to_product)


def run(*rules: Rule, text: str = TEXT) -> tuple[list[str], Journal]:
    journal = Journal(pass_name="test")
    after = apply_rules(graph(text), RuleSet(rules), CORE_OPS, journal)
    verify(Module("m", {"model": after}))
    return lines(after), journal


def test_rules_reach_every_node_and_region() -> None:
    found, journal = run(SQUARE_TO_MUL)
    assert [line for line in found if "square" in line] == []
    assert "%y = math.mul(%x, %x) : f32[3] in dense by Old, SquareToMul" in found
    assert "%b = math.mul(%a, %a) : f32[3] by SquareToMul" in found
    count = journal.counts["test", "SquareToMul"]
    assert (count.attempts, count.hits) == (3, 3)
    assert next((e.rule, e.fired, e.scope, str(e.span)) for e in journal.entries) == (
        "SquareToMul",
        True,
        "dense",
        "m.blg:2:3",
    )


def test_nodes_that_a_rewrite_makes_are_rewritten_in_turn() -> None:
    def to_abs(match: Match, builder: GraphBuilder) -> Sequence[Value]:
        return [builder.unary("abs", match.root.inputs[0])]

    found, _ = run(SQUARE_TO_MUL, Rule("MulToAbs", ("math.mul",), any_match, to_abs))
    assert found[1:3] == [
        "%y = math.abs(%x) : f32[3] in dense by Old, SquareToMul, MulToAbs",
        "%z = math.abs(%y) : f32[3] by SquareToMul, MulToAbs",
    ]


def test_patterns_see_what_operands_come_from() -> None:
    def find(node: Node, view: View) -> Value | None:
        inner = made_by(view, node.inputs[0], "math.square")
        return None if inner is None else inner.inputs[0]

    found, _ = run(same_value("DropTwo", ("math.square",), find))
    assert found[-1] == "return z = %x, w = %w"


def test_refusals_leave_their_reason() -> None:
    refusing = Rule("Never", ("math.square",), any_match, to_product, lambda match, view: "not today")

    def grow(match: Match, builder: GraphBuilder) -> Sequence[Value]:
        return [builder.reduce("sum", match.root.inputs[0], [0])]

    def impossible(match: Match, builder: GraphBuilder) -> Sequence[Value]:
        return [builder.add("math.cumsum", match.root.inputs[0], axis=7)]

    growing = Rule("Grow", ("math.square",), any_match, grow)
    found, journal = run(refusing, growing, Rule("Impossible", ("math.square",), any_match, impossible))
    assert found == lines(graph(TEXT))
    assert [(e.rule, e.fired, e.reason) for e in journal.entries[-3:]] == [
        ("Never", False, "not today"),
        ("Grow", False, "the type would change from f32[3] to f32[]"),
        ("Impossible", False, "axes [7] of an array with 1 dimensions"),
    ]


def test_nothing_to_do_gives_the_same_graph() -> None:
    found = graph(TEXT)
    assert apply_rules(found, RuleSet([]), CORE_OPS, Journal()) is found


def test_rules_that_undo_each_other_are_named() -> None:
    def to_square(match: Match, builder: GraphBuilder) -> Sequence[Value]:
        return [builder.unary("square", match.root.inputs[0])]

    back = Rule("MulToSquare", ("math.mul",), any_match, to_square)
    with pytest.raises(InternalError, match=r"no fixpoint after 1[0-9]+ rewrites; last: .*SquareToMul -> MulToSquare"):
        run(SQUARE_TO_MUL, back)


def test_uniform_constants_are_seen_through_shape_changes() -> None:
    text = """
        %a = tensor.const() {dtype=!f32, value=((1.0, 1.0), (1.0, 1.0))}
        %b = tensor.transpose(%a) {permutation=(1, 0)}
        %c = tensor.full() {dtype=!i32, dims=(<3>,), value=2}
        %d = tensor.const() {dtype=!f32, value=(1.0, 2.0)}
        %e = tensor.const() {dtype=!f32, value=nan}
        %f = math.exp(%a)
        return
        """
    seen: dict[str, object] = {}

    def look(node: Node, view: View) -> Match | None:
        seen[node.result.name] = view.uniform(node.result) if view.producer(node.result) else None
        if node.op.name == "math.exp":
            seen.update({v.name: view.uniform(v) for v in (*node.inputs, *[named(found, n).result for n in "abcde"])})
        return None

    found = graph(text)
    ops = ("math.exp", "tensor.const")
    apply_rules(found, RuleSet([Rule("Look", ops, look, to_product)]), CORE_OPS, Journal())
    assert [seen[name] for name in "abcd"] == [1.0, 1.0, 2, None]


def test_rules_know_where_they_were_written() -> None:
    file, _, line = SQUARE_TO_MUL.where.rpartition(":")
    assert file == __file__
    assert int(line) > 0
    with pytest.raises(ValueError, match="two rules have one name"):
        RuleSet([SQUARE_TO_MUL, SQUARE_TO_MUL])
