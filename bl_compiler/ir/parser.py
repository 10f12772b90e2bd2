"""The text form back to a module: recursive descent over `grammar/blir.lark`, which a test holds it to.

Written by hand since lark takes many times as long for a large module. Invariant: whatever the text, the outcome is a
module or diagnostics BLC0105 with positions; every node's types are those its op infers, and types written in the text
agree with them. May import: floor 0, the rest of `ir`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from bl_compiler.diagnostics import Sink
from bl_compiler.ir.graph import Graph, Module, Objective, Optimizer, PlateInfo, is_optimizer_argument
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.parse_graph import GraphParser
from bl_compiler.ir.scanner import Fault
from bl_compiler.source import SourceFile, Span

_T = TypeVar("_T")
_MOST_ERRORS = 20


class _TooManyErrors(Exception):
    """Enough was reported."""


def parse_module(text: str, ops: OpSet, *, file: str = "<ir>", sink: Sink | None = None) -> Module:
    """The module that a text describes.

    Args:
        text: what `print_module` writes, or a person.
        ops: the ops it may use.
        file: the name that diagnostics show.
        sink: where faults are reported.

    Raises:
        CompileError: if the text is at fault.

    Example:
        >>> from bl_compiler.ir.ops import CORE_OPS
        >>> text = "module m func model { %x = tensor.const() {value=1.0, dtype=!f32} return y = %x }"
        >>> parse_module(text, CORE_OPS).functions["model"]
        func model {
          %x = tensor.const() {dtype=!f32, value=1.0} : f32[]
          return y = %x
        }
        <BLANKLINE>
    """
    sink = Sink() if sink is None else sink
    parser = _ModuleParser(SourceFile(file, text), ops, sink)
    module: Module | None = None
    try:
        module = parser.module()
    except Fault as fault:
        parser.report(fault, last=True)
    except _TooManyErrors:
        pass
    if parser.errors:
        sink.raise_if_errors()
    assert module is not None
    return module


class _ModuleParser(GraphParser):
    def __init__(self, source: SourceFile, ops: OpSet, sink: Sink) -> None:
        super().__init__(source.text, ops)
        self._name = source.name
        self._sink = sink
        self._starts: list[int] = []
        sink.add_source(source)

    def report(self, fault: Fault, *, last: bool = False) -> None:
        """Add a diagnostic; many of them end the parse."""
        self.errors += 1
        self._sink.error("BLC0105", fault.message, at=self._span(fault.start, max(fault.end, fault.start + 1)))
        if self.errors >= _MOST_ERRORS and not last:
            raise _TooManyErrors

    def _span(self, start: int, end: int) -> Span:
        if not self._starts:
            self._starts = [0, *(i + 1 for i, char in enumerate(self.text) if char == "\n")]
        line, end_line = bisect_right(self._starts, start), bisect_right(self._starts, end)
        column, end_column = start - self._starts[line - 1] + 1, end - self._starts[end_line - 1] + 1
        return Span(self._name, line, column, end_line, end_column)

    def module(self) -> Module:
        """The whole text."""
        if not self.keyword("module"):
            raise self.unexpected("`module`")
        name = self.name("the module's name")
        plates: list[PlateInfo] = []
        options: list[tuple[str, object]] = []
        objective, optimizer = Objective(), Optimizer()
        functions: dict[str, Graph] = {}
        while not self.at_end():
            start = self.here()
            if self.keyword("plate"):
                plates.append(self._plate())
            elif self.keyword("objective"):
                objective = self._objective()
            elif self.keyword("optimizer"):
                optimizer = self._optimizer()
            elif self.keyword("option"):
                options.append(self._setting())
            elif self.keyword("func"):
                key, graph = self.function()
                if key in functions:
                    self.report(Fault(f"function `{key}` is defined twice", start, start + len("func")))
                functions[key] = graph
            else:
                raise self.unexpected("`func`, `plate`, `objective`, `optimizer` or `option`")
        return Module(name, functions, tuple(plates), objective, optimizer, tuple(options))

    def _plate(self) -> PlateInfo:
        name = self.name("the plate's name")
        self.expect("[")
        symbol = self.maybe_name()
        size = self.integer("the plate's size") if symbol is None else symbol
        self.expect("]")
        return PlateInfo(name, size, self.integer("the number of examples") if self.keyword("of") else None)

    def _setting(self) -> tuple[str, object]:
        key = self.name("a name")
        self.expect("=")
        return key, self.attribute()

    def _optimizer(self) -> Optimizer:
        name = self.name("an optimizer")
        arguments: list[tuple[str, object]] = []
        for start, key, value in self._listed(self._placed_setting):
            if not is_optimizer_argument(value):
                raise Fault(f"`{key}` is no number, string, truth value or schedule", start, start + len(key))
            arguments.append((key, value))
        return Optimizer(name, tuple(arguments))

    def _objective(self) -> Objective:
        found = Objective(self.name("an objective"))
        for start, key, value in self._listed(self._placed_setting):
            changed = _with_setting(found, key, value)
            if changed is None:
                raise Fault(f"an objective has no `{key}` of this kind", start, start + len(key))
            found = changed
        return found

    def _placed_setting(self) -> tuple[int, str, object]:
        return (self.here(), *self._setting())

    def _listed(self, read: Callable[[], _T]) -> list[_T]:
        self.expect("(")
        return self.listed(read, ")")


def _with_setting(objective: Objective, key: str, value: object) -> Objective | None:
    """The objective with a setting read from text; None if there is no such setting."""
    match key, value:
        case ("samples", int()):
            return replace(objective, samples=value)
        case ("kl_weight", float() | int()):
            return replace(objective, kl_weight=value)
        case ("anneal", (float() | int() as start, float() | int() as end, int() as steps)):
            return replace(objective, anneal=(start, end, steps))
        case _:
            return None
