"""What an expression of the language can stand for while it is lowered.

Numbers, strings, booleans, none, lists and tuples stand for themselves; arrays and distributions are IR `Value`s.
Invariant: nothing here touches the graph. May import: floors 0-1, `layers.spec`, `ast`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bl_compiler.frontend import ast
from bl_compiler.ir.families import Family
from bl_compiler.ir.graph import Value
from bl_compiler.ir.types import Dim, DistType, TensorType
from bl_compiler.layers.spec import LayerSpec
from bl_compiler.source import NO_SPAN, Span


@dataclass(frozen=True, slots=True)
class PlateRef:
    """A plate's name, usable as a dimension."""

    dim: Dim


class PlateSize(int):
    """The size of a plate's axis, as `x.shape[0]` gives it: a number, and the plate where a dimension stands."""

    dim: Dim

    def __new__(cls, dim: Dim) -> PlateSize:
        """The size of `dim`, which is known at compile time."""
        assert isinstance(dim.size, int)
        found = super().__new__(cls, dim.size)
        found.dim = dim
        return found


def size_of(dim: Dim) -> object:
    """The size of an axis as a value of the language."""
    if not dim.is_plate:
        return dim.size
    return PlateRef(dim) if isinstance(dim.size, str) else PlateSize(dim)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a `return` gave."""

    value: object


@dataclass(frozen=True, slots=True)
class BuiltinRef:
    """A layer or function of the library, not yet given its arguments."""

    spec: LayerSpec


@dataclass(frozen=True, slots=True)
class FamilyRef:
    """A distribution family, not yet given its parameters."""

    family: Family


@dataclass(frozen=True, slots=True)
class Combinator:
    """`Mixture`, `Independent`: makes a distribution from distributions."""

    name: str


@dataclass(frozen=True, slots=True)
class Filler:
    """`zeros` or `ones`, waiting for `[dims]`."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Method:
    """`d.log_prob`, `d.sample`: a distribution's method."""

    owner: Value
    name: str


@dataclass(frozen=True, slots=True)
class PosteriorForm:
    """A posterior by name with its arguments: `mean_field(init_scale=0.1)`."""

    name: str
    arguments: tuple[tuple[str, object], ...] = ()
    span: Span = field(default=NO_SPAN, compare=False)

    def get(self, name: str, default: object) -> object:
        """An argument or its default."""
        return dict(self.arguments).get(name, default)


@dataclass(eq=False, slots=True)
class Belief:
    """One `believe` statement, or a belief written as a layer's argument."""

    roles: tuple[str, ...]
    layers: tuple[str, ...]
    prior: Value | None
    posterior: PosteriorForm | Value
    estimator: str
    span: Span
    posterior_span: Span = NO_SPAN
    used: bool = False


@dataclass(frozen=True, slots=True)
class Beliefs:
    """The beliefs in force at a place, innermost and latest last."""

    items: tuple[Belief, ...] = ()

    def and_(self, *more: Belief) -> Beliefs:
        """With later ones."""
        return Beliefs((*self.items, *more))

    def find(self, role: str, layers: tuple[str, ...]) -> Belief | None:
        """The belief about a role in a layer nested in `layers` (innermost last)."""
        for belief in reversed(self.items):
            if role in belief.roles and (not belief.layers or set(belief.layers) & set(layers)):
                belief.used = True
                return belief
        return None


@dataclass(eq=False, slots=True)
class Bound:
    """A name's meaning, where it was given, and whether it was used."""

    value: object
    span: Span
    kind: str = "name"
    used: bool = False


class Scope:
    """Names of a block, within those of the enclosing blocks."""

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Bound] = {}

    def find(self, name: str) -> Bound | None:
        """The innermost meaning of `name`; None if it has none here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def visible(self) -> list[str]:
        """All names that can be used here."""
        return [*self.names, *(self.parent.visible() if self.parent else [])]


class Frame:
    """What one instantiation of a body (the model, a user layer's instance) owns: its instances and their names.

    A user layer's instance keeps its frame, so that applying it again shares its weights.
    """

    def __init__(self, path: str, layers: tuple[str, ...]) -> None:
        self.path = path
        self.layers = layers
        self.holder = ""
        self.instances: dict[object, Instance] = {}
        self.shared: dict[int, Value] = {}
        self._counts: dict[str, int] = {}

    def full(self, name: str) -> str:
        """`name` under this frame's path."""
        return f"{self.path}/{name}" if self.path else name

    def unique(self, name: str) -> str:
        """`name` under this frame's path; the second of a name gets `_1`, and so on."""
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        return self.full(f"{name}_{count}" if count else name)

    def instance_path(self, kind: str) -> str:
        """The path of a new instance of a layer kind: held by the statement at hand."""
        return self.unique(f"{self.holder}/{kind}" if self.holder else kind)


@dataclass(eq=False, slots=True)
class UserLayer:
    """A `layer` of a file, with the scope of that file."""

    definition: ast.LayerDef
    scope: Scope

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    kind = name


@dataclass(eq=False, slots=True)
class Instance:
    """A layer with its arguments and its own weights, to be applied to inputs."""

    layer: LayerSpec | UserLayer
    path: str
    arguments: dict[str, object]
    spans: dict[str, Span]
    beliefs: Beliefs
    layers: tuple[str, ...]
    span: Span
    frame: Frame
    weights: dict[str, Value] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The layer's name."""
        return self.layer.name


class Poison:
    """Stands for a value whose making failed; using it fails silently, so that one fault gives one message."""


POISON = Poison()


def is_array(value: object) -> bool:
    """Whether this is an array of the program."""
    return isinstance(value, Value) and isinstance(value.type, TensorType)


def is_distribution(value: object) -> bool:
    """Whether this is a distribution."""
    return isinstance(value, Value) and isinstance(value.type, DistType)


def is_number(value: object) -> bool:
    """Whether this is a number known at compile time."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def describe(value: object) -> str:
    """A value in words, for messages."""
    match value:
        case Value():
            return f"an array {value.type}" if is_array(value) else f"a distribution {value.type}"
        case bool():
            return f"`{'true' if value else 'false'}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the string "{value}"'
        case None:
            return "`none`"
        case list() | tuple():
            return "a list" if isinstance(value, list) else "a tuple"
        case Instance():
            return f"a layer instance `{value.path}`"
        case BuiltinRef():
            return f"the {'function' if value.spec.stateless else 'layer'} `{value.spec.name}`"
        case UserLayer():
            return f"the layer `{value.name}`"
        case FamilyRef():
            return f"the distribution family `{value.family.name}`"
        case Combinator() | Filler() | Method():
            return f"`{value.name}`"
        case PlateRef():
            return f"the plate `{value.dim.name}`"
        case PosteriorForm():
            return f"the posterior `{value.name}`"
        case _:
            return "a value"
