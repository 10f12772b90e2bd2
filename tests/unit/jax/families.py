"""A table of families: parameters, values, and what SciPy says of them.

Invariant: every family of `ir/families.py` has an entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats


@dataclass(frozen=True)
class FamilyCase:
    """A family at some parameters.

    Attributes:
        params: in the order of the family, as NumPy arrays.
        values: in the support.
        log_prob: SciPy's log density or log mass at the values.
        frozen: SciPy's distribution, which knows the moments; None where SciPy has none that fits.
        outside: values outside the support.
    """

    params: tuple[Any, ...]
    values: Any
    log_prob: Any
    frozen: Any = None
    outside: Any = None


def _softmax(logits: Any) -> Any:
    return np.exp(logits - special.logsumexp(logits, axis=-1, keepdims=True))


def _continuous(params: tuple[Any, ...], values: Any, frozen: Any, outside: Any = None) -> FamilyCase:
    return FamilyCase(params, values, frozen.logpdf(values), frozen, outside)


def _discrete(params: tuple[Any, ...], values: Any, frozen: Any, outside: Any = None) -> FamilyCase:
    return FamilyCase(params, values, frozen.logpmf(values), frozen, outside)


def _rows(density: Callable[..., Any], *columns: Any) -> Any:
    return np.array([density(*row) for row in zip(*columns, strict=True)])


LOC = np.array([-2.0, 0.0, 0.3, 5.0])
SCALE = np.array([0.2, 1.0, 3.0, 10.0])
REAL = np.array([-1.0, 0.7, -4.0, 30.0])
POSITIVE = np.array([0.05, 0.7, 2.5, 40.0])
SHAPE = np.array([0.3, 1.0, 4.0, 200.0])
RATE = np.array([2.0, 0.5, 1.0, 7.0])
DF = np.array([0.8, 3.0, 12.0, 3000.0])
UNIT = np.array([0.01, 0.5, 0.7, 0.99])
LOGITS = np.array([-12.0, -0.4, 0.0, 9.0])
CLASS_LOGITS = np.array([[0.0, 1.0, -2.0], [3.0, -30.0, 2.0], [0.1, 0.2, 0.3], [80.0, 81.0, 0.0]])
CONCENTRATIONS = np.array([[0.5, 1.0, 2.0], [1.0, 1.0, 1.0], [30.0, 2.0, 5.0]])
SIMPLEX = np.array([[0.2, 0.5, 0.3], [0.98, 0.01, 0.01], [0.8, 0.1, 0.1]])
TRIL = np.array([[[1.0, 0, 0], [0.5, 2.0, 0], [-1.0, 0.3, 0.7]], [[0.1, 0, 0], [0.0, 5.0, 0], [2.0, 2.0, 2.0]]])
VECTORS = np.array([[0.3, -1.0, 2.0], [1.0, 2.0, 3.0]])
FACTORS = np.array([[[1.0, -0.5], [0.0, 2.0], [0.3, 0.3]], [[3.0, 0.1], [-2.0, 0.0], [4.0, 1.0]]])
DIAGONALS = np.array([[0.5, 1.0, 2.0], [0.02, 3.0, 0.3]])
COLUMN_TRIL = np.array([[[0.8, 0.0], [-0.6, 1.5]], [[2.0, 0.0], [1.0, 0.3]]])
MATRICES = np.array([[[0.3, -1.0], [2.0, 0.5], [0.0, 1.0]], [[1.0, 2.0], [3.0, -1.0], [0.2, 0.4]]])
PROBS = special.expit(LOGITS)
CLASS_PROBS = _softmax(CLASS_LOGITS)

_TRIALS = np.array([3, 10, 7, 500])
_COUNTS = np.array([0, 4, 7, 499])
_CLASSES = np.array([1, 0, 2, 0])
_VOTES = np.array([[1, 3, 1], [4, 0, 6], [0, 0, 2], [1, 2, 0]])

FAMILY_CASES: dict[str, FamilyCase] = {
    "Normal": _continuous((LOC, SCALE), REAL, stats.norm(LOC, SCALE)),
    "Laplace": _continuous((LOC, SCALE), REAL, stats.laplace(LOC, SCALE)),
    "StudentT": _continuous((DF, LOC, SCALE), REAL, stats.t(DF, LOC, SCALE)),
    "Cauchy": _continuous((LOC, SCALE), REAL, stats.cauchy(LOC, SCALE)),
    "Logistic": _continuous((LOC, SCALE), REAL, stats.logistic(LOC, SCALE)),
    "Gumbel": _continuous((LOC, SCALE), REAL, stats.gumbel_r(LOC, SCALE)),
    "HalfNormal": _continuous((SCALE,), POSITIVE, stats.halfnorm(scale=SCALE), -POSITIVE),
    "HalfCauchy": _continuous((SCALE,), POSITIVE, stats.halfcauchy(scale=SCALE), -POSITIVE),
    "LogNormal": _continuous((LOC, SCALE), POSITIVE, stats.lognorm(SCALE, scale=np.exp(LOC)), -POSITIVE),
    "Exponential": _continuous((RATE,), POSITIVE, stats.expon(scale=1 / RATE), -POSITIVE),
    "Gamma": _continuous((SHAPE, RATE), POSITIVE, stats.gamma(SHAPE, scale=1 / RATE), -POSITIVE),
    "InverseGamma": _continuous((SHAPE, RATE), POSITIVE, stats.invgamma(SHAPE, scale=RATE), -POSITIVE),
    "Beta": _continuous((SHAPE, RATE), UNIT, stats.beta(SHAPE, RATE), UNIT + 1),
    "Uniform": _continuous((LOC, LOC + SCALE), LOC + SCALE * UNIT, stats.uniform(LOC, SCALE), LOC - UNIT),
    "Dirichlet": FamilyCase(
        (CONCENTRATIONS,),
        SIMPLEX,
        _rows(lambda x, a: stats.dirichlet.logpdf(x, a), SIMPLEX, CONCENTRATIONS),
        None,
        -SIMPLEX,
    ),
    "MultivariateNormal": FamilyCase(
        (VECTORS[::-1], TRIL),
        VECTORS,
        _rows(lambda x, m, t: stats.multivariate_normal.logpdf(x, m, t @ t.T), VECTORS, VECTORS[::-1], TRIL),
    ),
    "LowRankMultivariateNormal": FamilyCase(
        (VECTORS[::-1], FACTORS, DIAGONALS),
        VECTORS,
        _rows(
            lambda x, m, f, d: stats.multivariate_normal.logpdf(x, m, f @ f.T + np.diag(d)),
            *(VECTORS, VECTORS[::-1], FACTORS, DIAGONALS),
        ),
    ),
    "MatrixNormal": FamilyCase(
        (MATRICES[::-1], TRIL, COLUMN_TRIL),
        MATRICES,
        _rows(
            lambda x, m, a, b: stats.matrix_normal.logpdf(x, m, a @ a.T, b @ b.T),
            *(MATRICES, MATRICES[::-1], TRIL, COLUMN_TRIL),
        ),
    ),
    "Bernoulli": FamilyCase(
        (LOGITS,),
        np.array([1, 0, 1, 0]),
        special.log_expit(np.array([1, -1, 1, -1]) * LOGITS),
        stats.bernoulli(PROBS),
    ),
    "Categorical": FamilyCase(
        (CLASS_LOGITS,),
        _CLASSES,
        special.log_softmax(CLASS_LOGITS, axis=-1)[np.arange(4), _CLASSES],
        None,
        np.array([-1, 3, 7, 3]),
    ),
    "OneHotCategorical": FamilyCase(
        (CLASS_LOGITS,), np.eye(3)[_CLASSES], special.log_softmax(CLASS_LOGITS, axis=-1)[np.arange(4), _CLASSES]
    ),
    "Binomial": _discrete((LOGITS, _TRIALS), _COUNTS, stats.binom(_TRIALS, PROBS), -1 - _COUNTS),
    "Multinomial": FamilyCase(
        (CLASS_LOGITS, _VOTES.sum(-1)),
        _VOTES,
        _rows(lambda x, p: stats.multinomial.logpmf(x, x.sum(), p), _VOTES, CLASS_PROBS),
        None,
        -1 - _VOTES,
    ),
    "Poisson": _discrete((RATE,), np.array([0, 4, 7, 12]), stats.poisson(RATE), -1 - _COUNTS),
    "NegativeBinomial": FamilyCase(
        (SHAPE, LOGITS / 4),
        _COUNTS,
        stats.nbinom(SHAPE, special.expit(-LOGITS / 4)).logpmf(_COUNTS),
        stats.nbinom(SHAPE, special.expit(-LOGITS / 4)),
        -1 - _COUNTS,
    ),
}
