"""The entry `train`: the loss per example in nats, its parts, and the new statistics.

    loss = nll + weight · kl

`nll` sums the negative log likelihoods; `kl` sums KL(posterior ‖ prior) over samples and -log prior over points, each
site once however often it is used. Both are sums over the data set divided by the size of the primary plate
(`plates_scale`). `map` is `elbo` on a model whose sites are points; `mle` leaves `kl` out.

* `elbo`, S samples: the mean over S draws (Kingma and Welling 2014, equation 7). What depends on no draw is computed
  once, outside the region.
* `iwae`, K samples: global sites are drawn once; per element of the primary plate the bound of Burda, Grosse and
  Salakhutdinov 2016, equation 8: `log mean_k p(x, z_k) / q(z_k)`. Noise on the plate is drawn with the local sites, as
  a latent whose posterior is its prior. The weight of `kl` multiplies the global sites only.

`itemized_entry` is the same graph with every term as an output: what `blc explain --elbo` shows.

Invariant: every site and every observation of the model is added once. May import: floors 0-1, `entry_frame`,
`densities`, `ledger`, `plates_scale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Objective, Value
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.types import DistType, DType, distribution, plates_of
from bl_compiler.passes.densities import divergence, kl_form, log_likelihood, log_prior, log_ratio
from bl_compiler.passes.entry_errors import EntriesError
from bl_compiler.passes.entry_frame import Frame, Latents, Mode, drawn
from bl_compiler.passes.ledger import Item, Ledger, Part
from bl_compiler.passes.plates_scale import primary_plate, site_dims

_MODE = Mode(Latents.POSTERIOR, training=True)


def train_entry(module: Module, ops: OpSet) -> Graph:
    """The graph `train`, with the outputs `loss`, `nll`, `kl` and `state:PATH`.

    Raises:
        EntriesError: The objective does not fit the model.
    """
    outer, ledger, outputs = _derived(module, ops, itemized=False)
    outputs += [(f"state:{path}", outer.builder.unary("stop_gradient", new)) for path, new in ledger.states().items()]
    return outer.finish(outputs)


@dataclass(frozen=True)
class Itemized:
    """The objective term by term.

    Attributes:
        graph: `train` with the outputs `loss`, `nll`, `kl`, `weight` (that of `kl` in the loss), `term:I`, the total of
            term I without sign and scale, and with importance weights `bound`, the mean of their logarithms.
        items: the terms.
        per: the primary plate.
    """

    graph: Graph
    items: tuple[Item, ...]
    per: str | None


def itemized_entry(module: Module, ops: OpSet) -> Itemized:
    """The entry `train` with its terms told apart.

    Raises:
        EntriesError: The objective does not fit the model.
    """
    outer, ledger, outputs = _derived(module, ops, itemized=True)
    items = ledger.items()
    weight = _weight(outer.builder, module.objective)
    outputs.append(("weight", weight if isinstance(weight, Value) else outer.builder.const(float(weight), DType.F32)))
    outputs += [(f"term:{i}", value) for i, (_, value) in enumerate(items)]
    bound = ledger.bound()
    if bound is not None:
        outputs.append(("bound", bound))
    return Itemized(outer.finish(outputs), tuple(item for item, _ in items), ledger.per)


def _derived(module: Module, ops: OpSet, *, itemized: bool) -> tuple[Frame, Ledger, list[tuple[str, Value]]]:
    """The frame of the entry, its closed ledger, and the outputs that a loss has."""
    model, goal = module.functions["model"], module.objective
    per, importance = primary_plate(module, model), goal.kind == "iwae"
    if importance:
        _check_importance(model, per)
    repeated = drawn(model, _MODE, _is_local if importance else _always) if goal.samples > 1 else set()
    outer = Frame(model, _MODE, ops, "train")
    inner = Frame(model, _MODE, ops, "draw", outer)
    for node in model.nodes:
        (inner if repeated.intersection(node.results) else outer).copy(node)
    ledger = Ledger(module, per, outer, inner, repeated)
    for node in model.nodes:
        _add_terms(ledger, node, goal)
    ledger.close(goal.samples, itemized=itemized)
    nll, kl = ledger.sum(Part.NLL), ledger.sum(Part.KL)
    return outer, ledger, [("loss", _loss(outer.builder, goal, ledger, nll, kl)), ("nll", nll), ("kl", kl)]


def _always(_: Node) -> bool:
    return True


def _is_local(node: Node) -> bool:
    return any(result.tensor.plates for result in node.results)


def _add_terms(ledger: Ledger, node: Node, goal: Objective) -> None:
    regularized, importance = goal.kind != "mle", goal.kind == "iwae"
    match node.op.name:
        case "model.observe":
            _add_observation(ledger, node, importance=importance)
        case "model.sample" if importance and _is_local(node):
            frame = ledger.place(node.result)
            for sign, ratio in log_ratio(frame, node):
                ledger.add_weight(frame, (-sign, ratio), node)
        case "model.sample" if regularized:
            prior, posterior = (distribution(v.type) for v in node.inputs)
            needed = node.inputs if kl_form(posterior, prior) == "closed-form" else (*node.inputs, node.result)
            frame = _place(ledger, node, needed, importance=importance)
            for term in divergence(frame, node):
                ledger.add(Part.KL, frame, term, node)
        case "model.point" if regularized:
            frame = _place(ledger, node, node.inputs, importance=importance)
            ledger.add(Part.KL, frame, (-1, log_prior(frame, node)), node)
        case "model.update":
            ledger.add_state(node)


def _add_observation(ledger: Ledger, node: Node, *, importance: bool) -> None:
    if importance and ledger.per in plates_of(site_dims(node)):
        frame = ledger.place(*node.inputs)
        ledger.add_weight(frame, (1, log_likelihood(frame, node, differentiated=True)), node)
    else:
        frame = _place(ledger, node, node.inputs, importance=importance)
        ledger.add(Part.NLL, frame, (-1, log_likelihood(frame, node, differentiated=True)), node)


def _place(ledger: Ledger, node: Node, values: Sequence[Value], *, importance: bool) -> Frame:
    """The frame of a term; with importance weights, those that are not local must not depend on repeated draws."""
    frame = ledger.place(*values)
    if importance and ledger.is_repeated(frame):
        raise _refused(f"`{node.site}` depends on local sites and is not on plate `{ledger.per}`", node)
    return frame


def _loss(b: GraphBuilder, goal: Objective, ledger: Ledger, nll: Value, kl: Value) -> Value:
    """`nll + weight · kl`, without what is 0."""
    weight = _weight(b, goal)
    if not ledger.has(Part.KL) or weight == 0:
        return nll
    if isinstance(weight, Value):
        kl = b.binary("mul", weight, kl)
    elif weight != 1:
        kl = b.binary("mul", kl, weight)
    return b.binary("add", nll, kl)


def _weight(b: GraphBuilder, goal: Objective) -> Value | float:
    """The weight of `kl` in the loss: a number, or what a schedule says at the step."""
    return goal.kl_weight if goal.anneal is None else _annealed(b, *goal.anneal)


def _annealed(b: GraphBuilder, start: float, end: float, steps: int) -> Value:
    """`start + (end - start) · min(step / steps, 1)`."""
    way = b.binary("min", b.binary("div", b.add("model.step"), float(max(steps, 1))), 1.0)
    if end - start != 1:
        way = b.binary("mul", way, float(end - start))
    return way if start == 0 else b.binary("add", way, float(start))


def _check_importance(model: Graph, per: str | None) -> None:
    """Raise unless every local term belongs to one element of the primary plate."""
    if per is None:
        raise EntriesError("BLC0306", "`iwae` needs an observation on a plate")
    for node in model.of("model.observe", "model.sample", "model.noise"):
        plates = plates_of(site_dims(node))
        if plates not in ((), (per,)):
            found = " and ".join(f"`{plate}`" for plate in plates)
            raise _refused(f"site `{node.site}` is on plate {found}, observations are on `{per}`", node)
        if any(plates_of(v.type.event) for v in node.inputs if isinstance(v.type, DistType)):
            raise _refused(f"site `{node.site}` joins the elements of plate `{per}` in one event", node)


def _refused(reason: str, node: Node) -> EntriesError:
    return EntriesError("BLC0306", f"`iwae` cannot be used here: {reason}", node.span)
