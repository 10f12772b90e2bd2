"""`blc evaluate`: how good a trained model is on a data file.

May import: floor 0, click, `cli`; training inside functions.
"""

from __future__ import annotations

import json

import click

from bl_compiler.cli.exits import Exit
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.progress import ExamplesDisplay
from bl_compiler.cli.trained_options import load, trained_options


@declare(
    "evaluate",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND, Exit.INTERRUPTED),
    examples=[
        ("blc evaluate run --data test.npz", "a table"),
        ("blc evaluate run --data test.npz --json", "for programs"),
    ],
)
@click.argument("folder", metavar="RUN")
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="One JSON object.")
@trained_options
def command(
    folder: str,
    as_json: bool,
    data: str,
    checkpoint: str | None,
    draws: int,
    seed: int,
    target: str | None,
    estimators: str | None,
) -> None:
    """Measure a trained model: negative log-likelihood, and accuracy, Brier score and calibration, or RMSE.

    RUN is the folder that `blc train --out` made. Every example of the data counts exactly once. Each measure comes
    with its standard error over examples.
    """
    from bl_compiler.training.evaluate import evaluate

    term = terminal()
    trained, found = load(folder, data, checkpoint, target, ("log_likelihood", "predict"), estimators=estimators)
    with ExamplesDisplay(term, "evaluating", found.count) as display:
        measured = evaluate(
            trained.program,
            trained.params,
            found,
            trained.needs.sites,
            trained.needs.batch,
            seed=seed,
            draws=draws,
            report=display,
        )
    if trained.needs.local_latents:
        # log p(x|z) at draws from q(z|x) is no bound on log p(x); the name must not pretend that it is.
        measured = {name.replace("nll", "reconstruction_nll", 1): value for name, value in measured.items()}
    if as_json:
        numbers = {name: estimate.to_json() for name, estimate in measured.items()}
        record = {"step": trained.step, "examples": found.count, "draws": draws, "seed": seed, "metrics": numbers}
        term.out(json.dumps(record, indent=2) + "\n")
        return
    term.note(f"step {trained.step}, {found.count:,} examples, {draws} draws")
    width = max(map(len, measured))
    for name, estimate in measured.items():
        term.out(f"{name:<{width}}  {estimate.value:.6g} +- {estimate.standard_error:.2g}\n")
