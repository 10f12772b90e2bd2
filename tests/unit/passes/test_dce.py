"""What nothing depends on goes; in `model` whatever has an effect stays."""

from __future__ import annotations

import pytest

from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.passes import dce
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.dce import Dce
from tests.support.ir_text import lines, module

TEXT = """
    %x = model.input() {key="x", type=f32[]}
    %i = model.input() {key="i", type=f32[]}
    %w = model.param() {init=("constant", 0.0), path="w", type=f32[]}
    %u = model.param() {init=("constant", 0.0), path="u", type=f32[]}
    %d = dist.Normal(%x, %w)
    %a = random.draw(%d) @a
    %b = random.draw(%d) @b
    %c = math.exp(%b)
    %e = math.exp(%a)
    return a = %a
    """


def pruned(text: str, function: str = "model") -> list[str]:
    after = Dce().run(module(text, function=function), PassContext(CORE_OPS))
    verify(after)
    assert Dce().run(after, PassContext(CORE_OPS)) is after
    return [line.partition(" =")[0] if "=" in line else line for line in lines(after)]


def test_in_entry_points_unused_draws_and_parameters_go_and_inputs_stay() -> None:
    assert pruned(TEXT, "predict") == ["%x", "%i", "%w", "%d", "%a", "return a"]


def test_in_the_model_effects_stay() -> None:
    assert pruned(TEXT) == ["%x", "%i", "%w", "%u", "%d", "%a", "%b", "return a"]


def test_the_model_keeps_observations_updates_and_predictions() -> None:
    text = """
        %x = model.input() {key="x", type=f32[]}
        %s = model.state() {init=("constant", 0.0), path="s", type=f32[]}
        %y = math.exp(%x)
        %unused = math.log(%x)
        model.update(%y) {path="s"}
        %d = dist.Normal(%y, %y)
        model.observe(%x, %d) @obs
        model.predict(%y) {key="p"}
        return
        """
    found = pruned(text)
    assert [line.partition("(")[0] for line in found] == [
        "%x",
        "%s",
        "%y",
        "model.update",
        "%d",
        "model.observe",
        "model.predict",
        "return",
    ]


LOOP = """
    %x = model.input() {key="x", type=f32[3]}
    %s = model.input() {key="s", type=f32[2, 3]}
    %a, %b, %e, %f = region.scan(%x, %x, %x, %s, %s, %x, %x) {carries=3, walked=2, length=2}
      ^body(%c0: f32[3], %c1: f32[3], %c2: f32[3], %s0: f32[3], %s1: f32[3], %k0: f32[3], %k1: f32[3]) {
        %n0 = math.add(%c0, %c1)
        %n1 = math.add(%c1, %s0)
        %n2 = math.mul(%c2, %k0)
        %o = math.exp(%s1)
        %unused = math.exp(%n1)
        return %n0, %n1, %n2, %o
      }
    return a = %a
    """


def test_loops_lose_the_results_and_operands_that_nothing_needs() -> None:
    after = Dce().run(module(LOOP), PassContext(CORE_OPS))
    verify(after)
    assert lines(after)[2:] == [
        "%a, %b = region.scan(%x, %x, %s) {carries=2, length=2, walked=1} : f32[3], f32[3]",
        "^body(%c0: f32[3], %c1: f32[3], %s0: f32[3]) {",
        "%n0 = math.add(%c0, %c1) : f32[3]",
        "%n1 = math.add(%c1, %s0) : f32[3]",
        "return %n0, %n1",
        "}",
        "return a = %a",
    ]


def test_a_loop_that_observes_stays_without_its_results() -> None:
    text = """
        %x = model.input() {key="x", type=f32[]}
        %a = region.draws(%x, %x) {count=2}
          ^body(%b: f32[], %c: f32[]) {
            %d = dist.Normal(%b, %b)
            model.observe(%b, %d) @obs
            %e = math.exp(%b)
            return %e
          }
        return
        """
    after = Dce().run(module(text), PassContext(CORE_OPS))
    verify(after)
    assert lines(after)[1:] == [
        "region.draws(%x) {count=2}",
        "^body(%b: f32[]) {",
        "%d = dist.Normal(%b, %b) : Normal<f32[][]>",
        "model.observe(%b, %d) @obs",
        "return",
        "}",
        "return",
    ]


def test_regions_that_nothing_needs_go_as_a_whole() -> None:
    assert pruned(LOOP.replace("return a = %a", "return x = %x")) == ["%x", "%s", "return x"]


def test_a_dce_that_drops_observations_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: the model pruned like an entry point loses its parameter `u`, which the test above misses."""
    monkeypatch.setattr(dce, "_root_of_model", lambda node: False)
    assert pruned(TEXT) != ["%x", "%i", "%w", "%u", "%d", "%a", "%b", "return a"]
