"""Composite posteriors through the passes: the objective and its gradient keep their expectations.

Level 0 draws every site once a step; level 1 chooses estimators. Both are averaged over independent draws and compared
by z-scores, per entry of the gradient.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.compiling import program

DRAWS, LIMIT = 2000, 4.5
TEXT = """model m {{
  plate batch[8] of 8
  input x: f32[batch, 3]
  input y: f32[batch, 2]
  believe kernel ~ Normal(0, 1) by {posterior}
  observe y ~ Normal(x |> dense(4) |> tanh |> dense(2), 0.5)
}}"""


@pytest.mark.parametrize(
    "posterior", ["horseshoe", "rank1(2)", "dropout(0.3)", "batch_ensemble(2)", "hyper_batch_ensemble(2)"]
)
def test_levels_agree(posterior: str) -> None:
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(8, 3)).astype(np.float32), "y": rng.normal(size=(8, 2)).astype(np.float32)}
    plain, optimized = (program(TEXT.format(posterior=posterior), level=level) for level in (0, 1))
    # Scales wide enough that draws matter: softplus(-1) = 0.31.
    params = {k: jnp.full_like(v, -1.0) if k.endswith("/scale") else v for k, v in plain.init(seed=0).items()}
    found: list[dict[str, npt.NDArray[np.float64]]] = []
    for index, compiled in enumerate((plain, optimized)):
        loss = compiled.functions["loss"]
        each = jax.vmap(lambda key, loss=loss: jax.value_and_grad(lambda p: loss(p, data, key)[0])(params))
        values, slopes = jax.jit(each)(jax.random.split(jax.random.key(index), DRAWS))
        found.append({k: np.asarray(v, np.float64).reshape(DRAWS, -1) for k, v in {**slopes, "loss": values}.items()})
    for name, first in found[0].items():
        second = found[1][name]
        error = np.sqrt((first.var(axis=0) + second.var(axis=0)) / DRAWS)
        assert np.all(np.abs(first.mean(axis=0) - second.mean(axis=0)) <= LIMIT * error + 1e-4), name
