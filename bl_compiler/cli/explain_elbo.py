"""The table of a loss as text.

May import: floor 0, `cli`; the data of the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bl_compiler.cli.tables import table

if TYPE_CHECKING:
    from bl_compiler.driver.explain_elbo import Row, Table

_PARTS = {"likelihood": "likelihood", "weight": "log weight", "kl": "KL", "prior": "log prior"}


def elbo_text(found: Table) -> str:
    """What the loss is, the rows, and the totals."""
    per = found.itemized.per
    unit = f"nats per element of plate `{per}`" if per is not None else "nats"
    rows = [_cells(row, valued=found.totals is not None) for row in found.rows]
    header = ["term", "site", "posterior", "prior", "form", "elements", "scale"]
    right = "<<<<<><"
    if found.totals is not None:
        header += ["nats", "in the loss"]
        right += ">>"
    text = f"loss = {_definition(found)}, in {unit}\n\n{table(header, rows, indent='', right=right)}"
    notes = _notes(found)
    return text + "".join(f"{note}\n" for note in ("", *notes) if note or notes) + _totals(found)


def _definition(found: Table) -> str:
    goal = found.module.objective
    if goal.kind == "mle" or (goal.anneal is None and goal.kl_weight == 0):
        return "nll"
    if goal.anneal is not None:
        start, end, steps = goal.anneal
        return f"nll + w · kl with w from {start:g} to {end:g} over {steps:,} steps"
    return "nll + kl" if goal.kl_weight == 1 else f"nll + {goal.kl_weight:g} · kl"


def _cells(row: Row, *, valued: bool) -> list[object]:
    shape = f"[{', '.join(map(str, row.shape))}]"
    form = f"{row.form}, masked" if row.masked else row.form
    count = row.count if row.count is not None else shape
    cells: list[object] = [_PARTS[row.part], row.site, row.posterior, row.prior, form, count, row.scale]
    if valued:
        cells += [f"{row.value:.6g}", "-" if row.contribution is None else f"{row.contribution:.6g}"]
    return cells


def _notes(found: Table) -> list[str]:
    goal, notes = found.module.objective, list[str]()
    if any(row.part == "weight" for row in found.rows):
        notes.append(
            f"log mean weight: the mean over `{found.itemized.per}` of the log of the mean of {goal.samples} weights, "
            "whose logarithms are the sums of the terms in it"
        )
    if any(row.repeated for row in found.rows):
        notes.append(f"terms that depend on draws are means over {goal.samples} draws")
    return notes


def _totals(found: Table) -> str:
    if found.totals is None:
        return ""
    lines = [""]
    if "bound" in found.totals:
        bound = found.totals["bound"]
        lines.append(f"log mean weight  {bound:.8g}  (importance-weighted bound, enters nll with a minus)")
    weight = f"  (weight {found.totals['weight']:g})" if found.totals["weight"] != 1 else ""
    lines += [f"{name:<4}  {found.totals[name]:.8g}{weight if name == 'kl' else ''}" for name in ("nll", "kl", "loss")]
    return "\n".join(lines) + "\n"
