"""`blc predict`: what a trained model predicts for a data file.

May import: floor 0, click, `cli`; training inside functions.
"""

from __future__ import annotations

from pathlib import Path

import click

from bl_compiler.cli.exits import Exit
from bl_compiler.cli.files import write_atomic
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal
from bl_compiler.cli.progress import ExamplesDisplay
from bl_compiler.cli.tables import table
from bl_compiler.cli.trained_options import load, trained_options


@declare(
    "predict",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND, Exit.INTERRUPTED),
    examples=[
        ("blc predict run --data new.npz -o pred.npz", "one prediction an example"),
        ("blc predict run --data new.npz --joint -o draws.npz", "functions, drawn"),
    ],
)
@click.argument("folder", metavar="RUN")
@opt(
    "-o",
    "--output",
    section="Output",
    metavar="FILE",
    required=True,
    env=False,
    help="The .npz file to write; - for stdout.",
)
@opt(
    "--joint",
    section="Output",
    is_flag=True,
    env=False,
    help="Every draw, one draw of the weights for all examples.",
)
@trained_options
def command(
    folder: str,
    output: str,
    data: str,
    checkpoint: str | None,
    draws: int,
    seed: int,
    target: str | None,
    estimators: str | None,
    *,
    joint: bool,
) -> None:
    """Predict with a trained model, averaging over draws from its posterior.

    RUN is the folder that `blc train --out` made. The file gets an array for each output: SITE.probs for class labels,
    SITE.mean and SITE.stddev for numbers, NAME.mean and NAME.stddev for each `predict NAME`. Labels need not be in the
    data.

    With --joint the draws are not averaged: they come along the first axis, each a function of the inputs, as one draw
    of the weights serves all examples; SITE.mean and SITE.stddev are then of the observation alone, and `predict NAME`
    gives NAME.value.
    """
    from bl_compiler.training.predict import npz_bytes, predict

    term = terminal()
    trained, found = load(folder, data, checkpoint, target, ("predict",), estimators=estimators)
    with ExamplesDisplay(term, "predicting", found.count) as display:
        arrays = predict(trained, found, seed=seed, draws=draws, joint=joint, report=display)
    packed = npz_bytes(arrays)
    if output == "-":
        term.out_bytes(packed)
        return
    write_atomic(Path(output), packed)
    rows = [(name, str(array.dtype), str(list(array.shape))) for name, array in arrays.items()]
    term.note(f"wrote {output}: {found.count:,} examples, {draws} draws, step {trained.step}")
    term.note(table(["array", "dtype", "shape"], rows))
