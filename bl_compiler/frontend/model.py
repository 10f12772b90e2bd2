"""The Python builder: everything a `.blg` file says, said in Python.

It writes the syntax tree a parser would, so both lower to the same IR. A result stored to a Python variable becomes a `let` of that name.
Invariant: a model is built by one thread, between entering and leaving its `with`. May import: floor 0, `ast`, `caller`, `expression`, `library`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from types import TracebackType

from bl_compiler.frontend import ast
from bl_compiler.frontend.caller import source_of, target_names, user_frame
from bl_compiler.frontend.expression import _RECORDERS, BeliefSpec, Expression, NamedDim, here, new, tree_of
from bl_compiler.frontend.library import CONSTRAINT_WORDS, ESTIMATORS, OBJECTIVES, OPTIMIZERS, POSTERIORS, SCHEDULES
from bl_compiler.source import NO_SPAN, SourceFile

_WORDS = ("zeros", "ones", "Mixture", "Independent", "anneal")
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


class Model:
    """A model under construction.

    Args:
        name: the model's name.

    Example:
        >>> import bl_compiler as bl
        >>> with bl.Model("coin") as model:
        ...     toss = bl.plate("toss", 10, of=10)
        ...     heads = bl.input("heads", bl.i32[toss])
        ...     p = bl.param("p", bl.f32[()], 0.5, bl.unit_interval)
        ...     bl.observe(heads, bl.Bernoulli(probs=p))
        >>> print(model.to_blg().splitlines()[0])
        model coin {
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source: SourceFile | None = None
        self._items: list[ast.Stmt] = []
        self._blocks: list[list[ast.Stmt]] = [[]]
        self._taken: list[set[str]] = [set()]
        self._believed: dict[str, BeliefSpec | None] = {}
        self._restore: dict[str, BeliefSpec | None] = {}

    def __enter__(self) -> Model:
        frame = user_frame()
        if frame is not None:
            self.source = source_of(frame)
        _MODELS.append(self)
        _RECORDERS.append(self._record_expression)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _MODELS.remove(self)
        _RECORDERS.remove(self._record_expression)

    @property
    def file(self) -> ast.File:
        """The syntax tree of the file this model stands for."""
        body = ast.Block(tuple(self._blocks[0]))
        name = self.source.name if self.source is not None else "<python>"
        return ast.File(name, (*self._items, ast.ModelDef(self.name, body)))

    def to_blg(self) -> str:
        """The same model in the language."""
        from bl_compiler.frontend.format import format_source

        return format_source(self.file)

    def add(self, statement: ast.Stmt) -> None:
        """Append a statement to the open block."""
        self._flush(statement)
        self._blocks[-1].append(statement)

    def add_item(self, item: ast.Option | ast.LayerDef) -> None:
        """Append an option or a layer to the file."""
        self._items.append(item)

    def take(self, name: str) -> str:
        """A name not yet used in the open block: `name`, or `name_1`, …"""
        taken, count, found = self._taken[-1], 0, name
        while found in taken:
            count += 1
            found = f"{name}_{count}"
        taken.add(found)
        return found

    def _record_expression(self, made: Expression) -> Expression:
        names = target_names(user_frame())
        if not names:
            return made
        chosen = tuple(self.take(name) for name in names)
        self.add(ast.Let(chosen, made.tree, grouped=len(names) > 1, span=made.tree.span))
        parts = tuple(Expression(ast.Name(name, span=made.tree.span)) for name in chosen)
        return parts[0] if len(parts) == 1 else Expression(made.tree, parts)

    @contextmanager
    def block(self) -> Iterator[list[ast.Stmt]]:
        """Collect statements in a block of their own."""
        statements: list[ast.Stmt] = []
        self._blocks.append(statements)
        self._taken.append(set())
        try:
            yield statements
        finally:
            self._blocks.pop()
            self._taken.pop()

    @contextmanager
    def believing(
        self, statements: Mapping[tuple[str, ...], BeliefSpec], layers: tuple[str, ...], when: object
    ) -> Iterator[None]:
        """Hold beliefs for a while; afterwards the earlier ones are stated again, as soon as a statement follows."""
        before = dict(self._believed)
        span = here()
        condition = None if when is None else tree_of(when)
        for roles, spec in statements.items():
            self.add(ast.Believe(roles, layers, spec.prior, spec.posterior, spec.estimator, condition, span=span))
            self._believed.update(dict.fromkeys(roles, spec))
        yield
        for roles in statements:
            self._restore.update((role, before.get(role)) for role in roles)
        self._believed = before

    def _flush(self, statement: ast.Stmt) -> None:
        if (
            not self._restore
            or not isinstance(statement, (ast.Let, ast.Observe, ast.Sample, ast.Predict))
            or not _constructs(statement)
        ):
            return
        pending, self._restore = self._restore, {}
        for role, spec in pending.items():
            if spec is None:
                self._blocks[-1].append(ast.Believe((role,), posterior=ast.Name("point")))
            else:
                self._blocks[-1].append(ast.Believe((role,), (), spec.prior, spec.posterior, spec.estimator))


def _constructs(node: object) -> bool:
    """Whether a tree may construct a layer."""
    if isinstance(node, (ast.Call, ast.Pipe)):
        return True
    if isinstance(node, ast.Syntax):
        return any(_constructs(getattr(node, name)) for name in node.__dataclass_fields__ if name != "span")
    return isinstance(node, tuple) and any(map(_constructs, node))


_MODELS: list[Model] = []


def _model(what: str) -> Model:
    if not _MODELS:
        raise RuntimeError(f"`bl.{what}` stands inside `with bl.Model(…) as model:`")
    return _MODELS[-1]


def _names(expression: str) -> Expression:
    return Expression(ast.Name(expression, span=here()))


def plate(name: str, size: object, *, of: object = None) -> Expression:
    """An axis of independent examples: `size` in one step, `of` in the data set."""
    model = _model("plate")
    model.take(name)
    model.add(ast.Plate(name, tree_of(size), None if of is None else tree_of(of), span=here()))
    return _names(name)


def input(name: str, type: ast.TypeSyntax) -> Expression:
    """A value the caller feeds."""
    model = _model("input")
    model.take(name)
    model.add(ast.Input(name, type, span=here()))
    return _names(name)


def param(name: str, type: ast.TypeSyntax, init: object, constraint: object = None) -> Expression:
    """A trained value, in a constraint such as `bl.positive`."""
    model = _model("param")
    model.take(name)
    model.add(ast.Param(name, type, tree_of(init), None if constraint is None else tree_of(constraint), span=here()))
    return _names(name)


def option(name: str, value: object) -> Expression:
    """A compile-time constant that `defines` can override."""
    _model("option").add_item(ast.Option(name, tree_of(value), span=here()))
    return _names(name)


def let(name: str, value: object) -> Expression:
    """A name for a value, for where the Python variable's own name is not to be used."""
    model = _model("let")
    chosen = model.take(name)
    model.add(ast.Let((chosen,), tree_of(value), span=here()))
    return _names(chosen)


def sample(
    name: str,
    prior: object,
    by: object = None,
    *,
    type: ast.TypeSyntax | None = None,
    using: object = None,
) -> Expression:
    """A random variable with its prior and posterior; noise without `by`."""
    model = _model("sample")
    chosen = model.take(name)
    if isinstance(prior, BeliefSpec):
        tree, posterior, estimator = prior.prior, prior.posterior, prior.estimator
    else:
        tree = tree_of(prior)
        posterior = None if by is None else tree_of(by)
        estimator = None if using is None else tree_of(using)
    model.add(ast.Sample(chosen, tree, type, posterior, estimator, span=here()))
    return _names(chosen)


def observe(value: object, distribution: object, *, where: object = None) -> None:
    """Data and its likelihood; `where` leaves entries out."""
    mask = None if where is None else tree_of(where)
    _model("observe").add(ast.Observe(tree_of(value), tree_of(distribution), mask, span=here()))


def predict(name: str, value: object) -> None:
    """A named output of prediction."""
    _model("predict").add(ast.Predict(name, tree_of(value), span=here()))


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

    `bl.believe(kernel=prior.by(posterior))`, or `bl.believe(("kernel", "bias"), prior.by(posterior))` for one belief about several.
    `layers` names the layers it is about; `when` is a condition known at compile time.
    """
    given: dict[tuple[str, ...], BeliefSpec] = {}
    if roles:
        given[(roles,) if isinstance(roles, str) else tuple(roles)] = _belief(belief)
    for role, value in beliefs.items():
        given[(role,)] = _belief(value)
    names = (
        (layers,)
        if isinstance(layers, (str, Expression))
        else tuple(layers)
        if isinstance(layers, (list, tuple))
        else ()
    )
    words = tuple(n.tree.id if isinstance(n, Expression) and isinstance(n.tree, ast.Name) else str(n) for n in names)
    with _model("believe").believing(given, words, when):
        yield


def _belief(value: object) -> BeliefSpec:
    if isinstance(value, BeliefSpec):
        return value
    tree = tree_of(value)
    if isinstance(tree, ast.Name) and tree.id == "point":
        return BeliefSpec(None, tree)  # type: ignore[arg-type]  # `believe kernel = point` has no prior
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


def layer(function: Callable[..., object]) -> Callable[..., Expression]:
    """A user layer: the function's parameters are the layer's, its body is inlined at each instance."""
    name = function.__name__
    params = list(signature(function).parameters.values())

    def call(*positional: object, **named: object) -> Expression:
        model = _model(name)
        if not any(isinstance(i, ast.LayerDef) and i.name == name for i in model._items):
            _define(model, function, name, params)
        return _names(name)(*positional, **named)

    return call


def _define(model: Model, function: Callable[..., object], name: str, params: list[Parameter]) -> None:
    with model.block() as statements:
        for param in params:
            model.take(param.name)
        value = function(*(Expression(ast.Name(p.name)) for p in params))
        model.add(ast.Return(tree_of(value), span=here()))
    written = tuple(
        ast.LayerParam(p.name, None if p.default is Parameter.empty else tree_of(p.default)) for p in params
    )
    model.add_item(ast.LayerDef(name, written, ast.Block(tuple(statements)), span=here()))


def language_name(name: str) -> object | None:
    """The value of `bl.NAME` for a name of the language, or None if it has none."""
    if name in DTYPES:
        return ElementType(name)
    from bl_compiler.ir.families import FAMILIES

    if (
        name in FAMILIES
        or name in _WORDS
        or name in (*POSTERIORS, *ESTIMATORS, *OBJECTIVES, *OPTIMIZERS, *SCHEDULES, *CONSTRAINT_WORDS)
    ):
        return Expression(ast.Name(name, span=NO_SPAN))
    from bl_compiler.layers.registry import LAYERS

    return Expression(ast.Name(name, span=NO_SPAN)) if name in LAYERS else None


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
