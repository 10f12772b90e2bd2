"""The entry points of an emitted program: the functions around the entry graphs.

Each graph becomes one function of one draw (`_train`, `_predict`, …); the public functions map it over draws, take
gradients of it, or summarize it. Invariant: a public function exists exactly if the module has its graph.
May import: floors 0-1, `functions`, `context`, `pyexpr`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Line
from bl_compiler.backends.jax.functions import INDENT, Function, dictionary
from bl_compiler.backends.jax.rules_region import draws
from bl_compiler.ir.graph import Graph, Module, Node, Optimizer
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.rewrite import Rewriter, map_graph
from bl_compiler.ir.walk import walk

T = TypeVar("T")

PUBLIC = ("init", "loss", "train_init", "train_step", "predict", "log_likelihood", "log_joint", "sample")
"""The functions of an emitted program, as far as its module has their graphs."""


def under(prefix: str, items: Mapping[str, T]) -> dict[str, T]:
    """The items whose names start with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in items.items() if key.startswith(prefix)}


def statistics_of(module: Module) -> frozenset[str]:
    """Paths of the running statistics: kept with the parameters, not trained by gradients."""
    states = {n.attrs.text("path") for g in module.functions.values() for n in walk(g) if n.op.name == "model.state"}
    train = module.functions.get("train")
    return frozenset(states | set(under("state:", {o.name: "" for o in train.outputs} if train else {})))


def joint_graph(module: Module) -> Graph | None:
    """The graph behind `predict(joint=True)`: `predict` itself where it is the same; None where there is none."""
    predict, joint = (module.functions.get(name) for name in ("predict", "predict_joint"))
    if predict is None or joint is None:
        # What draws nothing is the same for every draw.
        return None if predict is None or draws(predict) else predict
    return predict if _estimated_alike(predict) == joint else joint


def _estimated_alike(graph: Graph) -> Graph:
    """The graph with its draws called `shared`, which is what they are once passes have run."""

    def change(node: Node, rewriter: Rewriter) -> bool:
        if node.op.name == "random.draw":
            rewriter.keep_with(node, node.attrs.with_(estimator="shared"))
        return node.op.name == "random.draw"

    return map_graph(graph, CORE_OPS, change)


def entry_functions(module: Module) -> Iterator[Function]:
    """The functions that are written from graphs."""
    writers: Mapping[str, Callable[[Graph], Function]] = {
        "init": _init,
        "train": _train,
        "predict": _predict,
        "predict_joint": _predict_joint,
        "log_likelihood": _log_likelihood,
        "log_joint": _log_joint,
        "sample": _sample,
        "sample_prior": _sample_prior,
    }
    joint = joint_graph(module)
    for name, write in writers.items():
        graph = module.functions.get(name)
        if graph is not None and (name != "predict_joint" or graph is joint):
            yield write(graph)


def _init(graph: Graph) -> Function:
    return Function(
        "init",
        "seed",
        "Initial parameters and statistics, by path.",
        graph,
        lambda outputs: dictionary(under("param:", outputs)),
        ["key = as_key(seed)"] if draws(graph) else [],
    )


def _train(graph: Graph) -> Function:
    def returns(outputs: Mapping[str, str]) -> str:
        named = [name for name in outputs if name != "loss" and not name.startswith("state:")]
        metrics = ", ".join(f"{_quoted(name)}: {outputs[name]}" for name in named)
        return f"({outputs['loss']}, ({{{metrics}}}, {dictionary(under('state:', outputs))}))"

    parameters, doc = "params, inputs, key, sizes=None, step=None", "The loss; its parts and the new statistics."
    return Function("_train", parameters, doc, graph, returns)


def _predict(graph: Graph) -> Function:
    return Function("_predict", "params, inputs, key", "What one draw predicts.", graph, dictionary)


def _predict_joint(graph: Graph) -> Function:
    doc = "What one draw predicts, one draw of every weight for all examples."
    return Function("_predict_joint", "params, inputs, key", doc, graph, dictionary)


def _log_likelihood(graph: Graph) -> Function:
    doc = "Log density of each example under one draw, by site."
    return Function(
        "_log_likelihood", "params, inputs, key", doc, graph, lambda outputs: dictionary(under("log_prob:", outputs))
    )


