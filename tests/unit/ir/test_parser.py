"""Text at fault ends in one diagnostic a fault, at its place; text by hand may leave out what can be inferred."""

from __future__ import annotations

import pytest

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Module, Objective, Optimizer
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.types import DistType, DType, MapType, TensorType
from bl_compiler.source import Span
from tests.support.ir_text import graph, named

FRAME = """\
module m
func model {{
  %x = model.input() {{key="x", type=f32[batch@4, 3]}}
  {line}
  %z = math.exp(%y)
  return y = %z
}}
"""
BODY = "region.draws(%x) {{count=2}}\n    ^body(%a: f32[batch@4, 3]) {{\n      {line}\n      return %b\n    }}"


def faults(text: str) -> list[tuple[str, int, int, int]]:
    """Messages with line, first and last column of what the parser marks."""
    with pytest.raises(CompileError) as caught:
        parse_module(text, CORE_OPS, file="a.blir")
    found = caught.value.diagnostics
    assert {d.code for d in found} == {"BLC0105"}
    assert all(d.span.file == "a.blir" for d in found)
    return [(d.message, d.span.line, d.span.column, d.span.end_column - 1) for d in found]


@pytest.mark.parametrize(
    ("line", "message", "marked"),
    [
        ("%y = math.exp(%q)", "`%q` is read before it is defined", "%q"),
        ("%y = math.expp(%x)", "unknown op `math.expp`, did you mean `math.exp`", "math.expp"),
        ("%y = math.exp(%x) : f32[3]", "`math.exp` gives f32[batch@4, 3], and the text says f32[3]", "f32[3]"),
        ("%y = math.exp(%x, %x)", "`math.exp` takes 1 operands, not 2", "math.exp"),
        ("%y = math.sum(%x)", "`math.sum` needs the attribute `axes`", "math.sum"),
        ('%y = math.sum(%x) {axes="q"}', "`math.sum` has an attribute of the wrong kind: `axes` = 'q'", "math.sum"),
        ("%y = math.sum(%x) {axes=(5,)}", "axes [5] of an array with 2 dimensions", "math.sum"),
        ("%y = math.exp(%x) {axis=1}", "`math.exp` has no attribute `axis`", "math.exp"),
        ("%y math.exp(%x)", "expected `=`, found `math.exp`", "math.exp"),
        ("%y = math.exp(%x ;", "expected `)`, found `;`", ";"),
        ("%y, %w = math.exp(%x)", "`math.exp` has 1 results, and 2 are named", "math.exp"),
        ("%y = math.exp(%x) @site", "`math.exp` carries no site", "math.exp"),
        ("%y = math.exp(%x) loc(3)", "expected a file name in quotes, found `3`", "3"),
        ("%y = math.exp(%?x)", "a value is read that nothing defines", "%?x"),
        ("%y = tensor.const() {value=elided(4), dtype=!f32}", "an elided constant cannot be read back", "elided"),
        ("%y = tensor.const() {value=1.0, dtype=!f33}", "unknown element type `f33`", "f33"),
        ("%y = tensor.const() {value=1.0.0, dtype=!f32}", "expected an attribute value", "1.0.0"),
        ("%y = tensor.const() {value=" + "9" * 5000 + ", dtype=!i32}", "number too long", "9" * 5000),
        ("%y = tensor.const() {value=" + "(" * 100 + ", dtype=!i32}", "tuples nested too deep", None),
        (r'%y = model.input() {key="\q", type=f32[]}', "malformed string", r'"\q"'),
        ('%y = model.input() {key="q", type=f32[-1]}', "a size cannot be negative", None),
        ("%y = dist.Normal(%x, %x) : Normal<f32[4][], foo=1>", "a distribution type has no `foo`", "foo"),
    ],
)
def test_one_fault_gives_one_message_at_its_place(line: str, message: str, marked: str | None) -> None:
    text = FRAME.format(line=line)
    ((found, at, first, last),) = faults(text)
    assert found.startswith(message)
    if marked is not None:
        assert text.split("\n")[at - 1][first - 1 : last] == marked
        assert at == 4


@pytest.mark.parametrize(
    ("line", "message", "at"),
    [
        ("%b = math.exp(%x)", "regions are closed: `%x` is defined outside; pass it as an operand", 6),
        ("%b = math.exp(%a", "expected `)`, found `return`", 7),
        ("%b = math.exp(%a)\n%b = math.exp(%a)", "`%b` is defined twice", 7),
        ("}", "expected `return`, found `}`", 6),
    ],
)
def test_faults_in_regions(line: str, message: str, at: int) -> None:
    text = FRAME.format(line="%y = " + BODY.format(line=line))
    assert (message, at) in [found[:2] for found in faults(text)]


def test_several_faults_are_told_at_once() -> None:
    text = FRAME.format(line="%y = math.exp(%q)\n  %w = math.log(%x) : f32[1]\n  %v = math.neg(%y)")
    assert [line for _, line, _, _ in faults(text)] == [4, 5]


