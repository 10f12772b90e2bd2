"""Cases of ops that propagate moments, from closed forms at mean 0 (Cho and Saul 2009, equation 5, with degree 1)."""

from __future__ import annotations

import math

import numpy as np

from tests.unit.reference.build import Case, case


def _centered(rho: float) -> float:
    """The covariance of two rectified standard normals with correlation `rho`."""
    angle = math.acos(-rho)
    return (math.sin(angle) - math.cos(angle) * angle) / (2 * math.pi) - 1 / (2 * math.pi)


_RHO = np.array([-1.0, -0.5, 0.0, 0.5, 0.9, 1.0])

MOMENT_CASES: dict[str, list[Case]] = {
    "moment.relu_covariance": [
        case(0 * _RHO, 0 * _RHO, 1 + 0 * _RHO, 1 + 0 * _RHO, _RHO, gives=[_centered(r) for r in _RHO]),
        case(0 * _RHO, 0 * _RHO, 4 + 0 * _RHO, 9 + 0 * _RHO, 6 * _RHO, gives=[6 * _centered(r) for r in _RHO]),
    ],
}
