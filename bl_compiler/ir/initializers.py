"""Initial values of parameters: a few generators that every scheme (Glorot, He, …) reduces to.

Invariant: an initializer is an attribute value, the tuple `(name, number, …)`; it speaks of the constrained value.
May import: the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Initializer = tuple[str | float | int, ...]

GENERATORS: dict[str, tuple[tuple[str, ...], str]] = {
    "constant": (("value",), "the same number everywhere"),
    "normal": (("mean", "stddev"), "independent Gaussians"),
    "truncated_normal": (
        ("mean", "stddev"),
        "Gaussians cut at two standard deviations; `stddev` is that of the uncut Gaussian",
    ),
    "uniform": (("low", "high"), "independent uniforms"),
    "orthogonal": (("scale",), "a random orthogonal matrix over the last axis and the others flattened, times `scale`"),
    "identity": (("scale",), "the identity matrix times `scale`"),
}
"""name -> (arguments, doc); `model.param` and `param.initialize` name one of these."""

_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a unit Gaussian cut at plus and minus 2."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Variance scaling (He et al. 2015, Glorot and Bengio 2010): variance `scale / fan`."""

    scale: float
    mode: str
    shape: str


SCHEMES: dict[str, Scheme] = {
    "glorot_uniform": Scheme(1.0, "fan_avg", "uniform"),
    "glorot_normal": Scheme(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": Scheme(2.0, "fan_in", "uniform"),
    "he_normal": Scheme(2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": Scheme(1.0, "fan_in", "uniform"),
    "lecun_normal": Scheme(1.0, "fan_in", "truncated_normal"),
}


def variance_scaling(scheme: Scheme, fan_in: int, fan_out: int) -> Initializer:
    """The generator of a scheme for a weight with these fans."""
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[scheme.mode]
    variance = scheme.scale / max(fan, 1)
    if scheme.shape == "uniform":
        limit = sqrt(3 * variance)
        return ("uniform", -limit, limit)
    return ("truncated_normal", 0.0, sqrt(variance) / _TRUNCATED_STDDEV)


def constant(value: float) -> Initializer:
    """The same number everywhere."""
    return ("constant", value)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan in, fan out) of a kernel [receptive field…, in, out]."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = 1
    for size in shape[:-2]:
        field *= size
    return shape[-2] * field, shape[-1] * field
