"""Reads functions, nodes and regions of the IR text.

Invariant: a fault inside a statement is reported and the statement left out; names it would have defined are known as
broken, so that one fault gives one message. May import: floor 0, the rest of `ir`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bl_compiler.ir.graph import Graph, Node, Output, Value
from bl_compiler.ir.infer import check_site, infer_types
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.scanner import Fault, Scanner, pattern
from bl_compiler.ir.text import type_text
from bl_compiler.ir.types import Type, TypeRuleError
from bl_compiler.source import NO_SPAN, Span

_T = TypeVar("_T")
_OP = pattern(r"[A-Za-z_][\w.]*")
_UNDEFINED = pattern(r"%[\w?.]*")
_PIECES = pattern(r'"(?:[^"\\\n]++|\\.)*+"|[{}]|[^"{}/\s]++|.')
_DEEPEST = 40


@dataclass(slots=True)
class _Scope:
    """The values that a graph's nodes may read.

    Attributes:
        broken: names whose definition was at fault; reading one is no second fault.
        outer: the scope of the enclosing graph, which a region cannot read.
    """

    outer: _Scope | None = None
    values: dict[str, Value] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def outside(self, name: str) -> bool:
        """Whether an enclosing graph defines the name."""
        outer = self.outer
        return outer is not None and (name in outer.values or name in outer.broken or outer.outside(name))


class _Broken(Exception):
    """A statement reads a value whose definition was at fault."""


class GraphParser(Scanner):
    """Functions; the module's header is read by a subclass, which also reports."""

    def __init__(self, text: str, ops: OpSet) -> None:
        super().__init__(text)
        self.errors = 0
        self._ops = ops
        self._region_at: int | None = None

    @abstractmethod
    def report(self, fault: Fault, *, last: bool = False) -> None:
        """Add a diagnostic and count it."""

    def listed(self, read: Callable[[], _T], close: str) -> list[_T]:
        """Items between commas up to a closing mark; a comma may follow the last."""
        found: list[_T] = []
        while not self.mark(close):
            found.append(read())
            if not self.mark(","):
                self.expect(close)
                break
        return found

    def maybe_name(self) -> str | None:
        """A word or a string, or None."""
        before = self.pos
        try:
            return self.name("")
        except Fault:
            self.pos = before
            return None

    def function(self) -> tuple[str, Graph]:
        """What follows `func`: its key in the module and the graph."""
        key = self.name("the function's name")
        name = self.string()
        return key, self._graph(key if name is None else name, None, 0)

    # --- graphs ------------------------------------------------------------------------------------------------------

    def _graph(self, name: str, outer: _Scope | None, depth: int) -> Graph:
        """Arguments, nodes and outputs."""
        if depth > _DEEPEST:
            raise Fault("regions nested too deep", self.here(), self.here() + 1)
        scope = _Scope(outer)
        args = self.listed(lambda: self._argument(scope), ")") if self.mark("(") else []
        self.expect("{")
        nodes: list[Node] = []
        while not self.keyword("return"):
            if self.at_end():
                raise self.unexpected("`return`")
            if self.mark("}"):
                self.report(Fault("expected `return`, found `}`", self.pos - 1, self.pos))
                return Graph(name, tuple(nodes), (), tuple(args))
            node = self._statement(scope, depth)
            if node is not None:
                nodes.append(node)
        outputs = self._outputs(scope)
        self.expect("}")
        return Graph(name, tuple(nodes), outputs, tuple(args))

    def _argument(self, scope: _Scope) -> Value:
        start, name = self.here(), self.value_name()
        if name is None:
            raise self.unexpected("an argument such as `%x`")
        end = self.pos
        self.expect(":")
        value = Value(self.type(), _hint(name))
        if name in scope.values:
            raise Fault(f"`%{name}` is defined twice", start, end)
        scope.values[name] = value
        return value

    def _outputs(self, scope: _Scope) -> tuple[Output, ...]:
        found: list[Output] = []
        while True:
            before = self.pos
            name = self.maybe_name()
            if name is None and not self.value_name():
                return tuple(found)
            if name is None:
                self.pos, name = before, ""
            else:
                self.expect("=")
            try:
                found.append(Output(name, self._operand(scope)))
            except _Broken:
                pass
            except Fault as fault:
                self.report(fault)
            if not self.mark(","):
                return tuple(found)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _statement(self, scope: _Scope, depth: int) -> Node | None:
        results: list[tuple[str, int]] = []
        node: Node | None = None
        start, self._region_at = self.here(), None
        try:
            self._result_names(results)
            for name, at in results:
                if name in scope.values:
                    raise Fault(f"`%{name}` is defined twice", at, at + len(name) + 1)
            node = self._node(results, scope, depth)
        except _Broken:
            self._skip_statement(max(self.pos, start + 1))
        except Fault as fault:
            self.report(fault)
            self._skip_statement(max(self.pos, start + 1))
        if node is None:
            scope.broken.update(name for name, _ in results if name not in scope.values)
        else:
            scope.values.update(zip((name for name, _ in results), node.results, strict=True))
        return node

    def _skip_statement(self, position: int) -> None:
        """Go on after the line of `position` and after the regions of its statement."""
        if self._region_at is not None:
            self.pos, self._region_at = self._region_at, None
        else:
            end = self.text.find("\n", position)
            self.pos = len(self.text) if end < 0 else end
        while self.mark("^"):
            depth, piece = 0, self.take(_PIECES)
            while piece is not None:
                depth += (piece == "{") - (piece == "}")
                if piece == "}" and depth <= 0:
                    break
                piece = self.take(_PIECES)

    def _result_names(self, results: list[tuple[str, int]]) -> None:
        start, name = self.here(), self.value_name()
        while name is not None:
            results.append((name, start))
            if not self.mark(","):
                self.expect("=")
                return
            start, name = self.here(), self.value_name()
            if name is None:
                raise self.unexpected("a name such as `%x`")

    def _operand(self, scope: _Scope) -> Value:
        start, name = self.here(), self.value_name()
        if name is None:
            if self.take(_UNDEFINED) is not None:
                raise Fault("a value is read that nothing defines", start, self.pos)
            raise self.unexpected("a value such as `%x`")
        value = scope.values.get(name)
        if value is not None:
            return value
        if name in scope.broken:
            raise _Broken
        if scope.outside(name):
            message = f"regions are closed: `%{name}` is defined outside; pass it as an operand"
            raise Fault(message, start, self.pos)
        raise Fault(f"`%{name}` is read before it is defined", start, self.pos)

    def _node(self, results: list[tuple[str, int]], scope: _Scope, depth: int) -> Node:
        start, word = self.here(), self.take(_OP)
        if word is None:
            raise self.unexpected("a node or `return`")
        end = self.pos
        spec = self._guard(lambda: self._ops.find(word), start, end)
        self.expect("(")
        inputs = tuple(self.listed(lambda: self._operand(scope), ")"))
        attrs = dict(self.listed(self._attribute, "}")) if self.mark("{") else {}
        site = self.name("a site") if self.mark("@") else None
        typed = self.mark(":")
        types_at = self.here()
        types = self._type_list() if typed else None
        types_end = self.pos
        where = self.name("a scope") if self.keyword("in") else ""
        made_by = self._rules() if self.keyword("by") else ()
        span = self._location() if self.keyword("loc") else NO_SPAN
        self._regions(attrs, scope, depth)
        full = self._guard(lambda: spec.complete(attrs), start, end)
        self._guard(lambda: check_site(spec, site), start, end)
        inferred = self._guard(lambda: infer_types(spec, [v.type for v in inputs], full), start, end)
        if types is not None and types != inferred:
            message = f"`{word}` gives {_types_text(inferred)}, and the text says {_types_text(types)}"
            raise Fault(message, types_at, types_end)
        if len(inferred) != len(results):
            raise Fault(f"`{word}` has {len(inferred)} results, and {len(results)} are named", start, end)
        values = tuple(Value(type_, _hint(name)) for type_, (name, _) in zip(inferred, results, strict=True))
        return Node(spec, inputs, full, values, site, where, span, made_by)

    def _guard(self, action: Callable[[], _T], start: int, end: int) -> _T:
        """What a check of the op gives; its refusal is a fault at the op's name."""
        try:
            return action()
        except TypeRuleError as refusal:
            raise Fault(str(refusal), start, end) from refusal

    def _attribute(self) -> tuple[str, object]:
        key = self.identifier("the name of an attribute")
        self.expect("=")
        return key, self.attribute()

    def _type_list(self) -> tuple[Type, ...]:
        found = [self.type()]
        while self.mark(","):
            found.append(self.type())
        return tuple(found)

    def _rules(self) -> tuple[str, ...]:
        found = [self.name("a rule")]
        while self.mark(","):
            found.append(self.name("a rule"))
        return tuple(found)

    def _location(self) -> Span:
        """`("cnn.blg":3:5-3:20)`."""
        self.expect("(")
        file = self.string()
        if file is None:
            raise self.unexpected("a file name in quotes")
        numbers: list[int] = []
        for before in (":", ":", "-", ":"):
            self.expect(before)
            numbers.append(self.integer("a line or column"))
        self.expect(")")
        return Span(file, *numbers)

    def _regions(self, attrs: dict[str, object], scope: _Scope, depth: int) -> None:
        first = self.here()
        errors = self.errors
        while self.mark("^"):
            start, key = self.here(), self.identifier("the name of a region")
            if key in attrs:
                raise Fault(f"`{key}` is given twice", start, self.pos)
            name = self.string()
            try:
                attrs[key] = self._graph(key if name is None else name, scope, depth + 1)
            except Fault:
                self._region_at = first  # the regions are passed as a whole
                raise
        if self.errors > errors:
            raise _Broken


def _hint(name: str) -> str:
    return "" if name.isdecimal() else name


def _types_text(types: tuple[Type, ...]) -> str:
    return ", ".join(map(type_text, types)) or "nothing"
