"""`blc list`: what the compiler knows.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import json

import click

from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal

KINDS = (
    *("passes", "ops", "layers", "functions", "distributions", "posteriors", "estimators", "optimizers"),
    *("targets", "codes", "lints", "levels", "stages"),
)


@declare(
    "list",
    exits=(),
    examples=[("blc list layers", "names and descriptions"), ("blc list passes --plain", "names only, for scripts")],
)
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="One JSON array of objects.")
@opt("--plain", section="Output", is_flag=True, env=False, help="Names only, one a line.")
def command(kind: str, as_json: bool, plain: bool) -> None:
    """List what the compiler knows of a KIND.

    KIND is one of passes, ops, layers, functions, distributions, posteriors, estimators, optimizers, targets, codes,
    lints, levels and stages.
    """
    from bl_compiler.driver import catalog

    entries = list(catalog.KINDS[kind]())
    term = terminal()
    if as_json:
        rows = [{"name": e.name, "summary": e.summary, **e.facts} for e in entries]
        term.out(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    elif plain:
        term.out("".join(f"{e.name}\n" for e in entries))
    else:
        width = max((len(e.name) for e in entries), default=0)
        term.out("".join(f"{e.name:<{width}}  {e.summary}".rstrip() + "\n" for e in entries))
