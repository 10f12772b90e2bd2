"""Initial values of parameters.

Invariant: one draw per value, from the noise it is given. May import: floors 0-1, numpy, the run-time distributions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from bl_compiler.backends.reference.continuous import Normal, Uniform
from bl_compiler.backends.reference.distributions import Distribution, Shape
from bl_compiler.backends.reference.values import Array, EvaluationError, FloatArray
from bl_compiler.ir.initializers import Initializer

_CUT = 2.0
"""Where a truncated Gaussian is cut, in standard deviations."""


def initial_value(init: Initializer, shape: Shape, draw: Callable[[Distribution], Array]) -> FloatArray:
    """A value of this shape from a generator of `ir/initializers.GENERATORS`.

    Args:
        init: the generator's name and its arguments.
        shape: the value's.
        draw: gives one draw from a distribution.
    """
    name, *arguments = init
    numbers = [float(a) for a in arguments]
    match name, numbers:
        case "constant", [value]:
            return np.full(shape, value)
        case "normal", [mean, stddev]:
            return draw(Normal(np.asarray(mean), np.asarray(stddev)).expand(shape))
        case "truncated_normal", [mean, stddev]:
            # Inversion: a uniform between the cut's probabilities, through the quantile function.
            low, high = special.ndtr(np.asarray([-_CUT, _CUT]))
            return np.asarray(mean + stddev * special.ndtri(draw(Uniform(low, high).expand(shape))))
        case "uniform", [low, high]:
            return draw(Uniform(np.asarray(low), np.asarray(high)).expand(shape))
        case "orthogonal", [scale]:
            return scale * _orthogonal(shape, draw)
        case "identity", [scale]:
            return np.broadcast_to(scale * np.eye(shape[-2], shape[-1]), shape)
    raise EvaluationError(f"no initializer {init}")


def _orthogonal(shape: Shape, draw: Callable[[Distribution], Array]) -> FloatArray:
    """A matrix over the last axis and the others flattened, uniform among those with orthonormal rows or columns.

    The triangular factor's diagonal is made positive, without which the factorization is not unique and the law not
    uniform (Mezzadri 2007, "How to generate random matrices from the classical compact groups").
    """
    columns = shape[-1]
    rows = int(np.prod(shape[:-1]))
    gaussian = draw(Normal(np.zeros(()), np.ones(())).expand((max(rows, columns), min(rows, columns))))
    q, r = np.linalg.qr(gaussian)
    q = q * np.sign(np.diagonal(r))
    return np.asarray((q if rows >= columns else q.T).reshape(shape))
