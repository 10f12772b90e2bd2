"""Posteriors by name: from a belief to the parameters, distributions and sites of one uncertain value.

Every posterior is a function of what is wanted that gives the value: a site of its own, or a value computed from
several. Invariant: the table has every name of `library.POSTERIORS` but `point`, which is no random variable.
May import: floors 0-1, `values`, `state`, `weights`, the files of single posteriors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bl_compiler.frontend.mean_field import mean_field
from bl_compiler.frontend.posteriors_ensemble import batch_ensemble, hyper_batch_ensemble, rank1
from bl_compiler.frontend.posteriors_gaussian import full_rank, low_rank, matrix_normal
from bl_compiler.frontend.posteriors_noise import dropout, hierarchical, horseshoe, variational_dropout
from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import PosteriorForm
from bl_compiler.frontend.weights import Wanted, refuse_local, site
from bl_compiler.ir.graph import Value

Posterior = Callable[[State, Wanted, PosteriorForm], Value]
"""Makes the value of what is wanted."""


def latent(state: State, wanted: Wanted) -> Value:
    """A random variable with its prior and posterior."""
    posterior = wanted.belief.posterior
    if isinstance(posterior, PosteriorForm):
        refuse_local(state, wanted.path, wanted.dims, posterior.span)
        return _POSTERIORS[posterior.name](state, wanted, posterior)
    state.claim(wanted.path, wanted.at)
    return site(state, wanted, posterior)


_POSTERIORS: Mapping[str, Posterior] = {
    "mean_field": mean_field,
    "full_rank": full_rank,
    "low_rank": low_rank,
    "matrix_normal": matrix_normal,
    "rank1": rank1,
    "batch_ensemble": batch_ensemble,
    "hyper_batch_ensemble": hyper_batch_ensemble,
    "dropout": dropout,
    "variational_dropout": variational_dropout,
    "hierarchical": hierarchical,
    "horseshoe": horseshoe,
}


def documentation(name: str) -> str:
    """What a posterior of `library.POSTERIORS` means."""
    if name == "point":
        return "A trained value; the density of its prior, if it has one, joins the objective (MAP)."
    return _POSTERIORS[name].__doc__ or ""
