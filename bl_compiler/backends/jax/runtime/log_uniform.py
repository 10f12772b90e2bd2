"""The improper prior whose logarithm is uniform, density c / |x|, and its divergence from a Gaussian.

The constant c is such that the divergence is 0 for a Gaussian around 0, whatever its scale.
May import: jax, the standard library, `special`.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array

from bl_compiler.backends.jax.runtime.special import EULER_GAMMA, HALF_LOG_2PI, Real

LOG_UNIFORM_CHEBYSHEV = (
    -1.09820747947,
    1.61603754354,
    -0.681134292035,
    0.233453767477,
    -0.110973802387,
    0.0571914597143,
    -0.0234465821467,
    0.0114225406038,
    -0.00609593117416,
    0.00256687762943,
    -0.001341936813,
    0.000713812404932,
    -0.000293035404411,
    0.000173873513121,
    -8.48133450085e-05,
    3.50720213382e-05,
    -2.44472137172e-05,
    9.21910282028e-06,
    -4.93776900979e-06,
    3.38785119125e-06,
    -7.75331301642e-07,
    9.21497826828e-07,
    -1.71121331098e-07,
)
"""Of `(F(u) - log(1 + 4 e^gamma u) / 2) / t` over t = u / (u + 3/2) in [0, 1]."""


def log_uniform_log_prob(x: Array) -> Array:
    """The logarithm of c / |x|."""
    return -jnp.log(jnp.abs(x)) - (HALF_LOG_2PI + 0.5 * (1 + EULER_GAMMA + math.log(2)))


def kl_normal_log_uniform(q_loc: Real, q_scale: Real) -> Array:
    """KL(Normal || LogUniform), a function F of u = loc^2 / (2 scale^2) = 1 / (2 alpha).

    F is twice the integral of Dawson's function from 0 to sqrt(u): 0 at 0, (log(4 u) + gamma) / 2 far out. It is
    interpolated between the two with a relative error below 1e-6, where the approximation of Molchanov, Ashukha and
    Vetrov (2017, equation 14) errs by 0.01.
    """
    ratio = q_loc / q_scale
    u = 0.5 * ratio * ratio
    t = u / (u + 1.5)
    x = 4 * t - 2
    after, value = jnp.zeros_like(t), jnp.zeros_like(t)
    for coefficient in LOG_UNIFORM_CHEBYSHEV[:0:-1]:
        after, value = value, x * value - after + coefficient
    value = 0.5 * x * value - after + LOG_UNIFORM_CHEBYSHEV[0]
    return 0.5 * jnp.log1p((4 * math.exp(EULER_GAMMA)) * u) + t * value
