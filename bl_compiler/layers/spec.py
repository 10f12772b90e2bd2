"""How layers and built-in functions are declared: by a Python function whose signature is the declaration.

A layer is `def dense(ctx: LayerContext, x: Value, units: int, …) -> Value` under `@layer("kernel", "bias")`; a built-in
function is `def exp(ctx: LayerContext, x: Value) -> Value` under `@function`. Parameters annotated `Value`,
`Value | None` or `Sequence[Value]` take arrays (numbers become constants); all others take compile-time values, which
the function itself checks with `check.py`.
Invariant: a layer touches the graph through its context only. May import: floors 0-1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer
from bl_compiler.ir.types import Dim, DType


class ArgumentError(Exception):
    """A layer or function refuses an argument. The front end points at it in the source.

    Args:
        argument: the parameter's name.
        message: what is wrong: lower case, no final period.
        help: the way out.
    """

    def __init__(
        self,
        argument: str,
        message: str,
        help: str = "",
        *,
        code: str = "BLC0203",
    ) -> None:
        super().__init__(message)
        self.argument, self.message, self.help, self.code = argument, message, help, code


class LayerContext(Protocol):
    """What a layer may ask of the front end while it is applied."""

    b: GraphBuilder

    def weight(
        self,
        role: str,
        dims: Sequence[int | Dim],
        init: Initializer,
        *,
        constraint: str = "real",
        dtype: DType = DType.F32,
    ) -> Value:
        """The weight of this instance with this role, under the belief in force for it; the same value at every use.

        Args:
            role: one of the layer's declared roles.
            dims: its dimensions.
            init: its initial value (for an uncertain weight, of the posterior's location).
            constraint: the space it lives in.
            dtype: its element type.
        """

    def state(self, name: str, dims: Sequence[int | Dim], init: Initializer, *, dtype: DType = DType.F32) -> Value:
        """A running statistic of this instance."""

    def update(self, name: str, value: Value) -> None:
        """Set the statistic `name` to `value` after a training step."""

    def noise(self, name: str, distribution: Value) -> Value:
        """A draw that is never inferred (dropout), with its own site under this instance."""

    def call(self, function: object, *args: Value) -> Value:
        """Apply a function or layer the user passed as an argument, such as `activation=relu`."""

    def once(self, what: str) -> bool:
        """True the first time this instance asks with this word; guards statistics updated by a shared instance."""


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter of a layer or function."""

    name: str
    kind: str
    required: bool
    default: object = None
    variadic: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether arrays go here."""
        return self.kind in ("Value", "Value | None") and not self.variadic

    @property
    def takes_values(self) -> bool:
        """Whether a list of arrays goes here."""
        return self.kind == "Sequence[Value]" or (self.kind == "Value" and self.variadic)


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer (with roles of weights, possibly none) or a function (`stateless`)."""

    name: str
    function: Callable[..., object]
    params: tuple[ParamSpec, ...]
    roles: tuple[str, ...]
    doc: str
    stateless: bool

    @property
    def inputs(self) -> tuple[ParamSpec, ...]:
        """The parameters that take arrays."""
        return tuple(p for p in self.params if p.takes_value or p.takes_values)


def _spec(function: Callable[..., object], roles: tuple[str, ...], *, stateless: bool) -> LayerSpec:
    params = []
    for p in list(inspect.signature(function).parameters.values())[1:]:
        required = p.default is inspect.Parameter.empty and p.kind is not inspect.Parameter.VAR_POSITIONAL
        variadic = p.kind is inspect.Parameter.VAR_POSITIONAL
        params.append(ParamSpec(p.name, str(p.annotation), required, None if required else p.default, variadic))
    name = function.__name__.strip("_")
    return LayerSpec(name, function, tuple(params), roles, inspect.cleandoc(function.__doc__ or ""), stateless)


def layer(*roles: str) -> Callable[[Callable[..., object]], LayerSpec]:
    """Declare a layer whose weights have these roles."""
    return lambda function: _spec(function, roles, stateless=False)


def function(function: Callable[..., object]) -> LayerSpec:
    """Declare a built-in function; a trailing underscore in its Python name is dropped (`max_` is `max`)."""
    return _spec(function, (), stateless=True)


class LayerSet(Mapping[str, LayerSpec]):
    """Layers and functions by name."""

    def __init__(self, *families: Iterable[LayerSpec]) -> None:
        self._specs: dict[str, LayerSpec] = {}
        for family in families:
            for spec in family:
                if spec.name in self._specs:
                    raise ValueError(f"`{spec.name}` is declared twice")
                self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> LayerSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)
