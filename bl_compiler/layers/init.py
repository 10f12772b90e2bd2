"""Initial values as users write them: a name, a number, or a generator with its arguments.

Invariant: every spelling resolves to a tuple that `ir.initializers.GENERATORS` knows, with the fans of the weight at
hand worked in. May import: floors 0-1, `layers.{spec,check}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.initializers import GENERATORS, SCHEMES, Initializer, constant, fans, variance_scaling
from bl_compiler.layers.check import number, one_of, spell
from bl_compiler.layers.spec import ArgumentError

NAMED: dict[str, Initializer] = {
    "zeros": constant(0.0),
    "ones": constant(1.0),
    "normal": ("normal", 0.0, 0.05),
    "truncated_normal": ("truncated_normal", 0.0, 0.05),
    "uniform": ("uniform", -0.05, 0.05),
    "orthogonal": ("orthogonal", 1.0),
    "identity": ("identity", 1.0),
}
"""Those that need no fans; the numbers are Keras's."""

INITIALIZERS: tuple[str, ...] = (*NAMED, *SCHEMES)
"""All names a user may write."""

_MATRIX_RANK = {"orthogonal": "two or more axes", "identity": "exactly two axes"}


def resolve(argument: str, value: object, dims: Sequence[int], fan: tuple[int, int] | None = None) -> Initializer:
    """The initializer a user means by `"glorot_uniform"`, `0.0` or `("normal", 0.0, 0.02)`.

    Args:
        argument: the layer's parameter it was given for.
        value: what the user wrote.
        dims: the weight's sizes.
        fan: (fan in, fan out), where they are not those of a kernel [field…, in, out].
    """
    if isinstance(value, list | tuple):
        found = _generator(argument, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = constant(number(argument, value))
    else:
        name = one_of(argument, value, INITIALIZERS)
        found = NAMED[name] if name in NAMED else variance_scaling(SCHEMES[name], *(fan or fans(dims)))
    fits = {"orthogonal": len(dims) >= 2, "identity": len(dims) == 2}
    if not fits.get(str(found[0]), True):
        raise ArgumentError(
            argument,
            f'"{found[0]}" needs a weight with {_MATRIX_RANK[str(found[0])]}, and this one is {list(dims)}',
            'write another initializer, such as "zeros"',
        )
    return found


def _generator(argument: str, value: Sequence[object]) -> Initializer:
    if not value:
        raise ArgumentError(
            argument,
            f"`{argument}` is an empty list",
            f'write a name with numbers, such as `{argument}=("normal", 0, 0.02)`',
        )
    name = one_of(argument, value[0], GENERATORS)
    wanted = GENERATORS[name][0]
    if len(value) != 1 + len(wanted):
        raise ArgumentError(
            argument,
            f'"{name}" takes {len(wanted)} number{"s" * (len(wanted) > 1)}, found {spell(list(value[1:]))}',
            f'write `("{name}", {", ".join(wanted)})`',
        )
    numbers = [
        number(argument, v, low=0.0) if w == "stddev" else number(argument, v)
        for w, v in zip(wanted, value[1:], strict=True)
    ]
    return (name, *numbers)
