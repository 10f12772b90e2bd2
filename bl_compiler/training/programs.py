"""A compiled program behind the protocol that training uses.

Invariant: the arrays of a state determine it: what `arrays` gives, `restore` takes back bit for bit.
May import: floors 0-1, numpy, `training`; jax and the JAX backend inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bl_compiler.training.checkpoints import CheckpointError
from bl_compiler.training.npz import Array
from bl_compiler.training.protocol import Arrays

if TYPE_CHECKING:
    from bl_compiler.backends.jax.program import Program


class ProgramModel:
    """A JAX program for the training loop.

    Args:
        program: The compiled program.
        sizes: The number of training examples, for plates that state none.
        output_axes: The axis of examples of each output of prediction, by the names of the IR.
    """

    def __init__(self, program: Program, sizes: Mapping[str, int], output_axes: Mapping[str, int | None]) -> None:
        self._program = program
        self._sizes = dict(sizes)
        self._step: Callable[[Any, Arrays], tuple[Any, Mapping[str, Any]]] | None = None
        # Programs give a standard deviation where the IR has a variance, and summaries of what `predict` names.
        renamed = {name.replace("variance:", "stddev:", 1): axis for name, axis in output_axes.items()}
        for name, axis in output_axes.items():
            if name.startswith(("value:", "mean:")):
                key = name.partition(":")[2]
                renamed[f"mean:{key}"] = renamed[f"stddev:{key}"] = axis
        self.output_axes: Mapping[str, int | None] = renamed

    def start(self, seed: int) -> Any:
        """The state before the first step."""
        return self._program.train_init(seed)

    def step(self, state: Any, batch: Arrays) -> tuple[Any, Mapping[str, Any]]:
        """One step. The first is checked; the data set that all batches are cut from was checked as a whole."""
        if self._step is None:
            names = self._program.interface.needed_inputs("train_step")
            sizes = {name: np.float32(self._sizes[name]) for name in self._program.interface.needed_sizes("train_step")}
            compiled = self._program.compiled("train_step")
            after = self._program.train_step(state, {name: batch[name] for name in names}, **self._totals())
            self._step = lambda state, batch: compiled(state, {name: batch[name] for name in names}, sizes)
            return after
        return self._step(state, batch)

    def fetch(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The metrics as numbers."""
        import jax

        return {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}

    def params(self, state: Any) -> Any:
        """The parameters within a state."""
        return state["params"]

    def arrays(self, state: Any) -> dict[str, Array]:
        """A copy of the state on the host, by path."""
        import jax

        leaves, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(state))
        return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}

    def restore(self, arrays: Arrays) -> Any:
        """The state that `arrays` gave; CheckpointError (BLC0019) if they are another model's."""
        import jax
        import jax.numpy as jnp

        # The step reuses the buffers of its state, so the copies below must not share memory with `arrays`.
        wanted, structure = jax.tree_util.tree_flatten_with_path(jax.eval_shape(lambda: self.start(0)))
        named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in wanted}
        _check_same(named, arrays)
        return jax.tree_util.tree_unflatten(structure, [jnp.array(arrays[name]) for name in named])

    def loss(self, params: Any, batch: Arrays, *, seed: int) -> float:
        """The objective of one batch, per example."""
        value, _ = self._program.loss(params, batch, seed=seed, **self._totals())
        return float(value)

    def log_likelihood(self, params: Any, batch: Arrays, *, seed: int, draws: int) -> dict[str, Array]:
        """Per observed site the log density of each example, `[draws, examples]`."""
        found = self._program.log_likelihood(params, batch, seed=seed, draws=draws)
        return {site: np.asarray(values) for site, values in found.items()}

    def predict(self, params: Any, batch: Arrays, *, seed: int, draws: int, joint: bool = False) -> dict[str, Array]:
        """The outputs of prediction, such as `probs:labels` and `mean:targets`, summarized unless they are joint."""
        found = self._program.predict(params, batch, seed=seed, draws=draws, joint=joint)
        return {
            f"{measure}:{name}": np.asarray(values)
            for name, summary in found.items()
            for measure, values in summary.items()
        }

    def _totals(self) -> dict[str, Any]:
        return {"sizes": self._sizes} if self._sizes else {}


def _check_same(wanted: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise unless the arrays are those wanted; speaks of parameters first: the optimizer's arrays follow them."""
    differing = {
        name: f"`{name}` is {_type(arrays[name])} there and {_type(leaf)} here"
        for name, leaf in wanted.items()
        if name in arrays and (arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype)
    }
    missing, extra = set(wanted) - set(arrays), set(arrays) - set(wanted)
    faults = {*missing, *extra, *differing}
    if not faults:
        return
    shown = {name for name in faults if name.startswith("params/")} or faults
    parts = []
    if missing & shown:
        parts.append(f"it lacks {_some(missing & shown)}")
    if extra & shown:
        parts.append(f"it has {_some(extra & shown)} too many")
    parts += [text for name, text in sorted(differing.items()) if name in shown][:3]
    raise CheckpointError(
        f"the checkpoint belongs to another model: {'; '.join(parts)}".replace("`params/", "`"),
        help="parameters are matched by path: give a renamed layer its old name with `name=`",
        code="BLC0019",
    )


def _type(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _some(names: set[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
