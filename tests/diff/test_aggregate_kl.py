"""What `aggregate-kl` is worth once XLA has compiled it: digits in f32, arithmetic, memory traffic, communication."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.support.compiling import program

TEXT = """
model m {{
  plate batch[4] of 100
  input x: f32[batch, 200]
  input y: f32[batch]
  believe kernel ~ Normal({loc}, {scale}) by {by}
  let f = x |> dense(304) |> tanh |> dense(1) |> squeeze(-1)
  observe y ~ Normal(f, 1)
}}
"""
INPUTS = {"x": np.zeros((4, 200), np.float32), "y": np.zeros(4, np.float32)}
Params = dict[str, Any]


def divergence(by: str, loc: float, scale: float, passes: str = "") -> tuple[Callable[[Params], Any], Params]:
    """The part `kl` of the loss as a function of the parameters, and parameters of the right shapes."""
    built = program(TEXT.format(loc=loc, scale=scale, by=by), passes=passes)

    def kl(params: Params) -> Any:
        return built.functions["loss"](params, INPUTS, 0)[1]["kl"]

    return kl, {path: np.zeros([d.size for d in p.type.dims], np.float32) for path, p in built.params.items()}


@pytest.mark.parametrize("scale", [0.01, 0.3, 100.0])
def test_divergences_near_0_keep_their_digits(scale: float) -> None:
    kl, params = divergence("mean_field", 0.2, scale)
    compiled, rng = jax.jit(kl), np.random.default_rng(0)
    for away in (0.0, 1e-3):
        n, expected = 0, 0.0
        for path, array in params.items():
            if path.endswith("kernel/loc"):
                params[path] = (0.2 + scale * away * rng.normal(size=array.shape)).astype(np.float32)
                expected += float(np.sum((params[path].astype(np.float64) - 0.2) ** 2)) / (2 * scale**2)
                n += array.size
            elif path.endswith("kernel/scale"):
                raw = np.log(np.expm1(scale)) if scale < 50 else scale
                params[path] = np.full(array.shape, raw, np.float32)
        assert abs(float(compiled(params)) * 100 - expected) < 1e-6 * n


@pytest.mark.parametrize("by", ["mean_field", "point"])
def test_xla_does_less(by: str) -> None:
    costs = []
    for passes in ("-aggregate-kl", ""):
        kl, params = divergence(by, 0.0, 0.05, passes)
        costs.append(jax.jit(jax.value_and_grad(kl)).lower(params).compile().cost_analysis())
    assert costs[1]["flops"] < 0.85 * costs[0]["flops"]
    assert costs[1]["bytes accessed"] <= costs[0]["bytes accessed"]


def test_on_a_mesh_all_terms_are_one_reduction() -> None:
    """Eight devices exchange the scalars of all terms at once, and nothing else."""
    kl, params = divergence("mean_field", 0.0, 0.05)
    mesh = Mesh(np.array(jax.devices("cpu")[:8]), ("shard",))

    def placed(array: Any) -> jax.ShapeDtypeStruct:
        axis = next((i for i, n in enumerate(array.shape) if n % 8 == 0), None)
        spec = PartitionSpec(*("shard" if i == axis else None for i in range(array.ndim)))
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=NamedSharding(mesh, spec))

    text = jax.jit(kl).lower({path: placed(array) for path, array in params.items()}).compile().as_text()
    moved = re.findall(r"\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(", text)
    assert moved == ["all-reduce"]
