"""The JSON form of modules, for tools and artifacts.

Types stand in one table and are referred to by index, values are numbered in order of definition within their graph.
Invariant: `from_json(to_json(m))` equals m and has its names, spans, scopes and provenance; the form is strict JSON.
Format version 1 (first). May import: floor 0, the rest of `ir` but the parser and the printer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TypeVar

from bl_compiler.diagnostics import CompileError, Diagnostic, Severity
from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.graph import (
    Graph,
    Module,
    Node,
    Objective,
    Optimizer,
    Output,
    PlateInfo,
    Value,
    is_optimizer_argument,
)
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.types import Dim, DimKind, Dims, DistType, DType, MapType, TensorType, Type, TypeRuleError
from bl_compiler.source import NO_SPAN, Span

VERSION = 1
Json = dict[str, object]
_T = TypeVar("_T")


def to_json(module: Module) -> Json:
    """A module as JSON data (dictionaries, lists, strings, finite numbers, booleans, None)."""
    writer = _Writer()
    functions = {name: writer.graph(graph) for name, graph in module.functions.items()}
    objective, optimizer = module.objective, module.optimizer
    return {
        "format": "blir",
        "version": VERSION,
        "name": module.name,
        "plates": [{"name": p.name, "size": p.size, "total": p.total} for p in module.plates],
        "objective": {
            "kind": objective.kind,
            "samples": objective.samples,
            "kl_weight": writer.attribute(objective.kl_weight),
            "anneal": writer.attribute(objective.anneal),
        },
        "optimizer": {
            "name": optimizer.name,
            "arguments": [[key, writer.attribute(value)] for key, value in optimizer.arguments],
        },
        "options": [[key, writer.attribute(value)] for key, value in module.options],
        "types": writer.types,
        "files": writer.files,
        "functions": functions,
    }


class _Writer:
    def __init__(self) -> None:
        self.types: list[Json] = []
        self.files: list[str] = []
        self._type_index: dict[Type, int] = {}

    def graph(self, graph: Graph) -> Json:
        number: dict[Value, int] = {}
        args = [self._define(value, number) for value in graph.args]
        nodes = [self._node(node, number) for node in graph.nodes]
        outputs = [[output.name, number[output.value]] for output in graph.outputs]
        return {"name": graph.name, "args": args, "nodes": nodes, "outputs": outputs}

    def _define(self, value: Value, number: dict[Value, int]) -> Json:
        number[value] = len(number)
        return {"name": value.name, "type": self._type(value.type)}

    def _node(self, node: Node, number: dict[Value, int]) -> Json:
        found: Json = {
            "op": node.op.name,
            "inputs": [number[value] for value in node.inputs],
            "attrs": {key: self.attribute(value) for key, value in node.attrs.items()},
            "results": [self._define(value, number) for value in node.results],
        }
        optional: Json = {"site": node.site, "scope": node.scope or None, "made_by": list(node.made_by) or None}
        found.update((key, value) for key, value in optional.items() if value is not None)
        if node.span != NO_SPAN:
            found["span"] = [self._file(node.span.file), *node.span[1:]]
        return found

    def _file(self, name: str) -> int:
        if name not in self.files:
            self.files.append(name)
        return self.files.index(name)

    def _type(self, type_: Type) -> int:
        known = self._type_index.get(type_)
        if known is None:
            known = self._type_index[type_] = len(self.types)
            self.types.append(_type_json(type_))
        return known

    def attribute(self, value: object) -> object:
        """Lists are tuples; what JSON has no word for is a dictionary with one entry."""
        match value:
            case DType():
                return {"dtype": value.value}
            case None | bool() | int() | str():
                return value
            case float():
                return value if isfinite(value) else {"float": repr(value)}
            case tuple() | list():
                return [self.attribute(item) for item in value]
            case Dim():
                return {"dim": _dim_json(value)}
            case TensorType():
                return {"type": self._type(value)}
            case Graph():
                return {"graph": self.graph(value)}
            case _:
                raise TypeError(f"not an attribute value: {value!r}")


def _dim_json(dim: Dim) -> Json:
    return {"size": dim.size, "name": dim.name, "kind": dim.kind.value}


def _type_json(type_: Type) -> Json:
    match type_:
        case TensorType():
            return {"kind": "array", "dtype": type_.dtype.value, "dims": [_dim_json(d) for d in type_.dims]}
        case DistType():
            return {
                "kind": "distribution",
                "family": type_.family,
                "dtype": type_.dtype.value,
                "batch": [_dim_json(d) for d in type_.batch],
                "event": [_dim_json(d) for d in type_.event],
                "support": type_.support,
                "reparameterized": type_.reparameterized,
            }
        case MapType():
            domain, codomain = _type_json(type_.domain), _type_json(type_.codomain)
            return {"kind": "map", "domain": domain, "codomain": codomain, "event_ndim": type_.event_ndim}


def from_json(data: Mapping[str, object], ops: OpSet) -> Module:
    """The module that `to_json` described; the verifier tells whether it is a sound one.

    Raises:
        CompileError: if the data is of another version (BLC0901) or malformed (BLC0105).
    """
    if data.get("format") != "blir" or data.get("version") != VERSION:
        raise _error("BLC0901", f"IR of format `{data.get('format')}`, version {data.get('version')}, not {VERSION}")
    try:
        return _Reader(data, ops).module()
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, TypeRuleError) as fault:
        raise _error("BLC0105", f"malformed JSON form of the IR: {type(fault).__name__} {fault}") from fault


def _error(code: str, message: str) -> CompileError:
    return CompileError([Diagnostic(code, Severity.ERROR, message)])


def _is(kind: type[_T] | tuple[type[_T], ...], value: object) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise TypeError(f"{value!r} stands where another kind of value belongs")
    return value


def _list(value: object) -> list[object]:
    return _is(list, value)


def _json(value: object) -> Json:
    return _is(dict, value)


def _pair(value: object) -> tuple[str, object]:
    key, second = _list(value)
    return _is(str, key), second


class _Reader:
    def __init__(self, data: Mapping[str, object], ops: OpSet) -> None:
        self._data = data
        self._ops = ops
        self._types = [_type_of(_json(each)) for each in _list(data["types"])]
        self._files = [_is(str, each) for each in _list(data["files"])]

    def module(self) -> Module:
        data = self._data
        functions = {name: self._graph(_json(graph)) for name, graph in _json(data["functions"]).items()}
        plates = [_plate_of(_json(each)) for each in _list(data["plates"])]
        options = [(key, self.attribute(value)) for key, value in map(_pair, _list(data["options"]))]
        objective, optimizer = self._objective(_json(data["objective"])), self._optimizer(_json(data["optimizer"]))
        return Module(_is(str, data["name"]), functions, tuple(plates), objective, optimizer, tuple(options))

    def _objective(self, data: Json) -> Objective:
        anneal = self.attribute(data["anneal"])
        if anneal is not None:
            start, end, steps = _is(tuple, anneal)
            anneal = (_number(start), _number(end), _is(int, steps))
        weight = _number(self.attribute(data["kl_weight"]))
        return Objective(_is(str, data["kind"]), _is(int, data["samples"]), weight, anneal)

    def _optimizer(self, data: Json) -> Optimizer:
        arguments: list[tuple[str, object]] = []
        for key, value in map(_pair, _list(data["arguments"])):
            found = self.attribute(value)
            if not is_optimizer_argument(found):
                raise TypeError(f"optimizer argument `{key}`")
            arguments.append((key, found))
        return Optimizer(_is(str, data["name"]), tuple(arguments))

    def _graph(self, data: Json) -> Graph:
        values: list[Value] = []
        args = tuple(self._define(_json(each), values) for each in _list(data["args"]))
        nodes = tuple(self._node(_json(each), values) for each in _list(data["nodes"]))
        outputs = tuple(Output(key, values[_index(i)]) for key, i in map(_pair, _list(data["outputs"])))
        return Graph(_is(str, data["name"]), nodes, outputs, args)

    def _define(self, data: Json, values: list[Value]) -> Value:
        values.append(Value(self._types[_index(data["type"])], _is(str, data["name"])))
        return values[-1]

    def _node(self, data: Json, values: list[Value]) -> Node:
        inputs = tuple(values[_index(i)] for i in _list(data["inputs"]))
        attrs = Attrs({key: self.attribute(value) for key, value in _json(data["attrs"]).items()})
        results = tuple(self._define(_json(each), values) for each in _list(data["results"]))
        site = data.get("site")
        made_by = tuple(_is(str, each) for each in _list(data.get("made_by", [])))
        return Node(
            self._ops.find(_is(str, data["op"])),
            inputs,
            attrs,
            results,
            None if site is None else _is(str, site),
            _is(str, data.get("scope", "")),
            self._span(data.get("span")),
            made_by,
        )

    def _span(self, data: object) -> Span:
        if data is None:
            return NO_SPAN
        file, *position = (_index(i) for i in _list(data))
        line, column, end_line, end_column = position
        return Span(self._files[file], line, column, end_line, end_column)

    def attribute(self, value: object) -> object:
        """The inverse of `_Writer.attribute`."""
        if isinstance(value, list):
            return tuple(self.attribute(item) for item in value)
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        readers: dict[str, Callable[[], object]] = {
            "dtype": lambda: DType(_is(str, content)),
            "float": lambda: float(_is(str, content)),
            "dim": lambda: _dim_of(_json(content)),
            "type": lambda: self._types[_index(content)],
            "graph": lambda: self._graph(_json(content)),
        }
        return readers[kind]()


def _index(value: object) -> int:
    found = _is(int, value)
    if found < 0:
        raise ValueError(f"negative index {found}")
    return found


def _number(value: object) -> float:
    return _is((int, float), value)


def _plate_of(data: Json) -> PlateInfo:
    total = data["total"]
    return PlateInfo(_is(str, data["name"]), _size(data["size"]), None if total is None else _is(int, total))


def _size(value: object) -> int | str:
    return value if isinstance(value, str) else _index(value)


def _dims_of(value: object) -> Dims:
    return tuple(_dim_of(_json(each)) for each in _list(value))


def _dim_of(data: Json) -> Dim:
    name = data["name"]
    return Dim(_size(data["size"]), None if name is None else _is(str, name), DimKind(_is(str, data["kind"])))


def _array_of(data: object) -> TensorType:
    found = _type_of(_json(data))
    if not isinstance(found, TensorType):
        raise TypeError("a map is between arrays")
    return found


def _type_of(data: Json) -> Type:
    kind = data["kind"]
    if kind == "array":
        return TensorType(DType(_is(str, data["dtype"])), _dims_of(data["dims"]))
    if kind == "map":
        return MapType(_array_of(data["domain"]), _array_of(data["codomain"]), _index(data["event_ndim"]))
    if kind != "distribution":
        raise ValueError(f"unknown kind of type `{kind}`")
    return DistType(
        _is(str, data["family"]),
        DType(_is(str, data["dtype"])),
        _dims_of(data["batch"]),
        _dims_of(data["event"]),
        _is(str, data["support"]),
        _is(bool, data["reparameterized"]),
    )
