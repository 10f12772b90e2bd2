"""The manager enforces facts, tells what ran before a failure, and calls the hooks in order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bl_compiler.diagnostics import CompileError
from bl_compiler.ir.graph import Module
from bl_compiler.passes.base import Instrument, Pass, PassRecord
from bl_compiler.passes.manager import run_pipeline
from bl_compiler.passes.pipeline import Pipeline
from tests.support.ir_text import lines, module
from tests.unit.passes.toy import TOYS, context

TEXT = """
    %x = tensor.const() {dtype=!f32, value=2.0}
    %y = math.square(%x)
    return y = %y
    """


@dataclass
class Log(Instrument):
    """Notes every call."""

    calls: list[str] = field(default_factory=list)
    skip: str = ""
    last: str = ""

    def begin(self, module: Module, pipeline: Pipeline) -> None:
        self.calls.append(f"begin {pipeline}")

    def should_run(self, upcoming: Pass, module: Module) -> bool:
        return upcoming.name != self.skip

    def before(self, upcoming: Pass, module: Module) -> None:
        self.calls.append(f"before {upcoming}")

    def after(self, record: PassRecord) -> None:
        change = "changed" if record.changed else "same"
        self.calls.append(f"after {record.index} {record.ran} {change} {record.rewrites} rest {record.rest}")

    def failed(self, culprit: Pass, module: Module, rest: Pipeline, error: Exception) -> None:
        self.calls.append(f"failed {culprit} rest {rest}: {error}")

    def stop(self, record: PassRecord) -> bool:
        return record.ran.name == self.last

    def end(self, module: Module) -> None:
        self.calls.append("end")


def test_hooks_are_called_in_order() -> None:
    log = Log()
    after = run_pipeline(module(TEXT), Pipeline.parse("nothing,square-to-mul", TOYS), context(log))
    assert lines(after)[1] == "%y = math.mul(%x, %x) : f32[] by SquareToMul"
    assert log.calls == [
        "begin nothing,square-to-mul",
        "before nothing",
        "after 1 nothing same 0 rest square-to-mul",
        "before square-to-mul",
        "after 2 square-to-mul changed 1 rest ",
        "end",
    ]


def test_instruments_skip_and_stop() -> None:
    log = Log(skip="square-to-mul", last="nothing")
    run_pipeline(module(TEXT), Pipeline.parse("square-to-mul,nothing,nothing", TOYS), context(log))
    assert [call for call in log.calls if call.startswith("after")] == ["after 2 nothing same 0 rest nothing"]
    assert log.calls[-1] == "end"


def test_a_failure_names_the_pass_and_what_ran_before() -> None:
    log = Log()
    with pytest.raises(RuntimeError, match="bang") as caught:
        run_pipeline(module(TEXT), Pipeline.parse("nothing,crash{message=bang},nothing", TOYS), context(log))
    assert caught.value.__notes__ == ["in pass `crash{message=bang}`, after: nothing"]
    assert log.calls[-1] == "failed crash{message=bang} rest crash{message=bang},nothing: bang"


def test_facts_that_a_pass_requires_must_hold() -> None:
    with pytest.raises(CompileError, match="pass `needs-entries` needs `entries`, which nothing before it establishes"):
        run_pipeline(module(TEXT), Pipeline.parse("needs-entries", TOYS), context())
    run_pipeline(module(TEXT), Pipeline.parse("makes-entries,needs-entries", TOYS), context())
    run_pipeline(module(TEXT, function="predict"), Pipeline.parse("needs-entries", TOYS), context())
