"""Constants are computed by the table handed in, keep their types, and stay small."""

from __future__ import annotations

from bl_compiler.driver.folding import evaluator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.fold import Fold
from tests.support.ir_text import lines, module


def folded(body: str, *, limit: int = 1024) -> tuple[list[str], PassContext]:
    ctx = PassContext(CORE_OPS, evaluate=evaluator())
    after = Fold(limit).run(module(body), ctx)
    verify(after)
    assert Fold(limit).run(after, PassContext(CORE_OPS, evaluate=evaluator())) is after
    return lines(after), ctx


def test_constants_are_folded_through() -> None:
    found, ctx = folded(
        """
        %a = tensor.const() {dtype=!f32, value=2.0}
        %b = math.add(%a, %a) in dense
        %c = math.mul(%b, %a)
        return c = %c
        """
    )
    assert found[1:] == [
        "%b = tensor.const() {dtype=!f32, value=4.0} : f32[] in dense by fold",
        "%c = tensor.const() {dtype=!f32, value=8.0} : f32[] by fold",
        "return c = %c",
    ]
    assert ctx.journal.counts["", "fold"].hits == 2


def test_types_stay_names_of_axes_included() -> None:
    found, _ = folded(
        """
        %a = tensor.const() {dtype=!f32, value=((1.0, 2.0), (3.0, 4.0))}
        %b = tensor.reshape(%a) {dims=(<batch@4>,)}
        %c = math.neg(%b)
        %d = tensor.full() {dtype=!f32, dims=(<batch@4>, <h=2>), value=3.0}
        %e = math.square(%d)
        %f = math.gt(%e, %d)
        return c = %c, e = %e, f = %f
        """
    )
    assert found[2:] == [
        "%0 = tensor.const() {dtype=!f32, value=(-1.0, -2.0, -3.0, -4.0)} : f32[4] by fold",
        "%c = tensor.reshape(%0) {dims=(<batch@4>,)} : f32[batch@4] by fold",
        "%d = tensor.full() {dims=(<batch@4>, <h=2>), dtype=!f32, value=3.0} : f32[batch@4, h=2]",
        "%e = tensor.full() {dims=(<batch@4>, <h=2>), dtype=!f32, value=9.0} : f32[batch@4, h=2] by fold",
        "%f = tensor.full() {dims=(<batch@4>, <h=2>), dtype=!bool, value=true} : bool[batch@4, h=2] by fold",
        "return c = %c, e = %e, f = %f",
    ]


def test_regions_are_folded_inside() -> None:
    found, _ = folded(
        """
        %x = model.input() {key="x", type=f32[]}
        %y = region.draws(%x) {count=2}
          ^body(%a: f32[]) {
            %b = tensor.const() {dtype=!f32, value=3.0}
            %c = math.neg(%b)
            %d = math.add(%a, %c)
            return %d
          }
        return y = %y
        """
    )
    assert "%c = tensor.const() {dtype=!f32, value=-3.0} : f32[] by fold" in found


def test_large_unknown_and_effectful_nodes_stay() -> None:
    body = """
        %a = tensor.full() {dtype=!f32, dims=(<8>, <9>), value=3.0}
        %b = math.neg(%a)
        %c = tensor.const() {dtype=!f32, value=1.0}
        %d = dist.Normal(%c, %c)
        %e = random.draw(%d) @e
        %f = tensor.broadcast(%c) {dims=(<3>,)}
        %g = model.phase(%c, %c)
        %h = tensor.full() {dtype=!f32, dims=(<n>,), value=3.0}
        %i = math.neg(%h)
        %j = tensor.full() {dtype=!f32, dims=(<3>,), value=3.0}
        %k = tensor.broadcast(%j) {dims=(<9>, <9>, <3>)}
        %l = linear.einsum(%j, %j) {spec="a,b->ab"}
        return
        """
    found, ctx = folded(body, limit=8)
    assert found == lines(module(body))
    reasons = {entry.op: entry.reason for entry in ctx.journal.entries}
    assert reasons == {
        "dist.Normal": "a result is no array of at most 8 elements",
        "model.phase": "no value known for `model.phase`",
        "linear.einsum": "a result is no array of at most 8 elements",
    }


def test_special_values_are_kept() -> None:
    found, _ = folded(
        """
        %a = tensor.const() {dtype=!f32, value=(0.0, -1.0, 1.0)}
        %b = math.log(%a)
        %c = tensor.const() {dtype=!f32, value=0.0}
        %d = math.neg(%c)
        return
        """
    )
    assert "value=(-inf, nan, 0.0)" in found[1]
    assert "value=-0.0" in found[3]


def test_nothing_is_folded_without_a_table() -> None:
    before = module("%a = tensor.const() {dtype=!f32, value=2.0}\n%b = math.neg(%a)\nreturn")
    ctx = PassContext(CORE_OPS)
    after: Module = Fold().run(before, ctx)
    assert after is before
    assert [entry.reason for entry in ctx.journal.entries] == ["nothing to evaluate constants with"]
