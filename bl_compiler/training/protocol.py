"""What training, evaluation and prediction ask of a compiled model.

The loop knows this protocol and nothing of JAX, so its laws are tested with a model of three lines.
May import: numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bl_compiler.training.npz import Array

Arrays = Mapping[str, Array]


class Trainable(Protocol):
    """A model with a compiled training step. States and parameters are opaque here.

    Attributes:
        output_axes: For each output of prediction the axis of its examples, None where all examples share it.
    """

    output_axes: Mapping[str, int | None]

    def start(self, seed: int) -> Any:
        """The state before the first step."""

    def step(self, state: Any, batch: Arrays) -> tuple[Any, Mapping[str, Any]]:
        """One step; the metrics are scalars, `loss` among them, and may still be under way on the device."""

    def fetch(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The metrics as numbers; waits for the device."""

    def params(self, state: Any) -> Any:
        """The parameters within a state, as `log_likelihood` and `predict` take them."""

    def arrays(self, state: Any) -> dict[str, Array]:
        """A copy of the whole state on the host, by path."""

    def restore(self, arrays: Arrays) -> Any:
        """The state that `arrays` gave; raises `CheckpointError` if they are not of this model."""

    def loss(self, params: Any, batch: Arrays, *, seed: int) -> float:
        """The objective of one batch, per example."""

    def log_likelihood(self, params: Any, batch: Arrays, *, seed: int, draws: int) -> dict[str, Array]:
        """Per observed site the log density of each example, `[draws, examples]`."""

    def predict(self, params: Any, batch: Arrays, *, seed: int, draws: int, joint: bool = False) -> dict[str, Array]:
        """The outputs of prediction, averaged over draws; with `joint` those of each draw, along the first axis."""
