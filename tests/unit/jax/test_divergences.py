"""Closed-form divergences against the reference interpreter, which has formulas of its own, and against themselves.

The interpreter's formulas are tested by quadrature.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax.laws import snake
from bl_compiler.backends.jax.link import load, runtime
from bl_compiler.backends.reference.interpret import evaluate
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.families import CLOSED_FORM_KL, FAMILIES
from bl_compiler.ir.ops import CORE_OPS
from tests.unit.jax.families import FAMILY_CASES
from tests.unit.jax.running import inputs_for, outputs_of

RUNTIME = load(runtime().definitions.values())
PAIRS = sorted(CLOSED_FORM_KL)
OWN = [q for q, p in PAIRS if q == p]


def other_params(family: str) -> tuple[object, ...]:
    """Other parameters of a family, such that its support contains that of the case's."""
    if family == "LogUniform":
        return ()
    params = FAMILY_CASES[family].params
    if family == "Uniform":
        low, high = params
        return low - 0.5, high + 2.0
    if FAMILIES[family].event_ndim and FAMILIES[family].params[0].name == "loc":
        return params[0] + 0.3, *(1.7 * p for p in params[1:])
    if family in ("Normal", "Laplace", "Cauchy", "Gumbel", "LogNormal", "Logistic"):
        return params[0] * 0.8 + 0.1, params[1] * 1.3
    return tuple(np.asarray(p) * 1.2 for p in params)


def pair_params(q: str, p: str) -> tuple[object, ...]:
    """Parameters of p as it meets q: those of every element of q's event, where p is over single numbers."""
    if p not in FAMILIES or FAMILIES[q].event_ndim == FAMILIES[p].event_ndim:
        return other_params(p)
    loc = FAMILY_CASES[q].params[0]
    return 0.5 * loc, 0.4 + np.abs(loc)


def pair_graph(q: str, p: str) -> tuple[object, dict[str, np.ndarray]]:
    b = GraphBuilder(CORE_OPS, "predict")
    q_params, p_params = FAMILY_CASES[q].params, pair_params(q, p)
    values, fed = inputs_for(b, (*q_params, *p_params))
    dq, dp = b.add(f"dist.{q}", *values[: len(q_params)]), b.add(f"dist.{p}", *values[len(q_params) :])
    within = FAMILIES[q].event_ndim - (FAMILIES[p].event_ndim if p in FAMILIES else 0)
    if within:
        dp = b.add("dist.independent", dp, ndims=within)
    return b.finish([("y", b.add("prob.kl", dq, dp))]), fed


@pytest.mark.parametrize(("q", "p"), PAIRS)
def test_divergence_agrees_with_the_reference(q: str, p: str) -> None:
    graph, fed = pair_graph(q, p)
    with jax.numpy_dtype_promotion("strict"):
        found = outputs_of(graph, fed)["y"]
    np.testing.assert_allclose(found, evaluate(graph, inputs=fed)["y"], rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize("family", OWN)
def test_a_distribution_does_not_diverge_from_itself(family: str) -> None:
    params = [jnp.asarray(p, jnp.float32) for p in FAMILY_CASES[family].params]
    kl = RUNTIME[f"kl_{snake(family)}_{snake(family)}"]
    value, gradients = jax.jit(jax.value_and_grad(lambda q: jnp.sum(kl(*q, *params))))(params)
    np.testing.assert_allclose(value, 0, atol=1e-5)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradients)


def test_every_closed_form_has_a_function() -> None:
    assert {f"kl_{snake(q)}_{snake(p)}" for q, p in CLOSED_FORM_KL} - set(RUNTIME) == set()


def test_a_uniform_that_sticks_out_diverges() -> None:
    kl = RUNTIME["kl_uniform_uniform"]
    assert kl(jnp.float32(0.0), 2.0, 0.0, 1.0) == jnp.inf
