"""Models of many shapes: with draws integrated out, losses and predictions are the averages over draws.

The averages are over 8,000 draws of the JAX backend with random raw parameters, thresholds are five standard errors;
what draws nothing is evaluated by the interpreter.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.programs import build_program
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.moments.integrate import Moments
from tests.support.lowering import lowered

Array = npt.NDArray[np.float64]

DRAWS, BATCH = 8_000, 3
HEADER = f"plate batch[{BATCH}] of 60\n input x: f32[batch, 4]\n input y: f32[batch]"
BELIEVE = "believe kernel, bias, embedding ~ Normal(0, 1) by mean_field using deterministic"

MODELS = {
    "activations": """let h = [x |> dense(2) |> sin, x |> dense(2) |> cos, x |> dense(2) |> abs,
        exp(0.3 * (x |> dense(2))), x |> dense(2) |> leaky_relu(negative_slope=0.2)] |> concat
      observe y ~ Normal((h |> dense(1) |> squeeze(axis=-1)) + 0.2 * (x |> dense(1) |> squeeze(axis=-1)) ** 2, 1)""",
    "mask, repeated draws": """input seen: bool[batch]
      observe y ~ Normal(x |> dense(4) |> relu |> dense(1) |> squeeze(axis=-1), 1) where seen
      objective elbo(samples=2)""",
    "two observations, one of vectors": """input z: f32[batch, 2]
      let f = x |> dense(5) |> relu |> dense(2)
      observe z ~ Normal(f, [0.5, 2.0])
      observe y ~ Normal(2 * sum(f, axis=-1) + 1, 2)""",
    "positions that share weights": """let h = x |> reshape([BATCH, 2, 2]) |> dense(3) |> relu |> flatten
      observe y ~ Normal(h |> dense(1) |> squeeze(axis=-1), 1)""",
    "convolution": """input image: f32[batch, 4, 4, 1]
      let h = image |> conv2d(2, kernel_size=2) |> relu |> flatten
      observe y ~ Normal(h |> dense(1) |> squeeze(axis=-1), 1)""",
    "weights that are no Gaussian": """let f = x |> dense(4)
      observe y ~ Normal(f |> dense(1, kernel ~ Laplace(0, 1) by mean_field(family=Laplace) using deterministic)
        |> squeeze(axis=-1), 1)""",
    "some draws": """let h = x |> dense(4, kernel ~ Normal(0, 1) by mean_field using shared) |> tanh
      observe y ~ Normal(h |> dense(1) |> squeeze(axis=-1), 1)""",
}
APPROXIMATE = """observe y ~ Normal(x |> dense(32) |> relu |> dense(32) |> relu |> dense(1) |> squeeze(axis=-1), 1)"""


def pair(body: str, believe: str = BELIEVE) -> tuple[Module, Module]:
    """The entry points before and after the pass."""
    before = derive_entries(lowered(f"model m {{ {HEADER}\n{believe}\n{body.replace('BATCH', 'batch')} }}"))
    after = Moments().run(before, PassContext(CORE_OPS))
    verify(after, after="moments")
    return before, after


def sites(module: Module, entry: str) -> set[str | None]:
    """The sites that an entry draws."""
    return {node.site for node in walk(module.functions[entry]) if node.op.name == "random.draw"}


def feeds(program: Program, scale: float = 1.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Raw parameters and inputs."""
    rng = np.random.default_rng(8)
    at = {path: jnp.asarray(rng.normal(size=np.shape(x)) * scale, "float32") for path, x in program.init(0).items()}
    at = {path: x - 1.0 if path.endswith("scale") else x for path, x in at.items()}
    fed: dict[str, Any] = {}
    for name, each in program.interface.inputs.items():
        shape = tuple(d.size for d in each.type.dims if isinstance(d.size, int))
        floats = rng.normal(size=shape).astype("float32")
        fed[name] = jnp.asarray(floats if each.type.dtype.is_float else floats > -0.5)
    return at, fed


