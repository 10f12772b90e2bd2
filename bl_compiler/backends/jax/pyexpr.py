"""Python expressions as syntax trees, built from templates with holes.

Invariant: what goes into a hole stays one operand, whatever surrounds it: precedence is `ast.unparse`'s business.
May import: `ir.types`.
"""

from __future__ import annotations

import ast
import copy
import math
import re
from collections.abc import Sequence
from functools import lru_cache

from bl_compiler.ir.types import DType

Part = ast.expr | list[ast.expr]

_STRING = re.compile(r"_string_(\d+)")
_HOLE = re.compile(r"\{(\w+)\}")
_DTYPES = {
    DType.BOOL: "jnp.bool_",
    DType.U8: "jnp.uint8",
    DType.I32: "jnp.int32",
    DType.I64: "jnp.int64",
    DType.F16: "jnp.float16",
    DType.BF16: "jnp.bfloat16",
    DType.F32: "jnp.float32",
    DType.F64: "jnp.float64",
}


@lru_cache(maxsize=1024)
def _parsed(template: str) -> tuple[ast.expr, frozenset[str]]:
    holes = frozenset(_HOLE.findall(template))
    return ast.parse(_HOLE.sub(r"_hole_\1", template), mode="eval").body, holes


def fill(template: str, **parts: Part) -> ast.expr:
    """The expression `template` with its holes filled.

    A hole is `{name}`. A list fills a hole that stands alone as an argument or element, as so many of them.

    >>> ast.unparse(fill("jnp.exp({x}) ** 2", x=fill("a + b")))
    'jnp.exp(a + b) ** 2'
    >>> ast.unparse(fill("f({xs}, axis=0)", xs=[fill("a"), fill("b")]))
    'f(a, b, axis=0)'
    """
    tree, holes = _parsed(template)
    assert holes <= parts.keys(), f"{template}: no part for {holes - parts.keys()}"
    found = _copy(tree, {f"_hole_{name}": part for name, part in parts.items()})
    assert isinstance(found, ast.expr), template
    return found


def _copy(node: ast.AST, parts: dict[str, Part]) -> ast.AST:
    if isinstance(node, ast.Name) and node.id in parts:
        part = parts[node.id]
        assert isinstance(part, ast.expr), f"a list fills {node.id}"
        return part
    fields: dict[str, object] = {}
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            fields[name] = [copied for item in value for copied in _copies(item, parts)]
        else:
            fields[name] = _copy(value, parts) if isinstance(value, ast.AST) else value
    return type(node)(**fields)


def _copies(item: object, parts: dict[str, Part]) -> list[object]:
    if isinstance(item, ast.Name) and isinstance(parts.get(item.id), list):
        return list(parts[item.id])  # type: ignore[arg-type]
    return [_copy(item, parts) if isinstance(item, ast.AST) else item]


def name(identifier: str) -> ast.expr:
    """A variable."""
    return ast.Name(identifier, ast.Load())


def string(text: str) -> ast.expr:
    """A string literal."""
    return ast.Constant(text)


def number(value: float) -> ast.expr:
    """A number or truth value as a literal; infinities and NaN, which have none, by name."""
    if not math.isfinite(value):
        return fill("jnp.nan" if math.isnan(value) else "jnp.inf" if value > 0 else "-jnp.inf")
    # The sign of -0.0 is kept.
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if math.copysign(1, value) < 0 else ast.Constant(value)


def tuple_of(items: Sequence[ast.expr]) -> ast.expr:
    """A tuple."""
    return ast.Tuple(list(items), ast.Load())


def integers(values: Sequence[int]) -> ast.expr:
    """A tuple of integers."""
    return tuple_of([number(value) for value in values])


def pairs(values: Sequence[tuple[int, int]]) -> ast.expr:
    """A tuple of pairs of integers."""
    return tuple_of([integers(pair) for pair in values])


def axes(values: Sequence[int]) -> ast.expr:
    """One axis as an integer, several as a tuple."""
    return number(values[0]) if len(values) == 1 else integers(values)


def dtype(value: DType) -> ast.expr:
    """An element type."""
    return fill(_DTYPES[value])


def typed_number(value: float, type_: DType) -> ast.expr:
    """A number as a scalar array of an element type."""
    return fill("{type_}({value})", type_=dtype(type_), value=literal(value, type_))


def literal(value: float, type_: DType) -> ast.expr:
    """A number as a Python literal of the kind of an element type, which takes the type of what it meets."""
    if type_ is DType.BOOL:
        return number(bool(value))
    return number(float(value) if type_.is_float else int(value))


def nested(value: object, type_: DType) -> ast.expr:
    """Nested tuples of numbers as nested lists."""
    if isinstance(value, tuple):
        return ast.List([nested(item, type_) for item in value], ast.Load())
    assert isinstance(value, (bool, int, float)), value
    return literal(value, type_)


def text(expression: ast.expr) -> str:
    """The expression as it is written, strings in double quotes."""
    found = _Strings()
    tree = found.visit(copy.deepcopy(expression))
    written = ast.unparse(tree)
    return _STRING.sub(lambda match: found.texts[int(match[1])], written) if found.texts else written


class _Strings(ast.NodeTransformer):
    """Puts names in the place of strings, which `ast.unparse` would write in single quotes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Note a string."""
        if not isinstance(node.value, str):
            return node
        quoted = repr(node.value)
        if quoted.startswith("'") and '"' not in quoted:
            quoted = '"' + quoted[1:-1].replace("\\'", "'") + '"'
        self.texts.append(quoted)
        return name(f"_string_{len(self.texts) - 1}")
