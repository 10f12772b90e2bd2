"""The posterior `mean_field`: independent elements of one location-scale family, or of LogNormal.

Invariant: PATH is the parameters PATH/loc and PATH/scale and the site PATH.
May import: floors 0-1, `values`, `state`, `distributions`, `weights`, `forms`, `fitted_priors`.
"""

from __future__ import annotations

from bl_compiler.frontend.distributions import make_distribution
from bl_compiler.frontend.fitted_priors import empirical_bayes, tied_mean
from bl_compiler.frontend.forms import positive_number, switch
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import FamilyRef, PosteriorForm, describe
from bl_compiler.frontend.weights import Wanted, parameter, site
from bl_compiler.ir.families import FAMILIES, Family
from bl_compiler.ir.graph import Value
from bl_compiler.ir.initializers import constant
from bl_compiler.ir.types import DistType


def mean_field(state: State, wanted: Wanted, form: PosteriorForm) -> Value:
    """Independent elements of one location-scale family."""
    path, dims, init, at = wanted.path, wanted.dims, wanted.init, wanted.at
    prior = wanted.belief.prior
    assert prior is not None
    assert isinstance(prior.type, DistType)
    family, extra = _family(state, path, prior.type, form)
    scale = positive_number(state, form, "init_scale", 1e-2)
    if family.name == "LogNormal":
        init = constant(0.0) if init[0] == "constant" else init
    state.claim(path, at)
    loc = parameter(state, f"{path}/loc", dims, init, at)
    spread = parameter(state, f"{path}/scale", dims, constant(scale), at, constraint="positive")
    named: dict[str, object] = {**extra, "loc": loc, "scale": spread}
    fitted = _fitted_prior(state, wanted, form, family, loc, spread)
    return site(state, wanted, make_distribution(state, family, (), named, {}, at), prior=fitted)


def _fitted_prior(
    state: State, wanted: Wanted, form: PosteriorForm, family: Family, loc: Value, spread: Value
) -> Value | None:
    """The prior that follows the posterior, where one is asked for."""
    tied, fitted = switch(state, form, "tied_mean"), switch(state, form, "empirical_bayes")
    if fitted and family.name != "Normal":
        state.fail("BLC0303", f"`empirical_bayes` needs a Gaussian posterior, and this is {family.name}", form.span)
    if tied and not family.location_scale:
        state.fail("BLC0303", f"`tied_mean` needs a location-scale posterior, and this is {family.name}", form.span)
    if fitted:
        return empirical_bayes(state, wanted, loc, spread, loc if tied else None, form.span)
    return tied_mean(state, wanted, loc, form.span) if tied else None


def _family(state: State, path: str, prior: DistType, form: PosteriorForm) -> tuple[Family, dict[str, object]]:
    """The family asked for, or the one that fits the prior's support, with its other parameters."""
    asked = form.get("family", None)
    if asked is None:
        if prior.support in ("positive", "nonnegative"):
            return FAMILIES["LogNormal"], {}
        if prior.support != "real":
            found = state.sink.error(
                "BLC0303",
                f"`mean_field` has no family over {prior.support}, the support of {prior.family}",
                at=form.span,
            )
            found.help(f"write a posterior with that support for `{path}`, such as `by {prior.family}(…)`")
            state.fail_quietly()
        return FAMILIES["Normal"], {}
    if isinstance(asked, FamilyRef):
        family, extra = asked.family, {}
        if any(p.default is None for p in family.params) and family.location_scale:
            missing = next(p.name for p in family.params if p.default is None)
            state.fail(
                "BLC0204", f"`{family.name}` needs `{missing}`: write `family={family.name}({missing}=…)`", form.span
            )
    elif isinstance(asked, Value) and isinstance(asked.type, DistType) and asked.type.family in FAMILIES:
        family = FAMILIES[asked.type.family]
        node = state.b.producer(asked)
        assert node is not None
        extra = {p.name: v for p, v in zip(family.params, node.inputs, strict=True) if p.name not in ("loc", "scale")}
    else:
        state.fail("BLC0205", f"`family` is a distribution family such as `Normal`, found {describe(asked)}", form.span)
    if not family.location_scale and family.name != "LogNormal":
        names = ", ".join(f.name for f in FAMILIES.values() if f.location_scale)
        state.fail(
            "BLC0303",
            f"`mean_field` takes a location-scale family, and `{family.name}` is none",
            form.span,
            help=f"use one of {names}, LogNormal",
        )
    return family, dict(extra)
