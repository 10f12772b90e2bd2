"""`blc explain`: the page of a code, all there is to know about a name, or how a model is estimated.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.model_options import model_options, options_of, pass_options
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError

if TYPE_CHECKING:
    from bl_compiler.ir.graph import Module
    from bl_compiler.options import Options

_SUFFIXES = (".blg", ".blir")


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from bl_compiler.driver import catalog

    kinds = ("codes", "passes", "layers", "functions", "distributions", "ops")
    return [e.name for kind in kinds for e in catalog.KINDS[kind]() if e.name.startswith(incomplete)]


@declare(
    "explain",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND),
    examples=[
        ("blc explain BLC0206", "an error"),
        ("blc explain conv2d", "a layer with its parameters"),
        ("blc explain cnn.blg", "the estimator of each draw, and why"),
        ("blc explain cnn.blg --elbo --params run", "the loss term by term, after training"),
    ],
)
@click.argument("name", metavar="NAME|MODEL", shell_complete=_complete)
@opt("--elbo", section="Output", is_flag=True, env=False, help="The loss as a table, instead of the estimators.")
@opt("--entry", section="Output", metavar="NAME", env=False, help="train, predict or log_likelihood [default: all].")
@opt("--site", section="Output", multiple=True, metavar="SITE", env=False, help="Only this draw; `PATH/*` for several.")
@opt(
    "--format",
    "form",
    section="Output",
    type=click.Choice(["text", "json"]),
    default="text",
    env=False,
    metavar="F",
    help="text or json [default: text].",
)
@opt("--params", section="Input", metavar="P", help="Values for --elbo: an .npz file, a run's folder, or `init`.")
@opt("--inputs", section="Input", metavar="FILE", help="An .npz file of one batch [default: random inputs].")
@opt("--seed", section="Input", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of draws and inputs.")
@opt("--step", section="Input", type=click.IntRange(0), metavar="N", help="The training step, for schedules.")
@opt("--target", section="Target", metavar="T", help="What figures are predicted for [default: cpu].")
@model_options
@pass_options
def command(
    name: str,
    elbo: bool,
    entry: str | None,
    site: tuple[str, ...],
    form: str,
    params: str | None,
    inputs: str | None,
    seed: int,
    step: int | None,
    stdin_filename: str,
    **given: Any,
) -> None:
    """Explain a diagnostic code, lint, pass, op, layer, function, distribution, level or stage.

    Of a model file, show which estimator each draw gets and why; with --elbo, the loss term by term.
    """
    text = None if name == STDIN or name.endswith(_SUFFIXES) else _about(name)
    if text is not None:
        if elbo or entry or site or params or inputs or form != "text":
            raise OptionError(f"`{name}` is no model file", help="the options are about models", code="BLC0003")
        terminal().out(text.rstrip("\n") + "\n")
        return
    if not elbo and (params or inputs or step is not None):
        raise OptionError("`--params`, `--inputs` and `--step` give values to `--elbo`", code="BLC0003")
    if elbo and (entry or site):
        raise OptionError("`--entry` and `--site` choose estimators, which `--elbo` does not show", code="BLC0003")
    options, sink = options_of(given), Sink()
    file = stdin_filename if name == STDIN else name
    model, entries = _modules(file, options, sink, reader_for(stdin_filename))
    if elbo:
        if model is None:
            raise OptionError(f"`{file}` holds entry points and no model", help="give the model's own file")
        _explain_loss(model, entries, options, sink, (params, inputs, seed, step), form)
    else:
        _explain_estimators(entries, options, sink, entry, site, form)


def _about(name: str) -> str | None:
    """The page or story of a name; None for the name of a file.

    Raises:
        OptionError: Nothing is called that.
    """
    from bl_compiler.driver.catalog import closest, explain
    from bl_compiler.explain_pages import page

    text = explain(name)
    if text is not None:
        return text
    try:
        return page(name)
    except OptionError as fault:
        if Path(name).is_file():
            return None
        close = closest(name)
        help_text = f"did you mean `{close}`?" if close else "`blc list KIND` shows the names there are"
        raise OptionError(f"nothing is called `{name}`", help=help_text, code="BLC0003") from fault


def _modules(file: str, options: Options, sink: Sink, read: Any) -> tuple[Module | None, Module]:
    """The module with the function `model`, if the file has it, and the one with entry points.

    Raises:
        CompileError: The file is in error.
    """
    from bl_compiler.driver import irfiles, models
    from bl_compiler.driver.optimize import entry_points

    source = models.open_source(file, options, sink, read=read)
    module = None
    if source is not None and irfiles.looks_like_ir(source.text):
        module = irfiles.read_ir(source, sink)
    elif source is not None:
        sources = models.parse_source(source, options, sink, read=read)
        module = models.lower_model(sources, options, sink) if sources is not None else None
    if module is not None and "model" not in module.functions:
        return None, module
    entries = entry_points(module, sink) if module is not None else None
    if entries is None or sink.errors:
        raise CompileError(sink.diagnostics, sink.sources)
    if sink.diagnostics:
        terminal().diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))
    return module, entries


def _explain_loss(
    model: Module,
    entries: Module,
    options: Options,
    sink: Sink,
    values: tuple[str | None, str | None, int, int | None],
    form: str,
) -> None:
    from bl_compiler.cli.explain_elbo import elbo_text
    from bl_compiler.driver.explain_elbo import elbo_table, table_facts

    params, inputs, seed, step = values
    table = elbo_table(model)
    if params is not None:
        from bl_compiler.driver.explain_values import Given, evaluated
        from bl_compiler.driver.running import open_sizes

        table = evaluated(table, entries, Given(params, inputs, seed, step), options, sink.sources)
        if inputs is None and any(node.op.name == "model.input" for node in model.functions["model"].nodes):
            terminal().note("inputs are random: give `--inputs` for others")
        for plate, count in open_sizes(entries).items():
            terminal().note(f"the model leaves open how long plate `{plate}` is: N = {count}, the size of a step")
    elif inputs is not None or step is not None:
        raise OptionError("values need parameters", help="give `--params`, which may be `init`", code="BLC0003")
    terminal().out(_json(table_facts(table)) if form == "json" else elbo_text(table))


def _explain_estimators(
    entries: Module, options: Options, sink: Sink, entry: str | None, site: tuple[str, ...], form: str
) -> None:
    from bl_compiler.cli.explain_estimators import estimators_text
    from bl_compiler.driver.explain_estimators import decided, decision_facts, groups_of

    found = decided(entries, options, entry, site)
    if form == "json":
        head = {"model": entries.name, "target": str(options.target), "estimators": options.estimators}
        terminal().out(_json({**head, "decisions": [decision_facts(d) for d in found]}))
        return
    settings = f"model {entries.name}, target {options.target}, estimators {options.estimators}"
    if not found:
        terminal().out(f"{settings}\n\nno draw has a choice: weights have point values, or one draw each as it is\n")
        return
    terminal().out(estimators_text(groups_of(found), sink.sources, settings))


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
