"""From a program to StableHLO, for any platform and without its plugin, and to executables for the platforms here.

Invariant: equal programs give equal bytes, whatever the folder, the caller and the history of the process: tracing runs
in a thread of its own, so that no caller's frames are recorded, and in caches of its own (`compat.fresh_traces`).
May import: floors 0-1, jax, `program`, `compat`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import jax

from bl_compiler.backends.jax import compat
from bl_compiler.backends.jax.program import Program
from bl_compiler.diagnostics import BackendError, UnavailableError
from bl_compiler.ir.types import Dim, DType, TensorType
from bl_compiler.targets import Target

T = TypeVar("T")

DRAWS = 32
"""How many draws a lowered `predict` or `log_likelihood` makes unless told otherwise."""

_DTYPES = {DType.BOOL: "bool", DType.U8: "uint8", DType.I32: "int32", DType.I64: "int64"} | {
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F32: "float32",
    DType.F64: "float64",
}
_WITH_DRAWS = ("predict", "log_likelihood", "sample")
_DONATED = {"train_step": 0}
_LOCATION = re.compile(r' loc\((?:#loc\d*|unknown|"[^"]*")\)')
_PARAMETERS = {
    "init": ("seed",),
    "train_init": ("seed",),
    "loss": ("params", "inputs", "seed", "sizes"),
    "train_step": ("state", "inputs", "sizes"),
    "log_joint": ("params", "sites", "inputs", "sizes"),
    "sample": ("params", "seed", "inputs"),
}
"""Names of the arguments of lowered functions; the others take `params`, `inputs` and `seed`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array that a lowered function takes or gives; sizes may be symbols."""

    path: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """An entry point as StableHLO.

    Attributes:
        entry: the entry point's name.
        platform: what it was lowered for: `cpu`, `cuda` or `tpu`.
        text: the module as text, with the source lines of its operations.
        portable: the module as portable bytecode, which later versions of StableHLO read too.
        inputs: what it takes, in order.
        outputs: what it gives, in order.
    """

    entry: str
    platform: str
    text: str
    portable: bytes
    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]

    @property
    def plain_text(self) -> str:
        """The text without source lines."""
        lines = [_LOCATION.sub("", line) for line in self.text.split("\n") if not line.startswith("#loc")]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Cost:
    """What XLA says of an executable, per device; None where it does not say. Loop bodies count once in `flops`."""

    flops: float | None
    bytes_accessed: float | None
    argument_bytes: int | None
    output_bytes: int | None
    temporary_bytes: int | None
    peak_bytes: int | None
    code_bytes: int | None


@dataclass(frozen=True, slots=True)
class Executable:
    """An entry point compiled for a platform of this machine."""

    entry: str
    platform: str
    compiled: Any
    cost: Cost

    @property
    def hlo(self) -> str:
        """The optimized HLO."""
        return str(self.compiled.as_text())


def arguments(program: Program, entry: str, *, batch: int | None = None) -> tuple[Any, ...]:
    """The arguments of an entry point as shapes and element types.

    Args:
        program: the program.
        entry: the entry point's name.
        batch: the value of symbolic sizes; None leaves them symbolic.
    """
    shape = _Shapes(program, batch)
    key = compat.shape_of((2,), "uint32")
    inputs = shape.inputs(entry)
    match entry:
        case "init" | "train_init":
            return (key,)
        case "loss":
            return shape.params(), inputs, key, shape.sizes(entry)
        case "train_step":
            return jax.eval_shape(program.functions["train_init"], key), inputs, shape.sizes(entry)
        case "log_joint":
            sites = {name: shape.of(feed.type) for name, feed in program.interface.sites.items()}
            return shape.params(), sites, inputs, shape.sizes(entry)
        case "sample":
            return shape.params(), key, inputs
        case _:
            return shape.params(), inputs, key


class _Shapes:
    def __init__(self, program: Program, batch: int | None) -> None:
        self._program = program
        feeds = [*program.interface.inputs.values(), *program.interface.sites.values()]
        symbols = dict.fromkeys(d.size for feed in feeds for d in feed.type.dims if isinstance(d.size, str))
        if batch is None:
            self._symbols: dict[str, Any] = compat.symbols(list(symbols))
        else:
            self._symbols = dict.fromkeys(symbols, batch)

    def of(self, type_: TensorType) -> Any:
        return compat.shape_of([self._size(dim) for dim in type_.dims], _DTYPES[type_.dtype])

    def _size(self, dim: Dim) -> Any:
        return dim.size if isinstance(dim.size, int) else self._symbols[dim.size]

    def params(self) -> dict[str, Any]:
        return {path: self.of(parameter.type) for path, parameter in self._program.interface.params.items()}

    def inputs(self, entry: str) -> dict[str, Any]:
        interface = self._program.interface
        return {name: self.of(interface.inputs[name].type) for name in interface.needed_inputs(entry)}

    def sizes(self, entry: str) -> dict[str, Any]:
        names = self._program.interface.needed_sizes(entry)
        return {name: compat.shape_of((), "float32") for name in names}


def entry_function(program: Program, entry: str, *, draws: int = DRAWS) -> Callable[..., Any]:
    """The pure function of an entry point, the number of draws fixed where it has one.

    Raises:
        InputError: the program has none of that name.
    """
    program.compiled(entry)
    pure = program.functions[entry]
    if entry not in _WITH_DRAWS:
        return pure

    def fixed(*args: Any) -> Any:
        return pure(*args, draws=draws)

    fixed.__name__ = fixed.__qualname__ = entry
    return fixed


def jitted(program: Program, entry: str, *, draws: int = DRAWS, **options: Any) -> Any:
    """The entry point under `jax.jit`, the training state donated; `options` are those of `jax.jit`."""
    if entry in _DONATED:
        options = {"donate_argnums": _DONATED[entry], **options}
    return jax.jit(entry_function(program, entry, draws=draws), **options)


def platform_of(target: Target | str) -> str:
    """JAX's name for what a target, or the text of one, is lowered for.

    >>> platform_of("gpu"), platform_of("tpu:v5e:2x4")
    ('cuda', 'tpu')
    """
    return (Target.parse(target) if isinstance(target, str) else target).platform


def lower(
    program: Program, entry: str, target: Target | str = "cpu", *, batch: int | None = None, draws: int = DRAWS
) -> Lowered:
    """Lower an entry point to StableHLO; neither the platform's plugin nor a device is needed.

    Args:
        program: the program.
        entry: the entry point's name, such as `train_step`.
        target: what to lower for, such as `cpu`, `cuda` or `tpu`.
        batch: the value of symbolic sizes; None leaves them symbolic.
        draws: how many draws `predict`, `log_likelihood` and `sample` make.

    Raises:
        InputError: the program has no such entry point.
        BackendError: JAX cannot lower it for the platform.
    """
    program.require_available()
    function, platform = jitted(program, entry, draws=draws), platform_of(target)

    def trace() -> Any:
        with compat.fresh_traces():
            return compat.export(function, platform, arguments(program, entry, batch=batch))

    exported = _alone(trace)
    return Lowered(
        entry,
        platform,
        str(exported.mlir_module()),
        exported.mlir_module_serialized,
        _leaves(exported.in_avals, exported.in_tree, _PARAMETERS.get(entry, ("params", "inputs", "seed"))),
        _leaves(exported.out_avals, exported.out_tree),
    )


def compile_entry(
    program: Program, entry: str, target: Target | str = "cpu", *, batch: int | None = None, draws: int = DRAWS
) -> Executable:
    """Compile an entry point for a device of this machine.

    Raises:
        UnavailableError: there is no such device here.
        BackendError: XLA refuses the program, or its memory does not suffice.
    """
    program.require_available()
    platform = platform_of(target)
    try:
        device = jax.devices(platform)[0]
    except RuntimeError as error:
        raise UnavailableError(f"no {platform} device here: {error}") from error
    function = jitted(program, entry, draws=draws)

    def compiled() -> Any:
        with jax.default_device(device):
            return function.lower(*arguments(program, entry, batch=batch)).compile()

    found = _alone(compiled)
    return Executable(entry, platform, found, cost_of(found))


def cost_of(compiled: Any) -> Cost:
    """The figures of an executable of JAX; targets differ in what they know."""
    figures: Mapping[str, Any] = _asked(compiled.cost_analysis) or {}
    memory = _asked(compiled.memory_analysis)
    sizes = ("argument_size", "output_size", "temp_size", "peak_memory", "generated_code_size")
    return Cost(
        figures.get("flops"),
        figures.get("bytes accessed"),
        *(getattr(memory, f"{name}_in_bytes", None) for name in sizes),
    )


def _asked(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except (NotImplementedError, RuntimeError):
        return None


def _leaves(avals: Any, tree: Any, names: Sequence[str] = ()) -> tuple[Leaf, ...]:
    """Leaves with their paths; those of arguments, a pair of positional and named ones, start with their names."""
    whole = jax.tree_util.tree_unflatten(tree, list(avals))
    found, _ = jax.tree_util.tree_flatten_with_path(whole)

    def path_text(path: Sequence[Any]) -> str:
        if not names:
            return jax.tree_util.keystr(tuple(path), simple=True, separator="/")
        rest = jax.tree_util.keystr(tuple(path[2:]), simple=True, separator="/")
        return "/".join([names[path[1].idx], *([rest] if rest else [])])

    return tuple(
        Leaf(
            path_text(path),
            str(aval.dtype),
            tuple(size if isinstance(size, int) else str(size) for size in aval.shape),
        )
        for path, aval in found
    )


def _alone(task: Callable[[], T]) -> T:
    """The result of a task run in a thread of its own, where no caller's frame is on the stack."""
    with ThreadPoolExecutor(1, "blc-lower") as pool:
        try:
            return pool.submit(task).result()
        except jax.errors.JaxRuntimeError as error:
            raise BackendError(str(error)) from error
