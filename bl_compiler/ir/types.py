"""Types of IR values: tensors with named axes and plates, distributions, reversible maps.

Invariant: types are immutable values with structural equality. May import: floor 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

Size = int | str
"""The size of a dimension; a string is a symbolic size, the same string the same size."""


class TypeRuleError(Exception):
    """Operands that an op's type rule refuses. The message speaks of types only; callers add the source line."""


class DType(StrEnum):
    """Element types."""

    BOOL = "bool"
    U8 = "u8"
    I32 = "i32"
    I64 = "i64"
    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    F64 = "f64"

    @property
    def is_float(self) -> bool:
        """Whether this is a floating-point type."""
        return self in FLOATS

    @property
    def is_integer(self) -> bool:
        """Whether this is an integer type (bool is none)."""
        return self in (DType.U8, DType.I32, DType.I64)


FLOATS = (DType.F16, DType.BF16, DType.F32, DType.F64)
_RANK = {d: i for i, d in enumerate(DType)}


def promote(a: DType, b: DType) -> DType:
    """The type of an elementwise operation on `a` and `b`, as in JAX."""
    if {a, b} == {DType.F16, DType.BF16}:
        return DType.F32
    return a if _RANK[a] >= _RANK[b] else b


class DimKind(StrEnum):
    """What an axis stands for."""

    PLAIN = "plain"
    PLATE = "plate"
    TIME = "time"


def _word(text: str) -> str:
    """`text`, in quotes unless it reads as one word."""
    return text if text.isidentifier() and text.isascii() else json.dumps(text)


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension. A plate's name is its axis name."""

    size: Size
    name: str | None = None
    kind: DimKind = DimKind.PLAIN

    @property
    def is_plate(self) -> bool:
        """Whether the elements along this axis are independent examples."""
        return self.kind is DimKind.PLATE

    def __str__(self) -> str:
        size = str(self.size) if isinstance(self.size, int) else _word(self.size)
        name = "" if self.name is None else _word(self.name)
        if self.kind is DimKind.PLATE:
            return f"{name}@{size}"
        if self.kind is DimKind.TIME:
            return f"{name}~{size}"
        return f"{name}={size}" if name else size


Dims = tuple[Dim, ...]


def dims_of(*sizes: Size | Dim) -> Dims:
    """Dimensions from sizes; a `Dim` is taken as it is."""
    return tuple(s if isinstance(s, Dim) else Dim(s) for s in sizes)


def dims_text(dims: Sequence[Dim]) -> str:
    """`[batch@256, 10]`."""
    return "[" + ", ".join(map(str, dims)) + "]"


@dataclass(frozen=True, slots=True)
class TensorType:
    """An array."""

    dtype: DType
    dims: Dims = ()

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.dims)

    @property
    def shape(self) -> tuple[Size, ...]:
        """The sizes alone."""
        return tuple(d.size for d in self.dims)

    @property
    def plates(self) -> tuple[str, ...]:
        """Names of the plate axes, in order."""
        return plates_of(self.dims)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same dimensions with another element type."""
        return replace(self, dtype=dtype)

    def with_dims(self, dims: Sequence[Dim]) -> TensorType:
        """The same element type with other dimensions."""
        return replace(self, dims=tuple(dims))

    def __str__(self) -> str:
        return f"{self.dtype}{dims_text(self.dims)}"


@dataclass(frozen=True, slots=True)
class DistType:
    """A distribution over arrays of `batch + event` dimensions.

    `support` is a constraint's name (`constraints.py`); draws carry gradients to the parameters if `reparameterized`.
    """

    family: str
    dtype: DType
    batch: Dims = ()
    event: Dims = ()
    support: str = "real"
    reparameterized: bool = True

    @property
    def sample_type(self) -> TensorType:
        """The type of one draw."""
        return TensorType(self.dtype, self.batch + self.event)

    @property
    def plates(self) -> tuple[str, ...]:
        """Names of the plate axes, in order."""
        return plates_of(self.batch + self.event)

    def __str__(self) -> str:
        return f"{self.family}<{self.dtype}{dims_text(self.batch)}{dims_text(self.event)}>"


@dataclass(frozen=True, slots=True)
class MapType:
    """A reversible map between arrays whose last `event_ndim` axes are transformed together."""

    domain: TensorType
    codomain: TensorType
    event_ndim: int = 0

    def __str__(self) -> str:
        return f"map<{self.domain} -> {self.codomain}, {self.event_ndim}>"


Type = TensorType | DistType | MapType


def plates_of(dims: Sequence[Dim]) -> tuple[str, ...]:
    """Names of the plate axes among `dims`."""
    return tuple(d.name or "" for d in dims if d.is_plate)


def join_dim(a: Dim, b: Dim) -> Dim:
    """The common dimension of two that meet elementwise, by NumPy's rules.

    Raises:
        TypeRuleError: if the sizes differ and neither is 1, or two different plates meet.
    """
    if a.size == b.size:
        if a.is_plate and b.is_plate and a.name != b.name:
            raise TypeRuleError(f"plates `{a.name}` and `{b.name}` meet on one axis")
        if a.is_plate or b.is_plate:
            return a if a.is_plate else b
        return a if a.name == b.name or b.name is None else (b if a.name is None else Dim(a.size))
    if a.size == 1 and not a.is_plate:
        return b
    if b.size == 1 and not b.is_plate:
        return a
    raise TypeRuleError(f"dimensions {a} and {b} do not fit")


def broadcast_dims(*shapes: Sequence[Dim]) -> Dims:
    """The common dimensions of shapes that meet elementwise, aligned at the right as in NumPy."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        present = [s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0]
        dim = present[0]
        for other in present[1:]:
            try:
                dim = join_dim(dim, other)
            except TypeRuleError as fault:
                texts = " and ".join(dims_text(s) for s in shapes)
                raise TypeRuleError(f"shapes {texts} do not broadcast: {fault}") from None
        result.append(dim)
    names = [d.name for d in result if d.is_plate]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TypeRuleError(f"plate `{twice}` appears on two axes of {dims_text(result)}")
    return tuple(result)


def tensor(type_: Type) -> TensorType:
    """`type_` if it is an array type.

    Raises:
        TypeRuleError: if it is not.
    """
    if not isinstance(type_, TensorType):
        raise TypeRuleError(f"expected an array, found a {'distribution' if isinstance(type_, DistType) else 'map'}")
    return type_


def distribution(type_: Type) -> DistType:
    """`type_` if it is a distribution type.

    Raises:
        TypeRuleError: if it is not.
    """
    if not isinstance(type_, DistType):
        raise TypeRuleError(f"expected a distribution, found {type_}")
    return type_


def static_size(size: Size, what: str) -> int:
    """`size` if it is known at compile time.

    Raises:
        TypeRuleError: if it is symbolic.
    """
    if isinstance(size, str):
        raise TypeRuleError(f"{what} needs a size known at compile time, and `{size}` is symbolic")
    return size
