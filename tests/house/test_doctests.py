"""The examples in docstrings run and give what they show.

Invariant: every module with an example is covered without being listed.
"""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.house.code import modules

WITH_EXAMPLES = [name for name, path in modules().items() if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert result.failed == 0
