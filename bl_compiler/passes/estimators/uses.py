"""Where the value of a draw goes: through which linear maps to which uses with examples, and where else.

From a draw the search follows ops that are linear in it and see no plate (transposes, reshapes, scalings), until the
value meets examples in a `Contraction`, enters a term of the objective of its own (a log density in a Monte Carlo KL),
or does something that estimators cannot rewrite. Invariant: every use of the draw is in exactly one of the lists.
May import: floors 0-1, `plates`, `contraction`, `mixing`, `decisions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bl_compiler.ir.graph import Node, Value
from bl_compiler.ir.ops_tensor import parse_einsum
from bl_compiler.ir.types import TensorType
from bl_compiler.ir.walk import regions_of
from bl_compiler.passes.estimators.contraction import Contraction, contraction_of
from bl_compiler.passes.estimators.decisions import Reason
from bl_compiler.passes.estimators.mixing import plates_in
from bl_compiler.passes.estimators.plates import Plates, is_linear

Path = tuple[tuple[Node, int], ...]
"""Maps between a draw and a use, each with the operand that comes from the draw, outermost last."""


@dataclass(frozen=True, slots=True)
class Use:
    """A contraction of a draw, mapped by `path`, with values of examples."""

    contraction: Contraction
    path: Path = ()

    @property
    def node(self) -> Node:
        """The node of the contraction."""
        return self.contraction.node


@dataclass
class Uses:
    """All uses of a draw.

    Attributes:
        draw: the node.
        linear: where it meets examples.
        terms: values computed from it that are terms of the objective on their own, with the path to each.
        blocked: uses of another kind, as reasons.
        factors: sites of other draws that it is multiplied with before it meets examples.
    """

    draw: Node
    linear: list[Use] = field(default_factory=list)
    terms: list[tuple[Node, int, Path]] = field(default_factory=list)
    blocked: list[Reason] = field(default_factory=list)
    factors: set[str] = field(default_factory=set)

    @property
    def plates(self) -> tuple[str, ...]:
        """The plates of the examples it meets."""
        return tuple(dict.fromkeys(name for use in self.linear for name in use.contraction.plate_names))


def uses_of(facts: Plates, draw: Node) -> Uses:
    """Follow the value of a draw."""
    found = Uses(draw)
    site = draw.site or ""
    graph = facts.graph
    named: dict[Value, list[str]] = {}
    for output in graph.outputs:
        named.setdefault(output.value, []).append(output.name)
    stack: list[tuple[Value, Path]] = [(draw.result, ())]
    while stack:
        value, path = stack.pop()
        for name in named.get(value, ()):
            found.blocked.append(Reason(f"its value is the output `{name}`", draw.span))
        for node in dict.fromkeys(graph.users.get(value, ())):
            positions = [i for i, v in enumerate(node.inputs) if v is value]
            _enter(facts, found, node, positions, path, site, stack)
    return found


def _enter(
    facts: Plates,
    found: Uses,
    node: Node,
    positions: list[int],
    path: Path,
    site: str,
    stack: list[tuple[Value, Path]],
) -> None:
    if regions_of(node):
        found.blocked.append(Reason("it is used inside repeated draws or a loop", node.span))
        return
    operand = positions[0]
    others = [v for i, v in enumerate(node.inputs) if i not in positions]
    # A value of examples may depend on the draw: each example then sees its own weight here and there.
    if len(positions) > 1 or any(site in facts.draws.get(v, ()) and not plates_in(v) for v in others):
        if _is_term(facts, node, site, ()):
            found.terms.append((node, operand, path))
        else:
            found.blocked.append(Reason(f"`{node.op.name}` combines it with a value that depends on it", node.span))
        return
    meets = any(plates_in(result) for result in node.results)
    if not meets and _is_map(node, operand):
        stack.append((node.results[0], (*path, (node, operand))))
    elif not meets and _is_term(facts, node, site, others):
        found.terms.append((node, operand, path))
    else:
        contraction = contraction_of(node, operand) if meets and is_contraction(node, operand) else None
        if contraction is not None:
            found.linear.append(Use(contraction, path))
            for each, position in path:
                for i, other in enumerate(each.inputs):
                    found.factors.update(facts.draws.get(other, ()) if i != position else ())
        elif is_linear(node, operand) or node.op.name in ("math.add", "math.sub"):
            found.blocked.append(Reason(f"no estimator knows the way of a weight through `{node.op.name}`", node.span))
        else:
            found.blocked.append(Reason(f"it enters `{node.op.name}`, which is not linear in it", node.span))


def is_contraction(node: Node, operand: int) -> bool:
    """Whether the node is linear in the operand, or adds it."""
    return is_linear(node, operand) or node.op.name in ("math.add", "math.sub")


def _is_term(facts: Plates, node: Node, site: str, others: tuple[Value, ...] | list[Value]) -> bool:
    """Whether all the node gives is a term of the objective without examples, apart from any other use of the draw."""
    apart = all(result in facts.additive and not plates_in(result) for result in node.results)
    return bool(node.results) and apart and not any(site in facts.draws.get(v, ()) for v in others)


_MAPS = (
    *("tensor.transpose", "tensor.reshape", "tensor.slice", "tensor.reverse", "tensor.broadcast"),
    *("math.neg", "math.mul", "math.div", "math.cast", "math.sum", "math.mean", "linear.einsum"),
)


def _is_map(node: Node, operand: int) -> bool:
    """Whether a node without plates is a linear map of the operand that rewrites can apply to moments."""
    result = node.results[0]
    if node.op.name not in _MAPS or not is_linear(node, operand) or not isinstance(result.type, TensorType):
        return False
    return result.type.dtype.is_float


def duplicates(node: Node, operand: int) -> bool:
    """Whether a map gives two elements of its result from one element of the operand."""
    before, after = node.inputs[operand].tensor, node.results[0].tensor
    match node.op.name:
        case "tensor.broadcast" | "math.mul" | "math.div":
            missing = after.rank - before.rank
            return any(
                d.size != 1 and (i < missing or before.dims[i - missing].size != d.size)
                for i, d in enumerate(after.dims)
            )
        case "linear.einsum":
            parts, right = parse_einsum(node.attrs.text("spec"))
            weight = parts[operand]
            summed = {letter for part in parts for letter in part} - set(right)
            return len(set(weight)) < len(weight) or not set(right) <= set(weight) or not summed <= set(weight)
        case _:
            return False
