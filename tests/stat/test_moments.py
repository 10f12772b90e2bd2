"""Draws integrated out against draws: losses, predictions and gradients of networks in NumPy and JAX.

The networks are written by hand in NumPy, float64, with 10⁵ draws of all weights; thresholds are five standard errors
of what is estimated there. What is integrated has no noise of its own but float32's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.rules_tensor import unconstrain
from bl_compiler.driver.programs import build_program
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.moments.integrate import Moments
from tests.support.compiling import program
from tests.support.lowering import lowered

Array = npt.NDArray[np.float64]

DRAWS, BATCH, FEATURES, UNITS = 100_000, 4, 3, 5
SIGMA = 0.7
SIGMAS = 5.0

HEADER = f"""
  plate batch[{BATCH}] of 100
  input x: f32[batch, {FEATURES}]
  input y: f32[batch]
  param noise: f32[] = 1.0 in positive
"""
NETWORK = f"""
model m {{ {HEADER}
  believe kernel, bias ~ Normal(0, 1) by mean_field using deterministic
  let f = x |> dense({UNITS}, name="first") |> relu |> dense(1, name="second") |> squeeze(axis=-1)
  observe y ~ Normal(f, noise)
  predict twice = 2 * f
}}
"""
SHAPES = {"first/kernel": (FEATURES, UNITS), "first/bias": (UNITS,), "second/kernel": (UNITS, 1), "second/bias": (1,)}


def entries(text: str) -> Module:
    return derive_entries(lowered(text))


def integrated(text: str) -> Module:
    """The entry points with moments, verified."""
    after = Moments().run(entries(text), PassContext(CORE_OPS))
    verify(after, after="moments")
    return after


def sites(module: Module, entry: str) -> set[str | None]:
    """The sites that an entry draws."""
    return {node.site for node in walk(module.functions[entry]) if node.op.name == "random.draw"}


@cache
def numbers() -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs, and location and scale of each weight."""
    rng = np.random.default_rng(5)
    inputs = {"x": rng.normal(size=(BATCH, FEATURES)), "y": rng.normal(size=BATCH)}
    weights: dict[str, Array] = {}
    for path, shape in SHAPES.items():
        weights[f"{path}/loc"] = rng.normal(size=shape)
        weights[f"{path}/scale"] = rng.uniform(0.2, 0.8, size=shape)
    return inputs, weights


def params(module: Module) -> dict[str, jax.Array]:
    """Raw parameters."""
    found: dict[str, jax.Array] = {
        "noise": jnp.asarray(unconstrain(np.asarray(SIGMA), "positive", 0.0, 1.0), "float32")
    }
    for path in ReferenceProgram(module).init():
        if path != "noise":
            whole = numbers()[1][next(key for key in numbers()[1] if path.endswith(key))]
            raw = whole if path.endswith("loc") else unconstrain(whole, "positive", 0.0, 1.0)
            found[path] = jnp.asarray(raw, "float32")
    return found


def inputs() -> dict[str, jax.Array]:
    return {key: jnp.asarray(value, "float32") for key, value in numbers()[0].items()}


@cache
def functions() -> Array:
    """Draws of the network's output, `[draws, batch]`."""
    rng = np.random.default_rng(17)
    data, weights = numbers()
    drawn = {
        path: weights[f"{path}/loc"] + weights[f"{path}/scale"] * rng.normal(size=(DRAWS, *shape))
        for path, shape in SHAPES.items()
    }
    hidden = np.einsum("bi,nij->nbj", data["x"], drawn["first/kernel"]) + drawn["first/bias"][:, None]
    out = np.einsum("nbj,njk->nbk", np.maximum(hidden, 0), drawn["second/kernel"])
    return np.asarray((out + drawn["second/bias"][:, None])[..., 0])


def close(found: npt.ArrayLike, samples: Array) -> None:
    """Assert that a number is the mean of samples (first axis), within standard errors."""
    error = samples.std(axis=0) / np.sqrt(len(samples))
    np.testing.assert_array_less(np.abs(np.asarray(found) - samples.mean(axis=0)), SIGMAS * error + 1e-5)


