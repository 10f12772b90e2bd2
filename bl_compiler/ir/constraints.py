"""Constraints: the spaces parameters live in and distributions are supported on.

Invariant: `contains` relates two constraint names without evaluating anything. May import: the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constraint:
    """A named set.

    Attributes:
        event_ndim: how many trailing axes one element spans.
        discrete: whether its elements are integers.
        within: names of the sets that hold it, besides itself.
        check: the condition in words, for messages.
    """

    name: str
    doc: str
    event_ndim: int = 0
    discrete: bool = False
    within: tuple[str, ...] = ()


_TABLE = (
    # Sets of numbers and of vectors compare element by element: `Normal(0, 1)[3]` is over the vectors of `real`.
    Constraint(
        "real",
        "any number",
        within=(
            "real_vector",
            "real_matrix",
        ),
    ),
    Constraint(
        "positive", "greater than 0", within=("real", "nonnegative", "real_vector", "real_matrix", "positive_vector")
    ),
    Constraint("nonnegative", "at least 0", within=("real", "real_vector", "real_matrix")),
    Constraint("unit_interval", "between 0 and 1", within=("real", "nonnegative", "real_vector", "real_matrix")),
    Constraint("interval", "between the bounds", within=("real", "real_vector", "real_matrix")),
    Constraint(
        "simplex",
        "nonnegative and summing to 1 over the last axis",
        1,
        within=("real", "nonnegative", "unit_interval", "real_vector", "real_matrix"),
    ),
    Constraint("real_vector", "a vector of any numbers", 1, within=("real", "real_matrix")),
    Constraint("real_matrix", "a matrix of any numbers", 2, within=("real", "real_vector")),
    Constraint(
        "positive_vector",
        "a vector of positive numbers",
        1,
        within=("real", "positive", "nonnegative", "real_vector", "real_matrix"),
    ),
    Constraint("lower_cholesky", "lower triangular with a positive diagonal", 2),
    Constraint("positive_definite", "symmetric with positive eigenvalues", 2),
    Constraint("boolean", "0 or 1", discrete=True, within=("nonnegative_integer", "integer")),
    Constraint("integer", "an integer", discrete=True),
    Constraint("nonnegative_integer", "0, 1, 2, …", discrete=True, within=("integer",)),
    Constraint(
        "category", "an index below the number of classes", discrete=True, within=("nonnegative_integer", "integer")
    ),
    Constraint(
        "count", "an integer from 0 to the number of trials", discrete=True, within=("nonnegative_integer", "integer")
    ),
    Constraint("count_vector", "counts that sum to the number of trials", 1, discrete=True),
    Constraint("one_hot", "a vector with a single 1", 1, discrete=True),
)

CONSTRAINTS: dict[str, Constraint] = {c.name: c for c in _TABLE}

PARAM_CONSTRAINTS = ("real", "positive", "unit_interval", "interval", "simplex", "lower_cholesky")
"""Those that `param … in CONSTRAINT` takes and `param.constrain` maps to."""


def contains(outer: str, inner: str) -> bool:
    """Whether every element of the set `inner` is one of `outer` (unknown intervals only hold themselves)."""
    return outer == inner or outer in CONSTRAINTS[inner].within
