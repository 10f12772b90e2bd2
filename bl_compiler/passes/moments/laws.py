"""What is known of a value that depends on draws that are integrated out, and how its moments are emitted.

A value X has a mean, of X's own type, and a spread: the covariance of its elements within one example. Plate axes tell
examples apart. Along some of the other axes, the *dense* ones, elements hang together; along the rest they are
uncorrelated, so Cov(x[n], x[m]) = 0 unless n and m agree there. `Emitter.second(x, S)`, S being axes, is an array of
X's dimensions followed by copies of the axes in S, in order: the covariance of x[n] with x[m], m equal to n but for the
axes in S. With no axes it is the variance. Nothing is emitted that nobody asks for, so full covariances arise only
where a later node needs them.

Invariant: S holds no plate axis and no axis of size 1; what `second` gives has the element type of the value.
May import: floors 0-1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.rewrite import Rewriter, merge_made_by
from bl_compiler.ir.types import Dim, DType, TensorType

Axes = frozenset[int]
NO_AXES: Axes = frozenset()
RULE = "moments"
MOST_ELEMENTS = 1 << 20
"""The greatest number of covariances of one example that a program computes."""


class Refusal(Exception):
    """Why moments of a node's results cannot be had: lower case, no final period."""


class TooLargeError(Exception):
    """A covariance with more than `MOST_ELEMENTS` elements for each example."""

    def __init__(self, law: Law, count: int) -> None:
        self.law = law
        self.count = count
        what = f"the covariance of `{law.node.op.name}` has {count} elements for each example"
        super().__init__(f"{what}, more than {MOST_ELEMENTS}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a value has a mean and no spread in closed form."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """What is known of a value.

    Attributes:
        node: where it is defined.
        sources: the draws it depends on.
        spread: emits `second` for a set of dense axes, or why that is impossible.
        dense: the axes along which elements of one example hang together.
        gaussian: whether the elements of one example are jointly Gaussian.
        mean: emits the mean; None where the node itself, reading means, gives it.
    """

    node: Node
    sources: frozenset[Node]
    spread: Callable[[Emitter, Axes], Value] | Problem
    dense: Axes = NO_AXES
    gaussian: bool = False
    mean: Callable[[Emitter], Value] | None = None

    @property
    def is_spread(self) -> bool:
        """Whether covariances are known."""
        return not isinstance(self.spread, Problem)


def inner_axes(dims: Sequence[Dim]) -> Axes:
    """The axes along which elements of one example can differ."""
    return frozenset(i for i, d in enumerate(dims) if not d.is_plate and d.size != 1)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An array with a letter for each axis."""

    value: Value
    letters: str


class Emitter(Rewriter):
    """Rewrites a graph, reading means for values and making seconds as they are asked for.

    Attributes:
        laws: what is known of the values of the old graph that depend on draws.
    """

    def __init__(self, ops: OpSet, graph: Graph, laws: Mapping[Value, Law]) -> None:
        super().__init__(ops, graph, made_by=RULE)
        self.laws = laws
        self.notes: dict[object, tuple[Value, ...]] = {}
        self._seconds: dict[tuple[Value, Axes], Value] = {}

    def second(self, value: Value, axes: Axes = NO_AXES) -> Value:
        """The covariance of a value's elements (see the head of this file).

        Raises:
            TooLargeError: it has too many elements.
        """
        key = (value, axes)
        if key not in self._seconds:
            law = self.laws[value]
            assert not isinstance(law.spread, Problem), law.spread
            dims = value.tensor.dims
            sizes = [d.size for d in dims if not d.is_plate] + [dims[a].size for a in axes]
            count = prod(size for size in sizes if isinstance(size, int))
            if axes and count > MOST_ELEMENTS:
                raise TooLargeError(law, count)
            b, before = self.builder, self.builder.made_by
            b.made_by = merge_made_by(law.node.made_by, (RULE,))
            with b.at(span=law.node.span, scope=law.node.scope):
                known = axes & law.dense
                found = b.cast(law.spread(self, known), value.tensor.dtype)
                self._seconds[key] = self._embedded(found, dims, known, axes)
            b.made_by = before
        return self._seconds[key]

    def _embedded(self, x: Value, dims: Sequence[Dim], known: Axes, wanted: Axes) -> Value:
        """A second with copies of more axes, along which elements are uncorrelated."""
        if known == wanted:
            return x
        letters = [chr(ord("a") + i) for i in range(len(dims))]
        parts = [Labelled(x, "".join([*letters, *(letters[a].upper() for a in sorted(known))]))]
        parts += [Labelled(self.eye(dims[a], x.tensor.dtype), letters[a] + letters[a].upper()) for a in wanted - known]
        return self.einsum(parts, "".join([*letters, *(letters[a].upper() for a in sorted(wanted))]))

    def eye(self, dim: Dim, dtype: DType) -> Value:
        """The identity matrix along an axis."""
        assert isinstance(dim.size, int), "sizes within an example are known"
        key = ("eye", dim.size, dtype)
        if key not in self.notes:
            index = self.builder.add("tensor.iota", dtype=DType.I32, dims=(Dim(dim.size),))
            self.notes[key] = (self.builder.add("tensor.one_hot", index, classes=dim.size, dtype=dtype),)
        return self.notes[key][0]

    def einsum(self, parts: Sequence[Labelled], result: str) -> Value:
        """The sum of products; the only array itself where nothing is to be done."""
        if len(parts) == 1 and parts[0].letters == result:
            return parts[0].value
        # Copies of axes carry letters of their own, in upper case; names of axes must not meet their copies.
        spec = ",".join(part.letters for part in parts)
        return self.builder.einsum(f"{spec}->{result}", *(part.value for part in parts))

    def squared(self, x: Value) -> Value:
        """Squares, made once for each array."""
        key = ("square", x)
        if key not in self.notes:
            # Squares could leave the range of integers and of half precision.
            wide = x if x.tensor.dtype in (DType.F32, DType.F64) else self.builder.cast(x, DType.F32)
            self.notes[key] = (self.builder.unary("square", wide),)
        return self.notes[key][0]

    def sides(self, x: Value, axes: Axes) -> tuple[Value, Value]:
        """An array of a value's dimensions laid out twice, to meet a second with copies of some axes.

        The first does not vary along the copies, the second varies along the copies in place of the axes.
        """
        dims, order = x.tensor.dims, sorted(axes)
        first = self.builder.reshape(x, (*dims, *(Dim(1) for _ in order)))
        if not order:
            return first, first
        moved = self.builder.transpose(x, [*(i for i in range(len(dims)) if i not in axes), *order])
        kept = [Dim(1) if i in axes else d for i, d in enumerate(dims)]
        return first, self.builder.reshape(moved, (*kept, *(copy_of(dims[i]) for i in order)))


def copy_of(dim: Dim) -> Dim:
    """The dimension of a copy of an axis."""
    return Dim(dim.size)


def second_type(type_: TensorType, axes: Axes) -> TensorType:
    """The type of `Emitter.second`."""
    return type_.with_dims((*type_.dims, *(copy_of(type_.dims[a]) for a in sorted(axes))))


@dataclass(slots=True)
class Reading:
    """What rules ask about the graph: producers, laws, and whom an approximation must suit.

    Attributes:
        laws: of the values that depend on chosen draws.
        soft: takes what is only approximately true, as `(node, sources, text)`.
    """

    producers: Mapping[Value, Node]
    soft: Callable[[Node, frozenset[Node], str], None]
    laws: dict[Value, Law] = field(default_factory=dict)

    def known(self, node: Node) -> list[Law]:
        """The laws among a node's operands."""
        return [self.laws[v] for v in node.inputs if v in self.laws]

    def sources(self, node: Node) -> frozenset[Node]:
        """The draws that a node's operands depend on."""
        return frozenset[Node]().union(*(law.sources for law in self.known(node)))
