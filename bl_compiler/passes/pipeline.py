"""Pipelines as text: `local-reparameterize{sites=[enc/*,dec/*]},cse`.

Invariant: `parse(str(p)) == p`; a pass prints only the options that differ from their defaults. May import: floors 0-1,
`base`, `registry`.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from typing import Union, get_args, get_origin, get_type_hints

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.passes.base import Pass
from bl_compiler.passes.registry import PASSES, Registry
from bl_compiler.source import SourceFile, Span
from bl_compiler.suggest import did_you_mean

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z][\w-]*")
_BARE = re.compile(r'[^\s{}\[\],="]+')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_READS_OTHERWISE = re.compile(r"none|true|false|[+-]?(\d.*|\.\d.*|inf.*|nan)", re.IGNORECASE)
_FILE = "<pipeline>"


@dataclass(frozen=True)
class Pipeline:
    """Passes in order."""

    passes: tuple[Pass, ...] = ()

    def __iter__(self) -> Iterator[Pass]:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)

    def __str__(self) -> str:
        return ",".join(map(pass_text, self.passes))

    @staticmethod
    def parse(text: str, registry: Registry = PASSES) -> Pipeline:
        """The pipeline that a text describes; names of levels stand for theirs.

        Raises:
            CompileError: if the text is malformed or names unknown passes or options (BLC0402).

        Example:
            >>> str(Pipeline.parse("cse, dce"))
            'cse,dce'
        """
        return Pipeline(tuple(_Parser(text, registry).items()))

    def edited(self, text: str, registry: Registry = PASSES) -> Pipeline:
        """The pipeline after edits such as `+flipout,-cse`: added passes go where the usual order puts them.

        Raises:
            CompileError: if the text is malformed, or takes away a pass that is not there.
        """
        passes = list(self.passes)
        for item, error in _Parser(text, registry).edits():
            if isinstance(item, str):
                if all(each.name != item for each in passes):
                    raise error(f"the pipeline has no pass `{item}` to take away")
                passes = [each for each in passes if each.name != item]
            else:
                rank = registry.rank(item.name)
                later = (i for i, each in enumerate(passes) if registry.rank(each.name) > rank)
                passes.insert(next(later, len(passes)), item)
        return Pipeline(tuple(passes))


# --- printing --------------------------------------------------------------------------------------------------------


def options_of(kind: type[Pass]) -> dict[str, Field[object]]:
    """The options of a pass by their names in pipelines."""
    return {field.name.replace("_", "-"): field for field in fields(kind)}


def pass_text(item: Pass) -> str:
    """`name{option=value,…}`."""
    shown = [
        f"{name}={_value_text(getattr(item, field.name))}"
        for name, field in options_of(type(item)).items()
        if getattr(item, field.name) != _default(field)
    ]
    return f"{item.name}{{{','.join(shown)}}}" if shown else item.name


def _default(field: Field[object]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _value_text(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            plain = _BARE.fullmatch(value) and not _READS_OTHERWISE.fullmatch(value)
            return str(value) if plain else json.dumps(value)
        case tuple():
            return f"[{','.join(map(_value_text, value))}]"
        case _:
            raise TypeError(f"not a value of an option: {value!r}")


# --- parsing ---------------------------------------------------------------------------------------------------------


class _Fault(CompileError):
    """A malformed pipeline, shown with its text."""

    def __init__(self, message: str, text: str, start: int, end: int, suggestion: str | None = None) -> None:
        sink = Sink()
        sink.add_source(SourceFile(_FILE, text))
        found = sink.error("BLC0402", message, at=Span(_FILE, 1, start + 1, 1, max(end, start + 1) + 1))
        if suggestion is not None:
            found.help(f"did you mean `{suggestion}`?")
        super().__init__(sink.diagnostics, sink.sources)


class _Error:
    """Makes faults at one place of the text."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._place = (text, start, end)

    def __call__(self, message: str, suggestion: str | None = None) -> _Fault:
        return _Fault(message, *self._place, suggestion)


