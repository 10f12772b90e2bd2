"""The pass `entries`: one graph per entry point, derived from the function `model`.

| entry | sites | phase | outputs |
|---|---|---|---|
| `init` | - | - | `param:PATH` of every parameter and statistic |
| `train` | posterior | train | `loss`, `nll`, `kl`, `state:PATH` |
| `predict` | posterior | predict | `probs:SITE`, or `mean:SITE` and `variance:SITE`; `value:KEY` |
| `predict_joint` | posterior, shared | predict | as `predict`; only if that draws something |
| `log_likelihood` | posterior | predict | `log_prob:SITE` per plate element |
| `log_joint` | inputs `site:SITE` | predict | `log_joint` |
| `sample` | global: posterior, local: prior | predict | `value:SITE`, `value:KEY` |
| `sample_prior` | prior | predict | `value:SITE`, `value:KEY`; only if every prior is proper |

`predict_joint` is a draw of functions: however passes estimate the draws of `predict`, one draw of a site serves all
examples in it.

Invariant: an entry holds only the nodes that its outputs need, so inputs and parameters it does not use are not asked
for; of the ops `model.*`, input, param, state, plate_size and step remain. May import: floors 0-1, `base`,
`entry_frame`, `densities`, `ledger`, `objective`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.improper import is_improper
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import OpSet, OpSpec
from bl_compiler.ir.types import TypeRuleError, distribution, static_size
from bl_compiler.ir.walk import walk
from bl_compiler.passes.base import Fact, Pass, PassContext
from bl_compiler.passes.densities import log_likelihood, log_prior
from bl_compiler.passes.entry_frame import PASS_NAME, Frame, Latents, Mode, live
from bl_compiler.passes.ledger import Ledger, Part
from bl_compiler.passes.objective import train_entry
from bl_compiler.passes.plates_scale import site_dims


@dataclass(frozen=True)
class Entries(Pass):
    """Puts the entry points in the place of the function `model` (see `derive_entries`)."""

    name: ClassVar[str] = PASS_NAME
    requires: ClassVar[frozenset[Fact]] = frozenset({Fact.MODEL})
    establishes: ClassVar[frozenset[Fact]] = frozenset({Fact.ENTRIES})
    destroys: ClassVar[frozenset[Fact]] = frozenset({Fact.MODEL})

    def run(self, module: Module, ctx: PassContext) -> Module:
        """See `derive_entries`."""
        return derive_entries(module, ctx.ops)


def derive_entries(module: Module, ops: OpSet = CORE_OPS) -> Module:
    """The module with its entry points in place of the function `model`.

    Args:
        module: A module as lowering makes it.
        ops: The op set of its nodes.

    Raises:
        EntriesError: The objective does not fit the model.
        UnsupportedRegionError: A site or an observation stands in the body of a region op.
    """
    predict = _predict(module, ops, "predict")
    random = any(node.op.name == "random.draw" for node in walk(predict))
    graphs = (
        _init(module, ops),
        train_entry(module, ops),
        predict,
        *([_predict(module, ops, "predict_joint", joint=True)] if random else []),
        _log_likelihood(module, ops),
        _log_joint(module, ops),
        _sample(module, ops, "sample", Latents.MIXED),
        _sample(module, ops, "sample_prior", Latents.PRIOR),
    )
    return module.with_functions({graph.name: graph for graph in graphs if not _draws_nothing(graph)})


def _draws_nothing(graph: Graph) -> bool:
    """Whether an entry would draw from an improper prior, which has nothing to draw from."""
    laws = (node.inputs[0].type for node in walk(graph) if node.op.name == "random.draw")
    return any(is_improper(distribution(law).family) for law in laws)


def _init(module: Module, ops: OpSet) -> Graph:
    b = GraphBuilder(ops, "init")
    b.made_by = (PASS_NAME,)
    outputs: list[tuple[str, Value]] = []
    for node in walk(module.functions["model"]):
        if node.op.name not in ("model.param", "model.state"):
            continue
        path, attrs = node.attrs.text("path"), dict(node.attrs)
        with b.at(span=node.span, scope=node.scope):
            start = {key: attrs.pop(key) for key in ("path", "type", "init")}
            value = b.emit("param.initialize", [], start, site=path, name=node.result.name).result
            if attrs.get("constraint", "real") != "real":
                value = b.emit("param.unconstrain", [value], attrs, name=node.result.name).result
        outputs.append((f"param:{path}", value))
    return b.finish(outputs)


def _copied(module: Module, ops: OpSet, name: str, latents: Latents, *, joint: bool = False) -> Frame:
    model = module.functions["model"]
    frame = Frame(model, Mode(latents, joint=joint), ops, name)
    for node in model.nodes:
        frame.copy(node)
    return frame


def _predict(module: Module, ops: OpSet, name: str, *, joint: bool = False) -> Graph:
    frame = _copied(module, ops, name, Latents.POSTERIOR, joint=joint)
    outputs: list[tuple[str, Value]] = []
    for node in frame.model.of("model.observe"):
        with frame.builder.at(span=node.span, scope=node.scope):
            outputs += _predictive(frame, node)
    return frame.finish([*outputs, *_predicted(frame)])


def _predicted(frame: Frame) -> list[tuple[str, Value]]:
    """The values of `model.predict`."""
    return [(f"value:{n.attrs.text('key')}", frame.value(n.inputs[0])) for n in frame.model.of("model.predict")]


def predictive_ops(model: Graph, node: Node, ops: OpSet = CORE_OPS) -> list[tuple[str, Value, dict[str, object]]]:
    """What `predict` gives of an observation: names of ops `prob.NAME`, their operands and attributes.

    Class probabilities, or else the moments; nothing for a distribution over labels without a table of probabilities.
    """
    d = node.inputs[1]
    labels = _categorical(model, d)
    if labels is not None:
        classes = static_size(labels.inputs[0].tensor.dims[-1].size, "a distribution over classes")
        return [("probs", labels.result, {"classes": classes})]
    return [(name, d, {}) for name in ("mean", "variance") if _accepts(ops[f"prob.{name}"], d)]


def _accepts(op: OpSpec, d: Value) -> bool:
    try:
        op.infer([d.type], op.complete({}))
    except TypeRuleError:
        return False
    return True


def _predictive(frame: Frame, node: Node) -> list[tuple[str, Value]]:
    """Summaries of an observation's distribution, for every element of the data."""
    found: list[tuple[str, Value]] = []
    for name, d, attrs in predictive_ops(frame.model, node, frame.builder.ops):
        whole = frame.expanded(d, site_dims(node))
        found.append((f"{name}:{node.site}", frame.builder.emit(f"prob.{name}", [whole], attrs).result))
    return found


