"""Whole well-typed programs, with what to feed them.

`programs()` draws models with one plate, inputs of several ranks, random layers, named instances, user layers, options,
beliefs, latents, noise, masks and several observations. Invariant: every program drawn lowers without errors; with
`python=True` the Python builder can say it (`tests.support.replay`). May import: hypothesis, `ast`, `program_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from bl_compiler.frontend import ast
from bl_compiler.frontend.format import format_source
from tests.strategies.program_values import (
    Array,
    Family,
    Writer,
    call,
    grown,
    lit,
    name,
    pipe,
    posterior,
    prior,
    projected,
)

PLATE = "batch"


@dataclass(frozen=True)
class InputSpec:
    """What to feed an input.

    Attributes:
        kind: "real", "labels" (below `classes`), "flags" (0 or 1), "counts" or "mask".
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str
    classes: int = 0


@dataclass(frozen=True)
class Program:
    """A program: its tree, its inputs in order, the size of its plate and of the data set."""

    file: ast.File
    inputs: tuple[InputSpec, ...]
    batch: int
    total: int

    @property
    def text(self) -> str:
        """Its text."""
        return format_source(self.file)

    def __repr__(self) -> str:
        return f"Program of {self.inputs}:\n{self.text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis would print the tree."""
        printer.text(repr(self))


@dataclass
class _Model:
    """A model on its way."""

    w: Writer
    batch: int
    total: int
    python: bool
    encoders: bool
    inputs: list[InputSpec] = field(default_factory=list)

    def feed(self, stem: str, dtype: str, dims: tuple[int, ...], kind: str, classes: int = 0) -> ast.Expr:
        """Declare an input with one value per example."""
        chosen = self.w.fresh(stem)
        self.inputs.append(InputSpec(chosen, dtype, (self.batch, *dims), kind, classes))
        self.w.statements.append(ast.Input(chosen, type_of(dtype, *dims)))
        return name(chosen)


def type_of(dtype: str, *dims: int, local: bool = True) -> ast.TypeSyntax:
    """A type with or without the plate."""
    plate = (ast.DimSyntax(name(PLATE)),) if local else ()
    return ast.TypeSyntax(dtype, (*plate, *(ast.DimSyntax(lit(d)) for d in dims)))


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    python: bool = False,
    objectives: tuple[str, ...] = ("elbo", "elbo2", "iwae", "map", "mle"),
    size: int = 5,
) -> Program:
    """A program.

    Args:
        draw: of hypothesis.
        python: whether the Python builder must be able to say it; it has no `if`.
        objectives: which objectives to choose from; `elbo2` has two draws and a KL weight.
        size: how many statements at most stand between the inputs and the observations.
    """
    w = Writer(draw)
    objective = draw(st.sampled_from(objectives))
    batch = draw(st.integers(2, 4))
    model = _Model(w, batch, batch * draw(st.integers(1, 5)), python, objective not in ("map", "mle"))
    items = _options(w) + _user_layers(w)
    w.statements.append(ast.Plate(PLATE, lit(batch), lit(model.total)))
    for _ in range(draw(st.integers(1, 2))):
        dims = tuple(draw(st.lists(st.integers(1, 4), min_size=0, max_size=3)))
        w.arrays.append(Array(model.feed("x", "f32", dims, "real"), dims))
    for _ in range(draw(st.integers(0, size))):
        draw(st.sampled_from(_STATEMENTS))(model)
    for _ in range(draw(st.integers(1, 2))):
        draw(st.sampled_from(_OBSERVATIONS))(model)
    if draw(st.booleans()):
        w.statements.append(ast.Predict(w.fresh("p"), w.local_array().tree))
    w.statements += _training(w, objective)
    file = ast.File("test.blg", (*items, ast.ModelDef("random_model", ast.Block(tuple(w.statements)))))
    return Program(file, tuple(model.inputs), batch, model.total)


# --- items -----------------------------------------------------------------------------------------------------------


def _options(w: Writer) -> list[ast.Stmt]:
    for _ in range(w.draw(st.integers(0, 2))):
        w.options[w.fresh("width")] = w.draw(st.integers(1, 4))
    return [ast.Option(n, lit(v)) for n, v in w.options.items()]


