"""One entry graph as one Python function.

Invariant: statements stand in the order of the graph's nodes; those of one layer instance that follow each other share
one `jax.named_scope`. May import: floors 0-1, `context`, `names`, `pyexpr`, the `rules_*` files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, Line, Rule
from bl_compiler.backends.jax.names import NameSupply
from bl_compiler.backends.jax.pyexpr import fill
from bl_compiler.backends.jax.rules_dist import DIST_RULES
from bl_compiler.backends.jax.rules_math import MATH_RULES
from bl_compiler.backends.jax.rules_model import MODEL_RULES, source_of_input
from bl_compiler.backends.jax.rules_moments import MOMENT_RULES
from bl_compiler.backends.jax.rules_region import REGION_RULES
from bl_compiler.backends.jax.rules_tensor import TENSOR_RULES
from bl_compiler.ir.builder import input_type
from bl_compiler.ir.graph import Graph, Module
from bl_compiler.ir.tables import RuleTable
from bl_compiler.ir.types import DistType, TensorType, Type
from bl_compiler.ir.walk import walk
from bl_compiler.source import NO_SPAN, Span

JAX_EMIT: RuleTable[Rule] = RuleTable(
    "JAX_EMIT", MATH_RULES, TENSOR_RULES, DIST_RULES, MODEL_RULES, REGION_RULES, MOMENT_RULES
)
"""How every op is written that may stand in an entry graph."""

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Function:
    """A function to write.

    Attributes:
        before: statements before those of the graph's nodes.
        returns: the returned expression, from the expressions of the outputs by name.
        key: the variable that holds the random key.
    """

    name: str
    parameters: str
    doc: str
    graph: Graph
    returns: Callable[[Mapping[str, str]], str]
    before: Sequence[str] = ()
    key: str | None = "key"


def symbols_of(graph: Graph) -> list[str]:
    """The symbolic sizes in a graph, in order of appearance."""
    found: dict[str, None] = {}
    for node in walk(graph):
        types: list[Type] = [v.type for v in (*node.inputs, *node.results)]
        for type_ in types:
            dims = type_.dims if isinstance(type_, TensorType) else ()
            dims = type_.batch + type_.event if isinstance(type_, DistType) else dims
            found.update({d.size: None for d in dims if isinstance(d.size, str)})
    return list(found)


def _size_lines(graph: Graph, symbols: Mapping[str, str]) -> Iterator[str]:
    """Statements that read symbolic sizes off the inputs."""
    missing = dict(symbols)
    for node in graph.of("model.input"):
        for axis, dim in enumerate(input_type(node).dims):
            if isinstance(dim.size, str) and dim.size in missing:
                source = fill("jnp.shape({x})", x=source_of_input(node.attrs.text("key")))
                yield f"{missing.pop(dim.size)} = {pyexpr.text(source)}[{axis}]"
    for symbol in missing:
        yield f"raise ValueError({f'no input of this entry point has the size `{symbol}`; compile with a fixed one'!r})"


def write_function(module: Module, function: Function, taken: Iterable[str]) -> Line:
    """The definition of a function.

    Args:
        module: the module of the graph.
        function: what to write.
        taken: names that no variable may have.
    """
    graph = function.graph
    names = NameSupply(taken)
    symbols = {symbol: names.fresh(symbol) for symbol in symbols_of(graph)}
    cx = Context(module, JAX_EMIT, names, symbols, function.key)
    cx.lines += [Line(text) for text in [*function.before, *_size_lines(graph, symbols)]]
    cx.write(graph.nodes)
    outputs = {o.name: pyexpr.text(cx.array(o.value)) for o in graph.outputs}
    cx.lines.append(Line(f"return {function.returns(outputs)}"))
    body = [Line(f'"""{function.doc}"""'), *cx.lines]
    return Line(f"def {function.name}({function.parameters}):", _first_span(graph), body=body)


def dictionary(items: Mapping[str, str]) -> str:
    """A dictionary with an item on each line."""
    if not items:
        return "{}"
    rows = "".join(f"{INDENT}{pyexpr.text(pyexpr.string(key))}: {text},\n" for key, text in items.items())
    return "{\n" + rows + "}"


def _first_span(graph: Graph) -> Span:
    return next((node.span for node in walk(graph) if node.span.known), NO_SPAN)


@dataclass
class Writer:
    """Writes lines as text and notes which lines stem from which source positions."""

    text: list[str]
    spans: dict[int, Span]

    def write(self, lines: Sequence[Line], indent: str = "") -> None:
        """Append lines, those of one scope under one `jax.named_scope`."""
        for scope, group in groupby(lines, key=lambda line: line.scope):
            inner = indent
            if scope:
                self.text.append(f"{indent}with jax.named_scope({pyexpr.text(pyexpr.string(scope))}):")
                inner = indent + INDENT
            for line in group:
                self._line(line, inner)

    def _line(self, line: Line, indent: str) -> None:
        first, *rest = line.text.split("\n")
        comment = f"  # {line.span.file}:{line.span.line}" if line.span.known and line.body is None else ""
        if line.span.known:
            self.spans[len(self.text) + 1] = line.span
        self.text += [indent + first + comment, *(indent + text for text in rest)]
        if line.body is not None:
            self.write(line.body, indent + INDENT)
