"""Each instrument does its one thing, and files are on disk before the next pass starts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bl_compiler.diagnostics import CompileError
from bl_compiler.ir.errors import InternalError
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.verify import VerifyError
from bl_compiler.passes.base import Instrument, Pass
from bl_compiler.passes.dumps import DumpIR, Reproducer, read_header, write_reproducer
from bl_compiler.passes.instruments import PrintIR, ReferenceCheck, StopAfter, TimePasses, VerifyEach
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline
from tests.support.ir_text import lines, module
from tests.unit.passes.toy import TOYS, context

TEXT = """
    %x = tensor.const() {dtype=!f32, value=2.0}
    %y = math.square(%x) in dense loc("m.blg":2:3-2:9)
    return y = %y
    """


def pipeline(text: str) -> Pipeline:
    return Pipeline.parse(text, TOYS)


def test_verify_each_finds_the_pass_that_broke_the_module() -> None:
    with pytest.raises(VerifyError, match=r"after reverse-nodes: function `model`: `math.square` reads `%x` before"):
        run_pipeline(module(TEXT), pipeline("nothing,reverse-nodes"), context(VerifyEach()))
    bad = run_pipeline(module(TEXT), pipeline("reverse-nodes"), context())
    with pytest.raises(VerifyError, match=r"^function `model`"):
        run_pipeline(bad, pipeline("nothing"), context(VerifyEach()))


def test_time_passes_lists_every_run() -> None:
    times = TimePasses()
    run_pipeline(module(TEXT), pipeline("nothing,square-to-mul,nothing"), context(times))
    assert [name for name, _ in times.times] == ["nothing", "square-to-mul", "nothing"]
    assert [line.split()[-1] for line in times.table().splitlines()] == ["nothing", "square-to-mul", "nothing", "total"]


def test_the_reference_check_compares_before_and_after() -> None:
    def ops(found: Module) -> tuple[str, ...]:
        return tuple(node.op.name for node in found.functions["model"].nodes)

    def differ(before: tuple[str, ...], after: tuple[str, ...], ran: Pass) -> str | None:
        return f"{before[1]} became {after[1]}" if before != after else None

    check = ReferenceCheck(ops, differ)
    run_pipeline(module(TEXT), pipeline("nothing"), context(check))
    message = "BLC0403: pass `square-to-mul` changed the meaning of the program: math.square became math.mul"
    with pytest.raises(InternalError, match=message):
        run_pipeline(module(TEXT), pipeline("nothing,square-to-mul"), context(check))


def printed(instrument: PrintIR, out: list[str], text: str) -> list[str]:
    out.clear()
    run_pipeline(module(TEXT), pipeline(text), context(instrument))
    return [line.partition(" (")[0] for each in out for line in each.splitlines() if line.startswith("//")]


def test_modules_are_printed_where_asked() -> None:
    out: list[str] = []
    both = "nothing,square-to-mul"
    assert printed(PrintIR(out.append), out, both) == []
    assert printed(PrintIR(out.append, after_passes=()), out, both) == ["// after nothing", "// after square-to-mul"]
    assert printed(PrintIR(out.append, after_passes=["nothing"]), out, both) == ["// after nothing"]
    assert printed(PrintIR(out.append, before_passes=["square-to-mul"]), out, both) == ["// before square-to-mul"]
    changed = PrintIR(out.append, after_passes=(), changed_only=True)
    assert printed(changed, out, both) == ["// after square-to-mul"]
    assert out[0].startswith("// after square-to-mul (1 rewrite, ")
    assert "math.mul" in out[0]
    assert not out[0].endswith("\n")


def test_the_module_that_entered_a_failing_pass_is_printed() -> None:
    out: list[str] = []
    with pytest.raises(RuntimeError):
        printed(PrintIR(out.append, on_failure=True), out, "crash{message=bang}")
    assert out[0].startswith("// before crash{message=bang}, which failed\nmodule m\n")


def test_stop_after() -> None:
    after = run_pipeline(module(TEXT), pipeline("nothing,square-to-mul"), context(StopAfter("nothing")))
    assert "math.square" in lines(after)[1]
    with pytest.raises(CompileError, match="cannot stop after `bogus`, which is not in the pipeline `nothing`"):
        run_pipeline(module(TEXT), pipeline("nothing"), context(StopAfter("bogus")))


class Looks(Instrument):
    """Notes the files that are there when a pass starts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen: list[list[str]] = []

    def before(self, upcoming: Pass, module: Module) -> None:
        self.seen.append(sorted(path.name for path in self.directory.iterdir()))