def averaged(program: Program, at: dict[str, Any], fed: dict[str, Any], count: int) -> dict[str, Array]:
    """The loss and the outputs of `predict` with independent draws, along the first axis."""
    loss, predict = program.functions["loss"], program.functions["predict"]

    def one(key: jax.Array) -> dict[str, jax.Array]:
        found = {"loss": loss(at, fed, key)[0]}
        for site, summary in predict(at, fed, key, draws=1, joint=False).items():
            found |= {f"mean:{site}": summary["mean"], f"variance:{site}": summary["stddev"] ** 2}
        return found

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), count))
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def exactly(module: Module, at: dict[str, Any], fed: dict[str, Any]) -> dict[str, Array]:
    """The same of a program that draws nothing, by the interpreter."""
    program = ReferenceProgram(module)
    every = {"loss": program.run("train", at, fed)["loss"], **program.run("predict", at, fed)}
    return {name: np.asarray(value, np.float64)[None] for name, value in every.items()}


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_predictions_are_averages_over_draws(name: str) -> None:
    before, after = pair(MODELS[name])
    left = sites(after, "train") | sites(after, "predict")
    assert left < sites(before, "train")
    assert bool(left) == (name == "some draws")
    program = build_program(before)
    at, fed = feeds(program)
    sampled = averaged(program, at, fed, DRAWS)
    found = averaged(build_program(after), at, fed, DRAWS) if left else exactly(after, at, fed)
    assert found["loss"].std() < 0.9 * sampled["loss"].std()
    for output, x in sampled.items():
        y = found[output]
        if not output.startswith("variance:"):
            limit = 5 * np.hypot(x.std(axis=0), y.std(axis=0)) / np.sqrt(DRAWS) + 2e-5
            np.testing.assert_array_less(np.abs(y.mean(axis=0) - x.mean(axis=0)), limit, err_msg=output)
            continue
        # The law of total variance: within a draw, and of the means.
        mean = f"mean:{output.partition(':')[2]}"
        wanted, total = (np.mean(v, axis=0) + np.var(m, axis=0) for v, m in ((x, sampled[mean]), (y, found[mean])))
        # Five standard errors of a variance, for tails up to a kurtosis of 12.
        np.testing.assert_allclose(total, wanted, rtol=5 * np.sqrt(11 / DRAWS))


def test_deep_networks_are_approximated_to_a_few_percent() -> None:
    """The approximation that the user accepts: sums over 32 units are taken for Gaussian."""
    before, after = pair(APPROXIMATE, BELIEVE.replace("deterministic", "deterministic(approximate=true)"))
    assert sites(after, "train") == sites(after, "predict") == set()
    program = build_program(before)
    at, fed = feeds(program, 0.3)
    sampled, found = averaged(program, at, fed, 4000), exactly(after, at, fed)
    deviation = np.sqrt(sampled["variance:y"].mean(axis=0) + sampled["mean:y"].var(axis=0))
    np.testing.assert_allclose(np.sqrt(found["variance:y"][0]), deviation, rtol=0.06)
    assert found["loss"][0] == pytest.approx(sampled["loss"].mean(), rel=0.08)
    slopes = gradient(build_program(after), at, fed)
    assert np.isfinite(np.concatenate([np.ravel(x) for x in slopes.values()])).all()


def gradient(program: Program, at: dict[str, Any], fed: dict[str, Any]) -> dict[str, Any]:
    """The gradient of the loss."""
    return dict(jax.jit(jax.grad(lambda p: program.functions["loss"](p, fed, 0)[0]))(at))


def test_gradients_are_finite_where_nothing_is_uncertain() -> None:
    """Features that are 0 leave pre-activations without variance, whose root has no derivative there."""
    _, after = pair(
        "observe y ~ Normal(x |> dense(4) |> relu |> dense(1) |> squeeze(axis=-1), 1)",
        "believe kernel ~ Normal(0, 1) by mean_field using deterministic",
    )
    program = build_program(after)
    at, fed = feeds(program)
    found = gradient(program, at, fed | {"x": jnp.zeros_like(fed["x"])})
    assert all(np.isfinite(x).all() for x in found.values())
