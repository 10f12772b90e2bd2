"""What printer and parser of the text form share: words, quoting, types and attributes as text.

Invariant: each function here is the inverse of a method of `parse_types.TypeReader` or of `parser`.
May import: floor 0, `types`, `attrs`, `opspec`, `graph`, `families`.
"""

from __future__ import annotations

import json
import re

from bl_compiler.ir.attrs import Attrs, attr_key, attr_text
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Graph
from bl_compiler.ir.opspec import OpSpec
from bl_compiler.ir.types import DistType, MapType, TensorType, Type, dims_text
from bl_compiler.source import Span

WORD = r"[A-Za-z_](?:[A-Za-z0-9_.:*+-]|/(?!/))*"
"""What needs no quotes: names of modules, functions and outputs, sites, scopes, rules."""

_WORD = re.compile(WORD)
_WRAPPER = re.compile(r"(Independent|Mixture|Reshaped)\((.*)\)")
_OPAQUE = ("real", True)


def quoted(text: str) -> str:
    """`text`, in quotes unless it is a word."""
    return text if _WORD.fullmatch(text) else json.dumps(text)


def family_traits(family: str) -> tuple[str, bool]:
    """Support and reparameterization that a distribution type's family name implies: the text leaves them out."""
    found = _WRAPPER.fullmatch(family)
    if found:
        support, pathwise = family_traits(found[2])
        return support, pathwise and found[1] != "Mixture"
    known = FAMILIES.get(family)
    return (known.support, known.reparameterized) if known else _OPAQUE


def type_text(type_: Type) -> str:
    """The complete text of a type; unlike `str`, it shows a support that the family's name does not imply."""
    return str(type_) if isinstance(type_, (TensorType, MapType)) else _dist_text(type_)


def _dist_text(type_: DistType) -> str:
    support, pathwise = family_traits(type_.family)
    extra = "" if type_.support == support else f", support={quoted(type_.support)}"
    if type_.reparameterized != pathwise:
        extra += f", reparameterized={'true' if type_.reparameterized else 'false'}"
    return f"{type_.family}<{type_.dtype}{dims_text(type_.batch)}{dims_text(type_.event)}{extra}>"


def span_text(span: Span) -> str:
    """`loc("cnn.blg":3:5-3:20)`."""
    return f"loc({json.dumps(span.file)}:{span.line}:{span.column}-{span.end_line}:{span.end_column})"


def value_text(value: object, elide: int | None = None) -> str:
    """An attribute value; tuples of more than `elide` elements in all are cut."""
    if elide is not None and isinstance(value, tuple) and element_count(value) > elide:
        return f"elided({element_count(value)})"
    return attr_text(value)


def element_count(value: object) -> int:
    """How many elements a nested tuple holds."""
    return sum(map(element_count, value)) if isinstance(value, tuple) else 1


def attrs_text(op: OpSpec, attrs: Attrs, elide: int | None = None) -> str:
    """` {axes=(0,)}`: the attributes that are no regions and differ from their defaults; empty if there are none."""
    shown = [
        f"{key}={value_text(value, elide)}"
        for key, value in attrs.items()
        if not isinstance(value, Graph) and not _is_default(op, key, value)
    ]
    return f" {{{', '.join(shown)}}}" if shown else ""


def _is_default(op: OpSpec, key: str, value: object) -> bool:
    return key in op.attrs and attr_key(op.attrs[key]) == attr_key(value)
