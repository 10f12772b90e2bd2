"""Numbers out of a program's text, by the reference interpreter.

Invariant: parameters have their initial values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.passes.entries import derive_entries
from tests.support.lowering import lowered


def program(text: str, **settings: object) -> ReferenceProgram:
    """The entry points of a text."""
    return ReferenceProgram(derive_entries(lowered(text, **settings)))


def predicted(
    text: str, inputs: Mapping[str, npt.ArrayLike] | None = None, **settings: object
) -> dict[str, npt.NDArray[Any]]:
    """The values of a text's `predict` statements, by name."""
    found = program(text, **settings)
    outputs = found.run("predict", found.init(), inputs or {})
    return {name.removeprefix("value:"): v for name, v in outputs.items() if name.startswith("value:")}


def value_of(expression: str, inputs: str = "", fed: Mapping[str, npt.ArrayLike] | None = None) -> npt.NDArray[Any]:
    """The value of an expression."""
    return predicted(f"model m {{ {inputs}\n predict value = {expression}\n }}", fed)["value"]
