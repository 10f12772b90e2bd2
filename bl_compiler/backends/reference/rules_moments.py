"""NumPy rules of moments of nonlinear functions.

Invariant: formulas are others than the JAX backend's, so that neither checks itself. May import: floors 0-1, numpy,
scipy, `frame`, `values`.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from bl_compiler.backends.reference.frame import ArrayRule, Frame
from bl_compiler.backends.reference.values import Array, FloatArray, as_kind
from bl_compiler.ir.graph import Node
from bl_compiler.ir.tables import RuleTable

MOMENT_RULES: RuleTable[ArrayRule] = RuleTable("numpy moments")

_TINY = 1e-12
"""Variances below count as this, and correlations stay this far from 1."""


def _density(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))


def both_positive(h: FloatArray, k: FloatArray, r: FloatArray) -> FloatArray:
    """The probability that both of a standard pair of correlation r exceed -h and -k (Owen 1956, equation 3.1)."""
    # Owen's formula divides by h and k; its limit at 0 is that from above.
    h, k = (np.where(np.abs(x) < 1e-300, 1e-300, x) for x in (h, k))
    rest = np.sqrt((1 - r) * (1 + r))
    with np.errstate(over="ignore"):
        first = special.owens_t(h, (k / h - r) / rest)
        second = special.owens_t(k, (h / k - r) / rest)
    apart = np.where(h * k < 0, 0.5, np.where((h < 0) == (k < 0), 0.0, 0.5))
    return np.asarray(0.5 * (special.ndtr(h) + special.ndtr(k)) - first - second - apart)


@MOMENT_RULES.rule("moment.relu_covariance")
def relu_covariance(frame: Frame, node: Node, *moments: Array) -> Array:
    """E[ab 1(a > 0, b > 0)] of a Gaussian pair (Rosenbaum 1961, equation 5), less the product of the means."""
    dtype = node.result.tensor.dtype
    mean_a, mean_b, variance_a, variance_b, c = np.broadcast_arrays(*(as_kind(x, dtype) for x in moments))
    s_a, s_b = (np.sqrt(np.maximum(v, _TINY)) for v in (variance_a, variance_b))
    r = np.clip(c / (s_a * s_b), _TINY - 1, 1 - _TINY)
    u_a, u_b = mean_a / s_a, mean_b / s_b
    rest = np.sqrt((1 - r) * (1 + r))
    w_a, w_b = (u_a - r * u_b) / rest, (u_b - r * u_a) / rest
    a_edge, b_edge = _density(u_a) * special.ndtr(w_b), _density(u_b) * special.ndtr(w_a)
    # E[1], E[z_a], E[z_b] and E[z_a z_b] over the quadrant, z being standardized and centered.
    one = both_positive(u_a, u_b, r)
    z_a, z_b = a_edge + r * b_edge, b_edge + r * a_edge
    z_ab = r * (one - u_a * a_edge - u_b * b_edge) + rest * _density(u_a) * _density(w_b)
    product = u_a * u_b * one + u_a * z_b + u_b * z_a + z_ab
    means = [u * special.ndtr(u) + _density(u) for u in (u_a, u_b)]
    return np.asarray(s_a * s_b * (product - means[0] * means[1]))
