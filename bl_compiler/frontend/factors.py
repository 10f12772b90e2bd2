"""Values that multiply a weight along its axes: one per input unit, one per output unit.

Invariant: a kernel is [positions…, inputs, outputs], so inputs are on the second axis from the end and outputs on the
last; where a kernel has a single input (a depthwise convolution, a layer of one feature), its units are its outputs.
May import: floors 0-1, `distributions`, `state`, `weights`.
"""

from __future__ import annotations

from bl_compiler.frontend.distributions import broadcast_to
from bl_compiler.frontend.state import State
from bl_compiler.frontend.weights import Wanted
from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.graph import Value
from bl_compiler.ir.improper import is_improper
from bl_compiler.ir.types import Dim, DistType, TensorType


def unit_axis(wanted: Wanted) -> int:
    """The axis of the units that a noise or scale per unit belongs to, counted from the end; vectors have but one."""
    dims = wanted.dims
    return -1 if len(dims) < 2 or dims[-2].size == 1 else -2


def scaled(state: State, weight: Value, factor: Value, axis: int) -> Value:
    """The weight times a factor per element of one of its axes, counted from the end."""
    wide = state.b.reshape(factor, (*factor.tensor.dims, *(Dim(1) for _ in range(-1 - axis))))
    return state.b.binary("mul", weight, wide)


def whole_line(state: State, wanted: Wanted, *, improper: bool = False) -> Value:
    """The prior, which must be a density over all real numbers, as factors may be 0 or negative.

    Args:
        state: The lowering in progress.
        wanted: What is asked for.
        improper: Whether it may be one without an integral.
    """
    prior, form = wanted.belief.prior, wanted.belief.posterior_span
    assert prior is not None
    assert isinstance(prior.type, DistType)
    if prior.type.support not in ("real", "real_vector", "real_matrix") or CONSTRAINTS[prior.type.support].discrete:
        words = f"`{wanted.path}` would leave the support of its prior {prior.type.family}, which is no whole line"
        state.fail("BLC0303", words, form, help="use a prior over the real numbers such as Normal, or `mean_field`")
    if is_improper(prior.type.family) and not improper:
        words = f"the density of {prior.type.family} is infinite at 0, where `{wanted.path}` would be drawn to"
        state.fail("BLC0303", words, form, help="use `variational_dropout` or `mean_field` with this prior")
    return prior


def as_point(state: State, wanted: Wanted, prior: Value, weight: Value) -> Value:
    """A weight made of trained values and noise: the prior's density of what is drawn joins the objective."""
    assert isinstance(weight.type, TensorType)
    spread = broadcast_to(state, prior, weight.type.dims, wanted.at, what="the prior")
    with state.typed(wanted.at):
        found = state.b.add("model.point", spread, weight, site=wanted.path)
    state.b.hint(found, wanted.path.rpartition("/")[2])
    return found