def test_nothing_is_drawn_and_losses_are_equal_to_the_bit() -> None:
    module = integrated(NETWORK)
    assert sites(module, "train") == set()
    made = build_program(module)
    losses = {float(made.loss(params(module), inputs(), seed)[0]) for seed in range(3)}
    assert len(losses) == 1


def test_the_compiler_integrates_what_a_program_asks_for() -> None:
    """From the text, at the usual level: the same loss, no draw, training steps that do not depend on the seed."""
    made = program(NETWORK)
    assert sites(made.module, "train") == set()
    loss, _ = made.loss(params(made.module), inputs(), 0)
    wanted, _ = build_program(integrated(NETWORK)).loss(params(made.module), inputs(), 1)
    assert float(loss) == pytest.approx(float(wanted), rel=1e-6)
    after, metrics = made.train_step(made.train_init(0), inputs())
    assert np.isfinite(float(metrics["loss"]))
    assert all(np.isfinite(value).all() for value in after["params"].values())


def test_the_loss_is_the_expected_one() -> None:
    module = integrated(NETWORK)
    loss, parts = build_program(module).loss(params(module), inputs(), 0)
    samples = -stats.norm(functions(), SIGMA).logpdf(numbers()[0]["y"]).mean(axis=1)
    close(parts["nll"], samples)
    kl = 0.0
    for path in SHAPES:
        m, s = (numbers()[1][f"{path}/{part}"] for part in ("loc", "scale"))
        kl += float(np.sum(0.5 * (m**2 + s**2 - 1) - np.log(s)))
    assert float(parts["kl"]) == pytest.approx(kl / 100, rel=1e-5)
    assert float(loss) == pytest.approx(float(parts["nll"] + parts["kl"]), rel=1e-6)
    without_variance = -stats.norm(functions().mean(axis=0), SIGMA).logpdf(numbers()[0]["y"]).mean()
    assert abs(float(parts["nll"]) - without_variance) > 0.1, "the variance must matter for this test to mean anything"


def test_backends_agree() -> None:
    """The graph with moments in float64 by the interpreter: rounding of float32 is all that differs."""
    module = integrated(NETWORK)
    found = params(module)
    reference = ReferenceProgram(module).run("train", found, inputs())
    loss, _ = build_program(module).loss(found, inputs(), 0)
    assert float(loss) == pytest.approx(float(reference["loss"]), rel=1e-5)


def test_predictions_are_the_law_of_the_draws() -> None:
    module = integrated(NETWORK)
    assert sites(module, "predict") == set()
    found = build_program(module).predict(params(module), inputs(), 0, draws=3)
    f = functions()
    close(found["y"]["mean"], f)
    close(np.square(found["y"]["stddev"]), (f - f.mean(axis=0)) ** 2 + SIGMA**2)
    close(found["twice"]["mean"], 2 * f)
    close(np.square(found["twice"]["stddev"]), 4 * (f - f.mean(axis=0)) ** 2)


def test_gradients_are_the_expected_ones() -> None:
    before, after = entries(NETWORK), integrated(NETWORK)
    at, fed = params(after), inputs()
    sampled = gradients(build_program(before), at, fed, 20_000)
    exact = gradients(build_program(after), at, fed, 1)
    for path, samples in sampled.items():
        close(exact[path][0], samples)
    assert max(float(np.abs(each).max()) for each in exact.values()) > 0.1


def gradients(made: Program, at: Mapping[str, jax.Array], fed: Mapping[str, jax.Array], count: int) -> dict[str, Array]:
    """Gradients of the loss for each of `count` draws."""
    loss = made.functions["loss"]
    each = jax.jit(jax.vmap(jax.grad(lambda p, key: loss(p, fed, key)[0]), in_axes=(None, 0)))
    found = each(dict(at), jax.random.split(jax.random.key(3), count))
    return {path: np.asarray(value, np.float64) for path, value in found.items()}


def test_densities_are_still_those_of_draws() -> None:
    """The log of an average of densities is what data are judged by, and their spread over draws tells more."""
    module = integrated(NETWORK)
    assert sites(module, "log_likelihood") == sites(entries(NETWORK), "log_likelihood") != set()
