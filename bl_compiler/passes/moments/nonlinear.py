"""Means and covariances of elementwise functions of Gaussian variables.

With (m, v) mean and variance, c the covariance of a pair, u = m / sqrt(v), Phi and phi the standard Gaussian's
distribution and density:

| function | mean | covariance of a pair |
|---|---|---|
| relu | m Phi(u) + sqrt(v) phi(u) | `moment.relu_covariance` |
| s x + (1 - s) relu(x) | likewise | by linearity, with Cov(a, relu(b)) = c Phi(u_b) (Stein's lemma) |
| square | m² + v | 2 c² + 4 m_a m_b c |
| exp | e^(m + v/2) | e^(m_a + m_b + (v_a + v_b)/2) (e^c - 1) |
| sin, cos | e^(-v/2) sin m, e^(-v/2) cos m | by sums of angles |

Leaky relu has slope s = `slope`, the absolute value s = -1. Invariant: variances come out nonnegative.
May import: floors 0-1, `laws`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Node, Value
from bl_compiler.passes.moments.laws import Axes, Emitter, Law, Problem, Reading, Refusal

SMALLEST_VARIANCE = 1e-12
"""Below, a variable counts as that uncertain: keeps quotients and their gradients finite where nothing is uncertain."""


@dataclass(frozen=True, slots=True)
class Gauss:
    """Mean and variance of Gaussian variables."""

    mean: Value
    variance: Value


class _Algebra:
    """Arithmetic on values of a builder, for formulas that read like those of the table."""

    def __init__(self, b: GraphBuilder) -> None:
        self.b = b

    def mul(self, *xs: Value | float) -> Value:
        """Product."""
        found = xs[0]
        for x in xs[1:]:
            found = self.b.binary("mul", found, x)
        assert isinstance(found, Value)
        return found

    def add(self, *xs: Value | float) -> Value:
        """Sum."""
        found = xs[0]
        for x in xs[1:]:
            found = self.b.binary("add", found, x)
        assert isinstance(found, Value)
        return found

    def sub(self, a: Value | float, b: Value | float) -> Value:
        """Difference."""
        return self.b.binary("sub", a, b)


class Function:
    """One elementwise function; `x` are the moments of its argument."""

    def mean(self, b: GraphBuilder, x: Gauss) -> Value:
        """The mean."""
        raise NotImplementedError

    def variance(self, b: GraphBuilder, x: Gauss) -> Value:
        """The variance."""
        return self.covariance(b, x, x, x.variance)

    def covariance(self, b: GraphBuilder, x: Gauss, y: Gauss, c: Value) -> Value:
        """The covariance of a pair whose arguments have the covariance `c`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rectifier(Function):
    """The function s x + (1 - s) max(x, 0)."""

    slope: float = 0.0

    def mean(self, b: GraphBuilder, x: Gauss) -> Value:
        """See the head of this file."""
        a, (_, cdf, pdf, deviation) = _Algebra(b), _standard(b, x)
        rectified = a.add(a.mul(x.mean, cdf), a.mul(deviation, pdf))
        return self._mixed(a, x.mean, rectified)

    def variance(self, b: GraphBuilder, x: Gauss) -> Value:
        """The variance, arranged so that large means do not cancel.

        With Q = 1 - Phi: v (Phi + u² Phi Q + u phi (Q - Phi) - phi²), which is v for large u and 0 for small u.
        """
        a, s, (u, cdf, pdf, _) = _Algebra(b), self.slope, _standard(b, x)
        rest = a.sub(1.0, cdf)
        found = a.add(cdf, a.mul(u, u, cdf, rest), a.mul(u, pdf, a.sub(rest, cdf)))
        found = b.binary("max", a.sub(found, a.mul(pdf, pdf)), 0.0)
        if s:
            found = a.add(a.mul(found, (1 - s) ** 2), a.add(a.mul(cdf, 2 * s * (1 - s)), s * s))
        return a.mul(x.variance, found)

    def covariance(self, b: GraphBuilder, x: Gauss, y: Gauss, c: Value) -> Value:
        """See the head of this file."""
        a, s = _Algebra(b), self.slope
        found = b.add("moment.relu_covariance", x.mean, y.mean, x.variance, y.variance, c)
        if not s:
            return found
        both = a.add(_standard(b, x)[1], _standard(b, y)[1])
        return a.add(a.mul(found, (1 - s) ** 2), a.mul(c, a.add(a.mul(both, s * (1 - s)), s * s)))

    def _mixed(self, a: _Algebra, x: Value, rectified: Value) -> Value:
        return a.add(a.mul(rectified, 1 - self.slope), a.mul(x, self.slope)) if self.slope else rectified


