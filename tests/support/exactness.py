"""Which estimator is exact where: small programs, one for each kind of use and posterior, and the verdicts on them.

The table in docs/estimators.md is printed from here, and tests/stat/test_exactness.py holds each cell to what happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from bl_compiler.ir.estimators import AUTO, Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.choice import judge
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.legality import Site, Verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry
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

POSTERIORS: dict[str, tuple[str, str]] = {
    "Normal": ("Normal(0, 1)", "mean_field(init_scale=0.4)"),
    "Laplace": ("Laplace(0, 1)", "mean_field(family=Laplace, init_scale=0.4)"),
    "Gumbel": ("Normal(0, 1)", "mean_field(family=Gumbel, init_scale=0.4)"),
    "LogNormal": ("LogNormal(0, 1)", "mean_field(init_scale=0.4)"),
    "full_rank": ("Normal(0, 1)", "full_rank(init_scale=0.4)"),
    "low_rank": ("Normal(0, 1)", "low_rank(rank=2, init_scale=0.4)"),
    "matrix_normal": ("Normal(0, 1)", "matrix_normal(init_scale=0.4)"),
}
"""Posteriors: the prior, and what follows `by`."""


def program(kind: str, posterior: str, estimator: Estimator = AUTO) -> str:
    """The text of a cell; its output is `h`, its likelihood depends on all of it."""
    k, (prior, by) = KINDS[kind], POSTERIORS[posterior]
    using = "" if estimator == AUTO else f" using {estimator}"
    return f"""
model cell {{
  plate batch[{BATCH}] of 40
  input x: {k.x}
  input y: f32[batch]
  believe {k.roles} ~ {prior} by {by}{using}
  {k.before}
  let h = {k.value}
  predict h = h
  observe y ~ Normal(h |> flatten |> sum(axis=-1), 0.7)
}}
"""


@cache
def entries(kind: str, posterior: str, estimator: Estimator = AUTO) -> Module:
    """The entry points of a cell."""
    module = derive_entries(lowered(program(kind, posterior, estimator)))
    return ExposeScales().run(module, PassContext(CORE_OPS))


def sites(module: Module, entry: str = "train") -> dict[str, Site]:
    """The draws of an entry point that are not one for each example anyway."""
    facts = facts_of_entry(entry, module.functions[entry])
    found = [Site(facts, node) for node in module.functions[entry].of("random.draw")]
    return {site.name: site for site in found if not site.local}


def cell(kind: str, posterior: str, estimator: Estimator) -> Verdict:
    """The verdict on an estimator for the weight of a cell."""
    weights = {name: site for name, site in sites(entries(kind, posterior)).items() if KINDS[kind].site in name}
    (site,) = weights.values()
    return judge(site, estimator, CORE_OPS)
