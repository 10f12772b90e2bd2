"""The observations of a model as evaluation sees them: what is observed, where its data is, how a prediction is scored.

May import: floors 0-1, `specs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.graph import Graph, Module, Value
from bl_compiler.ir.types import DistType


class Scoring(StrEnum):
    """How predictions of a site are compared with the data."""

    CLASSES = "classes"
    BINARY = "binary"
    NUMBERS = "numbers"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ObservedSite:
    """One observation.

    Attributes:
        key: The input that is observed as it is; None where the model transforms it first.
        mask: The input that is its mask; None without one.
        scoring: How predictions are scored; NONE also where a mask is computed by the model.
    """

    site: str
    key: str | None
    mask: str | None
    scoring: Scoring


def observed_sites(module: Module) -> tuple[ObservedSite, ...]:
    """The observations of the function `model`, in order."""
    graph = module.functions["model"]
    keys = {node.result: node.attrs.text("key") for node in graph.of("model.input")}
    return tuple(
        _site(graph, node.site, node.inputs, keys) for node in graph.of("model.observe") if node.site is not None
    )


def has_local_latents(module: Module) -> bool:
    """Whether some latent variable has its own value for each example, as in a variational autoencoder."""
    return any(node.result.tensor.plates for node in module.functions["model"].of("model.sample"))


def _site(graph: Graph, site: str, inputs: tuple[Value, ...], keys: Mapping[Value, str]) -> ObservedSite:
    key = keys.get(_unmoved(graph, inputs[0]))
    mask = keys.get(inputs[2]) if len(inputs) > 2 else None
    unknown_mask = len(inputs) > 2 and mask is None
    dist = inputs[1].type
    assert isinstance(dist, DistType), dist
    scoring = Scoring.NONE if key is None or unknown_mask else _scoring(dist)
    return ObservedSite(site, key, mask, scoring)


def _scoring(dist: DistType) -> Scoring:
    if dist.support == "category":
        return Scoring.CLASSES
    if dist.support == "boolean":
        return Scoring.BINARY
    constraint = CONSTRAINTS[dist.support]
    return Scoring.NONE if constraint.name in ("one_hot", "count_vector") else Scoring.NUMBERS


def _unmoved(graph: Graph, value: Value) -> Value:
    """The value before casts, which keep the numbers."""
    node = graph.producers.get(value)
    while node is not None and node.op.name == "math.cast":
        value = node.inputs[0]
        node = graph.producers.get(value)
    return value
