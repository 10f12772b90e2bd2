"""What is shipped: the lock covers the dependencies and names no host, and the wheel finds its data.

Invariant: the lock is pinned by hashes, so where a package comes from does not matter.
"""

from __future__ import annotations

import re
import tomllib

import bl_compiler
from tests.house.code import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_lock_names_no_host() -> None:
    assert re.findall(r"\w+://|--(?:index|extra-index|find-links)", LOCK) == []


def test_the_lock_covers_every_dependency() -> None:
    tables = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    wanted = {re.split(r"[<>=!~\[; ]", text)[0] for table in tables for text in table}
    locked = set(re.findall(r"^([a-z0-9][a-z0-9-]*)==", LOCK, re.MULTILINE))
    assert wanted - locked == set()


def test_every_pin_has_a_hash() -> None:
    pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\n[^\n]*", LOCK, re.MULTILINE)
    assert pins
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []


def test_dependencies_have_lower_bounds() -> None:
    assert [text for text in PROJECT["project"]["dependencies"] if ">=" not in text] == []


def test_the_wheel_takes_its_data_from_existing_folders() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert [folder for folder in included if not (ROOT / folder).is_dir()] == []


def test_one_version() -> None:
    assert bl_compiler.__version__ == PROJECT["project"]["version"]
