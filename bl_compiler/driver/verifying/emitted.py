"""One entry graph as a JAX function of one draw, mapped over draws.

Invariant: what runs is the body that `blc compile` emits for the graph; only its wrapper is chosen so that every output
has its name from the IR, and that draws outside regions are outputs too. May import: floors 0-3, numpy, `graphs`; the
JAX backend inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from bl_compiler.driver.verifying.graphs import DRAW, TERM, draws_in_regions, open_draws, terms_of, with_draws
from bl_compiler.ir.graph import Graph, Module

GRADIENT = "gradient:"

QUICK: Mapping[str, Any] = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""How XLA is told to compile fast instead of well."""

Tree = dict[str, Any]
"""Arrays by name."""


class EntryProgram:
    """An entry graph behind JAX.

    Args:
        module: What the graph belongs to.
        entry: Its name.
        graph: What is emitted.
        trained: Paths of the parameters to take gradients for, in `train`.
    """

    def __init__(self, module: Module, entry: str, graph: Graph, trained: Sequence[str]) -> None:
        from bl_compiler.backends.jax.emit import emit_module

        self.outputs = tuple(output.name for output in graph.outputs)
        self._trained = tuple(trained) if entry == "train" else ()
        # `_predict` gives all outputs under their own names and takes no sizes, which only these two may need.
        self._written = entry if entry in ("train", "log_joint") else "predict"
        prefix = "state:" if entry == "train" else ""
        self.draws = () if self._written == "log_joint" else tuple(str(n.site) for n in open_draws(graph))
        self.every_draw_is_open = not draws_in_regions(graph)
        terms = terms_of(graph) if entry == "train" else ()
        shown = graph if self._written == "log_joint" else with_draws(graph, prefix, terms)
        self.emitted = emit_module(module.with_functions({self._written: shown}))

    @property
    def text(self) -> str:
        """What was emitted; equal texts are equal programs."""
        return self.emitted.text

    def one(self, params: Tree, inputs: Tree, sizes: Any, key: Any) -> Tree:
        """The outputs of one draw by their names in the IR, `draw:SITE`, and for `train` the terms."""
        if self._written == "predict":
            found: Tree = self.emitted.namespace["_predict"](params, inputs, key)
            return found
        loss, (metrics, states) = self.emitted.namespace["_train"](params, inputs, key, sizes, None)
        added = (DRAW, TERM)
        named = {name if name.startswith(added) else f"state:{name}": value for name, value in states.items()}
        return {"loss": loss, **metrics, **named}

    def _with_gradients(self, params: Tree, inputs: Tree, sizes: Any, key: Any) -> Tree:
        import jax

        if not self._trained:
            return self.one(params, inputs, sizes, key)

        def loss(trained: Tree) -> tuple[Any, Tree]:
            found = self.one({**params, **trained}, inputs, sizes, key)
            return found["loss"], found

        gradients, found = jax.grad(loss, has_aux=True)({path: params[path] for path in self._trained})
        return {**found, **{f"{GRADIENT}{path}": value for path, value in gradients.items()}}

    @cached_property
    def _mapped(self) -> Callable[..., Tree]:
        import jax

        return jax.jit(jax.vmap(self._with_gradients, in_axes=(None, None, None, 0)))

    @cached_property
    def _quickly_mapped(self) -> Callable[..., Tree]:
        import jax

        return jax.jit(jax.vmap(self._with_gradients, in_axes=(None, None, None, 0)), compiler_options=dict(QUICK))

    def drawn(self, params: Tree, inputs: Tree, sizes: Mapping[str, int], keys: Any, *, quick: bool = False) -> Tree:
        """The outputs of one draw for each key along the first axis, with the draws and the gradients of the loss.

        Args:
            params: Raw parameters and statistics.
            inputs: Inputs by name.
            sizes: Totals of plates.
            keys: A random key for each draw.
            quick: Compile fast rather than well, for a few draws.
        """
        import jax

        with jax.default_matmul_precision("highest"):
            return (self._quickly_mapped if quick else self._mapped)(params, inputs, dict(sizes), keys)

    def kl_gradient(self, params: Tree, inputs: Tree, sizes: Mapping[str, int]) -> Tree:
        """The gradient of the output `kl`, for graphs in which it depends on no draw."""
        import jax

        def kl(trained: Tree) -> Any:
            return self.one({**params, **trained}, inputs, dict(sizes), jax.random.key(0))["kl"]

        with jax.default_matmul_precision("highest"):
            function = jax.jit(jax.grad(kl), compiler_options=dict(QUICK))
            return function({path: params[path] for path in self._trained})  # type: ignore[no-any-return]

    def log_joint(self, params: Tree, sites: Tree, inputs: Tree, sizes: Mapping[str, int]) -> Tree:
        """The output of the entry point that draws nothing."""
        import jax

        with jax.default_matmul_precision("highest"):
            function = jax.jit(self.emitted.namespace["log_joint"], compiler_options=dict(QUICK))
            return {"log_joint": np.asarray(function(params, sites, inputs, dict(sizes)))}


@cache
def _folded() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def keys(seed: Any, start: Any, count: int) -> Any:
        rounds = start + jnp.arange(count, dtype=jnp.uint32)
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), rounds)

    return jax.jit(keys, static_argnums=2)


def keys_of(seed: int, count: int, start: int = 0) -> Any:
    """Random keys `start` to `start + count` of a stream."""
    return _folded()(np.uint32(seed), np.uint32(start), count)
