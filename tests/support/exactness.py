"""Which estimator is exact where: small programs, one for each kind of use and posterior, and the verdicts on them.

The table in docs/estimators.md is printed from here, and tests/stat/exactness holds each cell to what happens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from bl_compiler.ir.estimators import AUTO, Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.walk import with_attrs
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.legality import Site, Verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry
from bl_compiler.passes.estimators.weighing import judge
from tests.support.lowering import lowered

BATCH = 8
ESTIMATORS = (
    Estimator("grouped", groups=4),
    Estimator("flipout"),
    Estimator("local_reparameterization"),
    Estimator("deterministic"),
)


@dataclass(frozen=True)
class Kind:
    """A way in which a weight is used.

    Attributes:
        title: as the table says it.
        x: the type of the input.
        roles: the weights that have the posterior.
        value: the expression of the output h.
        site: the last part of the weight's path.
        before: statements before `let h`.
    """

    title: str
    x: str
    roles: str
    value: str
    site: str = "kernel"
    before: str = ""


KINDS: dict[str, Kind] = {
    "dense": Kind("dense kernel, one position", "f32[batch, 3]", "kernel", "x |> dense(2, use_bias=false)"),
    "dense_bias": Kind("dense bias, one position", "f32[batch, 3]", "bias", "x |> dense(2)", "bias"),
    "dense_positions": Kind(
        "dense kernel at every position", "f32[batch, time=3, 3]", "kernel", "x |> dense(2, use_bias=false)"
    ),
    "bias_positions": Kind("bias at every position", "f32[batch, time=3, 3]", "bias", "x |> dense(2)", "bias"),
    "conv": Kind(
        "convolution kernel",
        "f32[batch, 3, 3, 2]",
        "kernel",
        'x |> conv2d(2, kernel_size=2, padding="valid", use_bias=false)',
    ),
    "conv_one": Kind(
        "convolution kernel as large as the image",
        "f32[batch, 2, 2, 2]",
        "kernel",
        'x |> conv2d(2, kernel_size=2, padding="valid", use_bias=false)',
    ),
    "conv_transpose": Kind(
        "transposed convolution kernel",
        "f32[batch, 2, 2, 2]",
        "kernel",
        "x |> conv2d_transpose(2, kernel_size=2, use_bias=false)",
    ),
    "depthwise": Kind(
        "depthwise convolution kernel",
        "f32[batch, 3, 3, 2]",
        "kernel",
        'x |> depthwise_conv2d(kernel_size=2, padding="valid", use_bias=false)',
    ),
    "embedding": Kind("embedding, one index", "i32[batch]", "embedding", "x |> embedding(4, 2)", "embedding"),
    "embedding_positions": Kind(
        "embedding of a sequence", "i32[batch, time=3]", "embedding", "x |> embedding(4, 2)", "embedding"
    ),
    "scale": Kind("scale of a layer norm", "f32[batch, 3]", "scale", "x |> layer_norm", "scale"),
    "scale_positions": Kind(
        "scale of a layer norm at every position", "f32[batch, time=2, 3]", "scale", "x |> layer_norm", "scale"
    ),
    "twice": Kind(
        "kernel used twice",
        "f32[batch, 2]",
        "kernel",
        "x |> layer |> tanh |> layer",
        before="let layer = dense(2, use_bias=false)",
    ),
    "before_batch_norm": Kind(
        "kernel before a batch norm", "f32[batch, 3]", "kernel", "x |> dense(2, use_bias=false) |> batch_norm"
    ),
    "after_batch_norm": Kind(
        "kernel after a batch norm", "f32[batch, 3]", "kernel", "x |> batch_norm |> dense(2, use_bias=false)"
    ),
}
"""Ways in which weights are used."""


@dataclass(frozen=True)
class Posterior:
    """A posterior.

    Attributes:
        prior: the prior.
        by: what follows `by`.
        part: the path of the draw under the weight's, where it is not the weight's own.
    """

    prior: str
    by: str
    part: str = ""


POSTERIORS: dict[str, Posterior] = {
    "Normal": Posterior("Normal(0, 1)", "mean_field(init_scale=0.4)"),
    "Laplace": Posterior("Laplace(0, 1)", "mean_field(family=Laplace, init_scale=0.4)"),
    "Gumbel": Posterior("Normal(0, 1)", "mean_field(family=Gumbel, init_scale=0.4)"),
    "LogNormal": Posterior("LogNormal(0, 1)", "mean_field(init_scale=0.4)"),
    "full_rank": Posterior("Normal(0, 1)", "full_rank(init_scale=0.4)"),
    "low_rank": Posterior("Normal(0, 1)", "low_rank(rank=2, init_scale=0.4)"),
    "matrix_normal": Posterior("Normal(0, 1)", "matrix_normal(init_scale=0.4)"),
    "variational_dropout": Posterior("LogUniform()", "variational_dropout"),
    "dropout, mask": Posterior("Normal(0, 1)", "dropout(0.3)", "mask"),
    "rank1, input factor": Posterior("Normal(0, 1)", "rank1", "r"),
    "rank1, output factor": Posterior("Normal(0, 1)", "rank1", "s"),
    "batch_ensemble, member": Posterior("Normal(0, 1)", "batch_ensemble(3)", "member_3"),
    "hyper_batch_ensemble, member": Posterior("Normal(0, 1)", "hyper_batch_ensemble(3)", "member_3"),
    "hyper_batch_ensemble, strength": Posterior("Normal(0, 1)", "hyper_batch_ensemble(3)", "strength_3"),
    "horseshoe, weight": Posterior("Normal(0, 1)", "horseshoe"),
    "horseshoe, local scale": Posterior("Normal(0, 1)", "horseshoe", "local_scale"),
    "horseshoe, global scale": Posterior("Normal(0, 1)", "horseshoe", "global_scale"),
}
"""Posteriors, and the draws that they consist of."""


def program(kind: str, posterior: str, estimator: Estimator = AUTO) -> str:
    """The text of a cell; its output is `h`, its likelihood depends on all of it."""
    k, p = KINDS[kind], POSTERIORS[posterior]
    using = "" if estimator == AUTO else f" using {estimator}"
    return f"""