class Square(Function):
    """The function x²."""

    def mean(self, b: GraphBuilder, x: Gauss) -> Value:
        """See the head of this file."""
        return b.binary("add", b.unary("square", x.mean), x.variance)

    def covariance(self, b: GraphBuilder, x: Gauss, y: Gauss, c: Value) -> Value:
        """See the head of this file."""
        a = _Algebra(b)
        return a.mul(a.add(a.mul(c, 2.0), a.mul(x.mean, y.mean, 4.0)), c)


class Exp(Function):
    """The exponential: a log-normal variable."""

    def mean(self, b: GraphBuilder, x: Gauss) -> Value:
        """See the head of this file."""
        a = _Algebra(b)
        return b.unary("exp", a.add(x.mean, a.mul(x.variance, 0.5)))

    def covariance(self, b: GraphBuilder, x: Gauss, y: Gauss, c: Value) -> Value:
        """See the head of this file."""
        return _Algebra(b).mul(self.mean(b, x), self.mean(b, y), b.unary("expm1", c))


@dataclass(frozen=True)
class Wave(Function):
    """Sine or cosine."""

    name: str

    def mean(self, b: GraphBuilder, x: Gauss) -> Value:
        """See the head of this file."""
        a = _Algebra(b)
        return a.mul(b.unary(self.name, x.mean), b.unary("exp", a.mul(x.variance, -0.5)))

    def variance(self, b: GraphBuilder, x: Gauss) -> Value:
        """The variance; its two terms cancel where the argument is certain."""
        return b.binary("max", self.covariance(b, x, x, x.variance), 0.0)

    def covariance(self, b: GraphBuilder, x: Gauss, y: Gauss, c: Value) -> Value:
        """Half of e^(-(v_a + v_b)/2) [(e^c - 1) cos(m_a - m_b) -+ (e^-c - 1) cos(m_a + m_b)], - for the sine."""
        a = _Algebra(b)
        near = a.mul(b.unary("expm1", c), b.unary("cos", a.sub(x.mean, y.mean)))
        far = a.mul(b.unary("expm1", b.unary("neg", c)), b.unary("cos", a.add(x.mean, y.mean)))
        both = a.sub(near, far) if self.name == "sin" else a.add(near, far)
        return a.mul(both, b.unary("exp", a.mul(a.add(x.variance, y.variance), -0.5)), 0.5)


def _standard(b: GraphBuilder, x: Gauss) -> tuple[Value, Value, Value, Value]:
    """Standardized mean, distribution and density there, standard deviation."""
    deviation = b.unary("sqrt", b.binary("max", x.variance, SMALLEST_VARIANCE))
    u = b.binary("div", x.mean, deviation)
    cdf = b.binary("mul", b.binary("add", b.unary("erf", b.binary("mul", u, math.sqrt(0.5))), 1.0), 0.5)
    pdf = b.binary("mul", b.unary("exp", b.binary("mul", b.unary("square", u), -0.5)), 1 / math.sqrt(2 * math.pi))
    return u, cdf, pdf, deviation


FUNCTIONS: Mapping[str, Callable[[Node], Function]] = {
    "math.relu": lambda node: Rectifier(),
    "math.leaky_relu": lambda node: Rectifier(node.attrs.number("slope")),
    "math.abs": lambda node: Rectifier(-1.0),
    "math.square": lambda node: Square(),
    "math.exp": lambda node: Exp(),
    "math.sin": lambda node: Wave("sin"),
    "math.cos": lambda node: Wave("cos"),
    "math.pow": lambda node: Square(),
}
"""The functions with closed forms, by op."""


def _is_two(cx: Reading, value: Value) -> bool:
    """Whether a value is the number 2."""
    node = cx.producers.get(value)
    return node is not None and node.op.name == "tensor.const" and node.attrs["value"] == 2


def function_law(cx: Reading, node: Node) -> Law:
    """What is known of an elementwise function; that its argument is Gaussian is an approximation where it is not.

    Raises:
        Refusal: the argument's variance is not known.
    """
    x, *rest = node.inputs
    if rest and not _is_two(cx, rest[0]):
        raise Refusal(f"`{node.op.name}` of an uncertain value has no moments in closed form, but for squares")
    law, function = cx.laws[x], FUNCTIONS[node.op.name](node)
    if isinstance(law.spread, Problem):
        raise Refusal(f"`{node.op.name}` needs the variance of its argument, and {law.spread.text}")
    if not law.gaussian:
        cx.soft(node, law.sources, f"`{node.op.name}` of a value that is not Gaussian")

    def mean(em: Emitter) -> Value:
        return function.mean(em.builder, Gauss(em.value(x), em.second(x)))

    def second(em: Emitter, axes: Axes) -> Value:
        variance, m = em.second(x), em.value(x)
        if not axes:
            return function.variance(em.builder, Gauss(m, variance))
        (m_a, m_b), (v_a, v_b) = em.sides(m, axes), em.sides(variance, axes)
        return function.covariance(em.builder, Gauss(m_a, v_a), Gauss(m_b, v_b), em.second(x, axes))

    return Law(node, law.sources, second, law.dense, mean=mean)
