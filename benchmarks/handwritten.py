"""The benchmarked networks as an expert writes them by hand in JAX and optax, to measure the emitted step against.

Invariant: nothing here imports bl_compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax

Params = dict[str, jax.Array]
Step = Callable[[Any, dict[str, jax.Array]], tuple[Any, dict[str, jax.Array]]]


def _glorot(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.nn.initializers.glorot_uniform()(key, shape)


class Network:
    """A classifier with point or mean-field kernels, trained with Adam.

    Args:
        kernels: shapes of the kernels by name.
        others: the other trained parameters with their initial values.
        statistics: running statistics with their initial values.
        apply: `(kernels, others, statistics, x) -> (logits, new statistics)`.
        total: the size of the data set, which divides the KL term.
        bayesian: mean-field Gaussian kernels with shared draws under a standard normal prior, or plain kernels.
    """

    def __init__(
        self,
        kernels: dict[str, tuple[int, ...]],
        others: Params,
        statistics: Params,
        apply: Callable[[Params, Params, Params, jax.Array], tuple[jax.Array, Params]],
        *,
        total: int,
        bayesian: bool,
    ) -> None:
        self.kernels, self.others, self.statistics, self.apply = kernels, others, statistics, apply
        self.total, self.bayesian = total, bayesian
        self.optimizer = optax.adam(1e-3)

    def init(self, seed: int) -> dict[str, Any]:
        """A fresh training state."""
        keys = jax.random.split(jax.random.key(seed), len(self.kernels) + 1)
        params: dict[str, Any] = {"others": {k: jnp.array(v) for k, v in self.others.items()}}
        shapes = zip(self.kernels.items(), keys, strict=False)
        params["loc"] = {name: _glorot(key, shape) for (name, shape), key in shapes}
        if self.bayesian:
            raw = float(jnp.log(jnp.expm1(0.01)))
            params["raw"] = {name: jnp.full(shape, raw) for name, shape in self.kernels.items()}
        statistics = {k: jnp.array(v) for k, v in self.statistics.items()}
        state = {"params": params, "statistics": statistics, "opt": self.optimizer.init(params)}
        return {**state, "key": keys[-1], "step": jnp.array(0)}

    def _loss(self, params: dict[str, Any], statistics: Params, batch: dict[str, jax.Array], key: jax.Array) -> Any:
        kl = jnp.float32(0.0)
        kernels = params["loc"]
        if self.bayesian:
            keys = jax.random.split(key, len(self.kernels))
            kernels = {}
            for (name, loc), k in zip(params["loc"].items(), keys, strict=True):
                scale = jax.nn.softplus(params["raw"][name])
                kernels[name] = loc + scale * jax.random.normal(k, loc.shape)
                kl += jnp.sum(-jnp.log(scale) + 0.5 * (scale**2 + loc**2 - 1.0))
        logits, statistics = self.apply(kernels, params["others"], statistics, batch["x"])
        nll = optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch["y"]).mean()
        kl = kl / self.total
        return nll + kl, (nll, kl, statistics)

    def step(self, state: dict[str, Any], batch: dict[str, jax.Array]) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """One training step."""
        key = jax.random.fold_in(state["key"], state["step"])
        (loss, (nll, kl, statistics)), grads = jax.value_and_grad(self._loss, has_aux=True)(
            state["params"], state["statistics"], batch, key
        )
        updates, opt = self.optimizer.update(grads, state["opt"], state["params"])
        new = {
            "params": optax.apply_updates(state["params"], updates),
            "statistics": statistics,
            "opt": opt,
            "key": state["key"],
            "step": state["step"] + 1,
        }
        return new, {"loss": loss, "nll": nll, "kl": kl}


def mlp(*, bayesian: bool) -> Network:
    """784-512-512-10 with ReLU."""
    sizes = (784, 512, 512, 10)
    kernels = {f"w{i}": (a, b) for i, (a, b) in enumerate(pairwise(sizes))}
    others = {f"b{i}": jnp.zeros(b) for i, b in enumerate(sizes[1:])}

    def apply(w: Params, b: Params, statistics: Params, x: jax.Array) -> tuple[jax.Array, Params]:
        h = jax.nn.relu(x @ w["w0"] + b["b0"])
        h = jax.nn.relu(h @ w["w1"] + b["b1"])
        return h @ w["w2"] + b["b2"], statistics

    return Network(kernels, others, {}, apply, total=60_000, bayesian=bayesian)


def _batch_norm(x: jax.Array, scale: jax.Array, offset: jax.Array, mean: jax.Array, var: jax.Array) -> Any:
    m = x.mean((0, 1, 2))
    v = jnp.square(x - m).mean((0, 1, 2))
    y = (x - m) * (jax.lax.rsqrt(v + 1e-3) * scale) + offset
    return y, 0.99 * mean + 0.01 * jax.lax.stop_gradient(m), 0.99 * var + 0.01 * jax.lax.stop_gradient(v)


def cnn(*, bayesian: bool) -> Network:
    """The poster's CNN on 32x32x3: two 5x5 convolutions of 32 filters with batch normalization, and a dense layer."""
    kernels = {"c0": (5, 5, 3, 32), "c1": (5, 5, 32, 32), "w": (16 * 16 * 32, 10)}
    others: Params = {"b": jnp.zeros(10)}
    statistics: Params = {}
    for i in (0, 1):
        others |= {f"cb{i}": jnp.zeros(32), f"scale{i}": jnp.ones(32), f"offset{i}": jnp.zeros(32)}
        statistics |= {f"mean{i}": jnp.zeros(32), f"var{i}": jnp.ones(32)}

    def apply(w: Params, p: Params, s: Params, x: jax.Array) -> tuple[jax.Array, Params]:
        new: Params = {}
        for i, stride in ((0, 1), (1, 2)):
            x = jax.lax.conv_general_dilated(
                x, w[f"c{i}"], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x + p[f"cb{i}"]
            x, new[f"mean{i}"], new[f"var{i}"] = _batch_norm(
                x, p[f"scale{i}"], p[f"offset{i}"], s[f"mean{i}"], s[f"var{i}"]
            )
            x = jax.nn.relu(x)
        return x.reshape(x.shape[0], -1) @ w["w"] + p["b"], new

    return Network(kernels, others, statistics, apply, total=50_000, bayesian=bayesian)
