"""The Python builder: everything a `.blg` file says, said in Python.

It writes the syntax tree a parser would, so both lower to the same IR. A result stored to a Python variable becomes a
`let` of that name. May import: floors 0-1 and `layers` inside functions, `ast`, `library`, `recording`, `expression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from inspect import Parameter, signature

from bl_compiler.frontend import ast
from bl_compiler.frontend.expression import OPEN, BeliefSpec, Expression, NamedDim, here, new, tree_of
from bl_compiler.frontend.library import (
    CONSTRAINT_WORDS,
    ESTIMATORS,
    OBJECTIVES,
    OPTIMIZERS,
    PLANNED_LAYERS,
    PLANNED_POSTERIORS,
    POSTERIORS,
    SCHEDULES,
)
from bl_compiler.frontend.recording import Model, checked_name
from bl_compiler.frontend.sharing import with_names

_WORDS = frozenset(
    {
        *("zeros", "ones", "Mixture", "Independent", "anneal", *CONSTRAINT_WORDS, *OBJECTIVES, *OPTIMIZERS, *SCHEDULES),
        *(*POSTERIORS, *PLANNED_POSTERIORS, *ESTIMATORS, *PLANNED_LAYERS),
    }
)
DTYPES = ("f32", "bf16", "f16", "f64", "i32", "i64", "u8", "bool")


class ElementType:
    """`bl.f32[batch, 64]`: an array type; `bl.f32[()]` is a number's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, dims: object) -> ast.TypeSyntax:
        span = here()
        items = dims if isinstance(dims, tuple) else (dims,)
        syntax = tuple(
            ast.DimSyntax(tree_of(d.size), d.name, span=span)
            if isinstance(d, NamedDim)
            else ast.DimSyntax(tree_of(d), span=span)
            for d in items
        )
        return ast.TypeSyntax(self.name, syntax, span=span)

    def as_expression(self) -> Expression:
        """Its name in quotes, as functions take it: `bl.cast(x, bl.f32)`."""
        return Expression(ast.Literal(self.name, span=here()))


Type = ast.TypeSyntax | ElementType


def _type(given: Type) -> ast.TypeSyntax:
    return given[()] if isinstance(given, ElementType) else given


def _model(what: str) -> Model:
    if not OPEN or not isinstance(OPEN[-1], Model):
        raise RuntimeError(f"`bl.{what}` stands inside `with bl.Model(…) as model:`")
    return OPEN[-1]


def _named(name: str) -> Expression:
    return Expression(ast.Name(name, span=here()))


def plate(name: str, size: object, *, of: object = None) -> Expression:
    """An axis of independent examples: `size` in one step, `of` in the data set."""
    model = _model("plate")
    total = None if of is None else tree_of(of)
    model.add(ast.Plate(model.declare(name), tree_of(size), total, span=here()))
    return _named(name)


def input(name: str, type: Type) -> Expression:
    """A value the caller feeds."""
    model = _model("input")
    model.add(ast.Input(model.declare(name), _type(type), span=here()))
    return _named(name)


def param(name: str, type: Type, init: object, constraint: object = None) -> Expression:
    """A trained value, in a constraint such as `bl.positive`."""
    model = _model("param")
    within = None if constraint is None else tree_of(constraint)
    model.add(ast.Param(model.declare(name), _type(type), tree_of(init), within, span=here()))
    return _named(name)


def option(name: str, value: object) -> Expression:
    """A compile-time constant that `defines` can override."""
    tree = tree_of(value)
    if not _is_literal(tree):
        raise TypeError("an option is a number, a string, a truth value or a list of them")
    _model("option").add_option(name, tree)
    return _named(name)


def _is_literal(tree: ast.Expr) -> bool:
    if isinstance(tree, (ast.ListExpr, ast.TupleExpr)):
        return all(map(_is_literal, tree.items))
    return isinstance(tree, ast.Literal)


def let(name: str, value: object) -> Expression:
    """A name for a value, for where the Python variable's own name is not to be used."""
    model, tree = _model("let"), tree_of(value)
    chosen = model.take(checked_name(name))
    model.add(ast.Let((chosen,), tree, span=here()))
    return _named(chosen)


def sample(
    name: str,
    prior: object,
    by: object = None,
    *,
    type: Type | None = None,
    using: object = None,
) -> Expression:
    """A random variable with its prior and posterior; noise without `by`."""
    model = _model("sample")
    if isinstance(prior, BeliefSpec):
        if by is not None or using is not None:
            raise TypeError("the posterior is given twice: in the prior's `.by(…)` and in `by=` or `using=`")
        spec = prior
    else:
        posterior, estimator = (None if given is None else tree_of(given) for given in (by, using))
        spec = BeliefSpec(tree_of(prior), posterior, estimator)
    assert spec.prior is not None
    of_type = None if type is None else _type(type)
    chosen = model.take(checked_name(name))
    model.add(ast.Sample(chosen, spec.prior, of_type, spec.posterior, spec.estimator, span=here()))
    return _named(chosen)


