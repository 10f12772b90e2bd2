"""From optimized entry points to a program that runs: the stage `emit`, and the device it runs on.

Invariant: JAX is imported only when a program is asked for. May import: floors 0-4; the JAX backend inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bl_compiler.diagnostics import Sink, UnavailableError
from bl_compiler.driver.compile import Compiled, compile_sources
from bl_compiler.ir.graph import Module
from bl_compiler.options import OptionError, Options
from bl_compiler.source import SourceFile
from bl_compiler.targets import Target

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program


def build_program(module: Module, sources: Mapping[str, SourceFile] | None = None) -> Program:
    """The JAX program of a module that holds entry points.

    Args:
        module: What the passes made.
        sources: The texts that messages quote.
    """
    from bl_compiler.backends.jax.program import Program

    return Program(module, sources=sources)


def flexible_program(compiled: Compiled, options: Options, sources: Mapping[str, SourceFile]) -> Program:
    """As `build_program`, and able to predict and evaluate on any number of examples.

    Training keeps the fixed number, which XLA optimizes for; the other entry points are compiled once more, with a
    symbolic number, when another one is first fed.
    """
    from bl_compiler.backends.jax.program import Program

    def for_any_number() -> Program | None:
        found = compile_sources(compiled.sources, replace(options, batch="dynamic"), Sink())
        return None if found is None or found.optimized is None else Program(found.optimized.module, sources=sources)

    assert compiled.optimized is not None
    fixed = options.batch != "dynamic" and bool(compiled.optimized.module.plates)
    return Program(compiled.optimized.module, sources=sources, flexible=for_any_number if fixed else None)


def use_device(target: Target | None) -> str:
    """Let programs of this process run on the target; None leaves the choice to JAX. Returns the device in words.

    Raises:
        OptionError: The target is a TPU slice, which is compiled for and not run on, or no JAX target.
        UnavailableError: There is no such device here.
    """
    import jax

    if target is not None:
        if target.ahead_of_time or target.kind == "reference":
            raise OptionError(f"programs do not run on `{target}`", help="run on `cpu`, `gpu` or `tpu`", code="BLC0601")
        platform = {"gpu": "gpu", "cuda": "cuda"}.get(target.kind, target.kind)
        try:
            device = jax.devices(platform)[0]
        except RuntimeError as fault:
            reason = str(fault).split("\n")[0].rstrip(".")
            raise UnavailableError(f"target `{target}` is not available here: {reason}") from fault
        jax.config.update("jax_default_device", device)  # type: ignore[no-untyped-call]
    return str(jax.devices()[0].device_kind) if target is None else str(device.device_kind)
