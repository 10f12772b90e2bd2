"""Options and targets: what texts mean, what is refused and with which help.

Invariant: options and targets survive the way through their texts.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bl_compiler.codes import CODES
from bl_compiler.diagnostics import Sink
from bl_compiler.options import (
    EMIT_KINDS,
    Constant,
    LintLevel,
    OptionError,
    Options,
    parse_batch,
    parse_constant,
    parse_define,
    parse_level,
    parse_mesh,
    parse_names,
    parse_pairs,
)
from bl_compiler.targets import GENERATIONS, Target


@pytest.mark.parametrize(
    ("text", "platform", "topology", "devices"),
    [
        ("cpu", "cpu", "", None),
        ("gpu", "cuda", "", None),
        ("cuda", "cuda", "", None),
        ("tpu", "tpu", "", None),
        ("reference", "cpu", "", None),
        ("tpu:v2:16x16", "tpu", "v2:16x16", 512),
        ("tpu:v5e:2x4", "tpu", "v5e:2x4", 8),
        ("tpu:v5p:2x2x1", "tpu", "v5p:2x2x1", 4),
        ("tpu:v7x:2x2x1", "tpu", "tpu7x:2x2x1", 8),
    ],
)
def test_targets(text: str, platform: str, topology: str, devices: int | None) -> None:
    target = Target.parse(text)
    assert str(target) == text
    assert target.platform == platform
    assert target.topology_name == topology
    assert target.device_count == devices
    assert target.ahead_of_time == bool(topology)
    assert (target.device_memory is None) == (not topology)


@given(st.sampled_from(sorted(GENERATIONS)), st.lists(st.integers(1, 64), min_size=3, max_size=3))
def test_targets_round_trip(generation: str, sizes: list[int]) -> None:
    target = Target("tpu", generation, tuple(sizes[: GENERATIONS[generation].rank]))
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    ("text", "message", "help_text"),
    [
        ("tup", "unknown target `tup`", "did you mean `tpu`?"),
        ("abacus", "unknown target `abacus`", "known: cpu, gpu, cuda, tpu, reference"),
        ("cpu:8", "target `cpu` has no topologies", "write `cpu`"),
        ("tpu:v5e", "`tpu:v5e` lacks a topology", "write 2 positive sizes, such as `tpu:v5e:2x4`"),
        ("tpu:2x4", "`tpu:2x4` lacks a TPU generation", "write, for example, `tpu:v5e:2x4`"),
        ("tpu:v5litepod:2x4", "unknown TPU generation `v5litepod`", "did you mean `v5e`?"),
        ("tpu:v5e:0x4", "`0x4` is not a topology of TPU v5e", "write 2 positive sizes, such as `tpu:v5e:2x4`"),
        ("tpu:v4:2x4", "`2x4` is not a topology of TPU v4", "write 3 positive sizes, such as `tpu:v4:2x2x1`"),
        ("tpu:v5e:axb", "`axb` is not a topology", "write the chips along each dimension: `2x4`"),
        ("tpu:v5e:2x4:1", "`tpu:v5e:2x4:1` is not a target", "write, for example, `tpu:v5e:2x4`"),
    ],
)
def test_wrong_targets(text: str, message: str, help_text: str) -> None:
    with pytest.raises(OptionError) as caught:
        Target.parse(text)
    assert (caught.value.message, caught.value.help, caught.value.code) == (message, help_text, "BLC0601")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("none", None),
        ("50_000", 50_000),
        ("-3", -3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 1e-3),
        ('"8"', "8"),
        ("same", "same"),
        ("nan", "nan"),
        ("[64, 32]", [64, 32]),
        ("[]", []),
        ("(5, 5)", (5, 5)),
        ("[(1, 2), true]", [(1, 2), True]),
    ],
)
def test_constants(text: str, value: Constant) -> None:
    assert parse_constant(text) == value
    assert type(parse_constant(text)) is type(value)


def test_defines() -> None:
    assert parse_define("bayesian=false") == ("bayesian", False)
    assert parse_define("bayesian") == ("bayesian", True)
    assert parse_define("name=a=b") == ("name", "a=b")


def test_lists() -> None:
    assert parse_names("ir, stablehlo,") == ("ir", "stablehlo")
    assert parse_names("a{x=1,2},b") == ("a{x=1,2}", "b")
    assert parse_names("") == ()


def test_pairs_keep_their_order() -> None:
    assert list(parse_pairs("b=1,a=2")) == ["b", "a"]
    assert parse_mesh("model=2,data=4") == {"model": 2, "data": 4}


@pytest.mark.parametrize("text", ["1", "O1", "-O1"])
def test_levels(text: str) -> None:
    assert parse_level(text) == 1


def test_batches() -> None:
    assert [parse_batch(text) for text in ("128", "dynamic", "none")] == [128, "dynamic", None]


def test_of_takes_texts_and_values() -> None:
    texts = Options.of(target="gpu", level="2", batch="8", mesh="data=2", emit="ir,report", defines="a=1", stats="true")
    values = Options(
        target=Target("gpu"), level=2, batch=8, mesh={"data": 2}, emit=("ir", "report"), defines={"a": 1}, stats=True
    )
    assert texts == values
    assert hash(texts) == hash(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targt": "cpu"}, "unknown option `targt`; did you mean `target`?"),
        ({"level": "O3"}, "unknown optimization level `O3`; the levels are 0, 1 and 2"),
        ({"level": 3}, "unknown optimization level `3`; known: 0, 1, 2"),
        ({"batch": "0"}, "`--batch` is 0; write a positive integer or `dynamic`"),
        ({"batch": "all"}, "`all` is not a batch size; write a positive integer or `dynamic`"),
        ({"mesh": "data=x"}, "mesh axis `data` has the size `x`; write a positive integer"),
        ({"mesh": "data=0"}, "mesh axis `data` has the size 0; write a positive integer"),
        ({"mesh": "data=2,data=4"}, "`data` is given twice; give each name once"),
        ({"mesh": "data"}, "`data` is not NAME=VALUE; write, for example, `data=4,model=2`"),
        ({"defines": "2=3"}, "`2=3` is not NAME=VALUE; write, for example, `-D bayesian=false`"),
        ({"emit": "irr"}, "unknown kind of output `irr`; did you mean `ir`?"),
        ({"emit": "none,ir"}, "`--emit none` stands alone; name the kinds you want, or `none` for no output"),
        ({"estimators": "sharde"}, "unknown preference of estimators `sharde`; did you mean `shared`?"),
        ({"stats": "maybe"}, "`maybe` is not a truth value; write `true` or `false`"),
        ({"warn": "unused-nam"}, "unknown lint `unused-nam`; did you mean `unused-name`?"),
        ({"deny": "xyz"}, "unknown lint `xyz`; `blc list codes` shows the lints"),
        (
            {"deny": "BLC0203"},
            "`BLC0203` is an error; only warnings can be allowed or denied; see `blc list codes`",
        ),
    ],
)
def test_refusals(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.of(**values)
    assert str(caught.value) == message
    assert caught.value.code in CODES


OPTIONS = st.builds(
    Options,
    model=st.none() | st.just("vae"),
    defines=st.dictionaries(st.sampled_from("abc"), st.booleans() | st.integers() | st.text("xyz", min_size=1)),
    batch=st.none() | st.just("dynamic") | st.integers(1, 512),
    target=st.sampled_from([Target(), Target("tpu", "v5e", (2, 4))]),
    mesh=st.dictionaries(st.sampled_from(["data", "model"]), st.integers(1, 32)),
    level=st.sampled_from([0, 1, 2]),
    emit=st.lists(st.sampled_from(EMIT_KINDS[:-1]), min_size=1, unique=True).map(tuple),
    warn=st.sampled_from([(), ("pedantic",)]),
    verify_each=st.sampled_from([None, True, False]),
)


@given(OPTIONS)
def test_options_round_trip_through_json(options: Options) -> None:
    assert Options.of(**json.loads(json.dumps(options.to_json()))) == options


def test_only_changes_are_recorded() -> None:
    assert Options().to_json() == {}
    assert Options(level=2).to_json() == {"level": 2}


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().level = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("stated", "level"),
    [
        ({}, "allow"),
        ({"warn": ("pedantic",)}, "warn"),
        ({"warn": ("unused-name",)}, "warn"),
        ({"warn": ("BLC0356",)}, "warn"),
        ({"warn": ("pedantic",), "allow": ("unused-name",)}, "allow"),
        ({"allow": ("pedantic",), "deny": ("unused-name",)}, "deny"),
        ({"deny": ("warnings",)}, "allow"),
        ({"warn": ("warnings",)}, "warn"),
        ({"deny": ("warnings",), "warn": ("pedantic",)}, "deny"),
    ],
)
def test_levels_of_a_pedantic_lint(stated: dict[str, tuple[str, ...]], level: LintLevel) -> None:
    options = Options(**stated)  # type: ignore[arg-type]
    assert options.lint_levels()["BLC0356"] == level
    sink = Sink(**options.lint_filter())
    sink.warning("BLC0356", "message")
    assert (len(sink.warnings), len(sink.errors)) == (int(level == "warn"), int(level == "deny"))


def test_other_lints_speak_by_default() -> None:
    assert Options().lint_levels()["BLC0355"] == "warn"
    assert Options(deny=("warnings",)).lint_levels()["BLC0355"] == "deny"
    assert Options(allow=("warnings",)).lint_levels()["BLC0355"] == "allow"
    assert Options(allow=("warnings",), warn=("unused-option",)).lint_levels()["BLC0355"] == "warn"
