"""Covariances of sums of products, the general linear map.

For independent factors T_1 … T_k with second moments M = C + m m', the covariance of their product telescopes:

    Cov = Σ_j  M_1 … M_{j-1} · C_j · (m m')_{j+1} … (m m')_k,

each term a sum of products like the value's own. Along an axis where C_j's elements are uncorrelated the two copies of
that axis agree, so a term costs what the value costs as long as no copies are left. For a dense layer of independent
weights and its input this is equation 6 of Wu et al. 2019.
Invariant: factors depend on different draws. May import: floors 0-1, `laws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.types import Dim
from bl_compiler.passes.moments.laws import Axes, Emitter, Labelled, Law, Problem, Reading, Refusal

UNIT = "."
"""In place of a letter: an axis of size 1 that broadcasts."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A value of the graph in a product, a letter for each axis; `inverse` for a divisor, which depends on no draw."""

    value: Value
    letters: str
    inverse: bool = False

    def dims(self) -> list[tuple[str, Dim]]:
        """Letters with dimensions."""
        return [(s, d) for s, d in zip(self.letters, self.value.tensor.dims, strict=True) if s != UNIT]


def require_independent(laws: Sequence[Law], what: str) -> None:
    """Raise `Refusal` if two laws depend on one draw."""
    seen: set[Node] = set()
    for law in laws:
        common = seen & law.sources
        if common:
            site = min(node.site or "" for node in common)
            raise Refusal(f"{what} of values that depend on the same draw `{site}`")
        seen |= law.sources


def product_law(cx: Reading, node: Node, factors: Sequence[Factor], result: str, *, scale: float = 1.0) -> Law:
    """What is known of `scale` times a sum of products.

    Args:
        cx: the laws of the factors.
        node: what computes it; without draws, it gives the mean.
        factors: the factors.
        result: a letter for each axis of the result.
        scale: a constant.

    Raises:
        Refusal: two factors depend on the same draw.
    """
    uncertain = [f for f in factors if f.value in cx.laws]
    laws = [cx.laws[f.value] for f in uncertain]
    require_independent(laws, "a product")
    sources = frozenset[Node]().union(*(law.sources for law in laws))
    plates = {s for f in factors for s, d in f.dims() if d.is_plate}
    problem = _problem(cx, factors, plates, result)
    if problem is not None:
        return Law(node, sources, problem)
    dense = frozenset(
        axis
        for axis, s in enumerate(result)
        if s not in plates | {UNIT} and any(_is_dense(cx, f, s) for f in uncertain)
    )
    product = _Product(cx, tuple(factors), result, scale, node)
    gaussian = len(laws) == 1 and laws[0].gaussian
    return Law(node, sources, product.second, dense, gaussian)


def _is_dense(cx: Reading, factor: Factor, letter: str) -> bool:
    """Whether the copies of an axis of the result may differ: the factor is dense there, or does not vary there."""
    axis = factor.letters.find(letter)
    return axis < 0 or axis in cx.laws[factor.value].dense


def _problem(cx: Reading, factors: Sequence[Factor], plates: set[str], result: str) -> Problem | None:
    for factor in factors:
        law = cx.laws.get(factor.value)
        if law is not None and isinstance(law.spread, Problem):
            return law.spread
        if len(set(factor.letters) - {UNIT}) < len(factor.letters.replace(UNIT, "")):
            return Problem("a diagonal is taken, whose covariance is not worked out")
    summed = sorted(plates - set(result))
    if summed:
        names = {d.name for f in factors for s, d in f.dims() if s in summed and d.is_plate}
        return Problem(f"it sums over the elements of plate {' and '.join(f'`{n}`' for n in sorted(map(str, names)))}")
    return None


@dataclass(frozen=True)
class _Product:
    """A sum of products whose covariance can be emitted."""

    cx: Reading
    factors: tuple[Factor, ...]
    result: str
    scale: float
    node: Node

    def second(self, em: Emitter, axes: Axes) -> Value:
        """The covariance with copies of some axes of the result."""
        letters = self.result.replace(UNIT, "")
        copies = [self.result[a] for a in sorted(axes)]
        total: Value | None = None
        for j, factor in enumerate(self.factors):
            if factor.value not in self.cx.laws:
                continue
            term = self._term(em, j, letters, copies)
            total = term if total is None else em.builder.binary("add", total, term)
        assert total is not None
        if self.scale != 1.0:
            total = em.builder.binary("mul", total, self.scale**2)
        dims = self.node.result.tensor.dims
        return em.builder.reshape(total, (*dims, *total.tensor.dims[len(letters) :]))

    def _term(self, em: Emitter, j: int, letters: str, copies: Sequence[str]) -> Value:
        """The term with the covariance of factor `j`."""
        own, law = self.factors[j], self.cx.laws[self.factors[j].value]
        independent = {s for a, s in enumerate(own.letters) if a not in law.dense and s != UNIT}
        # Letters whose two copies agree in this term, plates among them: no copies of those are ever asked for.
        tied = independent | {s for s in letters if s not in copies}
        parts: list[Labelled] = []
        for i, factor in enumerate(self.factors):
            if i == j:
                parts.append(self._second(em, factor, tied))
            elif i < j and factor.value in self.cx.laws:
                parts.append(self._raw(em, factor, tied))
            else:
                parts += self._pair(em, factor, tied)
        sizes = {s: d for f in self.factors for s, d in f.dims()}
        dtype = parts[0].value.tensor.dtype
        parts += [Labelled(em.eye(sizes[s], dtype), s + s.upper()) for s in copies if s in tied]
        return em.einsum(parts, letters + "".join(s.upper() for s in copies))

    def _second(self, em: Emitter, factor: Factor, tied: set[str]) -> Labelled:
        axes = self._untied(factor, tied)
        found = em.second(factor.value, axes)
        return self._squeezed(em, factor, found, axes)

    def _raw(self, em: Emitter, factor: Factor, tied: set[str]) -> Labelled:
        """The second moment of a factor."""
        axes = self._untied(factor, tied)
        spread, mean = em.second(factor.value, axes), em.value(factor.value)
        left, right = em.sides(mean, axes)
        b = em.builder
        squares = b.binary("mul", left, right) if axes else em.squared(mean)
        return self._squeezed(em, factor, b.binary("add", spread, squares), axes)

    def _pair(self, em: Emitter, factor: Factor, tied: set[str]) -> list[Labelled]:
        """The product of a factor's mean with its copy."""
        mean = em.value(factor.value)
        if factor.inverse:
            key = ("inverse", mean)
            if key not in em.notes:
                em.notes[key] = (em.builder.binary("div", 1.0, mean),)
            mean = em.notes[key][0]
        if not self._untied(factor, tied):
            return [self._squeezed(em, factor, em.squared(mean), frozenset())]
        first = self._squeezed(em, factor, mean, frozenset())
        return [first, Labelled(first.value, "".join(s if s in tied else s.upper() for s in first.letters))]

    @staticmethod
    def _untied(factor: Factor, tied: set[str]) -> Axes:
        return frozenset(a for a, s in enumerate(factor.letters) if s != UNIT and s not in tied)

    @staticmethod
    def _squeezed(em: Emitter, factor: Factor, x: Value, axes: Axes) -> Labelled:
        rank = len(factor.letters)
        kept = [x.tensor.dims[a] for a, s in enumerate(factor.letters) if s != UNIT]
        letters = factor.letters.replace(UNIT, "") + "".join(factor.letters[a].upper() for a in sorted(axes))
        return Labelled(em.builder.reshape(x, (*kept, *x.tensor.dims[rank:])), letters)
