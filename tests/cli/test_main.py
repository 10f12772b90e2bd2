"""Exit codes, streams, suggestions, crashes, colors and the options file: what all commands share.

Invariant: stdout holds what was asked for and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bl_compiler.cli.exits import exit_of
from bl_compiler.cli.term import use_color
from bl_compiler.diagnostics import BackendError, Diagnostic, Label, Severity, UnavailableError
from bl_compiler.source import Span
from tests.house.code import ROOT
from tests.support.shell import BROKEN, REGRESSION, Shell

GOLDEN = Path(__file__).parent / "golden"


class JaxRuntimeError(RuntimeError):
    """Stands in for XLA's error, which is known by its name."""


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"], ["compile", "-h"], ["train", "--help"]])
def test_help_is_as_reviewed(blc: Shell, arguments: list[str]) -> None:
    done = blc(*arguments)
    assert (done.code, done.err) == (0, "")
    golden = GOLDEN / f"{'_'.join(arguments).replace('--', '').replace('-h', 'brief')}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(done.out, encoding="utf-8")
    assert done.out == golden.read_text(encoding="utf-8")


def test_the_first_help_fits_one_screen(blc: Shell) -> None:
    lines = blc("--help").out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_the_brief_help_hides_compiler_development(blc: Shell) -> None:
    assert "--dump-ir DIR" not in blc("compile", "-h").out
    assert "--dump-ir DIR" in blc("compile", "--help").out


def test_no_command_is_bad_usage_and_shows_the_help(blc: Shell) -> None:
    done = blc()
    assert (done.code, done.out) == (2, "")
    assert "Usage: blc" in done.err


@pytest.mark.parametrize("arguments", [["--version"], ["version"], ["version", "--json"]])
def test_versions(blc: Shell, arguments: list[str]) -> None:
    from bl_compiler import __version__

    done = blc(*arguments)
    assert (done.code, done.err) == (0, "")
    assert __version__ in done.out


def test_the_version_is_that_of_the_project() -> None:
    import tomllib

    from bl_compiler import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert __version__ == project["version"]