def _user_layers(w: Writer) -> list[ast.Stmt]:
    kinds = w.draw(st.lists(st.sampled_from(["residual", "stack", "believing"]), max_size=2))
    found: list[ast.Stmt] = []
    for kind in kinds:
        layer = w.fresh(kind)
        x, y = name("x"), name("y")
        size = ast.Index(ast.Attribute(x, "shape"), (lit(-1),))
        if kind == "residual":
            params = (ast.LayerParam("x"), ast.LayerParam("activation", name("tanh")))
            body: tuple[ast.Stmt, ...] = (
                ast.Let(("y",), pipe(x, call("dense", size), name("activation"))),
                ast.Return(ast.Binary("+", x, pipe(y, name("layer_norm")))),
            )
        elif kind == "stack":
            params = (ast.LayerParam("x"), ast.LayerParam("units"))
            body = (ast.Return(pipe(x, call("dense", name("units")), name("relu"), call("dense", name("units")))),)
        else:
            params = (ast.LayerParam("x"),)
            body = (
                ast.Believe(("kernel",), prior=prior(w), posterior=name("mean_field")),
                ast.Let(("y",), pipe(x, call("dense", size))),
                ast.Return(y),
            )
        w.layers.append(Family(layer, keeps_size=kind != "stack", takes_units=kind == "stack"))
        found.append(ast.LayerDef(layer, params, ast.Block(body)))
    return found


# --- statements between inputs and observations ----------------------------------------------------------------------


def _value(model: _Model) -> None:
    w = model.w
    array = w.local_array()
    for _ in range(w.draw(st.integers(1, 3))):
        array = grown(w, array)
    w.let(array)


def _parameter(model: _Model) -> None:
    w = model.w
    dims = tuple(w.draw(st.lists(st.integers(1, 4), max_size=2)))
    chosen, constraint = w.fresh("w"), w.draw(st.sampled_from([None, name("positive"), call("interval", -1, 2)]))
    w.statements.append(ast.Param(chosen, type_of("f32", *dims, local=False), lit(0.5), constraint))
    w.arrays.append(Array(name(chosen), dims, local=False))


def _belief(model: _Model) -> None:
    w = model.w
    roles = tuple(w.draw(st.lists(st.sampled_from(["kernel", "bias", "scale"]), min_size=1, max_size=2, unique=True)))
    layers = w.draw(st.sampled_from([(), (), ("dense",), ("dense", "layer_norm")]))
    if w.draw(st.integers(0, 3)) == 0:
        w.statements.append(ast.Believe(roles, layers, posterior=name("point")))
        return
    condition = None
    if w.options and w.coin():
        condition = ast.Binary(">", name(min(w.options)), lit(2))
    form = posterior(w)
    estimator = name("shared") if w.coin() and not (isinstance(form, ast.Name) and form.id == "point") else None
    w.statements.append(ast.Believe(roles, layers, prior(w), form, estimator, condition))


def _global_latent(model: _Model) -> None:
    w = model.w
    chosen, dims = w.fresh("v"), tuple(w.draw(st.lists(st.integers(1, 4), max_size=2)))
    form = posterior(w) or name("mean_field")
    w.statements.append(ast.Sample(chosen, prior(w), type_of("f32", *dims, local=False), form))
    w.arrays.append(Array(name(chosen), dims, local=False))


def _local_latent(model: _Model) -> None:
    if not model.encoders:
        return _value(model)
    w = model.w
    chosen, size, source = w.fresh("z"), w.draw(st.integers(1, 3)), w.local_array()
    scale = pipe(projected(w, source, size), name("softplus"))
    computed = call("Normal", projected(w, source, size), ast.Binary("+", scale, lit(0.1)))
    w.statements.append(ast.Sample(chosen, call("Normal", 0, 1), type_of("f32", size), computed))
    w.arrays.append(Array(name(chosen), (size,)))
    return None


def _noise(model: _Model) -> None:
    w = model.w
    chosen, size = w.fresh("e"), w.draw(st.integers(1, 3))
    w.statements.append(ast.Sample(chosen, call("Normal", 0, 0.5), type_of("f32", size)))
    w.arrays.append(Array(name(chosen), (size,)))


