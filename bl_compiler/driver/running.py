"""Running one entry point of a program, and comparing it with the reference interpreter.

Invariant: made-up inputs and draws follow from the seed alone. May import: floors 0-4, numpy; JAX inside functions.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.options import OptionError
from bl_compiler.source import NO_SPAN, SourceFile, Span

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program

Array = NDArray[Any]
Arrays = dict[str, Array]

RUNNABLE: Mapping[str, str] = {
    "sample": "draws of every site and observation; global sites from the posterior",
    "prior": "the same with every site from its prior",
    "predict": "predictions for the inputs",
    "loss": "the objective and its parts for the inputs",
    "log_likelihood": "the log density of each example under each draw",
    "init": "initial parameters",
}
"""What `blc run --entry` takes."""

DRAWN = ("sample", "prior", "predict", "log_likelihood")
"""Those of them that take a number of draws."""

_GRAPHS = {"prior": "sample_prior", "loss": "train"}


@dataclass(frozen=True, slots=True)
class Difference:
    """How a program and the reference differ on the log density of one draw."""

    draw: int
    program: float
    reference: float

    @property
    def relative(self) -> float:
        """The difference over the size of the value."""
        return abs(self.program - self.reference) / max(1.0, abs(self.reference))


def needed_inputs(program: Program, entry: str) -> dict[str, TensorType]:
    """The inputs that an entry point reads."""
    names = program.interface.needs.get(_GRAPHS.get(entry, entry), ())
    return {name: type_ for name, type_ in program.inputs.items() if name in names}


def open_sizes(module: Module) -> dict[str, int]:
    """A size for each plate that leaves it open: that of one step."""
    return {p.name: p.size for p in module.plates if p.total is None and isinstance(p.size, int)}


def made_up(types: Mapping[str, TensorType], model: Module | None, seed: int) -> Arrays:
    """Random inputs that the model's distributions can produce.

    Raises:
        OptionError: A size is symbolic.
    """
    from bl_compiler.training.specs import input_specs

    specs = input_specs(model) if model is not None else {}
    generator = np.random.default_rng([0x696E70, seed])
    found = {}
    for name, type_ in types.items():
        shape = tuple(size for size in type_.shape if isinstance(size, int))
        if len(shape) != type_.rank:
            raise OptionError(f"input `{name}` has a symbolic size", help="give `--inputs`, or a number by `--batch`")
        support = next(iter(specs[name].supports), None) if name in specs else None
        found[name] = _random(generator, type_.dtype, shape, support)
    return found


def _random(generator: np.random.Generator, dtype: DType, shape: tuple[int, ...], support: Any) -> Array:
    constraint = support.constraint if support is not None else "real"
    if dtype is DType.BOOL:
        return generator.uniform(size=shape) < 0.5
    if constraint == "category":
        return generator.integers(0, support.classes or 2, shape).astype(np.int32)
    if dtype is DType.U8:
        return generator.integers(0, 256, shape).astype(np.uint8)
    if dtype.is_integer or constraint == "boolean":
        bits = generator.integers(0, 2, shape)
        return bits.astype(np.float32) if dtype.is_float else bits.astype(np.int32)
    numbers = generator.normal(size=shape).astype(np.float32)
    if constraint in ("positive", "nonnegative", "nonnegative_integer"):
        return np.abs(numbers) + np.float32(0.1)
    if constraint in ("unit_interval", "interval"):
        low, high = (support.low or 0.0, support.high if support.high is not None else 1.0)
        return (low + (high - low) * generator.uniform(0.05, 0.95, shape)).astype(np.float32)
    if constraint == "simplex":
        return generator.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)
    return numbers


def run_entry(
    program: Program, entry: str, params: Mapping[str, Any], inputs: Mapping[str, Any], *, seed: int, samples: int
) -> Arrays:
    """The results of an entry point of `RUNNABLE`, flattened to names."""
    state = dict(params)
    match entry:
        case "init":
            found: Mapping[str, Any] = state
        case "sample" | "prior":
            weights: Any = "prior" if entry == "prior" else "posterior"
            found = program.sample(state, seed, inputs, draws=samples, weights=weights)
        case "predict":
            predicted = program.predict(state, inputs, seed, draws=samples)
            found = {f"{name}.{key}": value for name, parts in predicted.items() for key, value in parts.items()}
        case "loss":
            value, metrics = program.loss(state, inputs, seed, sizes=open_sizes(program.module))
            found = {"loss": value, **metrics}
        case "log_likelihood":
            found = program.log_likelihood(state, inputs, seed, draws=samples)
        case _:
            raise OptionError.unknown("entry point", entry, RUNNABLE)
    return {name: np.asarray(value) for name, value in found.items()}


def check_finite(results: Arrays, sources: Mapping[str, SourceFile], again: Callable[[], object]) -> None:
    """Raise if results hold NaN, at the source line where the first NaN comes up.

    Args:
        results: What a program gave.
        sources: The texts of the model.
        again: Computes the results once more.

    Raises:
        CompileError: They do (BLC0604).
    """
    bad = [name for name, array in results.items() if array.dtype.kind == "f" and np.isnan(array).any()]
    if not bad:
        return
    sink = Sink()
    for source in sources.values():
        sink.add_source(source)
    count = int(np.isnan(results[bad[0]]).sum())
    others = len(bad) - 1
    more = "" if not others else "; so does another" if others == 1 else f"; so do {others} others"
    at = _where_nan_comes_up(sources, again)
    error = sink.error(
        "BLC0604", f"output `{bad[0]}` holds {count} NaN{more}", at=at, label="the first NaN comes up here"
    )
    if not at.known:
        error.note("the NaN comes up in no line of the model: look at the inputs and parameters")
    raise CompileError(sink.diagnostics, sink.sources)


def _where_nan_comes_up(sources: Mapping[str, SourceFile], again: Callable[[], object]) -> Span:
    """The line of the model whose operation first gives NaN: JAX runs operation by operation to find it."""
    import jax

    try:
        # JAX announces the search with a print to stdout, which is not its to write.
        with jax.debug_nans(True), contextlib.redirect_stdout(io.StringIO()):
            again()
    except FloatingPointError as fault:
        found = NO_SPAN
        frame = fault.__traceback__
        while frame is not None:
            name = frame.tb_frame.f_code.co_filename
            if name in sources:
                text = sources[name].line(frame.tb_lineno)
                start = len(text) - len(text.lstrip()) + 1
                found = Span(name, frame.tb_lineno, start, frame.tb_lineno, len(text) + 1)
            frame = frame.tb_next
        return found
    return NO_SPAN


def compare_with_reference(
    program: Program,
    entries: Module,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    seed: int,
    samples: int,
) -> list[Difference]:
    """Log densities of draws by the program and, from the IR before any pass, by the reference in float64.

    Args:
        program: The program, after passes and emission.
        entries: The entry points before the passes.
        params: Raw parameters.
        inputs: All inputs.
        seed: Of the draws.
        samples: How many draws to compare.

    Raises:
        OptionError: The log density itself draws noise, which the two would draw differently.
    """
    from bl_compiler.backends.reference.program import ReferenceProgram

    graph = entries.functions["log_joint"]
    if any(node.op.name == "random.draw" for node in graph.nodes):
        raise OptionError("the model draws noise that is no site, so its log density cannot be compared")
    reference = ReferenceProgram(entries)
    sizes = open_sizes(program.module)
    state = dict(params)
    fed = {name: value for name, value in inputs.items() if name in needed_inputs(program, "sample")}
    drawn = program.sample(state, seed, fed, draws=samples)
    raw = {path: np.asarray(value) for path, value in state.items()}
    found = []
    for i in range(samples):
        sites = {name: np.asarray(drawn[name][i]) for name in program.interface.sites}
        density = float(program.log_joint(state, sites, inputs, sizes=sizes))
        fed_reference = {**inputs, **{f"site:{name}": value for name, value in sites.items()}}
        outputs = reference.run("log_joint", raw, fed_reference, seed=seed, sizes=sizes)
        found.append(Difference(i, density, float(outputs["log_joint"])))
    return found
