"""Well-typed expressions of random programs: arrays with what is known about them, and the stages they may go through.

Invariant: a stage drawn for an array fits it, and keeps numbers of moderate size moderate.
May import: hypothesis, `ast`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from hypothesis import strategies as st

from bl_compiler.frontend import ast

Literal = bool | int | float | str | None


def lit(value: Literal) -> ast.Literal:
    """A literal."""
    return ast.Literal(value)


def name(word: str) -> ast.Name:
    """A name."""
    return ast.Name(word)


def expr(value: ast.Expr | Literal) -> ast.Expr:
    """A literal's tree, or the tree itself."""
    return value if isinstance(value, ast.Expr) else ast.Literal(value)


def call(function: str, *positional: ast.Expr | Literal, **named: ast.Expr | Literal) -> ast.Call:
    """A call by name."""
    arguments = [ast.Argument(expr(v)) for v in positional]
    return ast.Call(name(function), (*arguments, *(ast.Argument(expr(v), k) for k, v in named.items())))


def pipe(value: ast.Expr, *stages: ast.Expr) -> ast.Expr:
    """A value through stages."""
    for stage in stages:
        value = ast.Pipe(value, stage)
    return value


@dataclass(frozen=True)
class Array:
    """A value of a program.

    Attributes:
        tree: its expression.
        dims: its sizes, without the plate's.
        local: whether its first axis is the plate.
    """

    tree: ast.Expr
    dims: tuple[int, ...]
    local: bool = True


@dataclass(frozen=True)
class Family:
    """A user layer: its name, and the sizes it gives for sizes and a number of units."""

    name: str
    keeps_size: bool
    takes_units: bool


@dataclass
class Writer:
    """A program on its way.

    Attributes:
        draw: of hypothesis.
        statements: the block so far.
        arrays: what can be used, of floats.
        layers: user layers to use.
        options: whole numbers known at compile time, by name.
        instances: named layer instances: name, size of the input, units.
    """

    draw: st.DrawFn
    statements: list[ast.Stmt] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    layers: list[Family] = field(default_factory=list)
    options: dict[str, int] = field(default_factory=dict)
    instances: list[tuple[str, int, int]] = field(default_factory=list)
    taken: int = 0

    def pick(self, *choices: object) -> object:
        """One of some values."""
        return self.draw(st.sampled_from(choices))

    def coin(self) -> bool:
        """True or false."""
        return self.draw(st.booleans())

    def fresh(self, stem: str) -> str:
        """A new name."""
        self.taken += 1
        return f"{stem}{self.taken}"

    def units(self) -> tuple[ast.Expr, int]:
        """A size for a layer, as a number or as an option."""
        if self.options and self.coin():
            chosen = self.draw(st.sampled_from(sorted(self.options)))
            return name(chosen), self.options[chosen]
        size = self.draw(st.integers(1, 4))
        return lit(size), size

    def local_array(self) -> Array:
        """A value per example."""
        return self.draw(st.sampled_from([a for a in self.arrays if a.local]))

    def let(self, array: Array, stem: str = "h") -> Array:
        """Name a value; the result is a use of the name."""
        chosen = self.fresh(stem)
        self.statements.append(ast.Let((chosen,), array.tree))
        found = Array(name(chosen), array.dims, array.local)
        self.arrays.append(found)
        return found


# --- stages ----------------------------------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "gelu", "elu", "silu", "identity")


def grown(w: Writer, array: Array) -> Array:
    """The array after one stage or operator."""
    makers = [_activation, _scaled, _combined, _noised]
    if array.dims:
        makers += [_dense, _dense, _normalized, _reduced, _sliced, _softened, _user_layer, _instance]
    if len(array.dims) >= 2:
        makers += [_flattened, _transposed, _convolved, _convolved, _split]
    else:
        makers.append(_expanded)
    return w.draw(st.sampled_from(makers))(w, array)


def projected(w: Writer, array: Array, size: int) -> ast.Expr:
    """The array as [plate, size], by a dense layer."""
    tree = array.tree if array.dims else pipe(array.tree, call("expand_dims", -1))
    if len(array.dims) > 1:
        tree = pipe(tree, name("flatten"))
    if w.coin():
        tree = pipe(tree, _dense_call(w, lit(w.draw(st.integers(1, 4)))), name(w.draw(st.sampled_from(ACTIVATIONS))))
    return pipe(tree, _dense_call(w, lit(size)))