model cell {{
  plate batch[{BATCH}] of 40
  input x: {k.x}
  input y: f32[batch]
  believe {k.roles} ~ {p.prior} by {p.by}{using}
  {k.before}
  let h = {k.value}
  predict h = h
  observe y ~ Normal(h |> flatten |> sum(axis=-1), 0.7)
}}
"""


def entries(kind: str, posterior: str, estimator: Estimator = AUTO) -> Module:
    """The entry points of a cell."""
    return entries_of(program(kind, posterior, estimator))


@cache
def entries_of(source: str) -> Module:
    """The entry points of a program, scales exposed."""
    module = derive_entries(lowered(source))
    return ExposeScales().run(module, PassContext(CORE_OPS))


def sites(module: Module, entry: str = "train") -> dict[str, Site]:
    """The draws of an entry point that are not one for each example anyway."""
    facts = facts_of_entry(entry, module.functions[entry])
    found = [Site(facts, node) for node in module.functions[entry].of("random.draw")]
    return {site.name: site for site in found if not site.local}


def draw_of(kind: str, posterior: str, entry: str = "train") -> Site | None:
    """The draw of a cell; None where the posterior has none for that weight."""
    path = f"/{KINDS[kind].site}" + (f"/{POSTERIORS[posterior].part}" if POSTERIORS[posterior].part else "")
    found = sites(entries(kind, posterior), entry)
    return next((site for name, site in found.items() if name.endswith(path) or name == path.split("/")[-1]), None)


@cache
def cell(kind: str, posterior: str, estimator: Estimator) -> Verdict | None:
    """The verdict on an estimator for the draw of a cell; None where there is no such draw."""
    site = draw_of(kind, posterior)
    return None if site is None else judge(site, estimator, CORE_OPS)


def marked(kind: str, posterior: str, estimator: Estimator) -> Module:
    """The entry points of a cell with its draw marked, in each of them."""
    module = entries(kind, posterior)
    functions = dict(module.functions)
    for entry in ("train", "predict"):
        site = draw_of(kind, posterior, entry)
        assert site is not None
        node = with_attrs(site.draw, site.draw.attrs.with_(estimator=str(estimator)))
        graph = functions[entry]
        functions[entry] = graph.replace(nodes=[node if n is site.draw else n for n in graph.nodes])
    return module.with_functions(functions)


def table() -> str:
    """The exactness table in Markdown: a table for each way of use, a row for each draw, and the reasons below."""
    notes: dict[str, int] = {}
    lines: list[str] = []
    for kind in KINDS:
        title = KINDS[kind].title
        lines += [f"| {title} | " + " | ".join(f"`{e.name}`" for e in ESTIMATORS) + " |", "|---" * 5 + "|"]
        for posterior in POSTERIORS:
            verdicts = [cell(kind, posterior, e) for e in ESTIMATORS]
            cells = [_shown(v, notes) for v in verdicts if v is not None]
            if cells:
                lines.append(f"| {posterior} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, *(f"{number}. {text}" for text, number in notes.items())]) + "\n"


def _shown(found: Verdict, notes: dict[str, int]) -> str:
    if found.exact:
        return "exact"
    numbers = sorted({notes.setdefault(_general(reason.text), len(notes) + 1) for reason in found.reasons})
    return "no: " + ", ".join(map(str, numbers))


def _general(text: str) -> str:
    """A reason without the names and sizes of one program."""
    text = re.sub(r" along \[.*?\]", "", text)
    text = re.sub(r"the posterior \w+ is", "the posterior is", text)
    return re.sub(r"a draw from [\w()]+ (is|are)", r"a draw from such a posterior \1", text)
