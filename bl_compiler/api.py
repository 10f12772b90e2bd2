"""The Python API behind `import bl_compiler as bl`; the package loads it when a name is first used.

Invariant: everything here goes through the driver that the command line uses, so both give the same programs.
May import: floors 0-3, `driver`, `training`; the JAX backend inside functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bl_compiler.diagnostics import BackendError, CompileError, Sink, UnavailableError
from bl_compiler.driver.compile import check_supported, compile_file, compile_sources
from bl_compiler.driver.models import new_sink
from bl_compiler.frontend import model as builder
from bl_compiler.frontend.model import Model
from bl_compiler.frontend.sources import Sources
from bl_compiler.options import Constant, OptionError, Options
from bl_compiler.render import render_human
from bl_compiler.suggest import did_you_mean

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program
    from bl_compiler.driver.verify import Report

__all__ = [
    "BackendError",
    "CompileError",
    "ModelWarning",
    "OptionError",
    "Options",
    "UnavailableError",
    "compile",
    "load",
    "restore",
    "save",
    "verify",
]


class ModelWarning(UserWarning):
    """A lint that a model raised."""


def compile(
    model: Model | str | PathLike[str],
    /,
    target: str = "cpu",
    *,
    defines: Mapping[str, Constant] | None = None,
    batch: int | str | None = None,
    **options: Any,
) -> Program:
    """Compile a model to a program.

    Args:
        model: A model of the builder, or the path of a `.blg` file.
        target: What to compile for.
        defines: Values for the model's options.
        batch: The size of the first plate, in place of the model's; "dynamic" leaves it open.
        **options: The other fields of `Options`, such as `level=2`, or `model="name"` where a file holds several.

    Returns:
        The program; its functions are pure JAX.

    Raises:
        CompileError: The model is wrong; the text of the exception shows where.
        OptionError: An option is unknown or makes no sense.

    Warns:
        ModelWarning: For each lint.
    """
    from bl_compiler.driver.programs import flexible_program

    chosen = Options.of(target=target, defines=dict(defines or {}), batch=batch, **options)
    check_supported(chosen)
    sink = new_sink(chosen)
    if isinstance(model, Model):
        for source in model.sources:
            sink.add_source(source)
        compiled = compile_sources(Sources(model.file), chosen, sink)
    else:
        compiled = compile_file(fspath(model), chosen, sink)
    if compiled is None or compiled.optimized is None:
        raise CompileError(sink.diagnostics, sink.sources)
    _warn(sink)
    return flexible_program(compiled, chosen, sink.sources)


def _warn(sink: Sink) -> None:
    for found in sink.warnings:
        warnings.warn("\n" + render_human(found, sink.sources), ModelWarning, stacklevel=3)


def load(bundle: str | PathLike[str]) -> Program:
    """The program of a bundle that `blc compile` or `save` wrote.

    Raises:
        CompileError: It is no bundle, of another version, or damaged.
    """
    from bl_compiler.backends.jax.artifact import load_bundle

    return load_bundle(bundle).program


def save(program: Program, folder: str | PathLike[str], *, target: str = "cpu", force: bool = False) -> Path:
    """Write a program as a bundle; an older bundle in its place is replaced.

    Args:
        program: What `compile` gave.
        folder: Where to.
        target: What its StableHLO is for.
        force: Whether to write into a folder that is no bundle; what it holds stays.

    Raises:
        CompileError: The folder is something else, or cannot be written.
    """
    from bl_compiler.backends.jax.artifact import Facts, write_bundle
    from bl_compiler.driver.versions import versions
    from bl_compiler.targets import Target

    parsed = Target.parse(target)
    found = {name: version for name, version in versions().items() if name in ("blc", "jax", "jaxlib", "libtpu")}
    facts = Facts(target=str(parsed), platform=parsed.platform, versions=found)
    return write_bundle(folder, program, facts, force=force)


def restore(program: Program, checkpoint: str | PathLike[str]) -> dict[str, Any]:
    """The training state that a checkpoint holds; its `params` are what `predict` takes.

    Args:
        program: The program that was trained.
        checkpoint: The folder of a checkpoint, such as `run/checkpoints/1000`.

    Raises:
        CompileError: It cannot be read (BLC0018), or belongs to another model (BLC0019).
    """
    from bl_compiler.training.checkpoints import CheckpointError, Checkpoints
    from bl_compiler.training.programs import ProgramModel

    path = Path(checkpoint)
    try:
        if not path.name.isdecimal():
            raise CheckpointError(
                f"`{path}` is not a checkpoint", help="give one step's folder, such as `run/checkpoints/1000`"
            )
        found = Checkpoints(path.parent).load(int(path.name))
        state: dict[str, Any] = ProgramModel(program, {}, {}).restore(found.state)
    except CheckpointError as fault:
        sink = Sink()
        error = sink.error(fault.code, fault.message)
        if fault.help:
            error.help(fault.help)
        raise CompileError(sink.diagnostics) from fault
    return state


def verify(
    model: Model | str | PathLike[str],
    /,
    *,
    inputs: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    draws: int = 4096,
    seed: int = 0,
    entries: Collection[str] = (),
    **options: Any,
) -> Report:
    """Check that every pass keeps what a model computes, as `blc verify` does.

    Args:
        model: A model of the builder, or the path of a `.blg` file.
        inputs: One batch; random values that the model could have produced if left out.
        params: Raw parameters and statistics by path; random ones if left out.
        draws: The draws on each side of a statistical comparison, at least 128.
        seed: Of everything random.
        entries: The entry points to check; all by default.
        **options: Fields of `Options`, such as `level=2`, as for `compile`.

    Returns:
        The checks by pass; `ok` is the verdict, `fault` the first pass at fault, `str` a summary.

    Raises:
        CompileError: The model is wrong, or the arrays do not fit it.
        OptionError: An option is unknown or makes no sense.

    Warns:
        ModelWarning: For each lint.
    """
    from bl_compiler.driver.models import open_source, parse_source
    from bl_compiler.driver.verify import prepare
    from bl_compiler.driver.verify import verify as verified

    chosen = Options.of(**options)
    check_supported(chosen)
    sink = new_sink(chosen)
    if isinstance(model, Model):
        for source in model.sources:
            sink.add_source(source)
        sources: Sources | None = Sources(model.file)
    else:
        file = open_source(fspath(model), chosen, sink)
        sources = parse_source(file, chosen, sink) if file is not None else None
    task = prepare(sources, chosen, sink) if sources is not None else None
    if task is None:
        raise CompileError(sink.diagnostics, sink.sources)
    _warn(sink)
    return verified(task, chosen, inputs=inputs, params=params, draws=draws, seed=seed, only=tuple(entries))


# --- names of the package --------------------------------------------------------------------------------------------


def public(name: str) -> Any:
    """The value of `bl_compiler.NAME`: of this file, of the builder, or of the language.

    Raises:
        AttributeError: There is none; the message suggests a close one.
    """
    if name == "Program":  # of the JAX backend: loading it loads JAX
        from bl_compiler.backends.jax.program import Program

        return Program
    if name in __all__:
        return globals()[name]
    if name in builder.__all__:
        return getattr(builder, name)
    found = builder.language_name(name)
    if found is not None:
        return found
    close = did_you_mean(name, names())
    hint = f"; did you mean {close!r}?" if close else ""
    raise AttributeError(f"module 'bl_compiler' has no attribute {name!r}{hint}", name=name)


def names() -> list[str]:
    """All public names."""
    from bl_compiler.ir.families import FAMILIES
    from bl_compiler.ir.improper import IMPROPER
    from bl_compiler.layers.registry import LAYERS

    return sorted({"Program", *__all__, *builder.__all__, *builder.DTYPES, *FAMILIES, *IMPROPER, *LAYERS})
