"""Compiling fast instead of well: XLA spends seconds on code that a test runs a few times.

Invariant: only how machine code is made changes; the programs that XLA is given stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_compiles() -> Iterator[None]:
    """Leave out most of XLA's optimizations: compiles take a fifth of the time, programs about twice as long."""
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)
