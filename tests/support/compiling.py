"""From a text to a program that runs, and what a test needs to know about its random streams.

Invariant: a text is compiled as `blc` compiles a file, lints included: a warning nobody expects fails the test.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import jax

from bl_compiler.backends.jax.program import Program
from bl_compiler.driver.compile import Compiled, compile_file
from bl_compiler.driver.models import new_sink
from bl_compiler.driver.programs import build_program
from bl_compiler.options import Options

FILE = "model.blg"


def compiled(text: str, **options: Any) -> Compiled:
    """What the stages make of a text, up to optimized entry points."""
    chosen = Options.of(**options)
    sink = new_sink(chosen)
    found = compile_file(FILE, chosen, sink, read=lambda _: text)
    assert found is not None, [(d.code, d.message, str(d.span)) for d in sink.diagnostics]
    assert sink.warnings == [], [(d.code, d.message) for d in sink.warnings]
    return found


def program(text: str, **options: Any) -> Program:
    """The JAX program of a text."""
    optimized = compiled(text, **options).optimized
    assert optimized is not None
    return build_program(optimized.module)


def site_key(seed: int, site: str) -> jax.Array:
    """The key of a site, as the architecture documents it."""
    return jax.random.fold_in(jax.random.key(seed), crc32(site.encode()))
