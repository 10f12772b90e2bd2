"""The exactness table, held to what happens: convolutions."""

from __future__ import annotations

import pytest

from tests.support.exactness_checks import cells, check_allowed, check_refused

CELLS = cells("conv", "conv_one", "conv_transpose", "depthwise")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "posterior"), CELLS)
def test_allowed_cells_keep_the_law(kind: str, posterior: str) -> None:
    check_allowed(kind, posterior)


@pytest.mark.parametrize(("kind", "posterior"), CELLS)
def test_refused_cells_say_why(kind: str, posterior: str) -> None:
    check_refused(kind, posterior)
