"""The loss of a network with a tied weight, a latent variable of each example and a mask, summed up by hand.

The sum below knows the language's documents only: which values there are, how they are drawn, what counts how often.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bl_compiler.backends.jax.program import Program
from tests.support.compiling import program, site_key

Array = npt.NDArray[np.float64]

EXAMPLES, TOTAL, WIDTH, CODE = 6, 30, 4, 2
TIED = f"""
model tied {{
  plate batch[{EXAMPLES}] of {TOTAL}
  input x: f32[batch, {WIDTH}]
  input y: f32[batch, {WIDTH}]
  input seen: bool[batch, {WIDTH}]
  param noise: f32[] = 0.5 in positive

  believe kernel ~ Normal(0.1, 1.5) by mean_field(init_scale=0.3)
  let enc = dense({WIDTH})
  let h = x |> enc |> tanh |> enc
  believe kernel = point
  sample z: f32[batch, {CODE}] ~ Normal(0, 1) by Normal(h |> dense({CODE}), h |> dense({CODE}) |> softplus)
  let mean = z |> dense({WIDTH}, bias ~ Laplace(0.2, 2.0) by point)
  observe y ~ Normal(mean, noise) where seen
}}
"""
ROUNDING = 2e-6
"""About ten roundings of float32: the sums have a few dozen terms of one size."""


@cache
def tied() -> Program:
    return program(TIED, estimators="shared")  # the draws that the sum by hand takes


@cache
def params() -> dict[str, Array]:
    """Values of which none is special."""
    rng = np.random.default_rng(3)
    return {path: np.asarray(v) + 0.3 * rng.normal(size=v.shape) for path, v in tied().init(0).items()}


@cache
def data() -> dict[str, npt.NDArray[np.generic]]:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, EXAMPLES, WIDTH))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "seen": rng.random(size=y.shape) < 0.6}


def softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def noise(seed: int, site: str, *shape: int) -> Array:
    return np.asarray(jax.random.normal(site_key(seed, site), shape), np.float64)


def normal_kl(loc: Array, scale: Array, mean: float, stddev: float) -> float:
    ratio = scale / stddev
    return float(np.sum(0.5 * (ratio**2 + ((loc - mean) / stddev) ** 2 - 1) - np.log(ratio)))


def by_hand(seed: int) -> tuple[float, float]:
    """`nll` and `kl`."""
    p, feeds = {path: value.astype(np.float64) for path, value in params().items()}, data()
    loc, scale = p["enc/dense/kernel/loc"], softplus(p["enc/dense/kernel/scale"])
    kernel = loc + scale * noise(seed, "enc/dense/kernel", WIDTH, WIDTH)  # one draw serves both uses
    bias = p["enc/dense/bias"]
    h = np.tanh(feeds["x"] @ kernel + bias) @ kernel + bias
    z_loc = h @ p["z/dense/kernel"] + p["z/dense/bias"]
    z_scale = softplus(h @ p["z/dense_1/kernel"] + p["z/dense_1/bias"])
    z = z_loc + z_scale * noise(seed, "z", EXAMPLES, CODE)
    mean = z @ p["mean/dense/kernel"] + p["mean/dense/bias"]
    density = stats.norm(mean, softplus(p["noise"])).logpdf(feeds["y"])
    nll = -density[feeds["seen"]].sum() / EXAMPLES
    shared = normal_kl(loc, scale, 0.1, 1.5) - stats.laplace(0.2, 2).logpdf(p["mean/dense/bias"]).sum()
    return nll, normal_kl(z_loc, z_scale, 0, 1) / EXAMPLES + shared / TOTAL


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_loss_is_the_sum_made_by_hand(seed: int) -> None:
    loss, parts = tied().loss(params(), data(), seed)
    nll, kl = by_hand(seed)
    assert float(parts["nll"]) == pytest.approx(nll, rel=ROUNDING)
    assert float(parts["kl"]) == pytest.approx(kl, rel=ROUNDING)
    assert float(loss) == pytest.approx(nll + kl, rel=ROUNDING)


def test_the_tied_weight_has_one_site_and_one_set_of_parameters() -> None:
    assert [path for path in tied().params if path.startswith("enc/")] == [
        "enc/dense/kernel/loc",
        "enc/dense/kernel/scale",
        "enc/dense/bias",
    ]
    # A point is a parameter, so `log_joint` is not told its value.
    assert sorted(tied().interface.sites) == ["enc/dense/kernel", "z"]


def losses(parameters: dict[str, jax.Array], feeds: dict[str, object]) -> jax.Array:
    return tied().functions["loss"](parameters, feeds, 0)[0]


def test_what_a_mask_leaves_out_changes_neither_the_loss_nor_its_gradient() -> None:
    start = {path: jnp.asarray(value, jnp.float32) for path, value in params().items()}
    derive = jax.jit(jax.value_and_grad(losses))
    expected, slopes = derive(start, data())
    for junk in (np.nan, np.inf, 1e30):
        feeds = data() | {"y": np.where(data()["seen"], data()["y"], np.float32(junk))}
        found, found_slopes = derive(start, feeds)
        assert float(found) == float(expected)
        for path, slope in slopes.items():
            assert np.isfinite(slope).all(), path
            np.testing.assert_array_equal(found_slopes[path], slope, err_msg=path)
    changed = data()["y"] + np.where(data()["seen"], np.float32(0.5), np.float32(0))
    assert float(derive(start, data() | {"y": changed})[0]) != float(expected)


def test_a_step_whose_data_is_all_masked_learns_from_the_prior_alone() -> None:
    nothing = np.zeros((EXAMPLES, WIDTH), bool)
    _, parts = tied().loss(params(), data() | {"seen": nothing, "y": np.full_like(data()["y"], np.nan)}, 0)
    assert float(parts["nll"]) == 0
    assert float(parts["kl"]) == pytest.approx(by_hand(0)[1], rel=ROUNDING)
