"""The text form reads as intended."""

from __future__ import annotations

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Output, PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.printer import Namer, print_graph, print_module, print_window
from bl_compiler.ir.text import type_text
from bl_compiler.ir.types import Dim, DimKind, DistType, DType, MapType, TensorType
from bl_compiler.source import Span
from tests.support.ir_text import graph, named

BATCH = Dim(4, "batch", DimKind.PLATE)


def small() -> Graph:
    b = GraphBuilder(CORE_OPS, "model")
    b.span = Span("cnn.blg", 3, 5, 3, 20)
    x = b.add("model.input", name="x", key="x", type=TensorType(DType.F32, (BATCH, Dim(3))))
    b.scope, b.made_by = "logits/dense", ("AddZero", "cse")
    h = b.add("math.sum", x, name="h", axes=(1,))
    d = b.add("dist.Normal", h, b.const(1.0, DType.F32))
    b.add("random.draw", d, site="noise/0", name="h")
    return b.finish([("loss", h), ("param:logits/kernel", x)])


def test_a_module_prints_as_people_read_it() -> None:
    module = Module("cnn", {"model": small()}, (PlateInfo("batch", 4, 100), PlateInfo("rows", "n")))
    at = ' loc("cnn.blg":3:5-3:20)'
    by = " in logits/dense by AddZero, cse" + at
    assert print_module(module).splitlines() == [
        "module cnn",
        "plate batch[4] of 100",
        "plate rows[n]",
        "objective elbo(samples=1, kl_weight=1.0)",
        "optimizer adam(learning_rate=0.001)",
        "",
        "func model {",
        '  %x = model.input() {key="x", type=f32[batch@4, 3]} : f32[batch@4, 3]' + at,
        "  %h = math.sum(%x) {axes=(1,)} : f32[batch@4]" + by,
        "  %0 = tensor.const() {dtype=!f32, value=1.0} : f32[]" + by,
        "  %1 = dist.Normal(%h, %0) : Normal<f32[batch@4][]>" + by,
        "  %h_1 = random.draw(%1) @noise/0 : f32[batch@4]" + by,
        "  return loss = %h, param:logits/kernel = %x",
        "}",
    ]


def test_regions_are_indented_below_their_op() -> None:
    text = """\
        %x = model.input() {key="x", type=f32[3]}
        %y = region.repeat(%x) {carries=1, count=12}
          ^body(%h: f32[3]) {
            %g = math.tanh(%h)
            return %g
          }
        return y = %y
        """
    assert print_graph(graph(text)).splitlines() == [
        "func model {",
        '  %x = model.input() {key="x", type=f32[3]} : f32[3]',
        "  %y = region.repeat(%x) {carries=1, count=12} : f32[3]",
        "    ^body(%h: f32[3]) {",
        "      %g = math.tanh(%h) : f32[3]",
        "      return %g",
        "    }",
        "  return y = %y",
        "}",
    ]


def test_long_constants_can_be_cut() -> None:
    b = GraphBuilder(CORE_OPS, "model")
    b.const(tuple(float(i) for i in range(20)), DType.F32)
    assert "value=elided(20)" in print_graph(b.finish(), elide=16)
    assert "19.0" in print_graph(b.finish(), elide=20)


def test_many_outputs_go_on_lines_of_their_own() -> None:
    x = Value(TensorType(DType.F32), "x")
    outputs = tuple(Output(f"param:{i}/a/long/path/of/a/weight", x) for i in range(5))
    lines = print_graph(Graph("init", (), outputs, (x,))).splitlines()
    assert lines[0] == "func init(%x: f32[]) {"
    assert lines[1:3] == ["  return", "    param:0/a/long/path/of/a/weight = %x,"]
    assert lines[-2:] == ["    param:4/a/long/path/of/a/weight = %x", "}"]


def test_names_are_unique_and_stay_when_they_are() -> None:
    namer = Namer()
    given = [namer.name(hint) for hint in ["h", "", "h", "h_1", "1st", "a b", "", "é"]]
    assert given == ["%h", "%0", "%h_1", "%h_1_1", "%_1st", "%a_b", "%1", "%_"]
    again = Namer()
    assert [again.name("" if name[1:].isdecimal() else name[1:]) for name in given] == given


def test_types_say_what_their_family_does_not_imply() -> None:
    dims = (Dim(3, "features"), Dim("n", "rows", DimKind.PLATE), Dim(5, "time", DimKind.TIME), Dim("k"), Dim(2))
    assert type_text(TensorType(DType.BF16, dims)) == "bf16[features=3, rows@n, time~5, k, 2]"
    assert type_text(DistType("Gamma", DType.F32, (), (), "positive")) == "Gamma<f32[][]>"
    assert type_text(DistType("Gamma", DType.F32)) == "Gamma<f32[][], support=real>"
    odd = DistType("Mixture(Normal)", DType.F32, (), (Dim(2),), "real", reparameterized=True)
    assert type_text(odd) == "Mixture(Normal)<f32[][2], reparameterized=true>"
    vector = TensorType(DType.F32, (Dim(2),))
    assert type_text(MapType(vector, vector, 1)) == "map<f32[2] -> f32[2], 1>"


def test_odd_names_of_dimensions_are_quoted() -> None:
    assert str(Dim(3, "a b")) == '"a b"=3'
    assert str(Dim("2 n")) == '"2 n"'
    assert str(Dim(3, None, DimKind.PLATE)) == "@3"


def test_a_window_marks_the_node_and_leaves_out_what_is_far() -> None:
    b = GraphBuilder(CORE_OPS, "model")
    x = b.const(1.0, DType.F32)
    nodes = [b.emit("math.exp", [x], {}, name=f"n{i}") for i in range(20)]
    lines = print_window(b.finish(), nodes[10], radius=2).splitlines()
    assert [line.partition(" =")[0] for line in lines] == ["  …", "  %n8", "  %n9", "> %n10", "  %n11", "  %n12", "  …"]


def test_a_window_shows_the_region_that_holds_the_node() -> None:
    outer = graph(
        """
        %x = model.input() {key="x", type=f32[3]}
        %y = region.draws(%x) {count=2}
          ^body(%a: f32[3]) {
            %b = math.exp(%a)
            return %b
          }
        return y = %y
        """
    )
    inner = named(outer, "y").attrs.graph("body").nodes[0]
    assert print_window(outer, inner) == "> %b = math.exp(%a) : f32[3]"


def test_graphs_that_do_not_verify_print() -> None:
    x, y = Value(TensorType(DType.F32), "x"), Value(TensorType(DType.F32), "y")
    node = Node(CORE_OPS["math.exp"], (x,), CORE_OPS["math.exp"].complete({}), (y,))
    assert "%y = math.exp(%?x)" in print_graph(Graph("g", (node,), (Output("z", x),)))


def test_graphs_and_modules_show_their_text() -> None:
    assert repr(small()) == print_graph(small())
    assert repr(Module("m", {"model": small()})).startswith("module m\n")
