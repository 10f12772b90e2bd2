"""A model that is one kernel, at parameters that are all different: what tests of posteriors compare.

Invariant: the part `kl` of the objective comes from the interpreter in float64, and the JAX program agrees with it.
"""

from __future__ import annotations

import math
from functools import cache

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, stats

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.noise import FixedNoise, GeneratorNoise
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.backends.reference.rules_tensor import unconstrain
from tests.support.compiling import compiled, program

Array = npt.NDArray[np.float64]
Arrays = dict[str, Array]

INS, OUTS, DRAWS = 3, 4, 10_000
LIMIT = 4.5
"""In standard errors: one false alarm in 150 000 comparisons, which fixed seeds make reproducible."""
EYE = {"x": np.eye(INS, dtype=np.float32)}
KERNEL = "w/dense/kernel"


def text(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> str:
    """A model whose prediction `w` is the kernel of a layer."""
    return (
        f"model m {{ input x: f32[{INS}, {INS}]\n {more}\n believe kernel ~ {prior} by {posterior}\n"
        f" predict w = x |> dense({OUTS}, use_bias=false) }}"
    )


@cache
def program_of(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> Program:
    return program(text(posterior, prior, more), level=0)


@cache
def reference_of(posterior: str, prior: str = "Normal(0, 1)", more: str = "") -> ReferenceProgram:
    optimized = compiled(text(posterior, prior, more), level=0).optimized
    assert optimized is not None
    return ReferenceProgram(optimized.module)


def parameters(reference: ReferenceProgram, seed: int = 5) -> Arrays:
    """Constrained parameters that are all different: locations around their start, scales from 0.05 to 0.6."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for path, value in sorted(reference.init(1).items()):
        around = 0.4 * rng.normal(size=value.shape)
        found[path] = rng.uniform(0.05, 0.6, value.shape) if path.endswith("/scale") else value + around
    return found


def raw(params: Arrays) -> Arrays:
    return {
        path: unconstrain(value, "positive", 0.0, 1.0) if path.endswith("/scale") else value
        for path, value in params.items()
    }


def kl_of(posterior: str, prior: str = "Normal(0, 1)", **noise: object) -> tuple[float, Arrays, Program]:
    """The exact part `kl` of the objective at some parameters, those, and the program, which agrees with it."""
    reference, compiled_program = reference_of(posterior, prior), program_of(posterior, prior)
    params = parameters(reference)
    fixed = FixedNoise(noise, GeneratorNoise(0))  # type: ignore[arg-type]
    expected = float(reference.run("train", raw(params), EYE, noise=fixed)["kl"])
    if not noise:
        trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
        found = float(compiled_program.loss(trained, EYE, seed=0)[1]["kl"])
        assert found == pytest.approx(expected, rel=1e-5)
    return expected, params, compiled_program


def draws(params: Arrays, of: Program, weights: str = "posterior", count: int = DRAWS) -> Arrays:
    trained = {k: jnp.asarray(v, jnp.float32) for k, v in raw(params).items()}
    found = of.sample(trained, 7, EYE, draws=count, weights=weights)  # type: ignore[arg-type]
    return {k: np.asarray(v, np.float64) for k, v in found.items()}


def check_moments(found: Array, mean: Array, variance: Array) -> None:
    """The mean and variance of draws, by z-scores."""
    count = len(found)
    errors = found.std(axis=0) / math.sqrt(count)
    assert np.all(np.abs(found.mean(axis=0) - mean) <= LIMIT * errors + 1e-5)
    squares = (found - mean) ** 2
    assert np.all(np.abs(squares.mean(axis=0) - variance) <= LIMIT * squares.std(axis=0) / math.sqrt(count) + 1e-6)


def gauss_kl(loc: Array, scale: Array, mean: object = 0.0, width: object = 1.0) -> Array:
    m, s = np.asarray(mean), np.asarray(width)
    return np.asarray(np.log(s / scale) + (scale**2 + (loc - m) ** 2) / (2 * s**2) - 0.5)


def log_normal_to_half_cauchy(loc: float, scale: float, width: float) -> float:
    """KL by quadrature of its definition in log space."""
    q, p = stats.norm(loc, scale), stats.halfcauchy(scale=width)
    return float(
        integrate.quad(
            lambda y: q.pdf(y) * (q.logpdf(y) - p.logpdf(np.exp(y)) - y), loc - 12 * scale, loc + 12 * scale
        )[0]
    )
