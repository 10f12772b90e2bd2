"""Distribution families, declared once: parameters, support, event rank.

Names and parameters are NumPyro's. Invariant: every family has one canonical parameterization here; other spellings
(`probs` for `logits`, a covariance for its Cholesky factor) are rewritten to it by the front end.
May import: floor 0, `types`, `constraints`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FamilyParam:
    """A parameter: how many trailing axes one element spans, its constraint and default.

    Attributes:
        axes: a letter for each of these axes, where they are not all the same: the same letter is the same size.
    """

    name: str
    constraint: str = "real"
    event_ndim: int = 0
    default: float | None = None
    axes: str = ""

    @property
    def letters(self) -> str:
        """A letter for each axis that one element spans."""
        return self.axes or "n" * self.event_ndim


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution family.

    Attributes:
        params: the canonical parameters in NumPyro's order.
        support: a constraint's name.
        reparameterized: draws are differentiable in the parameters.
        location_scale: a draw is `loc + scale * base`, with `base` free of parameters that are trained.
        alternatives: accepted spellings: alternative parameter to the canonical one it replaces.
        axes: a letter for each axis of one draw, those of the parameters, where they are not all the same.
    """

    name: str
    params: tuple[FamilyParam, ...]
    support: str
    doc: str
    event_ndim: int = 0
    discrete: bool = False
    reparameterized: bool = True
    location_scale: bool = False
    alternatives: tuple[tuple[str, str], ...] = ()
    axes: str = ""

    @property
    def letters(self) -> str:
        """A letter for each axis of one draw."""
        return self.axes or "n" * self.event_ndim

    @property
    def op(self) -> str:
        """The name of the op that constructs it."""
        return f"dist.{self.name}"


_LOC = FamilyParam("loc", "real", default=0.0)
_SCALE = FamilyParam("scale", "positive", default=1.0)
_LOGITS = FamilyParam("logits")
_VECTOR_LOGITS = FamilyParam("logits", "real_vector", 1)
_COUNT = FamilyParam("total_count", "nonnegative_integer", default=1)
_BY_PROBS = (("probs", "logits"),)

