"""The one guarded call of an op's type rule.

Invariant: whatever operands and attributes it is given, the only exception is `TypeRuleError`. Rules assert the kinds
of their attributes, since front ends and layers pass the right ones; IR text and the verifier cannot rely on that.
May import: floor 0, `types`, `attrs`, `opspec`, `graph`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.opspec import Effect, OpSpec
from bl_compiler.ir.types import TensorType, Type, TypeRuleError

SITED = (Effect.DRAWS, Effect.OBSERVES)
"""Effects whose nodes carry a site."""

MOST_ELEMENTS = 2**53
"""More do not fit into any memory, and into few of the counters of JAX and XLA."""

_MISUSE = (AssertionError, TypeError, ValueError, KeyError, IndexError, AttributeError)


def infer_types(op: OpSpec, operands: Sequence[Type], attrs: Attrs) -> tuple[Type, ...]:
    """The types of the results.

    Raises:
        TypeRuleError: if the op refuses the number or types of operands, or the kinds of attributes.
    """
    op.check_arity(len(operands))
    try:
        found = tuple(op.infer(operands, attrs))
    except _MISUSE as fault:
        raise TypeRuleError(f"`{op.name}` has an attribute of the wrong kind: {_describe(fault)}") from fault
    for type_ in found:
        if isinstance(type_, TensorType) and _elements(type_) > MOST_ELEMENTS:
            raise TypeRuleError(f"an array {type_} has more elements than any machine holds")
    return found


def _elements(type_: TensorType) -> int:
    return math.prod(size for size in type_.shape if isinstance(size, int))


def _describe(fault: Exception) -> str:
    if isinstance(fault, AssertionError) and fault.args and isinstance(fault.args[0], tuple):
        key, *rest = fault.args[0]
        return f"`{key}` = {rest[0]!r}" if rest else str(key)
    return f"{type(fault).__name__} {fault}"


def check_site(op: OpSpec, site: str | None) -> None:
    """Raise `TypeRuleError` unless a site is there exactly when the op's effect asks for one."""
    if (site is not None) != (op.effect in SITED):
        raise TypeRuleError(f"`{op.name}` {'carries no' if site is not None else 'needs a'} site")
