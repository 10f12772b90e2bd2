"""What estimators need to know of the distribution behind a draw. May import: floors 0-1."""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.types import DistType

SYMMETRIC = {"Normal", "Laplace", "StudentT", "Cauchy", "Logistic"}
"""Families of numbers that are symmetric around their `loc`."""

_WRAPPERS = ("dist.expand", "dist.independent", "dist.reshape_event")


@dataclass(frozen=True, slots=True)
class Posterior:
    """The distribution of a draw, without expansions.

    Attributes:
        node: the node of the family; None for anything else, such as a mixture.
        family: its name, or the type's for what has no node.
        independent: whether the elements of a draw are independent given the parameters.
        params: the operands by parameter name.
    """

    node: Node | None
    family: str
    independent: bool
    params: dict[str, Value]

    @property
    def symmetric(self) -> bool:
        """Whether a draw's elements are independent and each symmetric around `loc`."""
        return self.independent and self.family in SYMMETRIC

    @property
    def gaussian(self) -> bool:
        """Whether a draw's elements are independent Gaussians."""
        return self.independent and self.family == "Normal"


def posterior_of(graph: Graph, draw: Node) -> Posterior:
    """The distribution that a `random.draw` of a graph draws from."""
    node = graph.producers.get(draw.inputs[0])
    while node is not None and node.op.name in _WRAPPERS:
        node = graph.producers.get(node.inputs[0])
    type_ = draw.inputs[0].type
    assert isinstance(type_, DistType)
    name = "" if node is None else node.op.name.removeprefix("dist.")
    if node is None or name not in FAMILIES:
        return Posterior(None, type_.family, independent=False, params={})
    family = FAMILIES[name]
    params = {p.name: value for p, value in zip(family.params, node.inputs, strict=True)}
    return Posterior(node, name, family.event_ndim == 0, params)
