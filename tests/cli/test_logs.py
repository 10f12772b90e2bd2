"""`--log`, `BLC_LOG` and `-v`: which loggers speak.

Invariant: a command leaves logging as it found it.
"""

from __future__ import annotations

import logging

import pytest

from bl_compiler.cli.logs import COMPONENTS
from tests.house.code import PACKAGE
from tests.support.shell import REGRESSION, Shell

NOTHING = ("compile", "m.blg", "--emit=none")


@pytest.fixture
def model(blc: Shell) -> Shell:
    blc.write("m.blg", REGRESSION)
    return blc


def test_components_are_packages_and_shapes() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"cli"}
    assert set(COMPONENTS) == packages | {"shapes"}


def test_only_named_components_speak(model: Shell) -> None:
    done = model("check", "m.blg", "--log", "shapes=info")
    assert (done.code, done.out) == (0, "")
    assert "INFO bl_compiler.shapes: x: f32[batch@8, 3]\n" in done.err
    assert "INFO bl_compiler.shapes: mean/dense/kernel: f32[3, 4]\n" in done.err
    assert "DEBUG" not in done.err
    done = model(*NOTHING, "--log", "passes=debug,shapes=warning")
    assert "DEBUG bl_compiler.passes.manager: cse: " in done.err
    assert "shapes" not in done.err
    assert "stage" not in done.err


def test_a_component_may_say_less_than_the_rest(model: Shell) -> None:
    for arguments in (["-vv", "--log", "passes=error"], ["--log", "passes=error", "-vv"]):
        done = model(*NOTHING, *arguments)
        assert "INFO bl_compiler.driver.compile: stage lower" in done.err
        assert "DEBUG bl_compiler.shapes: " in done.err
        assert "bl_compiler.passes" not in done.err


def test_the_environment_and_the_options_file_are_heard(model: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    model.write("blc.toml", 'log = "driver"\n')
    assert "INFO bl_compiler.driver.compile: stage lower" in model(*NOTHING).err
    monkeypatch.setenv("BLC_LOG", "passes=debug")
    done = model(*NOTHING)
    assert ("bl_compiler.passes" in done.err, "bl_compiler.driver" in done.err) == (True, False)


def test_logging_is_left_as_it_was(model: Shell) -> None:
    names = ("bl_compiler", "bl_compiler.passes")
    before = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names]
    assert model(*NOTHING, "-v", "--log", "passes=debug").err
    assert [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names] == before
    assert model(*NOTHING).err == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [("pases=debug", "did you mean `passes`?"), ("passes=debgu", "did you mean `debug`?"), ("=", "unknown component")],
)
def test_what_is_not_known_is_refused(model: Shell, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    done = model("check", "m.blg", "--log", text)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    monkeypatch.setenv("BLC_LOG", text)
    assert model("list", "levels").code == 2


def test_lists_complete_after_a_comma() -> None:
    import click

    from bl_compiler.cli.logs import complete

    ctx, param = click.Context(click.Command("c")), click.Option(["--log"])
    assert complete(ctx, param, "passes=debug,sh") == ["passes=debug,shapes"]
    assert complete(ctx, param, "passes=d") == ["passes=debug"]