def _log_joint(graph: Graph) -> Function:
    return Function(
        "log_joint",
        "params, sites, inputs, sizes=None",
        "Log density of the data and of the values of all sites, together.",
        graph,
        lambda outputs: outputs["log_joint"],
        # Nothing is drawn here unless a value that no site names is; then it is the same one every time.
        ["key = jax.random.key(0)"] if draws(graph) else [],
    )


def _sample(graph: Graph) -> Function:
    doc = "One draw of every site and observation, global sites from the posterior."
    return Function("_sample", "params, inputs, key", doc, graph, lambda o: dictionary(under("value:", o)))


def _sample_prior(graph: Graph) -> Function:
    doc = "One draw of every site and observation from the prior."
    return Function("_sample_prior", "params, inputs, key", doc, graph, lambda o: dictionary(under("value:", o)))


# The public functions around them


def optimizer_text(optimizer: Optimizer) -> str:
    """The optax call; a value `(name, arguments)` is a call within it, and an argument named by a number stands alone.

    >>> optimizer_text(Optimizer("adam", (("learning_rate", ("constant_schedule", (("value", 0.1),))),)))
    'optax.adam(learning_rate=optax.constant_schedule(value=0.1))'
    """
    parts = []
    for key, value in optimizer.arguments:
        text = _argument_text(value)
        parts.append((key.isdecimal(), text if key.isdecimal() else f"{key}={text}"))
    return f"optax.{optimizer.name}({', '.join(text for _, text in sorted(parts, key=lambda part: not part[0]))})"


def _argument_text(value: object) -> str:
    match value:
        case (str() as name, tuple() as arguments):
            return optimizer_text(Optimizer(name, arguments))
        case tuple() | list():
            return f"[{', '.join(map(_argument_text, value))}]"
        case bool() | int() | float():
            return pyexpr.text(pyexpr.number(value))
        case _:
            return _quoted(value) if isinstance(value, str) else repr(value)


def _lines(text: str) -> list[Line]:
    return [Line(text.strip("\n"))]


def constants(module: Module) -> list[Line]:
    """What stands between the helpers and the functions."""
    init = module.functions.get("init")
    if init is None or "train" not in module.functions:
        return []
    paths = [o.name.removeprefix("param:") for o in init.outputs]
    statistics = statistics_of(module)
    trained = "".join(f"{INDENT}{_quoted(path)},\n" for path in paths if path not in statistics)
    return [Line(f"OPTIMIZER = {optimizer_text(module.optimizer)}"), Line(f"TRAINED = (\n{trained})")]


def _quoted(text: str) -> str:
    return pyexpr.text(pyexpr.string(text))


def public_functions(module: Module) -> Iterator[list[Line]]:
    """The functions around those of the graphs."""
    functions = module.functions
    if "train" in functions:
        yield _lines(_LOSS)
    if "train" in functions and "init" in functions:
        yield _lines(_TRAIN_INIT)
        yield _lines(_TRAIN_STEP)
    if "predict" in functions:
        yield _lines(_predict_text(module, functions["predict"]))
    if "log_likelihood" in functions:
        yield _lines(_LOG_LIKELIHOOD)
    if "sample" in functions or "sample_prior" in functions:
        table = {name: f"_{name}" for name in ("sample", "sample_prior") if name in functions}
        choices = {"posterior": table.get("sample"), "prior": table.get("sample_prior")}
        yield _lines(_SAMPLE.replace("CHOICES", ", ".join(f"{_quoted(k)}: {v}" for k, v in choices.items() if v)))


def _predict_text(module: Module, graph: Graph) -> str:
    """The function `predict`."""
    joint = joint_graph(module)
    return _PREDICT.format(
        draw="_predict" if joint is None or joint is graph else "(_predict_joint if joint else _predict)",
        refused="" if joint is not None else _REFUSED,
        drawn=dictionary(_unsummarized(joint or graph)).replace("\n", "\n" + 2 * INDENT),
        summaries=dictionary(_summaries(graph)).replace("\n", "\n" + INDENT),
    )


