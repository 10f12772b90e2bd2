"""`verify`: a model's file or trees, its parameters and inputs, to a report of the checks of all passes.

Invariant: everything that decides the outcome is in the arguments. May import: floors 0-3, `driver`, `training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.driver.models import lower_model
from bl_compiler.driver.optimize import entry_points
from bl_compiler.driver.running import Arrays, made_up
from bl_compiler.driver.verifying.feeds import SITE, as_type
from bl_compiler.driver.verifying.report import Report
from bl_compiler.driver.verifying.run import DRAWS, LEAST_DRAWS, Progress, verify_entries
from bl_compiler.frontend.sources import Sources
from bl_compiler.ir.graph import Module
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.ir.walk import walk
from bl_compiler.options import Options
from bl_compiler.passes.registry import PASSES, Registry

__all__ = ["DRAWS", "LEAST_DRAWS", "Report", "Task", "input_types", "prepare", "read_params", "verify"]


@dataclass(frozen=True, slots=True)
class Task:
    """A model ready to be verified.

    Attributes:
        model: The module with the function `model`.
        entries: Its entry points before any pass.
    """

    model: Module
    entries: Module


def prepare(sources: Sources, options: Options, sink: Sink) -> Task | None:
    """The stages up to `entries`; None after an error on the sink."""
    model = lower_model(sources, options, sink)
    entries = entry_points(model, sink) if model is not None else None
    return Task(model, entries) if model is not None and entries is not None else None


def input_types(entries: Module) -> dict[str, TensorType]:
    """The inputs of all entry points, by name."""
    nodes = [n for graph in entries.functions.values() for n in walk(graph) if n.op.name == "model.input"]
    types = {node.attrs.text("key"): node.attrs.array_type("type") for node in nodes}
    return {name: type_ for name, type_ in types.items() if not name.startswith(SITE)}


def verify(
    task: Task,
    options: Options,
    *,
    inputs: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    only: tuple[str, ...] = (),
    registry: Registry = PASSES,
    progress: Progress = lambda name, entry: None,
) -> Report:
    """Check every pass on a model.

    Args:
        task: The model.
        options: Of the compile, among them the pipeline.
        inputs: One batch; random values that the model could have produced if left out.
        params: Raw parameters and statistics; random ones if left out.
        draws: The draws of each side of a statistical comparison.
        seed: Of everything random.
        only: The entry points to check; all by default.
        registry: The passes there are.
        progress: Told what is going on.

    Raises:
        OptionError: An argument makes no sense.
        CompileError: The pipeline is malformed (BLC0402), or arrays do not fit the model (BLC0011, BLC0012), or
            hold NaN or infinity (BLC0014).
    """
    from bl_compiler.backends.jax.interface import wide_value
    from bl_compiler.backends.jax.program import require_wide_types

    require_wide_types(wide_value(task.entries))
    types = input_types(task.entries)
    fed = made_up(types, task.model, seed) if inputs is None else _fitted(inputs, types, "input")
    given = None if params is None else _fitted(params, _param_types(task.entries), "parameter")
    return verify_entries(
        task.entries,
        options,
        fed,
        params=given,
        draws=draws,
        seed=seed,
        only=only,
        registry=registry,
        progress=progress,
        model=task.model,
    )


def _param_types(entries: Module) -> dict[str, TensorType]:
    outputs = entries.functions["init"].outputs
    return {output.name.removeprefix("param:"): output.value.tensor for output in outputs}


def _fitted(given: Mapping[str, Any], types: Mapping[str, TensorType], what: str) -> Arrays:
    """The arrays in the element types wanted.

    Raises:
        CompileError: One is missing, has another shape or is not finite.
    """
    sink, found, symbols = Sink(), dict[str, Any](), dict[str, int]()
    for name, type_ in types.items():
        if name not in given:
            sink.error("BLC0011", f"{what} `{name}` is missing").help(f"give an array of type {type_}")
            continue
        array = np.asarray(given[name])
        sizes = [symbols.setdefault(d, n) if isinstance(d, str) else d for d, n in zip(type_.shape, array.shape)]  # noqa: B905
        if array.ndim != type_.rank or tuple(sizes) != array.shape or array.dtype.kind not in "biufV":
            words = f"is {array.dtype}[{', '.join(map(str, array.shape))}]"
            sink.error("BLC0012", f"{what} `{name}` {words} and should be {type_}").help(
                "give one batch of the model" if what == "input" else "give parameters that this model was trained to"
            )
            continue
        found[name] = as_type(array, DType(type_.dtype))
        if not np.isfinite(found[name].astype(np.float64)).all():
            sink.error("BLC0014", f"{what} `{name}` holds NaN or infinite values").help(
                "nothing can be compared there: give finite ones"
            )
    if sink.errors:
        raise CompileError(sink.diagnostics)
    return found


def read_params(path: str) -> Arrays:
    """Raw parameters from an .npz file, or from the folder of a training run or of one of its checkpoints.

    Raises:
        CompileError: They cannot be read (BLC0010, BLC0018).
    """
    from bl_compiler.training.checkpoints import CheckpointError, Checkpoints
    from bl_compiler.training.npz import read_npz
    from bl_compiler.training.runs import RunFolder

    sink, place = Sink(), Path(path)
    if not place.is_dir():
        file = read_npz(path, None, sink)
        if file is None:
            raise CompileError(sink.diagnostics)
        return dict(file.arrays)
    try:
        if place.name.isdecimal():
            state = Checkpoints(place.parent).load(int(place.name)).state
        else:
            folder = RunFolder(place)
            folder.read()
            state = folder.checkpoints.load(folder.step_of(None)).state
    except CheckpointError as fault:
        error = sink.error(fault.code, fault.message)
        if fault.help:
            error.help(fault.help)
        raise CompileError(sink.diagnostics) from fault
    return {name.removeprefix("params/"): array for name, array in state.items() if name.startswith("params/")}
