"""What a rule of the table JAX_EMIT may ask and do: operands as expressions, new statements, names, the current key.

Invariant: a value is bound once, to a variable, to a literal, or to a distribution's law; a literal is only ever used
where it meets an array of the wanted element type, so every variable holds an array of exactly its IR type.
May import: floors 0-1, `pyexpr`, `names`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.names import NameSupply
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.ir.families import Family
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.types import Dim, Dims, DType
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True)
class Literal:
    """A scalar constant that is written where it is used."""

    value: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class FamilyLaw:
    """A distribution of a family; distributions exist while emitting only.

    Attributes:
        batch: the batch dimensions before `independent` of them became event dimensions.
        event: the event dimensions of the family itself.
        reshaped: the event dimensions that draws have instead, the elements in the same order.
    """

    family: Family
    params: tuple[Value, ...]
    dtype: DType
    batch: Dims
    event: Dims
    independent: int = 0
    reshaped: Dims | None = None

    @property
    def shown(self) -> Dims:
        """The event dimensions that draws have, without those that `independent` made."""
        return self.event if self.reshaped is None else self.reshaped

    @property
    def event_ndim(self) -> int:
        """How many axes one event spans."""
        return self.independent + len(self.shown)


@dataclass(frozen=True, slots=True)
class MixtureLaw:
    """A mixture over the last batch axis of its components, which is the one before their event axes."""

    logits: Value
    components: Law
    dtype: DType
    batch: Dims
    independent: int = 0

    @property
    def event_ndim(self) -> int:
        """How many axes one event spans."""
        return self.independent + self.components.event_ndim


Law = FamilyLaw | MixtureLaw
Binding = str | Literal | FamilyLaw | MixtureLaw


@dataclass(slots=True)
class Line:
    """A statement; with a body, the head of a function definition."""

    text: str
    span: Span = NO_SPAN
    scope: str = ""
    body: list[Line] | None = None


@dataclass
class Context:
    """The function, or the body of a region within it, that is being written.

    Attributes:
        rules: the table of rules, for the bodies of regions.
        symbols: the variables that hold symbolic sizes.
        key: the variable that holds the random key, None where nothing is drawn.
        node: the node in hand; new statements get its span and scope.
    """

    module: Module
    rules: Mapping[str, Rule]
    names: NameSupply
    symbols: Mapping[str, str]
    key: str | None
    bindings: dict[Value, Binding] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    node: Node | None = None

    def inner(self, key: str | None) -> Context:
        """The context of a region's body: it sees all variables, and has statements and a key of its own."""
        return replace(self, key=key, lines=[], node=None)

    def write(self, nodes: Sequence[Node]) -> None:
        """Append the statements of nodes."""
        for node in nodes:
            self.node = node
            found = self.rules[node.op.name](self, node)
            if found is not None:
                self.assign(node.result, found)

    # Statements

    def statement(self, text: str, body: list[Line] | None = None) -> None:
        """Append a statement."""
        span, scope = (self.node.span, self.node.scope) if self.node else (NO_SPAN, "")
        self.lines.append(Line(text, span, scope, body))

    def frame(self, text: str, owner: Node) -> None:
        """Append a statement that only takes apart or puts together what a region's function gets and gives."""
        self.lines.append(Line(text, owner.span))

    def assign(self, value: Value, expression: ast.expr) -> None:
        """Bind a value to a new variable that holds the expression."""
        assert self.node is not None
        hint = value.name or self.node.op.name.rpartition(".")[2]
        self.bindings[value] = self.variable(hint, expression)

    def variable(self, hint: str, expression: ast.expr) -> str:
        """A new variable that holds the expression."""
        found = self.names.fresh(hint)
        self.statement(f"{found} = {pyexpr.text(expression)}")
        return found

    def alias(self, value: Value, other: Value) -> None:
        """Bind a value to what another is bound to."""
        self.bindings[value] = self.bindings[other]

    # Operands

    def array(self, value: Value, dtype: DType | None = None) -> ast.expr:
        """A value as an array of `dtype`, by default its own."""
        wanted = dtype or value.tensor.dtype
        bound = self.bindings[value]
        if isinstance(bound, Literal):
            return pyexpr.typed_number(bound.value, wanted)
        assert isinstance(bound, str), value
        if value.tensor.dtype is wanted:
            return pyexpr.name(bound)
        return fill("{x}.astype({dtype})", x=pyexpr.name(bound), dtype=pyexpr.dtype(wanted))

    def is_literal(self, value: Value) -> bool:
        """Whether a value is a constant that is written where it is used."""
        return isinstance(self.bindings[value], Literal)

    def together(self, values: Sequence[Value], dtype: DType, *, meets_array: bool = False) -> list[ast.expr]:
        """Values that meet in one operation as arrays of `dtype`.

        Constants become bare literals where one of the others (or something else, if `meets_array`) is an array.
        """
        bare = meets_array or not all(map(self.is_literal, values))
        return [self._bare(v, dtype) if bare and self.is_literal(v) else self.array(v, dtype) for v in values]

    def _bare(self, value: Value, dtype: DType) -> ast.expr:
        bound = self.bindings[value]
        assert isinstance(bound, Literal)
        return pyexpr.literal(bound.value, dtype)

    def law(self, value: Value) -> Law:
        """The law of a value known to be a distribution."""
        bound = self.bindings[value]
        assert isinstance(bound, (FamilyLaw, MixtureLaw)), value
        return bound

    def shape(self, dims: Sequence[Dim]) -> ast.expr:
        """Dimensions as a tuple of sizes."""
        return pyexpr.tuple_of([self.size(d) for d in dims])

    def size(self, dim: Dim) -> ast.expr:
        """The size of a dimension."""
        return pyexpr.number(dim.size) if isinstance(dim.size, int) else pyexpr.name(self.symbols[dim.size])

    def site_key(self, path: str) -> ast.expr:
        """The random key of a site or of a parameter's initial value."""
        assert self.key is not None, path
        return fill(
            "jax.random.fold_in({key}, {stream})",
            key=pyexpr.name(self.key),
            stream=pyexpr.number(crc32(path.encode())),
        )


Rule = Callable[[Context, Node], ast.expr | None]
"""Writes one node: gives the expression of its only result, or binds the results itself and gives None."""


def body_of(node: Node) -> Graph:
    """The region of a region op."""
    return node.attrs.graph("body")
