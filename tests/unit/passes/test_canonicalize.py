"""Each rule fires where it should, keeps the exact type, and does not fire where it would not be exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.verify import verify
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.canonicalize import CANONICALIZE_RULES, Canonicalize
from bl_compiler.passes.dce import Dce
from tests.support.ir_text import lines, module

INPUTS = """
%x = model.input() {key="x", type=f32[batch@4, 3]}
%v = model.input() {key="v", type=f32[3]}
%i = model.input() {key="i", type=i32[3]}
%p = model.input() {key="p", type=bool[3]}
%c0 = tensor.const() {dtype=!f32, value=0.0}
%c1 = tensor.const() {dtype=!f32, value=1.0}
%c2 = tensor.const() {dtype=!f32, value=2.0}
%n0 = tensor.const() {dtype=!i32, value=0}
%yes = tensor.const() {dtype=!bool, value=true}
%ones = tensor.full() {dtype=!f32, dims=(<batch@4>, <3>), value=1.0}
"""


def canonical(body: str) -> tuple[Module, set[str]]:
    """The module after the pass, and the rules that fired."""
    before = module(f"{INPUTS}\n{body}")
    ctx = PassContext(CORE_OPS)
    ctx.journal.pass_name = "canonicalize"
    after = Canonicalize().run(before, ctx)
    verify(after)
    assert Canonicalize().run(after, PassContext(CORE_OPS)) is after
    return after, {rule for (_, rule), count in ctx.journal.counts.items() if count.hits}


def result(body: str) -> tuple[str, set[str]]:
    """What becomes of the value `%y`: the text of its node, or its new name."""
    after, fired = canonical(f"{body}\nreturn y = %y")
    found = Dce().run(after, PassContext(CORE_OPS))
    texts = lines(found)
    name = texts[-1].removeprefix("return y = ")
    made = [text for text in texts if text.startswith(f"{name} = ") and "model.input" not in text]
    return (made[0].partition(" by ")[0] if made else name), fired


@pytest.mark.parametrize(
    ("body", "expected", "rule"),
    [
        ("%y = math.add(%x, %c0)", "%x", "AddZero"),
        ("%y = math.add(%c0, %x)", "%x", "AddZero"),
        ("%y = math.sub(%x, %c0)", "%x", "SubZero"),
        ("%y = math.mul(%x, %c1)", "%x", "MulOne"),
        ("%y = math.mul(%ones, %x)", "%x", "MulOne"),
        ("%y = math.div(%x, %c1)", "%x", "DivOne"),
        ("%y = math.pow(%x, %c1)", "%x", "DivOne"),
        ("%a = math.neg(%x)\n%y = math.neg(%a)", "%x", "Involution"),
        ("%a = math.not(%p)\n%y = math.not(%a)", "%p", "Involution"),
        ("%a = math.relu(%x)\n%y = math.relu(%a)", "%a = math.relu(%x) : f32[batch@4, 3]", "Idempotent"),
        ("%y = math.select(%yes, %x, %v)", "%x", "SelectConstant"),
        ("%y = math.select(%p, %x, %x)", "%x", "SelectConstant"),
        ("%y = math.cast(%x) {dtype=!f32}", "%x", "CastSame"),
        ("%y = math.sum(%x) {axes=()}", "%x", "ReduceNothing"),
        ('%y = param.constrain(%x) {constraint="real"}', "%x", "ConstrainReal"),
        ("%y = model.phase(%x, %x)", "%x", "PhaseSame"),
        ("%y = math.mul(%c2, %x)", "%y = math.mul(%x, %c2) : f32[batch@4, 3]", "ConstantRight"),
        ("%a = math.neg(%v)\n%y = math.add(%x, %a)", "%y = math.sub(%x, %v) : f32[batch@4, 3]", "AddNegToSub"),
        ("%a = math.neg(%v)\n%y = math.add(%a, %x)", "%y = math.sub(%x, %v) : f32[batch@4, 3]", "NegAddToSub"),
        ("%a = math.neg(%v)\n%y = math.sub(%x, %a)", "%y = math.add(%x, %v) : f32[batch@4, 3]", "SubNegToAdd"),
        (
            "%a = math.cast(%x) {dtype=!f64}\n%y = math.cast(%a) {dtype=!bf16}",
            "%y = math.cast(%x) {dtype=!bf16} : bf16[batch@4, 3]",
            "CastOfCast",
        ),
        ("%y = tensor.transpose(%x) {permutation=(0, 1)}", "%x", "TransposeSame"),
        (
            "%a = tensor.transpose(%x) {permutation=(1, 0)}\n%y = tensor.transpose(%a) {permutation=(1, 0)}",
            "%x",
            "TransposeOfTranspose",
        ),
        ("%y = tensor.reshape(%x) {dims=(<batch@4>, <3>)}", "%x", "ShapeSame"),
        ("%y = tensor.broadcast(%x) {dims=(<batch@4>, <3>)}", "%x", "ShapeSame"),
        (
            "%a = tensor.reshape(%x) {dims=(<12>,)}\n%y = tensor.reshape(%a) {dims=(<2>, <h=6>)}",
            "%y = tensor.reshape(%x) {dims=(<2>, <h=6>)} : f32[2, h=6]",
            "ReshapeOfReshape",
        ),
        (
            "%a = tensor.broadcast(%v) {dims=(<1>, <3>)}\n%y = tensor.broadcast(%a) {dims=(<batch@4>, <3>)}",
            "%y = tensor.broadcast(%v) {dims=(<batch@4>, <3>)} : f32[batch@4, 3]",
            "BroadcastOfBroadcast",
        ),
        ("%y = tensor.reverse(%x) {axes=()}", "%x", "ReverseNothing"),
        ("%a = tensor.reverse(%x) {axes=(1,)}\n%y = tensor.reverse(%a) {axes=(1,)}", "%x", "ReverseOfReverse"),
        ("%y = tensor.pad(%x) {low=(0, 0), high=(0, 0)}", "%x", "PadNothing"),
        ("%y = tensor.slice(%x) {starts=(0, 0), limits=(4, 3), strides=(1, 1)}", "%x", "SliceAll"),
        ("%y = tensor.concat(%x) {axis=0}", "%x", "ConcatOne"),
        ('%y = linear.einsum(%x) {spec="ab->ab"}', "%x", "EinsumSame"),
    ],
)
def test_rules_fire(body: str, expected: str, rule: str) -> None:
    found, fired = result(body)
    assert found == expected
    assert rule in fired


@pytest.mark.parametrize(
    ("body", "expected", "rule"),
    [
        ("%a = math.add(%v, %ones)\n%b = math.mul(%v, %ones)", "%b = tensor.broadcast(%v)", "MulOne"),
        ("%b = math.add(%i, %c0)", "%b = math.cast(%i) {dtype=!f32} : f32[3]", "AddZero"),
        ("%b = math.sum(%p) {axes=()}", "%b = math.cast(%p) {dtype=!i32} : i32[3]", "ReduceNothing"),
        ("%b = math.select(%yes, %i, %x)", "tensor.broadcast", "SelectConstant"),
    ],
)
def test_broadcasts_and_casts_take_the_place_of_arithmetic(body: str, expected: str, rule: str) -> None:
    found, fired = result(f"{body}\n%y = math.neg(%b)")
    after, _ = canonical(f"{body}\nreturn b = %b")
    assert any(line.startswith(expected) or expected in line for line in lines(after))
    assert rule in fired
    assert found.startswith("%y = math.neg(%b)")


DISTRIBUTION = "%d = dist.Normal(%x, %c1)\n"


@pytest.mark.parametrize(
    ("body", "operand", "rule"),
    [
        ("%e = dist.expand(%d) {dims=(<batch@4>, <3>)}", "%d", "ExpandSame"),
        ("%e = dist.independent(%d) {ndims=0}", "%d", "IndependentNothing"),
        (
            "%f = dist.independent(%d) {ndims=1}\n%e = dist.independent(%f) {ndims=1}",
            "dist.independent(%d) {ndims=2}",
            "IndependentOfIndependent",
        ),
        (
            "%f = dist.expand(%d) {dims=(<1>, <batch@4>, <3>)}\n%e = dist.expand(%f) {dims=(<7>, <batch@4>, <3>)}",
            "dist.expand(%d) {dims=(<7>, <batch@4>, <3>)}",
            "ExpandOfExpand",
        ),
    ],
)
def test_rules_about_distributions(body: str, operand: str, rule: str) -> None:
    after, fired = canonical(f"{DISTRIBUTION}{body}\n%m = prob.mean(%e)\nreturn m = %m")
    assert rule in fired
    assert any(operand in line for line in lines(after) if line.startswith(("%m", "%e")))


@pytest.mark.parametrize(
    "body",
    [
        "%a = math.log(%x)\n%y = math.exp(%a)",
        "%y = math.mul(%x, %c0)",
        "%y = math.sub(%x, %x)",
        "%y = math.sub(%c0, %x)",
        "%y = math.add(%x, %yes)",
        "%y = math.logsumexp(%x) {axes=()}",
        "%a = math.cast(%x) {dtype=!bf16}\n%y = math.cast(%a) {dtype=!f32}",
        "%a = math.cast(%i) {dtype=!f64}\n%y = math.cast(%a) {dtype=!u8}",
        "%y = math.mul(%c2, %c2)",
        "%y = math.pow(%c1, %x)",
        "%a = tensor.reverse(%x) {axes=(0,)}\n%y = tensor.reverse(%a) {axes=(1,)}",
        '%y = param.constrain(%x) {constraint="positive"}',
        "%a = tensor.reshape(%x) {dims=(<4>, <3>)}",
    ],
)
def test_what_is_not_exact_stays(body: str) -> None:
    text = f"{body}\nreturn y = {'%y' if '%y' in body else '%a'}"
    after, fired = canonical(text)
    assert fired == set()
    assert lines(after) == lines(module(f"{INPUTS}\n{text}"))


def test_a_plate_that_was_dropped_does_not_come_back_as_another() -> None:
    body = (
        "%a = tensor.broadcast(%w) {dims=(<4>,)}\n%b = tensor.broadcast(%a) {dims=(<other@4>,)}\nreturn b = %b"
    ).replace("%w", "%w0")
    text = f'plate other[4]\n\nfunc model {{\n%w0 = model.input() {{key="w", type=f32[batch@4]}}\n{body}\n}}'
    before = parse_module(f"module m\nplate batch[4]\n{text}", CORE_OPS)
    ctx = PassContext(CORE_OPS)
    assert Canonicalize().run(before, ctx) is before
    (refused,) = [entry for entry in ctx.journal.entries if entry.rule == "BroadcastOfBroadcast"]
    assert "plates `batch` and `other` meet on one axis" in refused.reason


LOOP = """
%o = region.repeat(%v, %c2, %v, %v) {carries=1, count=3}
  ^body(%h: f32[3], %c: f32[], %k: f32[3], %l: f32[3]) {
    %a = math.mul(%c, %h)
    %b = math.add(%a, %k)
    %d = math.add(%b, %l)
    return %d, %l
  }
"""


def test_regions_take_constants_in_and_capture_once() -> None:
    after, fired = canonical(LOOP.replace("%o =", "%o, %q =") + "return o = %o, q = %q")
    assert fired == {"ConstantIntoRegion", "CaptureOnce", "ConstantRight"}
    start = next(i for i, line in enumerate(lines(after)) if "region.repeat" in line)
    assert [line.partition(" by ")[0] for line in lines(after)[start:]] == [
        "%o, %q = region.repeat(%v, %v) {carries=1, count=3} : f32[3], f32[round=3, 3]",
        "^body(%h: f32[3], %k: f32[3]) {",
        "%c = tensor.const() {dtype=!f32, value=2.0} : f32[]",
        "%a = math.mul(%h, %c) : f32[3]",
        "%b = math.add(%a, %k) : f32[3]",
        "%d = math.add(%b, %k) : f32[3]",
        "return %d, %k",
        "}",
        "return o = %o, q = %q",
    ]


def test_every_rule_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [rule.name for rule in CANONICALIZE_RULES.rules if f'"{rule.name}"' not in source] == []
