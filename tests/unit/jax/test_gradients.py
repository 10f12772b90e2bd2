"""Gradients of the runtime functions against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax.laws import snake
from bl_compiler.backends.jax.link import load, runtime
from bl_compiler.ir.constraints import PARAM_CONSTRAINTS
from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES
from tests.unit.jax.families import CLASS_LOGITS, FAMILY_CASES, LOC, POSITIVE, TRIL
from tests.unit.jax.test_divergences import pair_params

RUNTIME = load(runtime().definitions.values())
STEP = 1e-6


def check(function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """The derivative of the sum of `function` along a random direction is what central differences say."""
    with jax.enable_x64(True):
        total = jax.jit(jax.value_and_grad(lambda args: jnp.sum(function(*args))))
        start = [np.asarray(a, np.float64) for a in arguments]
        rng = np.random.default_rng(0)
        direction = [rng.normal(size=a.shape) * np.maximum(np.abs(a), 0.1) for a in start]
        _, gradient = total(start)
        ahead, behind = (
            float(total([a + s * STEP * d for a, d in zip(start, direction, strict=True)])[0]) for s in (1, -1)
        )
        expected = sum(np.sum(np.asarray(g) * d) for g, d in zip(gradient, direction, strict=True))
    terms = sum(np.sum(np.abs(np.asarray(g) * d)) for g, d in zip(gradient, direction, strict=True))
    assert abs((ahead - behind) / (2 * STEP) - expected) < 1e-5 * (1 + terms)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_densities(family: str) -> None:
    case, function = FAMILY_CASES[family], RUNTIME[f"{snake(family)}_log_prob"]
    trained = [i for i, p in enumerate(FAMILIES[family].params) if p.constraint != "nonnegative_integer"]

    def density(*args: Any) -> Any:
        params = [np.asarray(p, np.float64) for p in case.params]
        for i, value in zip(trained, args, strict=False):
            params[i] = value
        x = args[-1] if len(args) > len(trained) else np.asarray(case.values)
        return function(x, *params)

    # A uniform density jumps at its bounds, which the values keep away from; discrete values stay where they are.
    values = [] if FAMILIES[family].discrete else [case.values]
    check(density, [*(case.params[i] for i in trained), *values])


@pytest.mark.parametrize(("q", "p"), sorted(CLOSED_FORM_KL))
def test_divergences(q: str, p: str) -> None:
    check(RUNTIME[f"kl_{snake(q)}_{snake(p)}"], [*FAMILY_CASES[q].params, *pair_params(q, p)])


_SPACES = {
    "real": LOC,
    "positive": LOC,
    "unit_interval": LOC,
    "interval": LOC,
    "simplex": CLASS_LOGITS,
    "lower_cholesky": TRIL,
}
_BOUNDS = {"interval": (-1.0, 3.0)}


@pytest.mark.parametrize("space", [s for s in PARAM_CONSTRAINTS if s != "real"])
def test_constraints_invert_and_differentiate(space: str) -> None:
    bounds = _BOUNDS.get(space, ())
    there, back = (lambda x, way=way: RUNTIME[f"{way}_{space}"](x, *bounds) for way in ("to", "from"))
    check(there, [_SPACES[space]])
    with jax.enable_x64(True):
        value = there(jnp.asarray(_SPACES[space], jnp.float64))
        np.testing.assert_allclose(there(back(value)), value, rtol=1e-12)


SPECIAL: dict[str, tuple[Any, ...]] = {
    "softplus": (LOC,),
    "log_sigmoid": (LOC,),
    "xlogy": (LOC, POSITIVE),
    "weighted": (LOC, POSITIVE),
    "log1p_square": (np.array([0.3, -1e3, 1e8, 3e9]),),
    "log_beta": (np.array([0.3, 7.5, 100.0, 1e5]), np.array([0.5, 0.2, 300.0, 12.0])),
    "log_ratio": (POSITIVE, 1.1 * POSITIVE[::-1]),
    "poisson_deviance": (POSITIVE, 1.1 * POSITIVE),
    "log_gamma_excess": (np.array([0.3, 9.0, 100.0, 5.0]), np.array([0.5, 8.5, 300.0, 40.0])),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name: str) -> None:
    check(RUNTIME[name], SPECIAL[name])


def test_sums_of_exponentials() -> None:
    check(lambda x: RUNTIME["logsumexp"](x, axis=-1), [CLASS_LOGITS])
    check(RUNTIME["mixture_log_prob"], [CLASS_LOGITS, -CLASS_LOGITS])
    check(lambda logits, m: RUNTIME["mixture_average"](logits, m, 0), [CLASS_LOGITS, CLASS_LOGITS**2])


def test_triangular_solves_over_a_batch_agree_with_one_at_a_time() -> None:
    a, b = TRIL[0], np.random.default_rng(0).normal(size=(4, 3, 2))
    for lower, transpose in ((True, False), (True, True), (False, False)):
        matrix = a if lower else a.T
        found = RUNTIME["triangular_solve"](jnp.asarray(matrix), jnp.asarray(b), lower=lower, transpose=transpose)
        expected = [np.linalg.solve(matrix.T if transpose else matrix, row) for row in b]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
