"""Posteriors that are one Gaussian over all elements of a value: full covariance, low rank, Kronecker product.

With n elements in the order of memory, the parameters of PATH are PATH/loc [dims] and

    full_rank      PATH/scale_tril [n, n], of the covariance L L^T
    low_rank       PATH/cov_factor [dims, K] and PATH/scale [dims], of F F^T + diag(scale^2)
    matrix_normal  PATH/row_scale_tril [r, r] and PATH/column_scale_tril [c, c], of the product of A A^T and B B^T,
                   where the columns are the last axis and the rows all others as one

Invariant: the site PATH has the dimensions of the value, and the covariance starts as (about) `init_scale`^2 times the
identity. May import: floors 0-1, `values`, `state`, `weights`.
"""

from __future__ import annotations

from math import prod, sqrt

from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm, describe, is_number
from bl_compiler.frontend.weights import Wanted, parameter, site
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import Initializer, constant
from bl_compiler.ir.types import Dim, Dims, DistType, static_size

_MANY = 2**28
"""Numbers in a square factor above which a lint speaks: 1 GiB of f32, and as much for its gradient."""

_TOO_MANY = 2**31
"""Numbers in a square factor that no program is made for."""

_FACTOR_SCALE = 0.1
"""Standard deviation of a row of the low-rank factor at the start, relative to `init_scale`.

At 0 the factor would stay there: the gradient of F F^T vanishes with F.
"""


def full_rank(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """A Gaussian with any covariance, by its Cholesky factor."""
    start = _start(state, wanted, form)
    size, loc = prod(_sizes(state, wanted)), _loc(state, wanted)
    factor = _tril(state, wanted, form, "scale_tril", size, start)
    return _site(state, wanted, "MultivariateNormal", (Dim(size),), loc, factor)


def low_rank(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """A Gaussian with a covariance of rank K plus a diagonal.

    A rank above the number of elements says nothing more than that number, and counts as it.
    """
    start = _start(state, wanted, form)
    rank = form.get("rank", None)
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        found = "nothing" if rank is None else describe(rank)
        way_out = "write the number of directions in which weights vary together, as in `low_rank(rank=4)`"
        state.fail("BLC0204", f"`rank` must be a positive integer, found {found}", form.span, help=way_out)
    size, loc = prod(_sizes(state, wanted)), _loc(state, wanted)
    columns, path, at = Dim(max(1, min(rank, size))), wanted.path, wanted.at
    init = ("normal", 0.0, _FACTOR_SCALE * start / sqrt(rank))
    factor = parameter(state, f"{path}/cov_factor", (*wanted.dims, columns), init, at)
    scale = parameter(state, f"{path}/scale", wanted.dims, constant(start), at, constraint="positive")
    with state.typed(at):
        rows = state.b.reshape(factor, (Dim(size), columns))
        diagonal = state.b.reshape(state.b.unary("square", scale), (Dim(size),))
    return _site(state, wanted, "LowRankMultivariateNormal", (Dim(size),), loc, rows, diagonal)


def matrix_normal(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """A Gaussian matrix: a covariance over rows times one over columns (Louizos and Welling 2016).

    Of a vector, which has one row, and of a number it is `full_rank`.
    """
    sizes = _sizes(state, wanted)
    if len(sizes) < 2:
        return full_rank(state, wanted, form)
    start, loc = sqrt(_start(state, wanted, form)), _loc(state, wanted)
    rows, columns = prod(sizes[:-1]), sizes[-1]
    over_rows = _tril(state, wanted, form, "row_scale_tril", rows, start)
    over_columns = _tril(state, wanted, form, "column_scale_tril", columns, start)
    return _site(state, wanted, "MatrixNormal", (Dim(rows), Dim(columns)), loc, over_rows, over_columns)


def _start(state: State, wanted: Wanted, form: PosteriorForm) -> float:
    """The standard deviation at the start, once the prior was found to be over all numbers and the path is taken."""
    prior = wanted.belief.prior
    assert prior is not None
    assert isinstance(prior.type, DistType)
    if prior.type.support not in ("real", "real_vector", "real_matrix"):
        known = prior.type.support in ("positive", "nonnegative")
        state.fail(
            "BLC0303",
            f"`{form.name}` is over all numbers, and {prior.type.family} over {prior.type.support}",
            form.span,
            help=f"write `by {'mean_field' if known else f'{prior.type.family}(…)'}` for `{wanted.path}`",
        )
    scale = form.get("init_scale", 1e-2)
    if not is_number(scale) or not isinstance(scale, (int, float)) or not scale > 0:
        state.fail("BLC0203", f"`init_scale` must be a number greater than 0, found {describe(scale)}", form.span)
    state.claim(wanted.path, wanted.at)
    return float(scale)


def _sizes(state: State, wanted: Wanted) -> list[int]:
    with state.typed(wanted.at):
        return [static_size(d.size, "a posterior over all elements together") for d in wanted.dims]


def _loc(state: State, wanted: Wanted) -> Value:
    return parameter(state, f"{wanted.path}/loc", wanted.dims, wanted.init, wanted.at)


def _tril(state: State, wanted: Wanted, form: PosteriorForm, role: str, size: int, start: float) -> Value:
    """A Cholesky factor that starts as a multiple of the identity."""
    path, count = f"{wanted.path}/{role}", size * size
    if count > _MANY:
        words = f"`{path}` has {size:_} by {size:_} numbers, {count * 4 / 2**30:.3g} GiB"
        other = " or `matrix_normal`" if form.name == "full_rank" and len(wanted.dims) > 1 else ""
        way_out = f"`low_rank(rank=…)`{other} has far fewer parameters"
        if count > _TOO_MANY:
            state.fail("BLC0303", words, form.span, help=way_out)
        state.sink.warning("BLC0361", words, at=form.span).help(way_out)
    init: Initializer = ("identity", start)
    return parameter(state, path, (Dim(size), Dim(size)), init, wanted.at, constraint="lower_cholesky")


def _site(state: State, wanted: Wanted, family: str, event: Dims, loc: Value, *structure: Value) -> Value:
    """The site of a Gaussian over `event`, whose draws are given the dimensions of the value."""
    dims, b = wanted.dims, state.b
    with state.typed(wanted.at):
        if len(dims) == len(event):
            posterior = b.add(f"dist.{family}", loc, *structure)
        else:
            posterior = b.add(f"dist.{family}", b.reshape(loc, event), *structure)
            posterior = b.add("dist.reshape_event", posterior, dims=dims)
    b.hint(posterior, family.lower())
    return site(state, wanted, posterior)