def _after(array: Array, stage: ast.Expr, dims: tuple[int, ...]) -> Array:
    return Array(pipe(array.tree, stage), dims, array.local)


def _activation(w: Writer, array: Array) -> Array:
    return _after(array, name(w.draw(st.sampled_from(ACTIVATIONS))), array.dims)


def _dense_call(w: Writer, units: ast.Expr) -> ast.Call:
    found = call("dense", units)
    arguments = list(found.arguments)
    match w.draw(st.integers(0, 7)):
        case 0:
            arguments.append(ast.Argument(lit(False), "use_bias"))
        case 1:
            arguments.append(ast.Argument(name("tanh"), "activation"))
        case 2:
            arguments.append(ast.BeliefArgument("kernel", prior(w), posterior(w)))
        case 3:
            arguments.append(ast.Argument(name("point"), "bias"))
        case 4:
            arguments.append(ast.Argument(lit(w.fresh("own/layer")), "name"))
    return ast.Call(found.function, tuple(arguments))


def _dense(w: Writer, array: Array) -> Array:
    tree, size = w.units()
    return _after(array, _dense_call(w, tree), (*array.dims[:-1], size))


def _normalized(w: Writer, array: Array) -> Array:
    chosen = w.draw(st.sampled_from(["layer_norm", "rms_norm", *(["batch_norm"] if array.local else [])]))
    return _after(array, name(str(chosen)), array.dims)


def _noised(w: Writer, array: Array) -> Array:
    return _after(array, call("dropout", w.draw(st.sampled_from([0.0, 0.25, 0.5]))), array.dims)


def _reduced(w: Writer, array: Array) -> Array:
    return _after(array, call(str(w.pick("mean", "max", "sum")), axis=-1), array.dims[:-1])


def _softened(w: Writer, array: Array) -> Array:
    return _after(array, name(str(w.pick("softmax", "log_softmax"))), array.dims)


def _sliced(w: Writer, array: Array) -> Array:
    size = array.dims[-1]
    start = w.draw(st.integers(0, size - 1))
    stop = w.draw(st.integers(start + 1, size))
    step = w.draw(st.sampled_from([None, 2]))
    last = ast.Slice(lit(start), lit(stop), None if step is None else lit(step))
    if w.coin():
        return Array(ast.Index(array.tree, (ast.Ellipsis(), lit(start))), array.dims[:-1], array.local)
    rest = len(range(start, stop, step or 1))
    return Array(ast.Index(array.tree, (ast.Ellipsis(), last)), (*array.dims[:-1], rest), array.local)


def _scaled(w: Writer, array: Array) -> Array:
    number = lit(w.draw(st.sampled_from([0.5, -1.5, 2, 1])))
    op = str(w.pick("+", "-", "*", "/"))
    tree = ast.Binary(op, array.tree, number) if op == "/" or w.coin() else ast.Binary(op, number, array.tree)
    return Array(ast.Unary("-", array.tree) if w.draw(st.integers(0, 4)) == 0 else tree, array.dims, array.local)


def _combined(w: Writer, array: Array) -> Array:
    if not isinstance(array.tree, ast.Name):
        array = w.let(array)  # it may be used twice, and layers may not
    other = w.draw(st.sampled_from([a for a in w.arrays if a.dims == array.dims] or [array]))
    local = array.local or other.local
    match w.draw(st.integers(0, 3)):
        case 0 if array.dims and other.local == array.local:
            joined = call("concat", axis=-1)
            size = array.dims[-1] + other.dims[-1]
            return Array(pipe(ast.ListExpr((array.tree, other.tree)), joined), (*array.dims[:-1], size), local)
        case 1:
            tree = call("where", ast.Binary(">", array.tree, lit(0.5)), array.tree, other.tree)
        case 2:
            tree = call("maximum", array.tree, other.tree)
        case _:
            tree = ast.Binary(str(w.pick("+", "-")), array.tree, other.tree)
    return Array(tree, array.dims, local)