def dump(directory: Path, text: str, *, everything: bool = False) -> list[list[str]]:
    ctx = context()
    looks = Looks(directory)
    ctx.instruments = (DumpIR(directory, ctx.journal, everything=everything), looks)
    run_pipeline(module(TEXT), pipeline(text), ctx)
    return looks.seen


def test_dumps_are_written_before_the_next_pass(tmp_path: Path) -> None:
    directory = tmp_path / "m.dump"
    always = ["00_parse.blir", "index.json", "trace.jsonl"]
    seen = dump(directory, "nothing,square-to-mul,nothing")
    assert seen == [always, always, ["00_parse.blir", "02_square-to-mul.blir", "index.json", "trace.jsonl"]]
    index = json.loads((directory / "index.json").read_text())
    assert [(e["n"], e["pass"], e["changed"], e["nodes"], e["rewrites"]) for e in index] == [
        (0, "parse", True, [2, 2], 0),
        (1, "nothing", False, [2, 2], 0),
        (2, "square-to-mul", True, [2, 2], 1),
        (3, "nothing", False, [2, 2], 0),
    ]
    for entry in index:
        if entry["changed"]:
            data = (directory / entry["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    trace = [json.loads(line) for line in (directory / "trace.jsonl").read_text().splitlines()]
    assert [(t["pass"], t["rule"], t["fired"], t["reason"], t["span"], t["scope"]) for t in trace] == [
        ("square-to-mul", "SquareToMul", False, "no square", None, ""),
        ("square-to-mul", "SquareToMul", True, "", "m.blg:2:3", "dense"),
    ]


def test_a_dump_can_be_taken_up_again(tmp_path: Path) -> None:
    dump(tmp_path, "square-to-mul,nothing{fast=true}")
    text = tmp_path / "02_nothing.blir"
    assert not text.exists()
    text = tmp_path / "01_square-to-mul.blir"
    assert read_header(text.read_text()) == {"after": "square-to-mul", "pipeline": "nothing{fast=true}"}
    again = parse_module(text.read_text(), CORE_OPS)
    assert "math.mul" in lines(again)[1]


def test_dumps_of_every_pass(tmp_path: Path) -> None:
    dump(tmp_path, "nothing", everything=True)
    assert (tmp_path / "01_nothing.blir").exists()


def test_only_folders_of_dumps_are_cleared(tmp_path: Path) -> None:
    dump(tmp_path, "square-to-mul")
    dump(tmp_path, "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00_parse.blir", "index.json", "trace.jsonl"]
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(CompileError, match=r"holds `thesis.tex`, which is no dump"):
        dump(tmp_path, "nothing")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_failing_pass_leaves_one_reproducer(tmp_path: Path) -> None:
    noted: list[Path] = []
    reproducer = Reproducer(tmp_path, {"blc": "0.1", "python": "3.11"}, noted.append)
    with pytest.raises(RuntimeError):
        run_pipeline(module(TEXT), pipeline("square-to-mul,crash{message=bang},nothing"), context(reproducer))
    (path,) = tmp_path.iterdir()
    assert noted == [path] == [reproducer.path]
    text = path.read_text()
    assert read_header(text) == {
        "blc-repro": "1",
        "pipeline": "crash{message=bang},nothing",
        "versions": "blc 0.1, python 3.11",
        "error": "RuntimeError: bang",
    }
    entered = run_pipeline(module(TEXT), pipeline("square-to-mul"), context())
    assert parse_module(text, CORE_OPS) == entered
    with pytest.raises(RuntimeError, match="bang"):
        run_pipeline(entered, pipeline(read_header(text)["pipeline"]), context())


def test_the_name_of_a_reproducer_follows_from_its_content(tmp_path: Path) -> None:
    found = module(TEXT)
    first = write_reproducer(tmp_path, found, pipeline("nothing"), {"blc": "0.1"})
    assert write_reproducer(tmp_path, found, pipeline("nothing"), {"blc": "0.1"}) == first
    assert write_reproducer(tmp_path, found, pipeline("nothing,nothing"), {"blc": "0.1"}) != first
    assert first.read_text().endswith(print_module(found))


def test_a_fault_of_the_user_leaves_no_reproducer(tmp_path: Path) -> None:
    reproducer = Reproducer(tmp_path, {}, ignore=(RuntimeError,))
    with pytest.raises(RuntimeError):
        run_pipeline(module(TEXT), pipeline("crash{message=bang}"), context(reproducer))
    assert list(tmp_path.iterdir()) == []
    assert reproducer.path is None
