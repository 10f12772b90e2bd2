"""Improper priors: densities over the real numbers that have no integral.

They have a density and, against some posteriors, a divergence; there is nothing to draw from. Invariant: none of these
names is one of `families.FAMILIES`. May import: floor 0, `families`.
"""

from __future__ import annotations

from bl_compiler.ir.families import Family

IMPROPER: dict[str, Family] = {
    "LogUniform": Family(
        "LogUniform",
        (),
        "real",
        "improper: density proportional to 1 / |x|, so that log |x| is uniform (Kingma, Salimans and Welling 2015)",
        reparameterized=False,
    )
}
"""By name. `LogUniform` is scaled such that its divergence from a Gaussian around 0 is 0."""


def is_improper(family: str) -> bool:
    """Whether a distribution type's family is improper, under whatever wraps it.

    >>> is_improper("Independent(LogUniform)"), is_improper("Normal")
    (True, False)
    """
    return family.rpartition("(")[2].rstrip(")") in IMPROPER
