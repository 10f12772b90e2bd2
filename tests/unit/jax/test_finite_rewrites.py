"""Rewritten programs are finite where the program as written is: at zeros, dead units, tiny scales, half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bl_compiler as bl

TEXT = """model m {{
  plate batch[4] of 100
  input x: {dtype}[batch, 3]
  input y: f32[batch]
  believe kernel, bias ~ Normal(0, 1) by mean_field using {estimator}
  let f = x |> dense(4) |> relu |> dense(1) |> squeeze(axis=-1)
  observe y ~ Normal(f, 0.5)
}}"""
X = np.linspace(-1, 1, 12).reshape(4, 3)
# A raw scale of -15 is one of 3e-7, whose square times another is next to nothing.
STATES: dict[str, tuple[Any, dict[str, float]]] = {
    "zero inputs": (0 * X, {}),
    "dead units": (X, {"dense/bias/loc": -100.0}),
    "tiny scales": (X, {"scale": -15.0}),
    "tiny scales at zero": (0 * X, {"scale": -15.0}),
    "large scales": (X, {"scale": 50.0}),
    "large inputs": (3e3 * X, {}),
}


@pytest.mark.parametrize("dtype", ["f32", "f16"])
@pytest.mark.parametrize(
    "estimator", ["shared", "local_reparameterization", "flipout", "grouped(2)", "deterministic(approximate=true)"]
)
def test_loss_and_gradients_are_finite(estimator: str, dtype: str, tmp_path: Path) -> None:
    file = tmp_path / "m.blg"
    file.write_text(TEXT.format(dtype=dtype, estimator=estimator), encoding="utf-8")
    program = bl.compile(file)
    step = jax.jit(jax.value_and_grad(lambda params, inputs: program.loss(params, inputs, seed=1)[0]))
    start = program.init(seed=0)
    for name, (x, moved) in STATES.items():
        params = dict(start)
        for end, value in moved.items():
            params.update({path: np.full_like(params[path], value) for path in start if path.endswith(end)})
        loss, gradients = step(params, {"x": x.astype(dtype.replace("f", "float")), "y": np.zeros(4, np.float32)})
        assert np.isfinite(loss), name
        bad = [path for path, value in gradients.items() if not np.all(np.isfinite(value))]
        assert not bad, (name, bad)
