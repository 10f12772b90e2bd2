"""All uses of those parts of JAX that promise nothing. May import: the standard library, jax."""

from __future__ import annotations

import concurrent.futures
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.export

from bl_compiler.backends.jax.located import PSEUDO_FILE

_PACKAGE = Path(__file__).resolve().parents[2]
_traces = count(1)
_NOT_A_LETTER = re.compile(r"\W+", re.ASCII)


@cache
def hide_own_frames() -> None:
    """Let JAX attribute operations to the innermost frame that is the user's: the line of the source.

    Hidden are this package and what runs emitted code or is run by it: the thread that lowering uses, and optax.
    """
    from jax.extend import source_info_util

    optax = find_spec("optax")
    folders = [_PACKAGE, *map(Path, (optax.submodule_search_locations or []) if optax else [])]
    folders.append(Path(concurrent.futures.__file__).parent)
    for path in (PSEUDO_FILE, threading.__file__, *(f"{folder}{os.sep}" for folder in folders)):
        source_info_util.register_exclusion(path)


def _set_option(name: str, value: object) -> None:
    jax.config.update(name, value)  # type: ignore[no-untyped-call]


@contextmanager
def fresh_traces() -> Iterator[None]:
    """Trace as if nothing had been traced before in this process.

    JAX caches the traces of its own jitted functions together with the position of their first caller, which would
    then show in the locations of every later program: bytes would depend on what else the process has lowered. The
    option set here is part of those caches' keys, matters to compilation on remote hosts only, and spares other caches.
    """
    before = jax.config.jax_xla_profile_version  # type: ignore[attr-defined]
    _set_option("jax_xla_profile_version", next(_traces))
    try:
        yield
    finally:
        _set_option("jax_xla_profile_version", before)


def is_used_up(array: object) -> bool:
    """Whether a call that was given an array has reused its memory; of a traced array nobody knows."""
    return isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer) and array.is_deleted()


def shape_of(shape: Sequence[Any], dtype: str) -> Any:
    """An array by its sizes, which may be symbolic, and element type."""
    return jax.ShapeDtypeStruct(tuple(shape), dtype)  # type: ignore[no-untyped-call]


def symbols(names: Sequence[str]) -> dict[str, Any]:
    """Symbolic sizes, at least 1, that may meet in one program, by name."""
    if not names:
        return {}
    spelled = [_NOT_A_LETTER.sub("_", name) for name in names]
    found = jax.export.symbolic_shape(", ".join(spelled), constraints=[f"{name} >= 1" for name in spelled])
    return dict(zip(names, found, strict=True))


def export(function: Any, platform: str, arguments: Sequence[Any]) -> Any:
    """A jitted function exported for a platform.

    Custom calls that JAX does not promise to keep are let through: bundles say which version of JAX made them.
    """
    every_call = jax.export.DisabledSafetyCheck.custom_call("ALL")
    return jax.export.export(function, platforms=[platform], disabled_checks=[every_call])(*arguments)
