"""`blc repro`: replaying and shrinking reproducers.

Invariant: passes are broken on purpose for the test and mended after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bl_compiler.diagnostics import CompileError, Diagnostic, Severity
from bl_compiler.driver.shrink import shrink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.cse import Cse
from tests.support.shell import REGRESSION, Shell

Fault = Callable[[], Exception]


def holds_relu(module: Module) -> bool:
    return any(node.op.name == "math.relu" for graph in module.functions.values() for node in walk(graph))


def break_cse(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Let `cse` fail on modules with a relu."""
    right = Cse.run

    def run(self: Cse, module: Module, ctx: Any) -> Module:
        if holds_relu(module):
            raise fault()
        return right(self, module, ctx)

    monkeypatch.setattr(Cse, "run", run)


def model_error() -> Exception:
    return CompileError([Diagnostic("BLC0304", Severity.ERROR, "no such estimator")])


@pytest.fixture
def reproducer(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a reproducer that an assertion in `cse` left, and still leaves."""
    blc.write("m.blg", REGRESSION)
    break_cse(monkeypatch, lambda: AssertionError("broken on purpose\nmore"))
    done = blc("compile", "m.blg", "--emit=none")
    assert done.code == 70
    (name,) = [name for name in blc.files() if name.startswith("blc-repro-")]
    assert f"`blc repro {name}` replays" in done.err
    return name


def test_a_defect_that_is_still_there(blc: Shell, reproducer: str) -> None:
    done = blc("repro", reproducer)
    assert done == (70, "", "it still fails in pass `cse`: AssertionError: broken on purpose\n")
    assert blc("repro", reproducer, "-q").err == done.err
    assert "Traceback" in blc("repro", reproducer, "--traceback").err
    assert [name for name in blc.files() if name.startswith("blc-repro-")] == [reproducer]


def test_a_defect_that_is_gone(blc: Shell, reproducer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(blc.folder)
    for arguments in ((), ("--shrink",)):
        assert blc("repro", reproducer, *arguments) == (0, "", "it no longer fails\n")


def test_another_failure_is_told_apart(blc: Shell, reproducer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_cse(monkeypatch, model_error)
    done = blc("repro", reproducer)
    assert (done.code, done.out) == (1, "")
    assert done.err == "it fails in another way in pass `cse`: error[BLC0304]: no such estimator\n"


def test_a_reproducer_written_without_a_failure(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    blc("compile", "m.blg", "--emit=none", "--emit-repro")
    (name,) = [name for name in blc.files() if name.startswith("blc-repro-")]
    assert blc("repro", name) == (0, "", "it does not fail\n")


def test_what_passes_are_told_is_recorded_and_told_again(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes see the preference among estimators and the target; a replay sees those of the failure."""

    def run(self: Cse, module: Module, ctx: PassContext) -> Module:
        if (ctx.estimators, ctx.target) != ("auto", "cpu"):
            raise AssertionError(f"{ctx.estimators} on {ctx.target}")
        return module

    monkeypatch.setattr(Cse, "run", run)
    blc.write("m.blg", REGRESSION)
    assert blc("compile", "m.blg", "--emit=none").code == 0
    assert blc("compile", "m.blg", "--emit=none", "--estimators", "low-variance", "--target", "tpu").code == 70
    (name,) = [name for name in blc.files() if name.startswith("blc-repro-")]
    assert "// estimators: low-variance\n// target: tpu\n" in blc.read(name)
    assert blc("repro", name).err.endswith("it still fails in pass `cse`: AssertionError: low-variance on tpu\n")
    assert blc("opt", "m.blg", "-p", "cse", "--estimators", "shared").code == 70
    assert blc("repro", name, "--shrink").code == 70
    assert "// estimators: low-variance\n// target: tpu\n" in blc.read(name.replace(".blir", ".small.blir"))


@pytest.mark.parametrize("fault", [lambda: KeyError("x"), model_error])
def test_shrinking_keeps_the_failure_and_little_else(
    blc: Shell, reproducer: str, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    break_cse(monkeypatch, fault)
    code = blc("repro", reproducer).code
    done = blc("repro", reproducer, "--shrink", "-o", "small.blir")
    assert (done.code, done.out) == (code, "")
    assert "wrote small.blir: 2 of " in done.err
    module = parse_module(blc.read("small.blir"), CORE_OPS)
    verify(module)
    assert sorted(node.op.name for graph in module.functions.values() for node in graph.nodes) == [
        "math.relu",
        "model.input",
    ]
    assert "// pipeline: cse\n" in blc.read("small.blir")
    again = blc("repro", "small.blir")
    assert (again.code, "still fails in pass `cse`" in again.err) == (code, True)
    assert blc("repro", "small.blir", "--shrink", "-o", "-").out == blc.read("small.blir")


def test_the_smaller_file_goes_beside_the_other(blc: Shell, reproducer: str) -> None:
    assert blc("repro", reproducer, "--shrink").code == 70
    assert reproducer.replace(".blir", ".small.blir") in blc.files()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.blir"], 2, "cannot read `missing.blir`"),
        (["m.blir"], 2, "does not say which passes failed"),
        (["broken.blir"], 1, "BLC0105"),
        (["m.blir", "-o", "x"], 2, "`-o` is given without `--shrink`"),
    ],
)
def test_what_is_no_reproducer_is_refused(blc: Shell, arguments: list[str], code: int, words: str) -> None:
    blc.write("m.blg", REGRESSION)
    blc("opt", "m.blg", "-o", "m.blir")
    blc.write("broken.blir", "// pipeline: cse\nmodule m\nfunc f {\n  return %x\n}\n")
    done = blc("repro", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


def test_shrinking_stops_after_so_many_tries(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION)
    module = parse_module(blc("opt", "m.blg").out, CORE_OPS)
    asked: list[Module] = []

    def holds(candidate: Module) -> bool:
        asked.append(candidate)
        return holds_relu(candidate)

    assert holds_relu(shrink(module, holds, tries=10))
    assert len(asked) == 10
    assert shrink(module, lambda _: False) is module
