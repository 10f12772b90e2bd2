"""No file is too long to be read in one go.

Invariant: the limit holds for code and tests alike.
"""

from __future__ import annotations

from tests.house.code import python_files, shown

LIMIT = 400


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files("bl_compiler", "tests", "benchmarks", "examples")
    }
    assert {name: length for name, length in lengths.items() if length > LIMIT} == {}
