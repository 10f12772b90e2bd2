"""`blc info`: what a model or bundle is made of.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bl_compiler.cli.exits import exit_of
from bl_compiler.cli.files import STDIN, reader_for
from bl_compiler.cli.framework import BlcGroup, opt, terminal
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.model_options import lint_options, model_options, options_of
from bl_compiler.cli.tables import table
from bl_compiler.diagnostics import CompileError


@declare(
    "info",
    examples=[
        ("blc info cnn.blg", "sites, shapes, parameters"),
        ("blc info cnn.blg --json", "the same for programs"),
        ("blc info --options", "where each option's value comes from"),
    ],
)
@click.argument("model_file", metavar="[MODEL|BUNDLE]", required=False)
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="One JSON object.")
@opt(
    "--options",
    "show_options",
    section="Output",
    is_flag=True,
    env=False,
    help="Options of `compile` and their origin.",
)
@model_options
@lint_options
def command(model_file: str | None, as_json: bool, show_options: bool, stdin_filename: str, **given: Any) -> int:
    """Show what a model is made of: plates, inputs, parameters, sites with their priors and posteriors, outputs.

    Of a bundle it shows the manifest.
    """
    term = terminal()
    if show_options:
        rows = _effective_options(click.get_current_context())
        if as_json:
            term.out(json.dumps([{"option": n, "value": v, "origin": o} for n, v, o in rows], indent=2) + "\n")
        else:
            term.out(table(["option", "value", "origin"], rows, indent=""))
        return 0
    if model_file is None:
        raise click.MissingParameter(param_hint="MODEL", param_type="argument")
    if Path(model_file).is_dir():
        facts: Mapping[str, Any] = _manifest(Path(model_file))
        term.out(json.dumps(facts, indent=2) + "\n")
        return 0
    facts = _facts(model_file, stdin_filename, given)
    term.out(json.dumps(facts, indent=2) + "\n" if as_json else _readable(facts))
    return 0


def _facts(name: str, stdin_filename: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    from bl_compiler.driver.models import lower_model, new_sink, open_source, parse_source
    from bl_compiler.passes.report import model_facts

    options = options_of(given)
    sink = new_sink(options)
    read = reader_for(stdin_filename)
    source = open_source(stdin_filename if name == STDIN else name, options, sink, read=read)
    sources = parse_source(source, options, sink, read=read) if source is not None else None
    module = lower_model(sources, options, sink) if sources is not None else None
    if module is None:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics:
        terminal().diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    return model_facts(module)


def _manifest(folder: Path) -> Mapping[str, Any]:
    from bl_compiler.driver.bundles import read_manifest

    return read_manifest(folder)


def _effective_options(ctx: click.Context) -> list[tuple[str, str, str]]:
    """The options of `compile` as they would be now, each with where its value comes from."""
    parent = ctx.parent
    assert parent is not None
    assert isinstance(parent.command, BlcGroup)
    compile_command = parent.command.get_command(parent, "compile")
    assert compile_command is not None
    made = compile_command.make_context("compile", ["MODEL"], parent=parent, resilient_parsing=False)
    words = {"COMMANDLINE": "command line", "ENVIRONMENT": "environment", "DEFAULT_MAP": "options file"}
    rows = []
    for param in compile_command.params:
        if not isinstance(param, click.Option) or not param.expose_value or param.hidden or not param.name:
            continue
        value = made.params.get(param.name)
        source = made.get_parameter_source(param.name)
        origin = words.get(source.name if source else "", "default")
        if origin == "environment":
            origin = f"environment ({param.envvar})"
        long = next((o for o in param.opts if o.startswith("--")), param.opts[0])
        rows.append((long, _shown(value), origin))
    return rows


def _shown(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _readable(facts: Mapping[str, Any]) -> str:
    goal = facts["objective"]
    weight = goal["kl_weight"] if goal["anneal"] is None else "anneal({}, {}, steps={})".format(*goal["anneal"])
    parts = [f"model {facts['model']}\n"]
    parts.append(f"objective {goal['kind']}(samples={goal['samples']}, kl_weight={weight})\n")
    for plate in facts["plates"]:
        total = f" of {plate['total']:,}" if plate["total"] is not None else ""
        parts.append(f"plate {plate['name']}[{plate['size']}]{total}\n")
    parts.append(_section("inputs", ["name", "type"], [[i["name"], i["type"]] for i in facts["inputs"]]))
    parts.append(
        _section(
            "parameters",
            ["path", "type", "numbers", "space", "starts as"],
            [
                [p["path"], p["type"], p["count"], p["constraint"] if p["trained"] else "statistic", p["init"]]
                for p in facts["parameters"]
            ],
            right="<<>",
        )
    )
    parts.append(
        _section(
            "sites",
            ["path", "kind", "shape", "prior", "posterior", "likelihood", "KL", "estimator"],
            [
                [
                    s["path"],
                    s["kind"],
                    _shape(s["shape"]),
                    s["prior"],
                    s["posterior"],
                    s["likelihood"],
                    s["kl"],
                    s["estimator"],
                ]
                for s in facts["sites"]
            ],
        )
    )
    parts.append(_section("outputs", ["name", "type"], [[o["name"], o["type"]] for o in facts["outputs"]]))
    totals = facts["totals"]
    numbers = [f"{_number(totals[key])} {key}" for key in ("parameters", "statistics", "latents") if totals[key]]
    parts.append(f"\ntotal: {', '.join(numbers) or 'nothing'}\n")
    return "".join(parts)


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, right: str = "") -> str:
    return f"\n{title}\n{table(header, rows, right=right)}" if rows else ""


def _shape(sizes: Sequence[object]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