_FAMILIES = (
    Family("Normal", (_LOC, _SCALE), "real", "Gaussian", location_scale=True),
    Family("Laplace", (_LOC, _SCALE), "real", "double exponential", location_scale=True),
    Family("StudentT", (FamilyParam("df", "positive"), _LOC, _SCALE), "real", "Student's t", location_scale=True),
    Family("Cauchy", (_LOC, _SCALE), "real", "Cauchy", location_scale=True),
    Family("Logistic", (_LOC, _SCALE), "real", "logistic", location_scale=True),
    Family("Gumbel", (_LOC, _SCALE), "real", "Gumbel (maximum)", location_scale=True),
    Family("HalfNormal", (_SCALE,), "nonnegative", "absolute value of a centered Gaussian"),
    Family("HalfCauchy", (_SCALE,), "nonnegative", "absolute value of a centered Cauchy"),
    Family("LogNormal", (_LOC, _SCALE), "positive", "exponential of a Gaussian"),
    Family("Exponential", (FamilyParam("rate", "positive", default=1.0),), "nonnegative", "exponential"),
    Family(
        "Gamma",
        (FamilyParam("concentration", "positive"), FamilyParam("rate", "positive", default=1.0)),
        "positive",
        "gamma",
    ),
    Family(
        "InverseGamma",
        (FamilyParam("concentration", "positive"), FamilyParam("rate", "positive", default=1.0)),
        "positive",
        "inverse gamma; `rate` is the scale of the reciprocal's gamma",
    ),
    Family(
        "Beta",
        (FamilyParam("concentration1", "positive"), FamilyParam("concentration0", "positive")),
        "unit_interval",
        "beta",
    ),
    Family(
        "Uniform",
        (FamilyParam("low", default=0.0), FamilyParam("high", default=1.0)),
        "interval",
        "uniform on [low, high)",
    ),
    Family("Dirichlet", (FamilyParam("concentration", "positive_vector", 1),), "simplex", "Dirichlet", event_ndim=1),
    Family(
        "MultivariateNormal",
        (FamilyParam("loc", "real_vector", 1, 0.0), FamilyParam("scale_tril", "lower_cholesky", 2)),
        "real_vector",
        "Gaussian vector",
        event_ndim=1,
        alternatives=(("covariance_matrix", "scale_tril"), ("precision_matrix", "scale_tril")),
    ),
    Family(
        "LowRankMultivariateNormal",
        (
            FamilyParam("loc", "real_vector", 1),
            FamilyParam("cov_factor", "real_matrix", 2, axes="nk"),
            FamilyParam("cov_diag", "positive_vector", 1),
        ),
        "real_vector",
        "Gaussian vector with covariance `cov_factor @ cov_factor.T + diag(cov_diag)`",
        event_ndim=1,
    ),
    Family(
        "MatrixNormal",
        (
            FamilyParam("loc", "real_matrix", 2, axes="rc"),
            FamilyParam("scale_tril_row", "lower_cholesky", 2, axes="rr"),
            FamilyParam("scale_tril_column", "lower_cholesky", 2, axes="cc"),
        ),
        "real_matrix",
        "Gaussian matrix whose covariance is the Kronecker product of one over rows and one over columns",
        event_ndim=2,
        axes="rc",
    ),
    Family("Bernoulli", (_LOGITS,), "boolean", "0 or 1", discrete=True, reparameterized=False, alternatives=_BY_PROBS),
    Family(
        "Categorical",
        (_VECTOR_LOGITS,),
        "category",
        "one of K classes; unnormalized log probabilities on the last axis",
        discrete=True,
        reparameterized=False,
        alternatives=_BY_PROBS,
    ),
    Family(
        "OneHotCategorical",
        (_VECTOR_LOGITS,),
        "one_hot",
        "one of K classes as a one-hot vector",
        event_ndim=1,
        discrete=True,
        reparameterized=False,
        alternatives=_BY_PROBS,
    ),
    Family(
        "Binomial",
        (_LOGITS, _COUNT),
        "count",
        "successes in `total_count` trials",
        discrete=True,
        reparameterized=False,
        alternatives=_BY_PROBS,
    ),
    Family(
        "Multinomial",
        (_VECTOR_LOGITS, _COUNT),
        "count_vector",
        "counts of K classes in `total_count` trials",
        event_ndim=1,
        discrete=True,
        reparameterized=False,
        alternatives=_BY_PROBS,
    ),
    Family(
        "Poisson",
        (FamilyParam("rate", "positive"),),
        "nonnegative_integer",
        "counts",
        discrete=True,
        reparameterized=False,
    ),
    Family(
        "NegativeBinomial",
        (FamilyParam("total_count", "positive"), _LOGITS),
        "nonnegative_integer",
        "successes before `total_count` failures; `logits` of a success",
        discrete=True,
        reparameterized=False,
        alternatives=_BY_PROBS,
    ),
)

FAMILIES: dict[str, Family] = {f.name: f for f in _FAMILIES}

_NO_SELF_KL = ("StudentT", "Logistic", "Multinomial", "Binomial", "NegativeBinomial")

CLOSED_FORM_KL: frozenset[tuple[str, str]] = frozenset(
    {
        *((name, name) for name in FAMILIES if name not in _NO_SELF_KL),
        ("Laplace", "Normal"),
        ("Normal", "Laplace"),
        ("Normal", "LogUniform"),
        ("Uniform", "Normal"),
        ("Logistic", "Normal"),
        ("Gumbel", "Normal"),
        ("Gamma", "Exponential"),
        ("Exponential", "Gamma"),
        ("HalfNormal", "Exponential"),
        ("LogNormal", "HalfCauchy"),
        ("LogNormal", "Gamma"),
        ("LogNormal", "Exponential"),
        ("MultivariateNormal", "Normal"),
        ("LowRankMultivariateNormal", "Normal"),
        ("MatrixNormal", "Normal"),
        ("LowRankMultivariateNormal", "MultivariateNormal"),
        ("MultivariateNormal", "LowRankMultivariateNormal"),
    }
)
"""(posterior, prior) pairs with a closed form; every other pair is estimated by Monte Carlo, and the report says so."""
