"""`compile --from-manifest`: a recorded compile once more.

Invariant: without `-o` nothing is written.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.shell import REGRESSION, Shell

NARROW = ("-D", "width=2", "-O2")


@pytest.fixture
def bundle(blc: Shell) -> Shell:
    """`models/m.blg` compiled from the folder above it."""
    blc.write("models/m.blg", REGRESSION)
    done = blc("compile", "models/m.blg", *NARROW)
    assert done.code == 0, done.err
    return blc


def edit(bundle: Shell, **changes: object) -> None:
    path = "models/m.blc/manifest.json"
    bundle.write(path, json.dumps({**json.loads(bundle.read(path)), **changes}))


@pytest.mark.parametrize("place", ["models/m.blc", "models/m.blc/manifest.json"])
def test_the_same_comes_out_again(bundle: Shell, place: str) -> None:
    before = bundle.files()
    assert bundle("compile", "--from-manifest", place) == (0, "", "all 8 files are identical\n")
    assert bundle.files() == before


def test_from_any_folder_and_into_another_one(bundle: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle.folder / "elsewhere").mkdir()
    monkeypatch.chdir(bundle.folder / "elsewhere")
    done = bundle("compile", "--from-manifest", "../models/m.blc", "-o", "again")
    assert (done.code, done.out) == (0, ""), done.err
    for path in (bundle.folder / "models" / "m.blc").iterdir():
        assert Path("again", path.name).read_bytes() == path.read_bytes(), path.name


def test_a_changed_source_is_told_with_the_files_that_differ(bundle: Shell) -> None:
    bundle.write("models/m.blg", REGRESSION.replace("0.5", "0.25"))
    done = bundle("compile", "--from-manifest", "models/m.blc")
    assert done.code == 1
    assert "model.py: differs\n" in done.out
    assert "params.json" not in done.out
    assert "note: `models/m.blg` is not the text that was compiled\n" in done.err
    assert "of 8 files differ" in done.err


def test_other_versions_are_a_note(bundle: Shell) -> None:
    edit(bundle, versions={"blc": "0.0.1", "libtpu": "9"})
    done = bundle("compile", "--from-manifest", "models/m.blc")
    assert (done.code, done.out) == (0, "")
    assert " and was 0.0.1\n" in done.err


def test_the_recorded_passes_run_even_if_the_level_has_others_today(bundle: Shell) -> None:
    edit(bundle, pipeline="cse", files={"gone.txt": "0"})
    done = bundle("compile", "--from-manifest", "models/m.blc", "--print-ir-after")
    assert done.code == 1
    assert "gone.txt: no longer made\n" in done.out
    assert "model.py: was not made\n" in done.out
    assert "`cse` ran again" in done.err
    assert done.err.count("// after ") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from-manifest", "missing.json"], "cannot read `missing.json`"),
        (["--from-manifest", "models/m.blg"], "is not a manifest of blc"),
        (["--from-manifest", "models/m.blc", "models/m.blg"], "`MODEL` and `--from-manifest` are given"),
        (["--from-manifest", "models/m.blc", "--target", "gpu"], "`--target` and `--from-manifest` are given"),
        (["--from-manifest", "models/m.blc", "-o", "models"], "`models` was not made by blc"),
        ([], "missing argument MODEL"),
    ],
)
def test_what_cannot_be_is_refused(bundle: Shell, arguments: list[str], words: str) -> None:
    done = bundle("compile", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_a_lost_source_is_told(bundle: Shell) -> None:
    (bundle.folder / "models" / "m.blg").unlink()
    done = bundle("compile", "--from-manifest", "models/m.blc")
    assert (done.code, done.out) == (2, "")
    assert "cannot read `models/m.blg`" in done.err