def observe(value: object, distribution: object, *, where: object = None) -> None:
    """Data and its likelihood; `where` leaves entries out."""
    mask = None if where is None else tree_of(where)
    _model("observe").add(ast.Observe(tree_of(value), tree_of(distribution), mask, span=here()))


def predict(name: str, value: object) -> None:
    """A named output of prediction."""
    _model("predict").add(ast.Predict(checked_name(name), tree_of(value), span=here()))


@contextmanager
def believe(
    roles: str | tuple[str, ...] = (),
    belief: object = None,
    *,
    layers: object = (),
    when: object = None,
    **beliefs: object,
) -> Iterator[None]:
    """Within this block, weights with these roles get these beliefs.

    `bl.believe(kernel=prior.by(posterior))`, or `bl.believe(("kernel", "bias"), prior.by(posterior))` for one belief
    about several. `layers` names the layers it is about; `when` is a condition known at compile time.
    """
    model = _model("believe")
    specs: dict[tuple[str, ...], BeliefSpec] = {}
    if roles:
        names = (roles,) if isinstance(roles, str) else tuple(roles)
        specs[tuple(map(checked_name, names))] = _belief(belief)
    for role, value in beliefs.items():
        specs[(role,)] = _belief(value)
    listed = layers if isinstance(layers, (list, tuple)) else (layers,)
    with model.believing(specs, tuple(map(_layer_name, listed)), when):
        yield


def _layer_name(given: object) -> str:
    tree = tree_of(given)
    if isinstance(tree, ast.Literal):
        return checked_name(tree.value)
    if isinstance(tree, ast.Name):
        return tree.id
    raise TypeError("`layers` names layers, as in `layers=bl.dense` or `layers=(bl.dense, bl.conv2d)`")


def _belief(value: object) -> BeliefSpec:
    if isinstance(value, BeliefSpec):
        return value
    tree = tree_of(value)
    if isinstance(tree, ast.Name) and tree.id == "point":
        return BeliefSpec(None, tree)
    return BeliefSpec(tree)


def objective(value: object) -> None:
    """What training minimizes: `bl.elbo(samples=1)`, `bl.iwae(samples=5)`, `bl.map`, `bl.mle`."""
    _model("objective").add(ast.Objective(tree_of(value), span=here()))


def optimize(value: object) -> None:
    """The optimizer: `bl.adam(learning_rate=1e-3)`."""
    _model("optimize").add(ast.Optimize(tree_of(value), span=here()))


def dim(**named: object) -> NamedDim:
    """A dimension with an axis name: `bl.f32[batch, bl.dim(time=50), 128]`."""
    if len(named) != 1:
        raise TypeError("write one name, as in `bl.dim(time=50)`")
    ((name, size),) = named.items()
    return NamedDim(name, size)


# --- user layers -----------------------------------------------------------------------------------------------------


def layer(function: Callable[..., object]) -> UserLayer:
    """A user layer: the function's parameters are the layer's, its body is inlined at each instance."""
    return UserLayer(function)


class UserLayer:
    """A layer made of a Python function, called and piped into like those of the library."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._params = list(signature(function).parameters.values())
        update_wrapper(self, function)
        if any(p.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for p in self._params):
            raise TypeError(f"the parameters of the layer `{function.__name__}` are named one by one")

    def as_expression(self) -> Expression:
        """Its name in the open model, which defines it if this is its first use."""
        name = _model(self._function.__name__).layer_name(self._function, self._define)
        return _named(name)

    def __call__(self, *positional: object, **named: object) -> Expression:
        """Apply it, or without its input make an instance."""
        return self.as_expression()(*positional, **named)

    def __ror__(self, value: object) -> Expression:
        return new(ast.Pipe(tree_of(value), tree_of(self), span=here()))

    def _define(self, name: str) -> ast.LayerDef:
        model, span = _model(name), here()
        with model.block() as (statements, taken):
            given = {p.name: Expression(ast.Name(model.declare(p.name))) for p in self._params}
            named = {p.name: given.pop(p.name) for p in self._params if p.kind is Parameter.KEYWORD_ONLY}
            value = self._function(*given.values(), **named)
            tree = tree_of(value)
            model.add(ast.Return(tree, span=tree.span))
        written = tuple(
            ast.LayerParam(p.name, None if p.default is Parameter.empty else tree_of(p.default), span=span)
            for p in self._params
        )
        return ast.LayerDef(name, written, ast.Block(with_names(statements, taken)), span=span)


def language_name(name: str) -> object | None:
    """The value of `bl.NAME` for a name of the language, or None if it has none."""
    from bl_compiler.ir.families import FAMILIES
    from bl_compiler.ir.improper import IMPROPER
    from bl_compiler.layers.registry import LAYERS

    if name in DTYPES:
        return ElementType(name)
    if name in FAMILIES or name in IMPROPER or name in LAYERS or name in _WORDS:
        return Expression(ast.Name(name), word=name)
    return None


__all__ = [
    "Expression",
    "Model",
    "believe",
    "dim",
    "input",
    "language_name",
    "layer",
    "let",
    "new",
    "objective",
    "observe",
    "optimize",
    "option",
    "param",
    "plate",
    "predict",
    "sample",
]