def _block(model: _Model) -> None:
    """`if`, with names of its own."""
    w = model.w
    if model.python:
        return _value(model)
    outer, arrays, instances = w.statements, list(w.arrays), list(w.instances)
    condition = ast.Binary(">", name(min(w.options)), lit(1)) if w.options else lit(w.coin())
    blocks: list[ast.Block] = []
    for _ in range(2):
        w.statements, w.arrays, w.instances = [], list(arrays), list(instances)
        _value(model)
        w.statements.append(ast.Predict(w.fresh("q"), w.arrays[-1].tree))
        blocks.append(ast.Block(tuple(w.statements)))
    w.statements, w.arrays, w.instances = outer, arrays, instances
    w.statements.append(ast.If(condition, blocks[0], blocks[1] if w.coin() else None))
    return None


_STATEMENTS: tuple[Callable[[_Model], None], ...] = (
    *(_value, _value, _value, _value, _parameter, _belief, _belief),
    *(_global_latent, _local_latent, _noise, _block),
)


# --- observations ----------------------------------------------------------------------------------------------------


def _observe(model: _Model, target: ast.Expr, distribution: ast.Expr, dims: tuple[int, ...]) -> None:
    w = model.w
    mask: ast.Expr | None = None
    if w.draw(st.integers(0, 2)) == 0:
        mask = model.feed("m", "bool", dims, "mask")
    w.statements.append(ast.Observe(target, distribution, mask))


def _numbers(model: _Model) -> None:
    w = model.w
    size = w.draw(st.integers(1, 3))
    target = model.feed("y", "f32", (size,), "real")
    loc = projected(w, w.local_array(), size)
    scale: ast.Expr = lit(w.draw(st.sampled_from([1, 0.5])))
    if w.coin():
        scale = ast.Binary("+", pipe(projected(w, w.local_array(), size), name("softplus")), lit(0.1))
    elif w.coin():
        chosen = w.fresh("s")
        w.statements.append(ast.Param(chosen, type_of("f32", local=False), lit(1.0), name("positive")))
        scale = name(chosen)
    match w.draw(st.integers(0, 2)):
        case 0:
            _observe(model, target, call("Laplace", loc, scale), (size,))
        case 1:
            _observe(model, target, call("StudentT", 5, loc, scale), (size,))
        case _:
            _observe(model, target, call("Normal", loc, scale), (size,))


def _scalar(model: _Model) -> None:
    target = model.feed("y", "f32", (), "real")
    loc = pipe(projected(model.w, model.w.local_array(), 1), call("squeeze", -1))
    _observe(model, target, call("Normal", loc, 1), ())


def _labels(model: _Model) -> None:
    w = model.w
    classes = w.draw(st.integers(2, 4))
    target = model.feed("y", "i32", (), "labels", classes)
    logits = projected(w, w.local_array(), classes)
    if w.coin():
        _observe(model, target, call("Categorical", probs=pipe(logits, name("softmax"))), ())
    else:
        _observe(model, target, call("Categorical", logits=logits), ())


def _flags(model: _Model) -> None:
    w = model.w
    size = w.draw(st.integers(1, 3))
    target = model.feed("y", "i32", (size,), "flags")
    _observe(model, target, call("Bernoulli", logits=projected(w, w.local_array(), size)), (size,))


def _counts(model: _Model) -> None:
    w = model.w
    target = model.feed("y", "i32", (), "counts")
    rate = pipe(projected(w, w.local_array(), 1), name("softplus"), call("squeeze", axis=-1))
    _observe(model, target, call("Poisson", ast.Binary("+", rate, lit(0.1))), ())


_OBSERVATIONS = (_numbers, _scalar, _labels, _flags, _counts)


def _training(w: Writer, objective: str) -> list[ast.Stmt]:
    chosen = {
        "elbo2": call("elbo", samples=2, kl_weight=0.5),
        "iwae": call("iwae", samples=3),
    }.get(objective, name(objective))
    found: list[ast.Stmt] = [ast.Objective(chosen)] if objective != "elbo" or w.coin() else []
    if w.coin():
        rate: ast.Expr = w.draw(st.sampled_from([lit(0.01), call("cosine_decay_schedule", 1e-3, decay_steps=100)]))
        found.append(ast.Optimize(call(str(w.pick("adam", "sgd")), learning_rate=rate)))
    return found
