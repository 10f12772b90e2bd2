"""What a layer asks while it is applied: its weights under the beliefs in force, statistics, noise.

Implements `layers.spec.LayerContext`. May import: floors 0-1, `layers.spec`, `values`, `state`, `weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bl_compiler.frontend.posteriors import latent
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import Instance
from bl_compiler.frontend.weights import Wanted, is_point, parameter, point_value
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer
from bl_compiler.ir.types import Dim, DType, TensorType, dims_of, dims_text
from bl_compiler.layers.spec import ArgumentError

Apply = Callable[[object, tuple[Value, ...]], Value]


class Context:
    """The context of one application of a layer instance, or (without an instance) of a function."""

    def __init__(self, state: State, instance: Instance | None, apply: Apply) -> None:
        self.b = state.b
        self._state = state
        self._instance = instance
        self._apply = apply

    @property
    def _owner(self) -> Instance:
        assert self._instance is not None, "functions have no weights"
        return self._instance

    def weight(
        self,
        role: str,
        dims: Sequence[int | Dim],
        init: Initializer,
        *,
        constraint: str = "real",
        dtype: DType = DType.F32,
    ) -> Value:
        """See `LayerContext.weight`."""
        owner, full = self._owner, dims_of(*dims)
        if role in owner.weights:
            known = owner.weights[role]
            if known.tensor.shape != tuple(d.size for d in full):
                raise ArgumentError(
                    "",
                    f"`{owner.path}` has a {role} {dims_text(known.tensor.dims)} and would need {dims_text(full)} here",
                    "use another instance, or an input of the same last dimension",
                    code="BLC0211",
                )
            return known
        value = self._new_weight(owner, role, full, init, constraint, dtype)
        self._state.remember(f"{owner.path}/{role}", value)
        owner.weights[role] = value
        return value

    def _new_weight(
        self, owner: Instance, role: str, dims: tuple[Dim, ...], init: Initializer, constraint: str, dtype: DType
    ) -> Value:
        state, path = self._state, f"{owner.path}/{role}"
        belief = owner.beliefs.find(role, (*owner.layers, owner.kind))
        if belief is None:
            return parameter(state, path, dims, init, owner.span, constraint=constraint, dtype=dtype)
        if belief.prior is None or is_point(state, belief.posterior):
            return point_value(state, path, dims, init, belief.prior, owner.span, constraint=constraint, dtype=dtype)
        return latent(state, Wanted(path, dims, init, belief, owner.span))

    def state(self, name: str, dims: Sequence[int | Dim], init: Initializer, *, dtype: DType = DType.F32) -> Value:
        """See `LayerContext.state`."""
        owner, key = self._owner, f"state:{name}"
        if key not in owner.weights:
            path = self._state.claim(f"{owner.path}/{name}", owner.span)
            type_ = TensorType(dtype, dims_of(*dims))
            owner.weights[key] = self.b.add("model.state", path=path, type=type_, init=init)
            self.b.hint(owner.weights[key], name)
        return owner.weights[key]

    def update(self, name: str, value: Value) -> None:
        """See `LayerContext.update`."""
        self.b.emit("model.update", (value,), {"path": f"{self._owner.path}/{name}"})

    def noise(self, name: str, distribution: Value) -> Value:
        """See `LayerContext.noise`."""
        owner = self._owner
        count = sum(key.startswith(f"noise:{name}") for key in owner.asked)
        owner.asked.add(f"noise:{name}:{count}")
        path = f"{owner.path}/{name}" + (f"_{count}" if count else "")
        self._state.claim(path, owner.span)
        return self.b.add("model.noise", distribution, site=path)

    def call(self, function: object, *args: Value) -> Value:
        """See `LayerContext.call`."""
        return self._apply(function, args)

    def once(self, what: str) -> bool:
        """See `LayerContext.once`."""
        first = what not in self._owner.asked
        self._owner.asked.add(what)
        return first