def test_at_most_twenty_faults_are_told() -> None:
    text = FRAME.format(line="\n".join(f"%y{i} = math.exp(%q{i})" for i in range(50)))
    assert len(faults(text)) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected `module`, found the end of the text"),
        ("module", "expected the module's name, found the end of the text"),
        ("module m\nbogus", "expected `func`, `plate`, `objective`, `optimizer` or `option`, found `bogus`"),
        ("module m\nplate b[-]", "expected the plate's size, found `-`"),
        ('module m\nobjective elbo(samples="x")', "an objective has no `samples` of this kind"),
        ("module m\noptimizer adam(rate=(1,))", "`rate` is no number, string, truth value or schedule"),
        ("module m\nfunc f {", "expected `return`, found the end of the text"),
        ("module m\nfunc f { return } func f { return }", "function `f` is defined twice"),
        ("module m\nfunc f(%x: f32[], %x: f32[]) { return }", "`%x` is defined twice"),
        ("module m\nfunc f(%x: g32[]) { return }", "unknown element type `g32`"),
    ],
)
def test_faults_around_functions(text: str, message: str) -> None:
    assert faults(text)[0][0] == message


def test_regions_nested_too_deep_are_refused() -> None:
    text = "module m\nfunc f { " + "region.draws() {count=1} ^body() { " * 100
    assert faults(text)[0][0] == "regions nested too deep"


def test_a_sink_of_the_caller_gets_the_diagnostics_and_the_source() -> None:
    sink = Sink()
    with pytest.raises(CompileError) as caught:
        parse_module("module m\nfunc f { return %x }", CORE_OPS, file="a.blir", sink=sink)
    assert [d.message for d in sink.errors] == ["`%x` is read before it is defined"]
    assert "a.blir:2:17" in str(caught.value)
    assert "func f { return %x }" in str(caught.value)


def test_types_positions_and_spaces_may_be_left_out() -> None:
    terse = parse_module("module m func model{%y=tensor.const(){value=1.0,dtype=!f32}return y=%y,}", CORE_OPS)
    full = """
        // a comment
        module m
        func model {
          %one = tensor.const() {dtype = !f32, value = 1.0,} : f32[] in a by b loc("c":1:2-3:4)  // another
          return y = %one
        }"""
    assert parse_module(full, CORE_OPS) == terse


def test_the_header_is_read_in_full() -> None:
    text = """
        module "an odd name"
        plate batch[256] of 50000
        plate "odd plate"["n m"]
        objective iwae(samples=5, kl_weight=0.5, anneal=(0.0, 1.0, 100))
        optimizer adam(learning_rate=1e-05, nesterov=true, name="x", clip=none)
        option widths = (1, 2.0, "x", -inf)
        """
    module = parse_module(text, CORE_OPS)
    assert module == parse_module(print_module(module), CORE_OPS)
    assert [(p.name, p.size, p.total) for p in module.plates] == [("batch", 256, 50000), ("odd plate", "n m", None)]
    assert module.objective == Objective("iwae", 5, 0.5, (0.0, 1.0, 100))
    arguments = (("learning_rate", 1e-5), ("nesterov", True), ("name", "x"), ("clip", None))
    assert module.optimizer == Optimizer("adam", arguments)
    assert module.options == (("widths", (1, 2.0, "x", float("-inf"))),)


def test_spans_scopes_and_histories_are_read() -> None:
    found = graph(
        """
        %x = tensor.const() {dtype=!f32, value=1.0} in "a b" by AddZero, "odd rule" loc("c d.blg":1:2-3:4)
        return
        """
    )
    (node,) = found.nodes
    assert (node.scope, node.made_by) == ("a b", ("AddZero", "odd rule"))
    assert node.span == Span("c d.blg", 1, 2, 3, 4)
    assert named(found, "x") is node


def test_every_kind_of_type_is_read() -> None:
    text = (
        "module m func f(%a: f32[rows@n, time~5, h=2, k, 3], %b: Gamma<f32[batch@4][2]>, "
        "%c: Normal<f32[][], support=positive, reparameterized=false>, %d: map<f32[2] -> f32[3], 1>, "
        '%e: map<f32[2] -> f32[4], 1>, %f: Independent(Mixture(Poisson))<i32[]["odd name"=2]>) { return %a }'
    )
    module = parse_module(text, CORE_OPS)
    a, b, c, d, e, f = [value.type for value in module.functions["f"].args]
    assert isinstance(a, TensorType)
    assert str(a) == "f32[rows@n, time~5, h=2, k, 3]"
    assert isinstance(b, DistType)
    assert (b.support, b.reparameterized) == ("positive", True)
    assert isinstance(c, DistType)
    assert (c.support, c.reparameterized) == ("positive", False)
    assert isinstance(d, MapType)
    assert isinstance(e, MapType)
    assert (d.codomain.shape, e.codomain.shape) == ((3,), (4,))
    assert isinstance(f, DistType)
    assert (f.dtype, f.support, f.reparameterized) == (DType.I32, "nonnegative_integer", False)
    assert parse_module(print_module(module), CORE_OPS) == module


def test_special_numbers_keep_apart() -> None:
    def constant(text: str) -> Module:
        line = f"%x = tensor.const() {{dtype=!f32, value={text}}} return"
        return parse_module(f"module m func f {{ {line} }}", CORE_OPS)

    texts = ["0.0", "-0.0", "nan", "inf", "-inf", "1", "1.0", "true", "1e-300", "(1,)", "(1.0,)", "()"]
    found = [constant(text) for text in texts]
    assert [[a == b for b in found] for a in found] == [[i == j for j in range(len(texts))] for i in range(len(texts))]
    assert [
        text for text, module in zip(texts, found, strict=True) if f"value={text}}}" in print_module(module)
    ] == texts
