"""Imports: paths, cycles, diamonds, what they bring in, files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend.lower import lower
from bl_compiler.frontend.sources import load_sources, read_file, read_source
from bl_compiler.frontend.state import LowerSettings
from bl_compiler.source import SourceFile
from tests.support.lowering import error, errors, lowered, params, spelled

BLOCK = "option width = 3\nlayer block(x) { return x |> dense(width) }"
MAIN = 'import "blocks.blg"\nmodel m { predict p = zeros[3] |> block }'


def test_import_brings_in_layers_and_options() -> None:
    module = lowered(MAIN.replace("zeros[3]", "zeros[width]"), files={"blocks.blg": BLOCK})
    assert params(module) == ["p/block/dense/kernel", "p/block/dense/bias"]
    assert module.options == (("width", 3),)


def test_imported_text_equals_text_in_one_file() -> None:
    one = lowered(BLOCK + "\n" + MAIN.partition("\n")[2])
    assert lowered(MAIN, files={"blocks.blg": BLOCK}) == one


@pytest.mark.parametrize(
    ("main", "path", "found"),
    [
        ("main.blg", "a.blg", "a.blg"),
        ("models/main.blg", "a.blg", "models/a.blg"),
        ("models/main.blg", "./a.blg", "models/a.blg"),
        ("models/main.blg", "../lib/a.blg", "lib/a.blg"),
        ("models/main.blg", "/abs/a.blg", "/abs/a.blg"),
        ("/root/main.blg", "lib//a.blg", "/root/lib/a.blg"),
    ],
)
def test_path_is_relative_to_the_file(main: str, path: str, found: str) -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return BLOCK

    text = f'import "{path}"\nmodel m {{ predict p = zeros[3] |> block }}'
    sink = Sink()
    sources = load_sources(SourceFile(main, text), sink, read=read)
    assert sources is not None
    assert asked == [found]
    assert lower(sources, LowerSettings(), sink) is not None


def test_import_of_an_import_is_relative_to_it() -> None:
    files = {"lib/a.blg": 'import "deep/b.blg"', "lib/deep/b.blg": BLOCK}
    lowered(MAIN.replace("blocks.blg", "lib/a.blg"), files=files)


def test_diamond_is_read_once() -> None:
    files = {"l.blg": 'import "c.blg"\noption l = 1', "r.blg": 'import "./c.blg"\noption r = 1', "c.blg": BLOCK}
    module = lowered('import "l.blg"\nimport "r.blg"\nmodel m { predict p = zeros[3] |> block }', files=files)
    assert [name for name, _ in module.options] == ["l", "r", "width"]


def test_import_twice_is_read_once() -> None:
    lowered(MAIN.replace("model", 'import "blocks.blg"\nmodel'), files={"blocks.blg": BLOCK})


def test_layers_of_different_files_may_use_each_other() -> None:
    files = {"a.blg": 'import "b.blg"\nlayer a(x) { return x |> b }', "b.blg": "layer b(x) { return x |> dense(2) }"}
    module = lowered('import "a.blg"\nmodel m { predict p = zeros[3] |> a }', files=files)
    assert params(module)[0] == "p/a/b/dense/kernel"


def test_long_chain() -> None:
    files = {f"f{i}.blg": f'import "f{i + 1}.blg"' for i in range(150)} | {"f150.blg": BLOCK}
    lowered(MAIN.replace("blocks", "f0"), files=files)


# --- wrong imports ---------------------------------------------------------------------------------------------------


def test_cycle_is_an_error_that_shows_it() -> None:
    files = {"a.blg": 'import "b.blg"', "b.blg": 'import "a.blg"'}
    found = error('import "a.blg"\nmodel m { predict p = 1.0 }', files=files)
    assert (found.code, found.message) == ("BLC0002", "import cycle: a.blg -> b.blg -> a.blg")
    assert found.span.file == "b.blg"


def test_file_that_imports_itself() -> None:
    found = error('import "main.blg"\nmodel m { predict p = 1.0 }')
    assert (found.code, found.message) == ("BLC0002", "import cycle: main.blg -> main.blg")


def test_cycle_through_the_main_file() -> None:
    assert error('import "a.blg"\nmodel m { predict p = 1.0 }', files={"a.blg": 'import "main.blg"'}).code == "BLC0002"


def test_missing_file_points_at_the_import() -> None:
    text = 'import "no.blg"\nmodel m { predict p = 1.0 }'
    found = error(text)
    assert (found.code, spelled(found, text)) == ("BLC0001", 'import "no.blg"')


def test_syntax_errors_of_an_import_are_its_own() -> None:
    found = error(MAIN, files={"blocks.blg": "layer ("})
    assert (found.code, found.span.file) == ("BLC0101", "blocks.blg")


def test_all_wrong_files_are_reported_once() -> None:
    files = {"a.blg": 'import "c.blg"', "b.blg": 'import "c.blg"', "c.blg": "option"}
    found = errors('import "a.blg"\nimport "b.blg"\nimport "no.blg"\nmodel m { predict p = 1.0 }', files=files)
    assert sorted(e.code for e in found) == ["BLC0001", "BLC0103"]


def test_imported_model_is_an_error() -> None:
    found = error(MAIN, files={"blocks.blg": BLOCK + "\nmodel other { predict p = 1.0 }"})
    assert (found.code, found.span.file, found.span.line) == ("BLC0212", "blocks.blg", 3)


def test_name_of_two_files_is_an_error_that_shows_both() -> None:
    found = error(MAIN.replace("model m", "option width = 2\nmodel m"), files={"blocks.blg": BLOCK})
    assert (found.code, [label.span.file for label in found.labels]) == ("BLC0202", ["main.blg", "blocks.blg"])


def test_errors_in_an_imported_layer_point_into_its_file() -> None:
    found = error(MAIN, files={"blocks.blg": "layer block(x) { return x |> dens(3) }"})
    assert (found.code, found.span.file) == ("BLC0201", "blocks.blg")


@pytest.mark.parametrize("path", ["", ".", "/", "\\u0000", "a\\nb"])
def test_odd_paths(path: str, tmp_path: Path) -> None:
    sink = Sink()
    main = SourceFile(str(tmp_path / "main.blg"), f'import "{path}"\nmodel m {{ predict p = 1.0 }}')
    assert load_sources(main, sink) is None
    assert [e.code for e in sink.errors] == ["BLC0001"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_on_disk(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "blocks.blg").write_bytes(b"\xef\xbb\xbf" + BLOCK.replace("\n", "\r\n").encode())
    (tmp_path / "main.blg").write_text(MAIN.replace("blocks.blg", "lib/blocks.blg"))
    sink = Sink()
    source = read_source(str(tmp_path / "main.blg"), sink)
    assert source is not None
    sources = load_sources(source, sink)
    assert sources is not None
    assert lower(sources, LowerSettings(), sink) is not None
    assert set(sink.sources) == {str(tmp_path / "main.blg"), str(tmp_path / "lib" / "blocks.blg")}


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "bad.blg"
    path.write_bytes(b"option a = \xff")
    sink = Sink()
    assert read_source(str(path), sink) is None
    assert [(e.code, "byte 11" in e.message) for e in sink.errors] == [("BLC0006", True)]


def test_folder_is_no_file(tmp_path: Path) -> None:
    sink = Sink()
    assert read_source(str(tmp_path), sink) is None
    assert [e.code for e in sink.errors] == ["BLC0001"]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.blg"
    path.write_bytes(b"\xef\xbb\xbfoption a = 1")
    assert read_file(str(path)) == "option a = 1"