class _Parser:
    def __init__(self, text: str, registry: Registry, levels: tuple[str, ...] = ()) -> None:
        self._text = text.replace("\n", " ")
        self._registry = registry
        self._levels = levels
        self._pos = 0

    def items(self) -> Iterator[Pass]:
        """The passes, levels replaced by theirs."""
        while not self._at_end():
            yield from self._item()
            if not self._mark(",") and not self._at_end():
                raise self._unexpected("`,`")

    def edits(self) -> Iterator[tuple[Pass | str, _Error]]:
        """Passes to add, names of passes to take away."""
        while not self._at_end():
            start = self._skip()
            if self._mark("+"):
                for item in self._item():
                    yield item, _Error(self._text, start, self._pos)
            elif self._mark("-"):
                yield self._name("the name of a pass")
            else:
                raise self._unexpected("`+` or `-`")
            if not self._mark(",") and not self._at_end():
                raise self._unexpected("`,`")

    def _item(self) -> Iterable[Pass]:
        name, error = self._name("the name of a pass")
        if name in self._registry.levels:
            if name in self._levels:
                raise error(f"level `{name}` contains itself")
            inner = _Parser(self._registry.levels[name], self._registry, (*self._levels, name))
            return list(inner.items())
        if name not in self._registry:
            raise error(f"unknown pass `{name}`", did_you_mean(name, [*self._registry, *self._registry.levels]))
        kind = self._registry.load(name)
        values = self._options(name, kind) if self._mark("{") else {}
        for option, field in options_of(kind).items():
            if field.name not in values and _default(field) is MISSING:
                raise error(f"pass `{name}` needs the option `{option}`")
        return [kind(**values)]

    def _options(self, name: str, kind: type[Pass]) -> dict[str, object]:
        known, hints = options_of(kind), get_type_hints(kind)
        values: dict[str, object] = {}
        while not self._mark("}"):
            option, error = self._name("the name of an option")
            field = known.get(option.replace("_", "-"))
            if field is None:
                raise error(f"pass `{name}` has no option `{option}`", did_you_mean(option, known))
            if field.name in values:
                raise error(f"option `{option}` of `{name}` is given twice")
            if not self._mark("="):
                raise self._unexpected("`=`")
            values[field.name] = self._value(hints[field.name], f"option `{option}` of `{name}`")
            if not self._mark(",") and not self._peek("}"):
                raise self._unexpected("`,` or `}`")
        return values

    def _value(self, hint: object, what: str) -> object:
        if get_origin(hint) is tuple:
            if not self._mark("["):
                return (self._value(get_args(hint)[0], what),)
            items: list[object] = []
            while not self._mark("]"):
                items.append(self._value(get_args(hint)[0], what))
                if not self._mark(",") and not self._peek("]"):
                    raise self._unexpected("`,` or `]`")
            return tuple(items)
        start = self._skip()
        found = _STRING.match(self._text, start) or _BARE.match(self._text, start)
        if found is None:
            raise self._unexpected(f"a value for {what}")
        self._pos = found.end()
        if found[0].startswith('"'):
            return self._converted(hint, json.loads(found[0]), what, start, is_quoted=True)
        return self._converted(hint, found[0], what, start, is_quoted=False)

    def _converted(self, hint: object, text: str, what: str, start: int, *, is_quoted: bool) -> object:
        choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        if types.NoneType in choices and text == "none" and not is_quoted:
            return None
        for choice in (str,) if is_quoted and str in choices else choices:
            try:
                return _read(choice, text)
            except ValueError:
                continue
        raise _Fault(f"{what} cannot be `{text}`", self._text, start, self._pos)

    # --- tokens ------------------------------------------------------------------------------------------------------

    def _skip(self) -> int:
        found = _SPACE.match(self._text, self._pos)
        self._pos = found.end() if found else self._pos
        return self._pos

    def _at_end(self) -> bool:
        return self._skip() == len(self._text)

    def _peek(self, mark: str) -> bool:
        return self._text.startswith(mark, self._skip())

    def _mark(self, mark: str) -> bool:
        if not self._peek(mark):
            return False
        self._pos += len(mark)
        return True

    def _name(self, wanted: str) -> tuple[str, _Error]:
        start = self._skip()
        found = _NAME.match(self._text, start)
        if found is None:
            raise self._unexpected(wanted)
        self._pos = found.end()
        return found[0], _Error(self._text, start, self._pos)

    def _unexpected(self, wanted: str) -> _Fault:
        start = self._skip()
        found = f"found `{self._text[start]}`" if start < len(self._text) else "found the end"
        return _Fault(f"expected {wanted}, {found}", self._text, start, start + 1)


def _read(kind: object, text: str) -> object:
    """A value of an option's type; ValueError if the text is none."""
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if kind is int or kind is float or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return kind(text)
    if kind is str:
        return text
    raise ValueError(text)
