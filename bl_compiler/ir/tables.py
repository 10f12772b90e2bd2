"""Tables of rules keyed by op name: one table per interpretation of the IR (NumPy values, JAX expressions, FLOPs).

Invariant: a table holds at most one rule for an op, and the ops it lacks can be listed.
May import: the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

F = TypeVar("F")


class RuleTable(Mapping[str, F]):
    """The rules of one interpretation by op name.

    Args:
        name: what the table interprets ops as; messages name it.
        parts: tables whose rules this one starts with.

    Example:
        >>> double: RuleTable[Callable[[int], int]] = RuleTable("double")
        >>> @double.rule("math.add", "math.mul")
        ... def twice(x: int) -> int:
        ...     return 2 * x
        >>> double["math.add"](21), double.missing(["math.mul", "math.neg"])
        (42, {'math.neg'})
    """

    def __init__(self, name: str, *parts: Mapping[str, F]) -> None:
        self.name = name
        self._rules: dict[str, F] = {}
        for part in parts:
            for op, rule in part.items():
                self._add(op, rule)

    def rule(self, *names: str) -> Callable[[F], F]:
        """A decorator that enters a rule for each of these ops.

        Raises:
            ValueError: if one of them has a rule already.
        """

        def enter(rule: F) -> F:
            for op in names:
                self._add(op, rule)
            return rule

        return enter

    def missing(self, ops: Iterable[str]) -> set[str]:
        """Those of `ops` without a rule."""
        return set(ops) - self._rules.keys()

    def __getitem__(self, op: str) -> F:
        try:
            return self._rules[op]
        except KeyError:
            raise KeyError(f"table `{self.name}` has no rule for `{op}`") from None

    def __contains__(self, op: object) -> bool:
        return op in self._rules

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def _add(self, op: str, rule: F) -> None:
        if op in self._rules:
            raise ValueError(f"table `{self.name}` has two rules for `{op}`")
        self._rules[op] = rule
