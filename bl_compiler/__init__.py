"""bl_compiler: a compiler for Bayesian neural networks, models made of layers.

`bl.compile` and `bl.load` give programs; `bl.Model`, `bl.plate`, `bl.input` and every layer and distribution by name
build models in Python. Invariant: importing this package imports nothing else; names are loaded when first used.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name: from `api`, else from the Python builder."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    # `from bl_compiler import api` would ask this function for `api`.
    import bl_compiler.api as api

    return api.public(name)


def __dir__() -> list[str]:
    """The public names."""
    import bl_compiler.api as api

    return sorted({*globals(), *api.names()})
