"""Attribute values of nodes and their canonical text.

Invariant: attributes are immutable, and equal values have equal text. May import: floor 0, `types`.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING

from bl_compiler.ir.types import Dim, DType, TensorType

if TYPE_CHECKING:
    from bl_compiler.ir.graph import Graph

Attr = "None | bool | int | float | str | DType | Dim | TensorType | Graph | tuple[Attr, ...]"


class Attrs(Mapping[str, object]):
    """An immutable, name-sorted mapping of attributes."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, object] | None = None) -> None:
        self._items = dict(sorted((items or {}).items()))

    def __getitem__(self, key: str) -> object:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def values(self) -> ValuesView[object]:
        """The values by name; the dictionary's own view, as those of `Mapping` look every name up again."""
        return self._items.values()

    def items(self) -> ItemsView[str, object]:
        """Names and values, likewise."""
        return self._items.items()

    def __repr__(self) -> str:
        return f"Attrs({self._items!r})"

    def with_(self, **changes: object) -> Attrs:
        """A copy with some attributes replaced."""
        return Attrs({**self._items, **changes})

    def text(self, key: str) -> str:
        """A string attribute."""
        value = self._items[key]
        assert isinstance(value, str), (key, value)
        return value

    def integer(self, key: str) -> int:
        """An integer attribute."""
        value = self._items[key]
        assert isinstance(value, int), (key, value)
        return value

    def number(self, key: str) -> float:
        """A number attribute."""
        value = self._items[key]
        assert isinstance(value, (int, float)), (key, value)
        return float(value)

    def flag(self, key: str) -> bool:
        """A boolean attribute."""
        value = self._items[key]
        assert isinstance(value, bool), (key, value)
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """A tuple of integers."""
        value = self._items[key]
        assert isinstance(value, tuple), (key, value)
        return value

    def dims(self, key: str) -> tuple[Dim, ...]:
        """A tuple of dimensions."""
        value = self._items[key]
        assert isinstance(value, tuple), (key, value)
        return value

    def dtype(self, key: str) -> DType:
        """An element type."""
        value = self._items[key]
        assert isinstance(value, DType), (key, value)
        return value

    def array_type(self, key: str) -> TensorType:
        """An array type."""
        value = self._items[key]
        assert isinstance(value, TensorType), (key, value)
        return value

    def graph(self, key: str) -> Graph:
        """A region."""
        from bl_compiler.ir.graph import Graph

        value = self._items[key]
        assert isinstance(value, Graph), (key, value)
        return value


def attr_key(value: object) -> object:
    """A hashable stand-in for an attribute: equal exactly for values of equal text.

    Python's `==` is too coarse (`1 == 1.0 == True`, `0.0 == -0.0`) and for NaN too fine.
    """
    if isinstance(value, tuple):
        return ("tuple", *map(attr_key, value))
    if isinstance(value, float) and (value == 0.0 or value != value):
        return ("float", repr(value))
    return (type(value).__name__, value)


def attr_text(value: object) -> str:
    """Canonical text of one attribute value (regions are printed by the printer)."""
    if value is None:
        return "none"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, DType):
        return f"!{value}"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Dim):
        return f"<{value}>"
    if isinstance(value, TensorType):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(map(attr_text, value)) + ("," if len(value) == 1 else "") + ")"
    raise TypeError(f"not an attribute value: {value!r}")
