"""Elementary functions with care at the edges of float32: no overflow, no cancellation, no NaN in a gradient.

Invariant: where a limit exists the value is that limit, and gradients are finite wherever the true one is.
May import: jax, the standard library.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

Real = Array | float
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
EULER_GAMMA = 0.5772156649015329


def float_limits(dtype: DTypeLike) -> Any:
    """The smallest and largest numbers of a floating-point type."""
    return jnp.finfo(dtype)  # type: ignore[no-untyped-call]


def softplus(x: Real) -> Array:
    """log(1 + e^x).

    As `logaddexp`, whose derivative e^(x - y) reuses the value y: spelled out with maximum and log1p, XLA reads a fifth
    more bytes in the training step of a mean-field network.
    """
    return jnp.logaddexp(x, 0.0)


def log_sigmoid(x: Real) -> Array:
    """log(1 / (1 + e^-x))."""
    return -softplus(-x)


def weighted(weight: Real, x: Real) -> Array:
    """Product, taking 0 * infinity as 0."""
    return weight * jnp.where(jnp.equal(weight, 0) & ~jnp.isfinite(x), 0, x)


def xlogy(x: Real, y: Real) -> Array:
    """Product of x and log(y), taking 0 * log(0) as 0; the gradient in x is log(y) also where x is 0."""
    both_zero = jnp.equal(x, 0) & jnp.equal(y, 0)
    return x * jnp.log(jnp.where(both_zero, 1, y))


def log1p_square(x: Array) -> Array:
    """log(1 + x^2), also where the square overflows."""
    large = jnp.abs(x) > 1e9
    small = jnp.where(large, 1, x)
    return jnp.where(large, 2 * jnp.log(jnp.where(large, jnp.abs(x), 1)), jnp.log1p(small * small))


def log_gamma(x: Real) -> Array:
    """Logarithm of the gamma function's absolute value."""
    return jax.scipy.special.gammaln(x)


def log_beta(a: Real, b: Real) -> Array:
    """Logarithm of the beta function.

    The difference of three log-gammas loses all digits when one argument is large; there `betaln` uses Stirling's
    series (Didonato and Morris 1992, algorithm 708), which overflows for tiny arguments, so it never sees any.
    """
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    small = high < 8
    direct = log_gamma(low) + (log_gamma(high) - log_gamma(low + high))
    return jnp.where(small, direct, jax.scipy.special.betaln(low, jnp.where(small, 8, high)))


def log_ratio(p: Real, q: Real) -> Array:
    """log(p / q), to full relative precision also where p is close to q."""
    near = jnp.abs(p - q) < 0.5 * q
    return jnp.where(near, jnp.log1p(jnp.where(near, (p - q) / q, 0)), jnp.log(jnp.where(near, 1, p / q)))


def poisson_deviance(p: Real, q: Real) -> Array:
    """Deviance p log(p / q) - p + q, which is 0 at p = q and positive elsewhere."""
    return weighted(p, log_ratio(p, q)) - (p - q)


def stirling_error(x: Real) -> Real:
    """What log Gamma(x) has above (x - 1/2) log x - x + log(2 pi) / 2, for x >= 8 (Abramowitz and Stegun 6.1.41)."""
    square = 1 / (x * x)
    return (1 / 12 - square * (1 / 360 - square / 1260)) / x


def log_gamma_excess(p: Real, q: Real) -> Array:
    """How log Gamma at p lies above its tangent at q, less `poisson_deviance(p, q)`.

    The divergences of the gamma, beta and Dirichlet families are sums of these with deviances. Where both arguments
    are large, log-gammas would cancel; there Stirling's series leaves small terms only.
    """
    large = (p >= 8) & (q >= 8)
    high_p, high_q = jnp.where(large, p, 8.0), jnp.where(large, q, 8.0)
    step, square = (high_p - high_q) / high_q, 1 / (high_q * high_q)
    slope = -square * (1 / 12 - square * (1 / 120 - square / 252))
    errors = stirling_error(high_p) - stirling_error(high_q) - slope * (high_p - high_q)
    direct = log_gamma(p) - log_gamma(q) - jax.scipy.special.digamma(q) * (p - q) - poisson_deviance(p, q)
    return jnp.where(large, 0.5 * (step - jnp.log1p(step)) + errors, direct)


def log_binomial(n: Real, k: Real) -> Array:
    """Logarithm of the binomial coefficient, as 1 / ((n + 1) B(k + 1, n - k + 1))."""
    return -jnp.log1p(n) - log_beta(k + 1, n - k + 1)


def logsumexp(x: Array, axis: int | tuple[int, ...], *, keepdims: bool = False) -> Array:
    """Logarithm of the sum of exponentials over `axis`; minus infinity, with gradient 0, where all terms are."""
    peak = jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    total = jnp.sum(jnp.exp(x - peak), axis=axis, keepdims=True)
    empty = total == 0
    result = jnp.where(empty, -jnp.inf, jnp.log(jnp.where(empty, 1, total)) + peak)
    return result if keepdims else jnp.squeeze(result, axis=axis)
