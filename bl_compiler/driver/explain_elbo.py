"""The loss of a model as a table: every term with its site, its form, what it is multiplied by, and its value.

The rows are the items of the ledger that the entry `train` is built from, and values are outputs of that same entry, so
the table cannot differ from the loss. Invariant: contributions add up to the loss, up to rounding.
May import: floors 0-3; numpy and the JAX backend inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any

from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.ops_dist import base_family
from bl_compiler.ir.types import DistType, distribution, plates_of
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.ledger import Item, Part
from bl_compiler.passes.objective import Itemized, itemized_entry
from bl_compiler.passes.plates_scale import Scale, site_dims
from bl_compiler.source import Span

Facts = dict[str, object]


@dataclass(frozen=True)
class Row:
    """One site's part of the loss.

    Attributes:
        part: `likelihood`, `kl`, `prior` (of a point) or `weight` (of importance sampling).
        posterior: the posterior as text; of a point and of an observation None.
        prior: the prior, or the distribution of an observation.
        form: how the term is computed.
        count: the elements of the site in a step; None where a plate's size is symbolic.
        scale: what the term's total is multiplied by, as text.
        value: the total in a step, in nats, signs included and scale not.
        contribution: what it adds to the loss.
        items: the ledger's items behind it, by position.
    """

    part: str
    site: str
    span: Span
    posterior: str | None
    prior: str
    form: str
    shape: tuple[int | str, ...]
    count: int | None
    scale: str
    masked: bool
    repeated: bool
    items: tuple[int, ...]
    value: float | None = None
    contribution: float | None = None


@dataclass(frozen=True)
class Table:
    """The rows of a loss; with parameters its totals `nll`, `kl`, `weight`, `loss`, and `bound` where there is one."""

    module: Module
    itemized: Itemized
    rows: tuple[Row, ...]
    totals: Mapping[str, float] | None = None


def elbo_table(module: Module) -> Table:
    """The loss of a module with the function `model`.

    Raises:
        EntriesError: The objective does not fit the model.
    """
    itemized = itemized_entry(module, CORE_OPS)
    by_site: dict[tuple[Part, Node], list[int]] = {}
    for i, item in enumerate(itemized.items):
        by_site.setdefault((item.part, item.node), []).append(i)
    rows = [_row(module, itemized, places) for places in by_site.values()]
    rows.sort(key=lambda row: row.part not in ("likelihood", "weight"))
    return Table(module, itemized, tuple(rows))


def _row(module: Module, itemized: Itemized, places: list[int]) -> Row:
    items = [itemized.items[i] for i in places]
    first, node, model = items[0], items[0].node, module.functions["model"]
    kind = node.op.name.removeprefix("model.")
    dims = site_dims(node)
    sizes = [d.size for d in dims if isinstance(d.size, int)]
    law = node.inputs[1] if kind == "observe" else node.inputs[0]
    scales = dict.fromkeys(scale_text(module, item, itemized.per) for item in items)
    return Row(
        "weight" if first.part is Part.WEIGHT else {"observe": "likelihood", "sample": "kl", "point": "prior"}[kind],
        node.site or "",
        node.span,
        law_text(model, node.inputs[1]) if kind == "sample" else None,
        law_text(model, law),
        _form(first, kind),
        tuple(d.size for d in dims),
        prod(sizes) if len(sizes) == len(dims) else None,
        ", ".join(scales),
        kind == "observe" and len(node.inputs) > 2,
        first.repeated,
        tuple(places),
    )


def _form(item: Item, kind: str) -> str:
    if kind == "observe":
        return "log p(x|z)" if item.part is Part.WEIGHT else "-log p(x)"
    if kind == "point":
        return "-log p(w)"
    prior, posterior = (distribution(v.type) for v in item.node.inputs)
    if item.part is Part.WEIGHT:
        return "log p(z) - log q(z)"
    if kl_form(posterior, prior) == "closed-form":
        return f"closed form KL({base_family(posterior)} ‖ {base_family(prior)})"
    return "Monte Carlo: log q(w) - log p(w)"


def law_text(model: Graph, d: Value) -> str:
    """A distribution as people write it: `Normal(0, 1)`, computed parameters by their names."""
    node = model.producers.get(d)
    while node is not None and node.op.name != "dist.mixture":
        within = next((v for v in node.inputs if isinstance(v.type, DistType)), None)
        if within is None:
            break
        node = model.producers.get(within)
    if node is None:
        return base_family(distribution(d.type))
    if node.op.name == "dist.mixture":
        return f"Mixture({law_text(model, node.inputs[1])})"
    return f"{node.op.name.removeprefix('dist.')}({', '.join(_parameter(model, v) for v in node.inputs)})"


def _parameter(model: Graph, value: Value) -> str:
    node = model.producers.get(value)
    while node is not None and node.op.name in ("tensor.broadcast", "tensor.reshape", "tensor.take", "math.cast"):
        value = node.inputs[0]
        node = model.producers.get(value)
    number = node.attrs["value"] if node is not None and node.op.name in ("tensor.const", "tensor.full") else None
    if isinstance(number, (int, float)):
        return f"{number:g}"
    return value.name or "…"


def scale_text(module: Module, item: Item, per: str | None) -> str:
    """What a term's total is multiplied by, such as `1/N = 1/1437`."""
    plates = plates_of(site_dims(item.node))
    open_ = [d.name for d in site_dims(item.node) if d.is_plate and isinstance(d.size, str) and d.name]
    means = "".join(f"mean over `{name}` · " for name in open_)
    scale = item.scale
    if scale is None:
        return "in the log mean weight"
    known = scale.ratio != 1 or not (scale.times or scale.over)
    factors = [str(scale.ratio)] if known else []
    factors += [f"N[{plate}]" for plate in scale.times]
    factors += [f"1/N[{plate}]" for plate in scale.over]
    text = " · ".join(factors)
    if per is not None and not scale.times and not scale.over and not open_:
        text = f"1/N = {text}" if not plates else f"1/B = {text}" if plates == (per,) else text
    return f"{means}{text}" if not (means and text == "1") else means.removesuffix(" · ")


