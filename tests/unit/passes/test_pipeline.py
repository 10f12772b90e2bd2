"""Pipelines as text: they round-trip, and faults are shown where they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_compiler.diagnostics import CompileError
from bl_compiler.passes.pipeline import Pipeline
from bl_compiler.passes.registry import LEVELS, PASSES
from tests.unit.passes.toy import TOYS, Color, Crash, MakesEntries, NeedsEntries, Nothing, SquareToMul

texts = st.one_of(
    st.text(max_size=6), st.sampled_from(["none", "true", "1", "-1e5", "enc/*", "a,b", "inf", "nan", "[x]"])
)
nothings = st.builds(
    Nothing,
    sites=st.lists(texts, max_size=3).map(tuple),
    sizes=st.lists(st.integers(), max_size=3).map(tuple),
    fast=st.booleans(),
    max_size=st.none() | st.integers(),
    rate=st.floats(allow_nan=False),
    label=texts,
    color=st.sampled_from(Color),
)
passes = st.one_of(nothings, st.builds(Crash, texts), st.just(SquareToMul()))
pipelines = st.lists(passes, max_size=4).map(lambda items: Pipeline(tuple(items)))


@settings(max_examples=300)
@given(pipelines)
def test_text_round_trip(pipeline: Pipeline) -> None:
    assert Pipeline.parse(str(pipeline), TOYS) == pipeline


def test_only_options_other_than_the_defaults_are_printed() -> None:
    assert str(Nothing()) == "nothing"
    found = Nothing(("enc/*", "a b"), (1, 2), fast=True, max_size=3, rate=0.5, label="none", color=Color.BLUE)
    assert str(found) == (
        'nothing{sites=[enc/*,"a b"],sizes=[1,2],fast=true,max-size=3,rate=0.5,label="none",color=blue}'
    )


def test_spaces_and_a_single_element_may_be_written_freely() -> None:
    found = Pipeline.parse(" nothing { sites = enc , max_size=none } , square-to-mul\n", TOYS)
    assert found == Pipeline((Nothing(sites=("enc",)), SquareToMul()))
    assert Pipeline.parse("", TOYS) == Pipeline()


def test_levels_stand_for_their_pipelines() -> None:
    assert str(Pipeline.parse("L2,nothing", TOYS)) == "nothing,square-to-mul,nothing"
    for level in LEVELS:
        for item in Pipeline.parse(level):
            assert item.name in PASSES
    assert str(Pipeline.parse("O1")).startswith("expose-scales")


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("nothin", "unknown pass `nothin`", 1),
        ("nothing,,", "expected the name of a pass, found `,`", 9),
        ("nothing square-to-mul", "expected `,`, found `s`", 9),
        ("nothing{", "expected the name of an option, found the end", 9),
        ("nothing{fst=true}", "pass `nothing` has no option `fst`", 9),
        ("nothing{fast}", "expected `=`, found `}`", 13),
        ("nothing{fast=true,fast=false}", "option `fast` of `nothing` is given twice", 19),
        ("nothing{fast=maybe}", "option `fast` of `nothing` cannot be `maybe`", 14),
        ("nothing{sizes=[1,x]}", "option `sizes` of `nothing` cannot be `x`", 18),
        ("nothing{sizes=[1", "expected `,` or `]`, found the end", 17),
        ("nothing{color=green}", "option `color` of `nothing` cannot be `green`", 15),
        ("nothing{rate=}", "expected a value for option `rate` of `nothing`, found `}`", 14),
        ("nothing,crash", "pass `crash` needs the option `message`", 9),
        ("loop", "level `loop` contains itself", 1),
    ],
)
def test_faults_are_shown_where_they_are(text: str, message: str, column: int) -> None:
    with pytest.raises(CompileError) as caught:
        Pipeline.parse(text, TOYS)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.span.column) == ("BLC0402", message, column)


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(CompileError, match="did you mean `canonicalize`") as caught:
        Pipeline.parse("cse,canonicalise")
    assert "cse,canonicalise" in str(caught.value)


def test_edits_take_passes_away_and_put_them_where_they_belong() -> None:
    level = Pipeline((Nothing(), Crash("x"), NeedsEntries()))
    assert str(level.edited("-crash,+square-to-mul", TOYS)) == "nothing,square-to-mul,needs-entries"
    assert str(level.edited("+makes-entries,+nothing{fast=true}", TOYS)) == (
        "nothing,nothing{fast=true},crash{message=x},needs-entries,makes-entries"
    )
    assert level.edited("", TOYS) == level
    with pytest.raises(CompileError, match="the pipeline has no pass `square-to-mul` to take away"):
        level.edited("-square-to-mul", TOYS)
    with pytest.raises(CompileError, match=r"expected `\+` or `-`"):
        level.edited("nothing", TOYS)
    assert MakesEntries.name in TOYS
