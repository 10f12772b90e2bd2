"""A model of three lines behind the protocol of training, so that the loop's laws need no JAX.

Invariant: its state is a pure function of (seed, batches seen), as that of a compiled program is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bl_compiler.training.checkpoints import CheckpointError
from bl_compiler.training.npz import Array


class Line:
    """Fits y = w x by stochastic gradient descent; the noise of a step depends on the seed and the step.

    Args:
        bad_step: The step whose loss is NaN.
        rate: The learning rate.
    """

    def __init__(self, *, bad_step: int | None = None, rate: float = 0.1) -> None:
        self.bad_step = bad_step
        self.rate = rate
        self.seen: list[Array] = []

    def start(self, seed: int) -> dict[str, Any]:
        """Parameter, momentum, step and seed."""
        return {"w": np.float32(0.5), "m": np.float32(0), "step": np.int32(0), "seed": np.uint32(seed)}

    def step(self, state: dict[str, Any], batch: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, Any]]:
        """One step of momentum."""
        self.seen.append(batch["x"])
        noise = np.random.default_rng([int(state["seed"]), int(state["step"])]).normal()
        error = state["w"] * batch["x"] - batch["y"]
        gradient = np.float32(np.mean(error * batch["x"]) + 0.01 * noise)
        m = np.float32(0.9) * state["m"] + gradient
        step = np.int32(state["step"] + 1)
        loss = np.nan if step == self.bad_step else np.mean(error**2)
        after = {"w": np.float32(state["w"] - self.rate * m), "m": m, "step": step, "seed": state["seed"]}
        return after, {"loss": loss, "kl": np.float32(0.25)}

    def fetch(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Numbers."""
        return {name: float(value) for name, value in metrics.items()}

    def params(self, state: dict[str, Any]) -> dict[str, Any]:
        """The parameter."""
        return {"w": state["w"]}

    def arrays(self, state: dict[str, Any]) -> dict[str, Array]:
        """The state as arrays."""
        return {name: np.asarray(value) for name, value in state.items()}

    def restore(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """The state again."""
        if set(arrays) != {"w", "m", "step", "seed"}:
            raise CheckpointError("other arrays", code="BLC0019")
        return {name: array[()] for name, array in arrays.items()}

    def log_likelihood(
        self, params: dict[str, Any], batch: Mapping[str, Array], *, seed: int, draws: int
    ) -> dict[str, Array]:
        """Log densities under unit noise; draws differ by a constant that depends on the seed."""
        shift = np.random.default_rng(seed).normal(size=(draws, 1)) * 0.01
        error = params["w"] * batch["x"] - batch["y"] + shift
        return {"y": -0.5 * error**2 - 0.5 * np.log(2 * np.pi)}

    def predict(
        self, params: dict[str, Any], batch: Mapping[str, Array], *, seed: int, draws: int, joint: bool = False
    ) -> dict[str, Array]:
        """The line, and its noise."""
        mean = params["w"] * batch["x"]
        if joint:
            mean = np.stack([mean] * draws)
        return {"mean:y": mean, "variance:y": np.ones_like(mean)}


class Log:
    """A watcher that writes down what it hears."""

    def __init__(self) -> None:
        self.means: list[tuple[int, dict[str, float]]] = []
        self.evaluations: list[tuple[int, float, bool]] = []
        self.saves: list[int] = []

    def stepped(self, step: int, means: Mapping[str, float]) -> None:
        """Metrics."""
        self.means.append((step, dict(means)))

    def evaluated(self, step: int, nll: float, standard_error: float, *, better: bool) -> None:
        """An evaluation."""
        self.evaluations.append((step, nll, better))

    def saved(self, step: int, path: object) -> None:
        """A checkpoint."""
        self.saves.append(step)