# --- values ----------------------------------------------------------------------------------------------------------


def with_values(table: Table, outputs: Mapping[str, Any], sizes: Mapping[str, int]) -> Table:
    """The table with values.

    Args:
        table: A table without them.
        outputs: The outputs of the table's graph, by name.
        sizes: The number of examples along plates that the model leaves open.
    """
    totals = {name: float(outputs[name]) for name in ("nll", "kl", "weight", "loss", "bound") if name in outputs}
    rows = []
    for row in table.rows:
        items = [(table.itemized.items[i], float(outputs[f"term:{i}"])) for i in row.items]
        # A row of the negative log-likelihood or of the KL is shown with the sign that it has in the loss.
        value = sum(item.sign * total for item, total in items)
        added = None
        if row.part != "weight":
            scaled = [item.sign * total * _number(table.module, item.scale, sizes) for item, total in items]
            added = sum(scaled) * (1.0 if row.part == "likelihood" else totals["weight"])
        rows.append(replace(row, value=value, contribution=added))
    return replace(table, rows=tuple(rows), totals=totals)


def _number(module: Module, scale: Scale | None, sizes: Mapping[str, int]) -> float:
    assert scale is not None
    found = Fraction(scale.ratio)
    for plate in scale.times:
        found *= _size(module, plate, sizes)
    for plate in scale.over:
        found /= _size(module, plate, sizes)
    return float(found)


def _size(module: Module, plate: str, sizes: Mapping[str, int]) -> int:
    total = module.plate(plate).total
    return sizes[plate] if total is None else total


# --- as plain data ---------------------------------------------------------------------------------------------------


def table_facts(table: Table) -> Facts:
    """The table as JSON has it."""
    goal = table.module.objective
    return {
        "model": table.module.name,
        "objective": {
            "kind": goal.kind,
            "samples": goal.samples,
            "kl_weight": goal.kl_weight,
            "anneal": list(goal.anneal) if goal.anneal is not None else None,
        },
        "per": table.itemized.per,
        "terms": [_row_facts(row, table.itemized) for row in table.rows],
        "totals": dict(table.totals) if table.totals is not None else None,
    }


def _row_facts(row: Row, itemized: Itemized) -> Facts:
    scales = [itemized.items[i].scale for i in row.items]
    return {
        "part": row.part,
        "site": row.site,
        "file": row.span.file if row.span.known else None,
        "line": row.span.line if row.span.known else None,
        "posterior": row.posterior,
        "prior": row.prior,
        "form": row.form,
        "shape": list(row.shape),
        "count": row.count,
        "masked": row.masked,
        "per_draw": row.repeated,
        "scale": row.scale,
        "scales": [
            None if s is None else {"ratio": str(s.ratio), "times": list(s.times), "over": list(s.over)}
            for s in dict.fromkeys(scales)
        ],
        "value": row.value,
        "contribution": row.contribution,
    }
