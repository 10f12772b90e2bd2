"""`blc explain`: the page of a diagnostic code, or all there is to know about a name.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import click

from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import terminal
from bl_compiler.options import OptionError


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from bl_compiler.driver import catalog

    kinds = ("codes", "passes", "layers", "functions", "distributions", "ops")
    return [e.name for kind in kinds for e in catalog.KINDS[kind]() if e.name.startswith(incomplete)]


@declare(
    "explain",
    exits=(),
    examples=[
        ("blc explain BLC0206", "an error"),
        ("blc explain unused-input", "a warning"),
        ("blc explain conv2d", "a layer with its parameters"),
    ],
)
@click.argument("name", shell_complete=_complete)
def command(name: str) -> None:
    """Explain a diagnostic code, lint, pass, op, layer, function, distribution, level or stage."""
    from bl_compiler.driver.catalog import closest, explain
    from bl_compiler.explain_pages import page

    text = explain(name)
    if text is None:
        try:
            text = page(name)
        except OptionError as fault:
            close = closest(name)
            help_text = f"did you mean `{close}`?" if close else "`blc list KIND` shows the names there are"
            raise OptionError(f"nothing is called `{name}`", help=help_text, code="BLC0003") from fault
    terminal().out(text.rstrip("\n") + "\n")
