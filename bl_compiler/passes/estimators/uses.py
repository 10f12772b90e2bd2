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
from bl_compiler.passes.estimators.plates import Plates, is_apart, is_linear

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
    """

    draw: Node
    linear: list[Use] = field(default_factory=list)
    terms: list[tuple[Node, int, Path]] = field(default_factory=list)
    blocked: list[Reason] = field(default_factory=list)


def uses_of(facts: Plates, draw: Node) -> Uses:
    """Follow the value of a draw.

    Args:
        facts: The plate analysis of its graph.
        draw: A `random.draw`.
    """
    found = Uses(draw, blocked=out_of_sight(facts, draw))
    search = _Search(facts, found, draw.site or "", [(draw.result, ())])
    while search.stack:
        value, path = search.stack.pop()
        found.blocked += shown(facts, draw, value)
        for node in dict.fromkeys(facts.graph.users.get(value, ())):
            search.enter(node, [i for i, v in enumerate(node.inputs) if v is value], path)
    return found


def out_of_sight(facts: Plates, draw: Node) -> list[Reason]:
    """Why nothing is known of a draw: the analysis enters the bodies of repeated draws only."""
    return [] if facts.draws.get(draw.result) else [Reason("it is drawn inside a loop", draw.span)]


def shown(facts: Plates, draw: Node, value: Value) -> list[Reason]:
    """The outputs that a value is, as reasons to leave the draw that it comes from as it is."""
    names = [output.name for output in facts.graph.outputs if output.value is value]
    return [Reason(f"its value is the output `{name}`", draw.span) for name in names]


def meeting_of(node: Node, operand: int) -> Contraction | Reason:
    """What a node does to examples and the weight that it reads; a reason if no estimator knows."""
    known = is_linear(node, operand) or node.op.name in ("math.add", "math.sub")
    contraction = contraction_of(node, operand) if known else None
    if contraction is not None:
        return contraction
    text = f"no estimator knows the way of a weight through `{node.op.name}`"
    return Reason(text if known else _not_linear(node), node.span)


def _not_linear(node: Node) -> str:
    return f"it enters `{node.op.name}`, which is not linear in it"


@dataclass
class _Search:
    """A search on its way: values that are still to be followed, and what was found."""

    facts: Plates
    found: Uses
    site: str
    stack: list[tuple[Value, Path]]

    def enter(self, node: Node, positions: list[int], path: Path) -> None:
        """Enter a node that reads a value of the search at these operands."""
        operand = positions[0]
        if regions_of(node):
            self._block(REPEATED, node)
        elif is_apart(self.facts, node):
            self.found.terms.append((node, operand, path))
        elif len(positions) > 1 or self._tangled(node, positions):
            self._block(f"`{node.op.name}` combines it with a value that depends on it", node)
        elif any(plates_in(result) for result in node.results):
            met = meeting_of(node, operand)
            if isinstance(met, Reason):
                self.found.blocked.append(met)
            else:
                self.found.linear.append(Use(met, path))
        elif is_map(node, operand):
            self.stack.append((node.results[0], (*path, (node, operand))))
        else:
            self._block(_not_linear(node), node)

    def _tangled(self, node: Node, positions: list[int]) -> bool:
        """Whether another operand depends on the draw, and not as a value of examples with weights of their own."""
        others = [v for i, v in enumerate(node.inputs) if i not in positions]
        return any(self.site in self.facts.draws.get(v, ()) and not plates_in(v) for v in others)

    def _block(self, text: str, node: Node) -> None:
        self.found.blocked.append(Reason(text, node.span))


REPEATED = "it is used inside repeated draws or a loop"

_MAPS = (
    *("tensor.transpose", "tensor.reshape", "tensor.slice", "tensor.reverse", "tensor.broadcast"),
    *("math.neg", "math.mul", "math.div", "math.cast", "math.sum", "math.mean", "linear.einsum"),
)


def is_map(node: Node, operand: int) -> bool:
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
