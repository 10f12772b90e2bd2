"""Programs of these tests run for milliseconds, so they are compiled fast instead of well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.quick import quick_compiles


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_compiles():
        yield