def _categorical(model: Graph, d: Value) -> Node | None:
    """The `dist.Categorical` under a distribution's expansions and event axes, if that is what it is."""
    node = model.producers.get(d)
    while node is not None and node.op.name in ("dist.expand", "dist.independent"):
        node = model.producers.get(node.inputs[0])
    return node if node is not None and node.op.name == "dist.Categorical" else None


def _log_likelihood(module: Module, ops: OpSet) -> Graph:
    frame = _copied(module, ops, "log_likelihood", Latents.POSTERIOR)
    outputs: list[tuple[str, Value]] = []
    for node in frame.model.of("model.observe"):
        term = log_likelihood(frame, node, differentiated=False)
        within = [i for i, d in enumerate(term.tensor.dims) if not d.is_plate]
        with frame.builder.at(span=node.span, scope=node.scope):
            outputs.append((f"log_prob:{node.site}", frame.builder.reduce("sum", term, within)))
    return frame.finish(outputs)


def _noise_needed(frame: Frame) -> set[Node]:
    """The noise that the densities and values of this entry depend on."""
    model = frame.model
    declared = model.of("model.observe", "model.sample", "model.point", "model.predict")
    if frame.mode.latents is Latents.GIVEN:
        declared = model.of("model.observe", "model.sample", "model.point")
    roots = [value for node in declared for value in _roots(frame.mode, node)]
    needed = live(model.nodes, roots, frame.mode.uses)
    return {node for node in model.of("model.noise") if node.result in needed}


def _roots(mode: Mode, node: Node) -> Sequence[Value]:
    match node.op.name:
        case "model.observe":
            return node.inputs if mode.latents is Latents.GIVEN else node.inputs[1:2]
        case "model.sample":
            return (node.inputs[0], node.result) if mode.latents is Latents.GIVEN else (node.result,)
        case "model.point":
            return node.inputs if mode.latents is Latents.GIVEN else ()
        case _:
            return node.inputs


def _log_joint(module: Module, ops: OpSet) -> Graph:
    frame = _copied(module, ops, "log_joint", Latents.GIVEN)
    ledger = Ledger(module, None, frame)
    noise = _noise_needed(frame)
    for node in frame.model.nodes:
        if node.op.name == "model.observe":
            ledger.add(Part.LOG_JOINT, frame, (1, log_likelihood(frame, node, differentiated=True)), node)
        elif node.op.name in ("model.sample", "model.point") or node in noise:
            ledger.add(Part.LOG_JOINT, frame, (1, log_prior(frame, node)), node)
    return frame.finish([("log_joint", ledger.sum(Part.LOG_JOINT))])


def _sample(module: Module, ops: OpSet, name: str, latents: Latents) -> Graph:
    frame = _copied(module, ops, name, latents)
    outputs: dict[str, Value] = {}
    noise = _noise_needed(frame)
    for node in frame.model.nodes:
        if node.op.name == "model.sample" or node in noise:
            outputs[f"value:{node.site}"] = frame.value(node.result)
        elif node.op.name == "model.observe":
            with frame.builder.at(span=node.span, scope=node.scope):
                outputs[f"value:{node.site}"] = _observed_draw(frame, node)
    for key, value in _predicted(frame):
        # A prediction named like a site gives way: `sample` is asked for the site's draw.
        outputs.setdefault(key, value)
    return frame.finish(list(outputs.items()))


def _observed_draw(frame: Frame, node: Node) -> Value:
    """New data in the place of the observed data, in its element type so that it can be fed back."""
    x, d = node.inputs[:2]
    draw = frame.builder.add(
        "random.draw", frame.expanded(d, site_dims(node)), site=node.site, name=x.name, estimator="shared"
    )
    return frame.builder.cast(draw, x.tensor.dtype)
