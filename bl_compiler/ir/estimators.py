"""Estimators of the expectation over a draw, as the attribute `estimator` of draws says them.

Text forms: `auto`, `shared`, `grouped(8)`, `flipout`, `local_reparameterization`, `deterministic`, and the last two
kinds with `(approximate)` where the user accepts that the law of an example's outputs changes.
Invariant: `Estimator.parse(str(e)) == e`. May import: floor 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMES = ("auto", "shared", "grouped", "flipout", "local_reparameterization", "deterministic")
"""Every estimator; `auto` leaves the choice to the compiler."""

DOCS = {
    "auto": """The compiler's choice among the estimators that are exact where the draw is used.

It takes the one with the least predicted time times variance of a step; `--estimators` sets another measure.""",
    "shared": """One draw a step, for all examples.

Always exact, and the least work. All examples share its noise, so a larger batch does not average it out.""",
    "grouped": """As many draws a step as there are groups, each for its part of the examples.

`groups` divides the number of examples in a step. Exact unless something mixes the examples.""",
    "flipout": """One perturbation of the weight a step, under signs that differ from example to example.

Exact for independent posteriors that are symmetric around their means (Wen et al. 2018). Convolutions, weights that
are used several times and steps of a sequence are fine.""",
    "local_reparameterization": """Pre-activations are drawn in the place of the weight.

Exact for Gaussian posteriors where no two outputs of an example share an element of the weight: dense layers on one
position, not convolutions (Kingma et al. 2015; Louizos and Welling 2016 for `matrix_normal`). With `approximate=true`
it is used there, too, and changes what is optimized.""",
    "deterministic": """Nothing is drawn: means and variances of what the weight reaches are computed in closed form.

Exact where there is one (Wu et al. 2019; docs/moments.md). With `approximate=true` sums of many terms count as
Gaussian.""",
}
"""What each is: one line, and when it is exact."""

_FORM = re.compile(r"(?P<name>[a-z_]+)(?:\((?P<argument>[a-z]+|[0-9]+)\))?")


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator with its arguments.

    Attributes:
        name: one of `NAMES`.
        groups: how many draws `grouped` makes; else 0.
        approximate: whether it may be used where it is not exact.
    """

    name: str
    groups: int = 0
    approximate: bool = False

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"no estimator is called `{self.name}`")
        if (self.name == "grouped") != (self.groups > 0):
            raise ValueError(f"`{self.name}` with {self.groups} groups")

    def __str__(self) -> str:
        if self.groups:
            return f"{self.name}({self.groups})"
        return f"{self.name}(approximate)" if self.approximate else self.name

    @classmethod
    def parse(cls, text: str) -> Estimator:
        """The estimator of a text form; ValueError if it is none.

        >>> Estimator.parse("grouped(8)")
        Estimator(name='grouped', groups=8, approximate=False)
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"malformed estimator `{text}`")
        name, argument = found["name"], found["argument"]
        if name == "grouped" and argument is not None and argument.isdigit():
            return cls(name, groups=int(argument))
        if argument not in (None, "approximate"):
            raise ValueError(f"malformed estimator `{text}`")
        return cls(name, approximate=argument is not None)


AUTO = Estimator("auto")
SHARED = Estimator("shared")