def _unsummarized(graph: Graph) -> dict[str, str]:
    """The draws of each output of prediction, as `joint=True` gives them."""
    names = {o.name: "" for o in graph.outputs}
    found: dict[str, str] = {}
    for site in under("probs:", names):
        found[site] = f'{{"probs": {_drawn("probs:" + site)}}}'
    for site in under("mean:", names):
        variance = f', "stddev": jnp.sqrt({_drawn("variance:" + site)})' if f"variance:{site}" in names else ""
        found[site] = f'{{"mean": {_drawn("mean:" + site)}{variance}}}'
    for name in under("value:", names):
        found[name] = f'{{"value": {_drawn("value:" + name)}}}'
    return found


def _summaries(graph: Graph) -> dict[str, str]:
    """How each output of prediction is summarized over draws."""
    names = {o.name: "" for o in graph.outputs}
    found: dict[str, str] = {}
    for site in under("probs:", names):
        found[site] = f'{{"probs": jnp.mean({_drawn("probs:" + site)}, axis=0)}}'
    for site in under("mean:", names):
        variance = f", {_drawn('variance:' + site)}" if f"variance:{site}" in names else ""
        found[site] = f"summarize({_drawn('mean:' + site)}{variance})"
    for name in under("value:", names):
        # Where draws are integrated out, the graph tells the variance that they no longer show.
        hidden = (
            f", {_drawn('variance:' + name)}" if f"variance:{name}" in names and f"mean:{name}" not in names else ""
        )
        found[name] = f"summarize({_drawn('value:' + name)}{hidden})"
    return found


def _drawn(output: str) -> str:
    return f"drawn[{_quoted(output)}]"


_LOSS = '''
def loss(params, inputs, seed, sizes=None, step=None):
    """The loss per example in nats, and its parts `nll` and `kl`."""
    value, (metrics, _) = _train(params, inputs, as_key(seed), sizes, step)
    return value, metrics
'''

_TRAIN_INIT = '''
def train_init(seed):
    """The state before the first training step."""
    params, key = init(seed), as_key(seed)
    opt_state = OPTIMIZER.init({path: params[path] for path in TRAINED})
    state = {"step": jnp.zeros((), jnp.int32), "params": params, "opt_state": opt_state}
    return {**state, "key": jax.random.key_data(key)}
'''

_TRAIN_STEP = '''
def train_step(state, inputs, sizes=None):
    """The state after one more training step, and the metrics of that step."""
    params, step = state["params"], state["step"]
    key = jax.random.fold_in(as_key(state["key"]), step)

    def objective(trained):
        return _train({**params, **trained}, inputs, key, sizes, step)

    trained = {path: params[path] for path in TRAINED}
    (value, (metrics, statistics)), gradients = jax.value_and_grad(objective, has_aux=True)(trained)
    updates, opt_state = OPTIMIZER.update(gradients, state["opt_state"], trained)
    params = {**params, **statistics, **optax.apply_updates(trained, updates)}
    state = {"step": step + 1, "params": params, "opt_state": opt_state, "key": state["key"]}
    return state, {"loss": value, **metrics}
'''

_PREDICT = '''
def predict(params, inputs, seed, draws=32, joint=False):
    """Predictions by name, summarized over draws: class probabilities, or mean and standard deviation.

    With `joint`, one draw of every weight serves all examples, and the draws come along the first axis.
    """{refused}
    drawn = jax.vmap(lambda key: {draw}(params, inputs, key))(fold_range(as_key(seed), draws))
    if joint:
        return {drawn}
    return {summaries}
'''

_REFUSED = """
    if joint:
        raise ValueError("the program was compiled without joint draws")"""

_LOG_LIKELIHOOD = '''
def log_likelihood(params, inputs, seed, draws=32):
    """Log density of each example by site, draws along the first axis."""
    return jax.vmap(lambda key: _log_likelihood(params, inputs, key))(fold_range(as_key(seed), draws))
'''

_SAMPLE = '''
def sample(params, seed, inputs=None, draws=1, weights="posterior"):
    """Draws of every site and observation, along the first axis; global sites from the posterior or the prior."""
    draw = {CHOICES}[weights]
    return jax.vmap(lambda key: draw(params, inputs or {}, key))(fold_range(as_key(seed), draws))
'''
