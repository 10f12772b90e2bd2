"""Estimators that a program asks for and that are not exact there: errors with the reasons.

May import: floors 0-3.
"""

from __future__ import annotations

from dataclasses import replace

from bl_compiler.diagnostics import Sink
from bl_compiler.ir.estimators import AUTO, SHARED, Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.opspec import OpSet
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.base import PassContext
from bl_compiler.passes.estimators.expose_scales import ExposeScales
from bl_compiler.passes.estimators.legality import Site, Verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry
from bl_compiler.passes.estimators.weighing import judge

_APPROXIMATE = ("local_reparameterization", "deterministic")


def check_estimators(module: Module, sink: Sink, ops: OpSet = CORE_OPS) -> None:
    """Report estimators asked for with `using` that may not be used in training.

    Args:
        module: A module with entry points.
        sink: Takes an error for each site (BLC0304), with the reasons as notes.
        ops: The op set of its nodes.
    """
    if "train" not in module.functions or not any(_asked(module)):
        return
    graph = ExposeScales().run(module, PassContext(ops)).functions["train"]
    facts = facts_of_entry("train", graph)
    for body in graphs_in(graph):
        for node in body.of("random.draw"):
            asked = Estimator.parse(node.attrs.text("estimator"))
            if asked in (AUTO, SHARED):
                continue
            site = Site(replace(facts, graph=body), node)
            found = judge(site, asked, ops)
            if not found.allows(asked):
                _report(site, asked, found, sink)


def _asked(module: Module) -> list[str]:
    nodes = (node for body in graphs_in(module.functions["train"]) for node in body.of("random.draw"))
    return [mark for node in nodes if (mark := node.attrs.text("estimator")) not in ("auto", "shared")]


def _report(site: Site, asked: Estimator, found: Verdict, sink: Sink) -> None:
    what = "is not exact" if not found.impossible else "cannot be used"
    here = site.draw.span
    label = next((reason for reason in found.reasons if not reason.span.known or reason.span == here), None)
    text = "" if label is None else label.text
    error = sink.error("BLC0304", f"`{asked.name}` {what} for `{site.draw.site}`", at=here, label=text)
    for reason in found.reasons:
        if reason.span.known and reason.span != here:
            error.label(reason.span, reason.text)
        elif reason is not label:
            error.note(reason.text)
    if not found.impossible and asked.name in _APPROXIMATE:
        error.help(f"write `{asked.name}(approximate=true)` to accept that, or leave the choice to the compiler")
    else:
        error.help("leave out `using`: the compiler takes the best of those that are exact here")
