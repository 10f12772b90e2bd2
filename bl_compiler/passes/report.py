"""What a model is made of, as plain data: `blc info` renders it.

Invariant: strings, numbers, booleans, None, lists and dictionaries only; read from the function `model` as lowering
makes it, regions included. May import: floors 0-1, `densities`, `entries`, `plates_scale`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from math import prod

from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.ops_dist import base_family
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.text import type_text
from bl_compiler.ir.types import Dims, DistType, Size, distribution, plates_of
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.entries import predictive_ops
from bl_compiler.passes.plates_scale import site_dims

Facts = dict[str, object]

_SITES = {"model.sample": "sample", "model.noise": "noise", "model.observe": "observe", "model.point": "point"}


def model_facts(module: Module, ops: OpSet = CORE_OPS) -> Facts:
    """Plates, inputs, parameters, sites, outputs of prediction, and totals.

    Args:
        module: A module with the function `model`.
        ops: The op set of its nodes.
    """
    graphs = list(graphs_in(module.functions["model"]))
    nodes = [node for graph in graphs for node in graph.nodes]
    parameters = [_parameter(node) for node in nodes if node.op.name in ("model.param", "model.state")]
    sites = [_site(module, node) for node in nodes if node.op.name in _SITES]
    goal = module.objective
    return {
        "model": module.name,
        "objective": {
            "kind": goal.kind,
            "samples": goal.samples,
            "kl_weight": goal.kl_weight,
            "anneal": list(goal.anneal) if goal.anneal is not None else None,
        },
        "plates": [{"name": p.name, "size": p.size, "total": p.total} for p in module.plates],
        "inputs": [_input(node) for node in nodes if node.op.name == "model.input"],
        "parameters": parameters,
        "sites": sites,
        "outputs": [output for graph in graphs for node in graph.nodes for output in _outputs(graph, node, ops)],
        "totals": _totals(nodes),
    }


def _input(node: Node) -> Facts:
    return {"name": node.attrs.text("key"), "type": type_text(node.attrs.array_type("type"))}


def _parameter(node: Node) -> Facts:
    type_, init = node.attrs.array_type("type"), node.attrs["init"]
    assert isinstance(init, tuple), init
    name, *arguments = init
    return {
        "path": node.attrs.text("path"),
        "type": type_text(type_),
        "count": _count(type_.dims),
        "trained": node.op.name == "model.param",
        "constraint": node.attrs.get("constraint", "real"),
        "init": f"{name}({', '.join(map(str, arguments))})",
    }


def _site(module: Module, node: Node) -> Facts:
    kind, dims = _SITES[node.op.name], site_dims(node)
    families = [base_family(v.type) for v in node.inputs if isinstance(v.type, DistType)]
    latent = kind == "sample"
    return {
        "path": node.site,
        "kind": kind,
        "plates": list(plates_of(dims)),
        "shape": _shape(dims),
        "count": _count(dims),
        "prior": families[0] if kind in ("sample", "noise", "point") else None,
        "posterior": families[1] if latent else None,
        "likelihood": families[0] if kind == "observe" else None,
        "masked": kind == "observe" and len(node.inputs) > 2,
        "kl": _kl(module, node) if latent else None,
        "estimator": node.attrs.text("estimator") if latent else None,
    }


def _kl(module: Module, node: Node) -> str | None:
    """The form of the site's divergence in the objective; an importance-weighted bound takes it from the draws."""
    if module.objective.kind == "mle":
        return None
    if module.objective.kind == "iwae" and plates_of(site_dims(node)):
        return "monte-carlo"
    prior, posterior = (distribution(value.type) for value in node.inputs)
    return kl_form(posterior, prior)


def _outputs(graph: Graph, node: Node, ops: OpSet) -> list[Facts]:
    if node.op.name == "model.predict":
        return [{"name": f"value:{node.attrs.text('key')}", "type": type_text(node.inputs[0].type)}]
    if node.op.name != "model.observe":
        return []
    found: list[Facts] = []
    for name, d, attrs in predictive_ops(graph, node, ops):
        type_, full, spec = distribution(d.type), site_dims(node), ops[f"prob.{name}"]
        whole = replace(type_, batch=full[: len(full) - len(type_.event)])
        (result,) = spec.infer([whole], spec.complete(attrs))
        found.append({"name": f"{name}:{node.site}", "type": type_text(result)})
    return found


def _totals(nodes: list[Node]) -> Facts:
    """Numbers of trained parameters, statistics, latent elements (per step on a plate), and sites of each kind."""
    kinds = Counter(_SITES[node.op.name] for node in nodes if node.op.name in _SITES)
    return {
        "parameters": _sum(node for node in nodes if node.op.name == "model.param"),
        "statistics": _sum(node for node in nodes if node.op.name == "model.state"),
        "latents": _sum(node for node in nodes if node.op.name == "model.sample"),
        "sites": {kind: kinds[kind] for kind in _SITES.values()},
    }


def _sum(nodes: Iterable[Node]) -> int | None:
    counts = [_count(node.results[0].tensor.dims) for node in nodes]
    return None if None in counts else sum(c for c in counts if c is not None)


def _shape(dims: Dims) -> list[Size]:
    return [d.size for d in dims]


def _count(dims: Dims) -> int | None:
    """How many elements; None if a size is symbolic."""
    sizes = [d.size for d in dims if isinstance(d.size, int)]
    return prod(sizes) if len(sizes) == len(dims) else None
