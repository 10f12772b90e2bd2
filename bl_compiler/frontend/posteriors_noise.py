"""Posteriors by multiplicative noise and by scales with posteriors of their own.

Each is the parameters and sites of a simpler posterior and a product, so that no layer needs to know of it.

* `dropout`: W = M · mask / (1 - rate), the mask of Bernoulli noise per input unit (Gal and Ghahramani 2016).
* `variational_dropout`: q(w) = N(m, a m²) with an a per weight, trained as mean and scale (Molchanov, Ashukha and
  Vetrov 2017, section 4.1).
* `hierarchical`, `horseshoe`: W = k · g and W = k · z · g with half-Cauchy scales, not centered, so that every draw is
  finite (Carvalho, Polson and Scott 2009; Ghosh, Yao and Doshi-Velez 2018; Louizos, Ullrich and Welling 2017).

Invariant: the site of what carries the written prior is PATH. May import: floors 0-1, `state`, `values`,
`weights`, `forms`, `factors`, `mean_field`.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

from bl_compiler.frontend.factors import as_point, scaled, unit_axis, whole_line
from bl_compiler.frontend.forms import fraction, positive_number
from bl_compiler.frontend.mean_field import mean_field
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm
from bl_compiler.frontend.weights import Wanted, parameter, point_value
from bl_compiler.ir.estimators import AUTO, SHARED
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import constant
from bl_compiler.ir.types import Dim, DType


def dropout(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """A trained value whose input units are left out at random, in training and prediction.

    The parameter PATH is the mean of the weight. The prior's density of the drawn weight joins the objective, whose
    expectation for a Gaussian prior is the penalty of Gal and Ghahramani (2016, appendix, equation 15); the entropy of
    the mask is a constant and left out. Vectors, such as biases, stay points.
    """
    prior, rate = whole_line(state, wanted), fraction(state, form, "rate")
    path, dims, at = wanted.path, wanted.dims, wanted.at
    if len(dims) < 2:
        return point_value(state, path, dims, wanted.init, prior, at)
    value = parameter(state, path, dims, wanted.init, at)
    axis, estimator = unit_axis(wanted), wanted.belief.estimator
    with state.typed(at):
        law = state.b.add("dist.Bernoulli", state.b.const(log(1 - rate) - log(rate), DType.F32))
        law = state.b.add("dist.expand", law, dims=(dims[axis],))
        mask = state.b.add("model.noise", law, site=state.claim(f"{path}/mask", at), estimator=estimator)
        kept = state.b.binary("mul", state.b.cast(mask, value.tensor.dtype), 1 / (1 - rate))
        weight = scaled(state, value, kept, axis)
    state.b.hint(mask, "mask")
    return as_point(state, wanted, prior, weight)


def variational_dropout(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """Gaussian noise that multiplies each weight, of a variance a found by training.

    N(m, a m²) with an a per weight is every Gaussian, so its scale is trained in the place of a: gradients exist
    everywhere and nothing is clipped. With the prior `LogUniform()` the divergence depends on a alone.
    """
    whole_line(state, wanted, improper=True)
    return mean_field(state, wanted, _inner(form))


def hierarchical(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """The weight k · g: k with the written prior, g a half-Cauchy scale of the whole weight."""
    width = positive_number(state, form, "global_scale", 1.0)
    weight = mean_field(state, wanted, _inner(form))
    return _times_scale(state, wanted, form, weight, "global_scale", (), width)


def horseshoe(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """The weight k · z · g: as `hierarchical`, with a half-Cauchy scale z of each input unit or vector element."""
    width = positive_number(state, form, "global_scale", 1.0)
    weight = mean_field(state, wanted, _inner(form))
    units = wanted.dims[unit_axis(wanted) :][:1]
    weight = _times_scale(state, wanted, form, weight, "local_scale", units, 1.0)
    return _times_scale(state, wanted, form, weight, "global_scale", (), width)


def _inner(form: PosteriorForm) -> PosteriorForm:
    """The mean-field posterior of a part."""
    kept = tuple((name, value) for name, value in form.arguments if name == "init_scale")
    return PosteriorForm("mean_field", kept, form.span)


def _times_scale(
    state: State, wanted: Wanted, form: PosteriorForm, weight: Value, name: str, dims: tuple[Dim, ...], width: float
) -> Value:
    """The weight times a positive scale with the prior HalfCauchy(width) and a log-normal posterior around 1."""
    with state.typed(wanted.at):
        prior = state.b.add("dist.HalfCauchy", state.b.const(width, DType.F32))
    # One draw a step for the weight means one for its scales; other estimators ask for what a log-normal does not have.
    estimator = str(SHARED if wanted.belief.estimator == str(SHARED) else AUTO)
    belief = replace(wanted.belief, prior=prior, posterior=_inner(form), estimator=estimator)
    part = replace(wanted, path=f"{wanted.path}/{name}", dims=dims, init=constant(0.0), belief=belief)
    scale = mean_field(state, part, _inner(form))
    with state.typed(wanted.at):
        if not dims:
            return state.b.binary("mul", weight, scale)
        return scaled(state, weight, scale, unit_axis(wanted))
