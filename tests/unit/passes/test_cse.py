"""Equal pure nodes are merged; draws never are, and a checker of draws would notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter
from bl_compiler.ir.verify import verify, violations
from bl_compiler.ir.walk import sites
from bl_compiler.passes import cse
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.cse import Cse
from tests.support.ir_text import graph, lines, module

DRAWS = """
    %x = tensor.const() {dtype=!f32, value=1.0}
    %d = dist.Normal(%x, %x)
    %e = dist.Normal(%x, %x)
    %a = random.draw(%d) @a
    %b = random.draw(%e) @b
    %r = region.draws(%x) {count=2}
      ^body(%c: f32[]) {
        %f = dist.Normal(%c, %c)
        %g = random.draw(%f) @r
        return %g
      }
    return a = %a, b = %b, r = %r
    """


def merged(text: str) -> list[str]:
    after = Cse().run(module(text), PassContext(CORE_OPS))
    verify(after)
    assert Cse().run(after, PassContext(CORE_OPS)) is after
    return lines(after)


def test_the_first_stays_with_its_span_and_all_histories() -> None:
    text = """
        %x = model.input() {key="x", type=f32[3]}
        %a = math.exp(%x) by A loc("m.blg":1:1-1:2)
        %b = math.exp(%x) in later by B, A loc("m.blg":2:1-2:2)
        %c = math.neg(%a)
        %d = math.neg(%b)
        %e = math.sum(%d) {axes=(0,)}
        %f = math.sum(%c) {axes=(0,), keepdims=true}
        return d = %d
        """
    ctx = PassContext(CORE_OPS)
    after = Cse().run(module(text), ctx)
    assert lines(after)[1:] == [
        "%a = math.exp(%x) : f32[3] by A, B, cse",
        "%c = math.neg(%a) : f32[3] by cse",
        "%e = math.sum(%c) {axes=(0,)} : f32[]",
        "%f = math.sum(%c) {axes=(0,), keepdims=true} : f32[1]",
        "return d = %c",
    ]
    assert after.functions["model"].nodes[1].span.line == 1
    assert ctx.journal.entries[0].reason == "equal to the node at m.blg:1:1"
    assert ctx.journal.counts["", "cse"].hits == 2


def test_attributes_of_equal_value_and_other_text_differ() -> None:
    texts = ["0.0", "-0.0", "1.0", "nan"]
    body = "\n".join(f"%a{i} = tensor.const() {{dtype=!f32, value={text}}}" for i, text in enumerate(texts * 2))
    assert len(merged(f"{body}\nreturn")) == len(texts) + 1


def test_pure_regions_are_merged_and_merged_inside() -> None:
    region = """
        %{name} = region.draws(%x) {{count=2}}
          ^body(%a: f32[]) {{
            %b = math.exp(%a)
            %c = math.exp(%a)
            %d = math.add(%b, %c)
            return %d
          }}
        """
    text = "%x = tensor.const() {dtype=!f32, value=1.0}\n"
    text += "\n".join(line.strip() for name in "yz" for line in region.format(name=name).splitlines())
    found = merged(f"{text}\nreturn y = %y, z = %z")
    assert [line for line in found if "region" in line] == ["%y = region.draws(%x) {count=2} : f32[draw=2] by cse"]
    assert found[-1] == "return y = %y, z = %y"
    assert "%d = math.add(%b, %b) : f32[]" in found


def test_draws_are_never_merged() -> None:
    found = merged(DRAWS)
    assert [line.partition(" = ")[0] for line in found if "random.draw" in line] == ["%a", "%b", "%g"]
    assert sum("dist.Normal" in line for line in found) == 2


def test_regions_that_draw_are_never_merged() -> None:
    """Even if their sites were equal, which the verifier would tell."""
    text = "\n".join(line for line in DRAWS.splitlines() if "return" not in line or "%g" in line)
    region = text[text.index("%r =") :]
    twice = module(
        f"{text}{region.replace('%r', '%s').replace('%f', '%f2').replace('%g', '%g2')}\nreturn", checked=False
    )
    after = Cse().run(twice, PassContext(CORE_OPS))
    assert [node.op.name for node in after.functions["model"].nodes].count("region.draws") == 2


def test_a_cse_that_merges_draws_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: sites left out of the question whether a node is pure."""
    monkeypatch.setattr(cse, "is_pure", lambda node: node.op.name != "model.input")
    before = module(DRAWS)
    after = Cse().run(before, PassContext(CORE_OPS))
    lost = sites(before.functions["model"]).keys() - sites(after.functions["model"]).keys()
    assert lost == {"b"}


def test_a_copy_of_a_draw_is_caught_by_the_verifier() -> None:
    """Another mutant: a rewrite that duplicates a draw instead of merging it."""
    before = graph(DRAWS)
    rewriter = Rewriter(CORE_OPS, before)
    for node in before.nodes:
        rewriter.keep(node)
        if node.site == "a":
            rewriter.builder.nodes.append(replace(node, results=(replace(node.result),)))
    found = [violation.message for violation in violations(Module("m", {"model": rewriter.finish()}))]
    assert found == ["site `a` appears twice"]