# --- bad usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compil", "m.blg"], "did you mean `blc compile`?"),
        (["check", "--mesage-format", "json", "m.blg"], "did you mean `--message-format`?"),
        (["compile", "m.blg", "--targte=cpu"], "did you mean `--target`?"),
        (["compile", "m.blg", "--target=cpuu"], "did you mean `cpu`?"),
        (["compile", "m.blg", "--emit=stablehlop"], "did you mean `stablehlo`?"),
        (["compile", "m.blg", "-O7"], "the levels are 0, 1 and 2"),
        (["compile", "m.blg", "-D", "1=2"], "`1=2` is not NAME=VALUE"),
        (["compile", "m.blg", "-D", "widht=2"], "did you mean `width`?"),
        (["compile", "m.blg", "--model", "regresion"], "did you mean `regression`?"),
        (["compile", "m.blg", "--deny", "unused-inptu"], "did you mean `unused-input`?"),
        (["compile", "m.blg", "--passes", "+csee"], "did you mean `cse`?"),
        (["check"], "missing argument"),
        (["info", "missing.blg"], "cannot read `missing.blg`: no such file or directory"),
        (["train", "m.blg", "--data", "d.npz", "--out", "o", "--validation", "nan"], "nan is not a number"),
        (["check", "m.blg", "--modle", "m"], "did you mean `--model`?"),
        (["compile", "m.blg", "--print-ir-after=flod"], "did you mean `fold`?"),
        (["compile", "m.blg", "--emit", ","], "`--emit` names no kind of output"),
        (["list", "pases"], "`passes`"),
        (["explain", "conv2"], "did you mean `conv2d`?"),
        (["explain", "BLC9999"], "nothing is called `BLC9999`"),
        (["--config", "missing.toml", "list", "levels"], "cannot read the options file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_exits_with_2_and_says_the_way_out(blc: Shell, arguments: list[str], words: str) -> None:
    blc.write("m.blg", REGRESSION)
    done = blc(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error[BLC0")
    assert words in done.err


def test_bad_usage_is_json_where_messages_are(blc: Shell) -> None:
    done = blc("check", "--message-format=json", "--nonsense", "m.blg")
    assert done.code == 2
    first, last = (json.loads(line) for line in done.err.splitlines())
    assert (first["type"], first["code"]) == ("diagnostic", "BLC0003")
    assert last == {"type": "summary", "errors": 1, "warnings": 0, "exit": 2}


# --- exit codes ------------------------------------------------------------------------------------------------------


def diagnostic(code: str, *, severity: Severity = Severity.ERROR, placed: bool = False) -> Diagnostic:
    labels = [Label(Span("m.blg", 1, 1, 1, 2), primary=True)] if placed else []
    return Diagnostic(code, severity, "text", labels)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([diagnostic("BLC0357", severity=Severity.WARNING)], 0),
        ([diagnostic("BLC0357")], 1),
        ([diagnostic("BLC0001")], 2),
        ([diagnostic("BLC0001", placed=True)], 1),
        ([diagnostic("BLC0201", placed=True), diagnostic("BLC0010")], 2),
        ([Diagnostic("BLC0402", Severity.ERROR, "", [Label(Span("<pipeline>", 1, 1, 1, 2), primary=True)])], 2),
        ([diagnostic("BLC0602")], 3),
        ([diagnostic("BLC0603", placed=True)], 4),
    ],
)
def test_the_gravest_error_decides(found: list[Diagnostic], code: int) -> None:
    assert exit_of(found) == code


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (UnavailableError("no GPU here"), 3, "no GPU here"),
        (BackendError("RESOURCE_EXHAUSTED"), 4, "RESOURCE_EXHAUSTED"),
        (MemoryError(), 4, "memory ran out"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: 1 TiB\nmore"), 4, "error[BLC0603]: RESOURCE_EXHAUSTED: 1 TiB"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "out.txt"), 2, "`out.txt`: permission denied"),
        (ZeroDivisionError("by zero"), 70, "internal compiler error: ZeroDivisionError: by zero"),
        (RecursionError("deep"), 70, "internal compiler error"),
    ],
)
def test_whatever_happens_becomes_an_exit_code(
    blc: Shell, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, words: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise fault

    monkeypatch.setattr("bl_compiler.cli.cmd_list.json.dumps", fail)
    done = blc("list", "levels", "--json")
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_crash_leaves_a_report_that_names_the_command(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("bl_compiler.cli.cmd_list.json.dumps", fail)
    done = blc("list", "levels", "--json")
    (report,) = blc.files()
    assert report in done.err
    text = blc.read(report)
    assert "command: blc list levels --json" in text
    assert "ZeroDivisionError: by zero" in text
    assert "jaxlib: " in text
    again = blc("list", "levels", "--json", "--traceback")
    assert blc.files() == sorted({report, *blc.files()})
    assert "Traceback" in again.err


# --- streams ---------------------------------------------------------------------------------------------------------


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    code = "import sys; from bl_compiler.cli.main import main; sys.exit(main(['list', 'ops', '--json']))"
    command = f'{sys.executable} -c "{code}" | head -c 10; echo ${{PIPESTATUS[0]}} >&2'
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "0\n"
    assert len(done.stdout) == 10


@pytest.mark.parametrize(("closed", "code"), [(">&-", 1), ("2>&-", 1), (">&- 2>&- <&-", 1), ("<&-", 0)])
def test_closed_streams_end_quietly(tmp_path: Path, closed: str, code: int) -> None:
    (tmp_path / "m.blg").write_text(BROKEN, encoding="utf-8")
    # Without a stdin, `-` reads an empty text.
    command = f"{sys.executable} -m bl_compiler check {'-' if closed == '<&-' else 'm.blg'} {closed}; echo $? >status"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "status").read_text() == f"{code}\n"


class Tty(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "tty", "expected"),
    [
        (None, {}, False, False),
        (None, {}, True, True),
        (None, {"TERM": "dumb"}, True, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"NO_COLOR": "", "TERM": "xterm"}, True, True),
        (None, {"FORCE_COLOR": "1"}, False, True),
        (None, {"CLICOLOR_FORCE": "1"}, False, True),
        (None, {"FORCE_COLOR": "0"}, False, False),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        (None, {"BLC_COLOR": "always", "NO_COLOR": "1"}, False, True),
        ("never", {"BLC_COLOR": "always", "FORCE_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
    ],
)
def test_color_is_decided_in_the_stated_order(
    choice: str | None, environ: dict[str, str], tty: bool, expected: bool
) -> None:
    assert use_color(choice, Tty() if tty else io.StringIO(), environ) is expected


def test_color_reaches_messages_but_never_json(blc: Shell) -> None:
    blc.write("m.blg", BROKEN)
    assert "\x1b[" in blc("check", "--color=always", "m.blg").out
    assert "\x1b[" in blc("--color=always", "check", "m.blg").out
    assert "\x1b[" not in blc("check", "--color=always", "--message-format=json", "m.blg").out
    assert "\x1b[" not in blc("check", "m.blg").out


# --- options file and environment ------------------------------------------------------------------------------------


def origins(blc: Shell, *arguments: str) -> dict[str, tuple[str, str]]:
    done = blc(*arguments, "info", "--options", "--json")
    assert (done.code, done.err) == (0, "")
    return {row["option"]: (row["value"], row["origin"]) for row in json.loads(done.out)}


def test_flag_beats_environment_beats_file_beats_default(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert origins(blc)["--target"] == ("-", "default")
    blc.write("blc.toml", 'target = "tpu"\nopt-level = 2\ndefine = { bayesian = false }\n[compile]\nopt-level = 0\n')
    found = origins(blc)
    assert found["--target"] == ("tpu", "options file")
    assert found["--opt-level"] == ("0", "options file")
    assert found["--define"] == ("bayesian=false", "options file")
    monkeypatch.setenv("BLC_TARGET", "gpu")
    assert origins(blc)["--target"] == ("gpu", "environment (BLC_TARGET)")
    assert origins(blc, "--config", "none")["--opt-level"] == ("-", "default")


def test_pyproject_is_read_from_folders_above(blc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    blc.write("pyproject.toml", '[tool.blc]\ntarget = "tpu"\n')
    (blc.folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(blc.folder / "a" / "b")
    assert origins(blc)["--target"] == ("tpu", "options file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("taget = 1", "unknown option `taget` in"),
        ("[compile]\ntaget = 1", "did you mean `target`?"),
        ("= 1", "is not TOML"),
    ],
)
def test_faults_of_the_options_file_are_told(blc: Shell, text: str, words: str) -> None:
    blc.write("blc.toml", text)
    blc.write("m.blg", REGRESSION)
    done = blc("check", "m.blg")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