def _expanded(w: Writer, array: Array) -> Array:
    return _after(array, call("expand_dims", -1), (*array.dims, 1))


def _flattened(w: Writer, array: Array) -> Array:
    return _after(array, name("flatten"), (prod(array.dims),))


def _transposed(w: Writer, array: Array) -> Array:
    return _after(array, name("transpose"), array.dims[::-1])


def _split(w: Writer, array: Array) -> Array:
    """The first of the parts, by `let (a, b) = …`."""
    size = array.dims[-1]
    if size < 2:
        return _flattened(w, array)
    parts = tuple(w.fresh("part") for _ in range(2))
    cut = ast.ListExpr((lit(1), lit(size - 1)))
    w.statements.append(ast.Let(parts, pipe(array.tree, call("split", cut)), grouped=True))
    w.arrays.append(Array(name(parts[1]), (*array.dims[:-1], size - 1), array.local))
    return Array(name(parts[0]), (*array.dims[:-1], 1), array.local)


def _convolved(w: Writer, array: Array) -> Array:
    rank = len(array.dims) - 1
    if rank > 2 or not array.local:
        return _flattened(w, array)
    filters, window = w.draw(st.integers(1, 3)), w.draw(st.integers(1, min(3, *array.dims[:-1])))
    if w.coin():
        stage = call(f"conv{rank}d", filters, kernel_size=window, padding="same")
        return _after(array, stage, (*array.dims[:-1], filters))
    if w.coin():
        stage = call(f"conv{rank}d", lit(filters), kernel_size=window)
        return _after(array, stage, (*(d - window + 1 for d in array.dims[:-1]), filters))
    return _after(
        array,
        call(f"{w.pick('max', 'avg')}_pool{rank}d", window),
        (*(d // window for d in array.dims[:-1]), array.dims[-1]),
    )


def _user_layer(w: Writer, array: Array) -> Array:
    if not w.layers:
        return _dense(w, array)
    chosen = w.draw(st.sampled_from(w.layers))
    size = array.dims[-1]
    stage: ast.Expr = name(chosen.name)
    if chosen.takes_units:
        tree, size = w.units()
        stage = call(chosen.name, tree)
    applied = w.coin() and not chosen.takes_units
    tree = call(chosen.name, array.tree) if applied else pipe(array.tree, stage)
    return Array(tree, (*array.dims[:-1], size), array.local)


def _instance(w: Writer, array: Array) -> Array:
    """Through a named instance, used again where it fits."""
    fitting = [i for i in w.instances if i[1] == array.dims[-1]]
    if fitting and w.coin():
        chosen, _, size = w.draw(st.sampled_from(fitting))
    else:
        tree, size = w.units()
        chosen = w.fresh("enc")
        w.statements.append(ast.Let((chosen,), _dense_call(w, tree)))
        w.instances.append((chosen, array.dims[-1], size))
    return _after(array, name(chosen), (*array.dims[:-1], size))


# --- beliefs ---------------------------------------------------------------------------------------------------------


def prior(w: Writer) -> ast.Expr:
    """A prior over any numbers."""
    scale = w.draw(st.sampled_from([0.5, 1, 2.0]))
    match w.draw(st.integers(0, 3)):
        case 0:
            return call("Laplace", 0, scale)
        case 1:
            return call("StudentT", 4, 0, scale)
        case _:
            return call("Normal", 0, scale)


def posterior(w: Writer) -> ast.Expr | None:
    """A posterior by name, or the one that stands for none."""
    match w.draw(st.integers(0, 6)):
        case 0:
            return None
        case 1:
            return name("point")
        case 2:
            return call("mean_field", init_scale=0.1)
        case 3:
            return call("mean_field", family=name("Laplace"))
        case 4:
            return name(w.draw(st.sampled_from(["variational_dropout", "hierarchical", "horseshoe"])))
        case 5:
            composite = w.draw(st.sampled_from(["rank1", "batch_ensemble", "hyper_batch_ensemble", "dropout"]))
            return call(composite, 0.25 if composite == "dropout" else w.draw(st.integers(1, 3)))
        case _:
            return name("mean_field")
