"""A compiled model as a Python object.

Invariant: methods check what they are fed and then call the functions of the emitted text, compiled once each; those
functions themselves, in `functions`, are ordinary JAX. May import: floors 0-1, jax, `emit`, `interface`, `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from bl_compiler.backends.jax import compat
from bl_compiler.backends.jax.checks import Checker, InputError
from bl_compiler.backends.jax.emit import EmittedModule, emit_module
from bl_compiler.backends.jax.entries import joint_graph
from bl_compiler.backends.jax.interface import Interface, Parameter, wide_value
from bl_compiler.backends.jax.located import show_lines
from bl_compiler.backends.jax.optimizers import check_optimizer
from bl_compiler.backends.jax.runtime import constraints
from bl_compiler.backends.jax.runtime.entry import as_key
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Module
from bl_compiler.ir.types import DType, TensorType
from bl_compiler.source import SourceFile, Span

__all__ = ["InputError", "Params", "Program"]

Params = dict[str, Any]
"""Raw parameters and running statistics by path."""
State = dict[str, Any]
"""`step`, `params`, `opt_state` and `key`: plain arrays, as checkpoints want them."""

_JIT_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "train_step": {"donate_argnums": 0},
    "predict": {"static_argnames": ("draws", "joint")},
    "log_likelihood": {"static_argnames": ("draws",)},
    "sample": {"static_argnames": ("draws", "weights")},
}


class Program:
    """A compiled model.

    Attributes:
        module: the IR, one graph per entry point.
        emitted: the program as text.
        interface: what it takes and gives.
        functions: the emitted functions by name: pure, jittable, differentiable; their arguments are not checked.

    Example:
        program = Program(module)
        state = program.train_init(seed=0)
        state, metrics = program.train_step(state, {"x": x, "y": y})
        prediction = program.predict(state["params"], {"x": x}, seed=1, draws=32)
    """

    def __init__(
        self,
        module: Module,
        *,
        sources: Mapping[str, SourceFile] | None = None,
        flexible: Callable[[], Program | None] | None = None,
    ) -> None:
        """Emit a module.

        Args:
            module: a module that holds entry graphs.
            sources: the texts that messages and tracebacks quote, by file name.
            flexible: makes the same program for any number of examples; asked when inputs hold another number than a
                training step takes. None where a model only works with a fixed one.
        """
        compat.hide_own_frames()
        self._make_flexible = flexible
        self._flexible: Program | None = None
        self.module = module
        self.interface = Interface.of(module)
        self.emitted: EmittedModule = emit_module(module)
        self._sources = dict(sources or {})
        self._wide = wide_value(module)
        self._check = Checker(self._sources)
        if "train_step" in self.emitted.functions:
            check_optimizer(module.optimizer)
        for source in self._sources.values():
            show_lines(source)
        namespace = self.emitted.namespace
        self.functions: dict[str, Callable[..., Any]] = {name: namespace[name] for name in self.emitted.functions}
        self._compiled: dict[str, Callable[..., Any]] = {}

    @property
    def name(self) -> str:
        """The model's name."""
        return self.module.name

    @property
    def text(self) -> str:
        """The program as a Python module that needs jax, numpy and optax only."""
        return self.emitted.text

    @property
    def entries(self) -> tuple[str, ...]:
        """The functions it has."""
        return self.emitted.functions

    @property
    def inputs(self) -> dict[str, TensorType]:
        """The types of the inputs by name."""
        return {name: feed.type for name, feed in self.interface.inputs.items()}

    @property
    def params(self) -> dict[str, Parameter]:
        """The parameters and running statistics by path."""
        return dict(self.interface.params)

    def init(self, seed: Any) -> Params:
        """Initial raw parameters and statistics."""
        return self._call("init", self._key(seed))  # type: ignore[no-any-return]

    def constrained(self, params: Params) -> Params:
        """The parameters' values in their constrained spaces, statistics unchanged."""
        self._check.params(params, self.interface.params)
        return {path: _constrain(p, params[path]) for path, p in self.interface.params.items()}

    def loss(
        self,
        params: Params,
        inputs: Mapping[str, Any],
        seed: Any,
        sizes: Mapping[str, Any] | None = None,
        step: Any = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss per example in nats, and its parts `nll` and `kl`.

        Args:
            params: raw parameters and statistics.
            inputs: arrays by name.
            seed: an integer or a JAX key.
            sizes: the number of examples along plates that the model leaves open.
            step: the training step, for schedules; None is past their end.

        Raises:
            InputError: the arguments do not fit the program.
        """
        other = self._for_examples("loss", inputs)
        if other is not None:
            return other.loss(params, inputs, seed, sizes, step)
        self._check.params(params, self.interface.params)
        fed = self._fed("loss", inputs)
        return self._call("loss", params, fed, self._key(seed), self._sizes("loss", sizes), step)  # type: ignore[no-any-return]

    def train_init(self, seed: Any) -> State:
        """The state before the first training step."""
        return self._call("train_init", self._key(seed))  # type: ignore[no-any-return]

    def train_step(
        self, state: State, inputs: Mapping[str, Any], sizes: Mapping[str, Any] | None = None
    ) -> tuple[State, dict[str, jax.Array]]:
        """One training step; the buffers of `state` are reused, so it cannot be used again.

        Returns:
            The new state, and the metrics `loss`, `nll` and `kl` of the step.

        Raises:
            InputError: the arguments do not fit the program.
        """
        self._check.names("entry of the state", state, _STATE, _STATE)
        self._check.alive("arrays of the state", state)
        fed = self._fed("train_step", inputs)
        return self._call("train_step", state, fed, self._sizes("train_step", sizes))  # type: ignore[no-any-return]

    def predict(
        self, params: Params, inputs: Mapping[str, Any], seed: Any, draws: int = 32, *, joint: bool = False
    ) -> dict[str, dict[str, jax.Array]]:
        """Predictions by name, summarized over draws: `probs` of classes, or `mean` and `stddev`.

        Args:
            params: raw parameters and statistics.
            inputs: arrays by name.
            seed: an integer or a JAX key.
            draws: how many draws from the posterior.
            joint: draw functions: one draw of every weight serves all examples, and the draws are not summarized but
                come along the first axis, `probs`, or `mean` and `stddev` of an observation's distribution, and the
                `value` of what the model predicts. Equal seeds draw equal functions, for other inputs too.

        Raises:
            InputError: the arguments do not fit the program.
        """
        if joint and "predict" in self.module.functions and joint_graph(self.module) is None:
            raise self._check.fault("the program was compiled without joint draws", "compile the model again")
        other = self._for_examples("predict", inputs)
        if other is not None:
            return other.predict(params, inputs, seed, draws, joint=joint)
        self._check.params(params, self.interface.params)
        fed = self._fed("predict", inputs)
        how = {"draws": self._draws(draws), "joint": bool(joint)}
        return self._call("predict", params, fed, self._key(seed), **how)  # type: ignore[no-any-return]

    def log_likelihood(
        self, params: Params, inputs: Mapping[str, Any], seed: Any, draws: int = 32
    ) -> dict[str, jax.Array]:
        """Log density of each example by site, `[draws, batch]`.

        Raises:
            InputError: the arguments do not fit the program.
        """
        other = self._for_examples("log_likelihood", inputs)
        if other is not None:
            return other.log_likelihood(params, inputs, seed, draws)
        self._check.params(params, self.interface.params)
        fed = self._fed("log_likelihood", inputs)
        return self._call("log_likelihood", params, fed, self._key(seed), draws=self._draws(draws))  # type: ignore[no-any-return]

    def log_joint(
        self,
        params: Params,
        sites: Mapping[str, Any],
        inputs: Mapping[str, Any],
        sizes: Mapping[str, Any] | None = None,
    ) -> jax.Array:
        """Log density of the data together with the values of all sites, given by path.

        Raises:
            InputError: the arguments do not fit the program.
        """
        other = self._for_examples("log_joint", inputs)
        if other is not None:
            return other.log_joint(params, sites, inputs, sizes)
        self._check.params(params, self.interface.params)
        values = self._check.feeds("site", sites, self.interface.sites, self.interface.sites)
        fed = self._fed("log_joint", inputs)
        return self._call("log_joint", params, values, fed, self._sizes("log_joint", sizes))  # type: ignore[no-any-return]

    def sample(
        self,
        params: Params,
        seed: Any,
        inputs: Mapping[str, Any] | None = None,
        draws: int = 1,
        weights: Literal["posterior", "prior"] = "posterior",
    ) -> dict[str, jax.Array]:
        """Draws of every site and observation, along the first axis.

        Args:
            params: raw parameters and statistics.
            seed: an integer or a JAX key.
            inputs: the inputs that the model's distributions depend on.
            draws: how many draws.
            weights: what global sites are drawn from.

        Raises:
            InputError: the arguments do not fit the program.
        """
        graphs = {"posterior": "sample", "prior": "sample_prior"}
        if weights in graphs and graphs[weights] not in self.module.functions:
            way_out = "give its weights a proper prior such as Normal to draw from them"
            raise self._check.fault("a prior of the model is improper, so there is nothing to draw from it", way_out)
        if graphs.get(weights) not in self.module.functions:
            raise self._check.fault(f"`weights` is {weights!r}", 'pass "posterior" or "prior"')
        other = self._for_examples(graphs[weights], inputs or {})
        if other is not None:
            return other.sample(params, seed, inputs, draws, weights)
        self._check.params(params, self.interface.params)
        fed = self._fed(graphs[weights], inputs or {})
        return self._call("sample", params, self._key(seed), fed, draws=self._draws(draws), weights=weights)  # type: ignore[no-any-return]

    def require_available(self) -> None:
        """Raise unless JAX can represent the program's element types here.

        Raises:
            CompileError: it uses 64-bit types, and JAX is set to 32 bits.
        """
        require_wide_types(self._wide, self._sources)

    def compiled(self, entry: str) -> Callable[..., Any]:
        """The jitted function of an entry point, unchecked.

        Raises:
            InputError: the program has none of that name.
        """
        if entry not in self._compiled:
            if entry not in self.entries:
                raise self._check.fault(
                    f"the program has no entry point `{entry}`", f"it has: {', '.join(self.entries)}"
                )
            self._compiled[entry] = jax.jit(self.functions[entry], **_JIT_OPTIONS.get(entry, {}))
        return self._compiled[entry]

    def _call(self, entry: str, *arguments: Any, **options: Any) -> Any:
        require_wide_types(self._wide, self._sources)
        function = self.compiled(entry)
        try:
            return function(*arguments, **options)
        except Exception as error:
            note = _source_note(error, self.emitted, self._sources)
            if note:
                error.add_note(note)
            raise

    def _for_examples(self, entry: str, inputs: Mapping[str, Any]) -> Program | None:
        """The program for as many examples as the inputs hold, if that is not this one."""
        if self._make_flexible is None or not self._other_examples(entry, inputs):
            return None
        if self._flexible is None:
            self._flexible = self._make_flexible()
        return self._flexible

    def _other_examples(self, entry: str, inputs: object) -> bool:
        """Whether some input differs from its declaration in the number of examples and in nothing else."""
        if not isinstance(inputs, Mapping):
            return False  # told by `_fed`
        differs = False
        for name in self.interface.needed_inputs(entry):
            dims, shape = self.interface.inputs[name].type.dims, np.shape(inputs.get(name, ()))
            if len(shape) != len(dims) or any(d.size != n and not d.is_plate for d, n in zip(dims, shape, strict=True)):
                return False
            differs = differs or any(d.size != n for d, n in zip(dims, shape, strict=True))
        return differs

    def _fed(self, entry: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        needed = self.interface.needed_inputs(entry)
        fed = self._check.feeds("input", inputs, self.interface.inputs, needed)
        if entry in ("loss", "train_step"):
            self._check.examples(fed, self.interface.inputs)
        return fed

    def _key(self, seed: Any) -> jax.Array:
        return as_key(self._check.seed(seed))

    def _sizes(self, entry: str, sizes: Mapping[str, Any] | None) -> dict[str, Any]:
        plates = [plate.name for plate in self.module.plates]
        return self._check.sizes(sizes, plates, self.interface.needed_sizes(entry))

    def _draws(self, draws: Any) -> int:
        if not isinstance(draws, int) or draws < 1:
            raise self._check.fault(f"`draws` is {draws!r}", "pass a positive integer")
        return draws


_STATE = ("step", "params", "opt_state", "key")


def _constrain(parameter: Parameter, raw: Any) -> Any:
    if parameter.constraint == "real":
        return raw
    if parameter.constraint == "interval":
        return constraints.to_interval(raw, parameter.low, parameter.high)
    return getattr(constraints, f"to_{parameter.constraint}")(raw)


def require_wide_types(wide: tuple[DType, Span] | None, sources: Mapping[str, SourceFile] | None = None) -> None:
    """Raise unless JAX can represent a module's element types.

    Args:
        wide: the first use of a 64-bit type.
        sources: the texts that messages quote.

    Raises:
        CompileError: there is one, and JAX would silently narrow it.
    """
    if wide is not None and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        dtype, span = wide
        sink = Sink()
        sink.error("BLC0207", f"the program uses {dtype}, and JAX is set to 32 bits", at=span).help(
            "set `JAX_ENABLE_X64=1` in the environment, or declare a 32-bit type"
        )
        raise CompileError(sink.diagnostics, sources)


def _source_note(error: BaseException, emitted: EmittedModule, sources: Mapping[str, SourceFile]) -> str | None:
    """The source line that a failure comes from: the innermost frame of one of the program's files."""
    files = {span.file for span in emitted.spans.values()}
    found: tuple[str, int] | None = None
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file in files:
            found = file, frame.tb_lineno
        frame = frame.tb_next
    if found is None:
        return None
    file, line = found
    text = sources[file].line(line).strip() if file in sources else ""
    return f"raised by {file}:{line}" + (f": {text}" if text else "")
