"""Laws of the grammar file and of the cache of its table."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lark import Lark, logger

from bl_compiler.frontend import grammar
from bl_compiler.frontend.convert import Converter
from bl_compiler.frontend.words import KEYWORDS, RESERVED, TERMINAL_WORDS, keyword_of, keyword_terminal
from tests.strategies.syntax import CORPUS


def terminals(lark: Lark) -> set[str]:
    """Every terminal that some state of the parser accepts."""
    table = lark.parser.parser._parse_table
    return {symbol for row in table.states.values() for symbol in row if symbol.isupper()}


@pytest.fixture(scope="module")
def built() -> Lark:
    return grammar.build_parser(grammar.grammar_text())


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        Lark(grammar.grammar_text(), parser="lalr", lexer="contextual", debug=True)
    assert "conflict" not in caplog.text.lower()


def test_every_terminal_has_words(built: Lark) -> None:
    assert terminals(built) <= TERMINAL_WORDS.keys()


def test_every_keyword_is_a_terminal_that_ends_at_a_word_boundary(built: Lark) -> None:
    assert {keyword_terminal(word) for word in KEYWORDS} <= terminals(built)
    for terminal in built.terminals:
        word = keyword_of(terminal.name)
        assert (word is not None) == (terminal.pattern.value == rf"{word}\b")


def test_reserved_words_are_those_that_start_or_join_expressions(built: Lark) -> None:
    table = built.parser.parser._parse_table
    starts = [row for row in table.states.values() if {"NAME", "NUMBER", "MINUS"} <= row.keys() and "PLUS" not in row]
    assert starts
    accepted = {word for row in starts for symbol in row if symbol.isupper() and (word := keyword_of(symbol))}
    assert accepted | {"and", "or"} == RESERVED


def test_every_rule_has_a_converter(built: Lark) -> None:
    rules = {rule.alias or rule.origin.name for rule in built.rules if not rule.origin.name.startswith("_")}
    inlined = {rule.origin.name for rule in built.rules if rule.options.expand1}
    # These are read by the rules that contain them.
    parts = {"start", "layer_params", "names", "roles", "layers", "prior", "point", "dims"}
    parts |= {"scan_inputs", "scan_carries", "scan_options", "carries"}
    for rule in sorted(map(str, rules - inlined - parts)):
        assert hasattr(Converter, f"_{rule}"), rule


# --- the cache -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bl_compiler"


def load() -> Lark:
    return grammar.parser.__wrapped__()


def refuse(text: str) -> Lark:
    raise AssertionError("built although the cache was good")


def test_cached_table_gives_the_same_trees(cache: Path, built: Lark, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(grammar, "build_parser", refuse)
    loaded = load()
    for path in CORPUS:
        text = path.read_text(encoding="utf-8")
        assert loaded.parse(text) == built.parse(text)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"[]", b"\xff\x00"])
def test_corrupt_cache_counts_as_absent(cache: Path, damage: bytes) -> None:
    load()
    (file,) = cache.iterdir()
    good = file.read_bytes()
    for bad in (damage, good[: len(good) // 2], good.replace(b"1", b"2", 40)):
        file.write_bytes(bad)
        assert load().parse("model m {}")
        assert grammar._read_table(file) is not None


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no such permissions")
def test_cache_that_others_can_write_is_not_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    (file,) = cache.iterdir()
    for path, mode, restored in ((cache, 0o777, 0o700), (file, 0o666, 0o600)):
        path.chmod(mode)
        assert grammar._read_table(file) is None
        path.chmod(restored)
    assert grammar._read_table(file) is not None


def test_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load().parse("model m {}")


def test_relative_cache_directory_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert grammar._cache_directory() is None
