"""Lints on the statistics of a lowered model: what is legal and almost surely not meant.

May import: floors 0-1, `values`, `state`.
"""

from __future__ import annotations

from bl_compiler.frontend.state import State
from bl_compiler.frontend.values import Bound
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.improper import is_improper
from bl_compiler.ir.types import DistType

_POSITIVE = ("exp", "softplus", "cosh")
_NONNEGATIVE = ("sigmoid", "softmax", "square", "abs", "relu", "sqrt", "rsqrt")
_SAME = (
    "tensor.reshape",
    "tensor.broadcast",
    "tensor.transpose",
    "tensor.slice",
    "tensor.take",
    "tensor.reverse",
    "math.cast",
    "math.stop_gradient",
    "math.sum",
    "math.mean",
    "math.reduce_max",
    "math.reduce_min",
)
_BOTH = (
    "math.add",
    "math.mul",
    "math.div",
    "math.pow",
    "math.max",
    "math.min",
    "tensor.concat",
    "linear.einsum",
    "math.select",
)


def run_lints(state: State) -> None:
    """Report every lint of the model."""
    nodes = state.b.nodes
    _unconstrained_scales(state, nodes)
    _unused_sites(state, nodes)
    _missing_priors(state, nodes)
    for span, used in state.beliefs:
        if not used():
            found = state.sink.warning("BLC0358", "this belief is about no weight", at=span)
            found.help("a belief holds from its line to the end of the block, for layers constructed there")


def _unconstrained_scales(state: State, nodes: list[Node]) -> None:
    known: dict[Value, bool] = {}
    for node in nodes:
        if not node.op.name.startswith("dist.") or node.op.name[5:] not in FAMILIES:
            continue
        family = FAMILIES[node.op.name[5:]]
        for param, value in zip(family.params, node.inputs, strict=True):
            if param.constraint in ("positive", "positive_vector") and not _nonnegative(state, value, known):
                found = state.sink.warning(
                    "BLC0354",
                    f"`{param.name}` of `{family.name}` may become negative",
                    at=state.arguments.get((node.result, param.name), node.span),
                    label="nothing keeps it positive",
                )
                found.help("pass it through `softplus` or `exp`, or declare it `param … in positive`")


def _nonnegative(state: State, value: Value, known: dict[Value, bool]) -> bool:
    """Whether the form of a value shows that it is not negative. Inputs are taken at their word."""
    todo = [value]
    while todo:
        current = todo[-1]
        if current in known:
            todo.pop()
            continue
        node = state.b.producer(current)
        if node is None:
            known[current] = False
            continue
        pending = _operands_that_matter(node)
        waiting = [v for v in pending if v not in known]
        if waiting:
            todo.extend(waiting)
            continue
        known[current] = _by_form(node, [known[v] for v in pending])
        todo.pop()
    return known[value]


def _operands_that_matter(node: Node) -> tuple[Value, ...]:
    if node.op.name in _SAME:
        return node.inputs[:1]
    if node.op.name == "math.select":
        return node.inputs[1:]
    return node.inputs if node.op.name in _BOTH or node.op.name in ("model.phase", "tensor.pad") else ()


def _by_form(node: Node, operands: list[bool]) -> bool:
    name = node.op.name
    if name == "tensor.const":
        return _least(node.attrs["value"]) >= 0
    if name == "tensor.full":
        return node.attrs.number("value") >= 0
    if name == "math.max":
        return any(operands)
    if name == "param.constrain":
        return node.attrs.text("constraint") != "interval" or node.attrs.number("low") >= 0
    if name in (
        "model.input",
        "model.state",
        "prob.variance",
        "prob.probs",
        "linalg.cholesky",
        "tensor.one_hot",
        "tensor.iota",
    ):
        return True
    if name in ("model.sample", "model.noise"):
        support = node.inputs[-1].type
        assert isinstance(support, DistType)
        return support.support not in ("real", "real_vector", "real_matrix", "interval")
    if name == "model.point":
        prior = node.inputs[0].type
        assert isinstance(prior, DistType)
        return prior.support not in ("real", "real_vector", "real_matrix", "interval")
    if name.startswith("math.") and name[5:] in (*_POSITIVE, *_NONNEGATIVE):
        return True
    return bool(operands) and all(operands)


def _least(value: object) -> float:
    if isinstance(value, tuple):
        return min(map(_least, value), default=0.0)
    assert isinstance(value, (int, float))
    return float(value)


def _unused_sites(state: State, nodes: list[Node]) -> None:
    needed: set[Value] = set()
    for node in reversed(nodes):
        if node.op.name in ("model.observe", "model.predict", "model.update") or any(r in needed for r in node.results):
            needed.update(node.inputs)
    for node in nodes:
        if node.op.name == "model.sample" and node.result not in needed:
            found = state.sink.warning("BLC0352", f"nothing observed depends on `{node.site}`", at=node.span)
            found.help("its posterior will only learn the prior: use it, or remove it")


def unused_names(state: State, names: dict[str, Bound]) -> None:
    """Report inputs, and pedantically names, that are never used."""
    for name, bound in names.items():
        if bound.used or name.startswith("_"):
            continue
        if bound.kind == "input":
            state.sink.warning("BLC0357", f"the input `{name}` is never used", at=state.word(name, bound.span))
        elif bound.kind == "let":
            found = state.sink.warning("BLC0356", f"`{name}` is never used", at=state.word(name, bound.span))
            found.help("start its name with `_` to say that this is meant")


def _missing_priors(state: State, nodes: list[Node]) -> None:
    """Report improper priors, and a `param` that the model depends on while other values have priors."""
    if all(node.op.name != "model.sample" for node in nodes):
        return
    generative: set[Value] = set()
    for node in reversed(nodes):
        if node.op.name in ("model.sample", "model.point"):
            generative.add(node.inputs[0])
        elif node.op.name == "model.observe" or any(r in generative for r in node.results):
            generative.update(node.inputs)
    for node in nodes:
        prior = node.inputs[0].type if node.op.name == "model.sample" else None
        if isinstance(prior, DistType) and is_improper(prior.family):
            found = state.sink.warning("BLC0360", f"the prior of `{node.site}` is improper", at=node.span)
            found.help("its divergence is known up to a constant, so the objective bounds no evidence")
        path = node.attrs.text("path") if node.op.name == "model.param" else ""
        if path in state.declared and node.result in generative:
            at = state.word(path.rpartition("/")[2], node.span)
            found = state.sink.warning("BLC0360", f"`{path}` has no prior", at=at)
            found.help(
                "make it a `sample` with a prior and a posterior; without them the objective bounds the evidence of no "
                "fixed model"
            )
