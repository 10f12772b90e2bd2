"""`blc train`: a model and a data file in, a folder with checkpoints out.

May import: floor 0, click, `cli`; driver and training inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.files import STDIN, reader_for
from bl_compiler.cli.framework import NumberRange, opt, terminal
from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.interrupts import Interrupts
from bl_compiler.cli.model_options import lint_options, model_options, options_of, pass_options
from bl_compiler.cli.progress import TrainingDisplay
from bl_compiler.cli.term import Terminal
from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.options import OptionError, Options
from bl_compiler.targets import Target

if TYPE_CHECKING:
    from bl_compiler.ir.graph import Module
    from bl_compiler.training.loop import Result
    from bl_compiler.training.protocol import Trainable
    from bl_compiler.training.session import Prepared, Request


@declare(
    "train",
    exits=(Exit.FINDINGS, Exit.UNAVAILABLE, Exit.BACKEND, Exit.INTERRUPTED),
    examples=[
        ("blc train mlp.blg --data train.npz --steps 5000 --out run", "train"),
        ("blc train mlp.blg --data train.npz --out run --resume", "go on after an interrupt"),
        ("... --steps 9000 --out run --resume", "go on further"),
        ("... --validation 0.1 --early-stopping 5", "stop when it gets no better"),
    ],
)
@click.argument("model_file", metavar="MODEL")
@opt("--data", section="Input", metavar="FILE", required=True, help="An .npz file with an array for each input.")
@opt("--out", section="Output", metavar="DIR", required=True, help="The folder of the run.")
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="Metrics on stdout as JSON lines.")
@opt("--force", section="Output", is_flag=True, env=False, help="Replace the run in --out.")
@opt("--steps", section="Training", type=click.IntRange(0), metavar="N", help="The step to train to.")
@opt(
    "--seed",
    section="Training",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Of everything random [default: 0].",
)
@opt(
    "--validation",
    section="Training",
    type=NumberRange(0, 1, max_open=True),
    metavar="F",
    help="Hold out this fraction.",
)
@opt(
    "--eval-every",
    section="Training",
    type=click.IntRange(1),
    metavar="N",
    help="Steps between evaluations [default: an epoch].",
)
@opt(
    "--eval-draws",
    section="Training",
    type=click.IntRange(1),
    metavar="N",
    default=16,
    help="Draws of an evaluation [default: 16].",
)
@opt(
    "--early-stopping",
    section="Training",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after N evaluations without a better one.",
)
@opt(
    "--checkpoint-every",
    section="Training",
    type=click.IntRange(0),
    metavar="N",
    default=1000,
    help="Steps between checkpoints [default: 1000].",
)
@opt(
    "--keep",
    section="Training",
    type=click.IntRange(1),
    metavar="N",
    default=2,
    help="Newest checkpoints to keep [default: 2].",
)
@opt(
    "--log-every",
    section="Training",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    help="Steps between metrics [default: 10].",
)
@opt(
    "--resume",
    section="Training",
    is_flag=True,
    env=False,
    help="Go on with the run in --out; start it if there is none.",
)
@model_options
@opt("--target", "device", section="Target", metavar="T", help="cpu, gpu or tpu [default: what there is].")
@pass_options
@lint_options
def command(model_file: str, as_json: bool, device: str | None, **given: Any) -> int:
    """Train a model.

    The run's folder gets checkpoints and metrics.jsonl; evaluate and predict take the folder. A run that was
    interrupted goes on with --resume exactly as if it had not been.
    """
    from bl_compiler.driver.compile import check_supported, compile_file
    from bl_compiler.driver.models import new_sink
    from bl_compiler.training.checkpoints import CheckpointError
    from bl_compiler.training.loop import Diverged
    from bl_compiler.training.session import prepare, report_failure

    term = terminal()
    training = {name: given.pop(name) for name in _TRAINING}
    stdin_filename = given.pop("stdin_filename")
    options = options_of(given)
    check_supported(options)
    if options.batch == "dynamic":
        raise OptionError("training needs a batch size", help="write a number: `--batch 128`")
    target = Target.parse(device) if device else None
    sink = new_sink(options)
    read = reader_for(stdin_filename)
    compiled = compile_file(stdin_filename if model_file == STDIN else model_file, options, sink, read=read)
    if compiled is None:
        raise CompileError(sink.diagnostics, sink.sources)
    assert compiled.module is not None
    assert compiled.entries is not None
    assert compiled.optimized is not None
    try:
        request = _request(training, options, model_file, compiled.module.name)
        prepared = prepare(request, compiled.module, compiled.entries, sink)
        if prepared is None:
            raise CompileError(sink.diagnostics, sink.sources)
        _show_warnings(term, sink)
        program = _program(prepared, compiled.optimized.module, sink, target, term)
        result = _run(prepared, program, compiled.module, term, as_json=as_json)
    except (CheckpointError, Diverged) as fault:
        report_failure(fault, Path(training["out"]), sink)
        raise CompileError(sink.errors, sink.sources) from fault
    return _finish(prepared, result, term, as_json=as_json)


_TRAINING = (
    *("data", "out", "force", "steps", "seed", "validation", "eval_every", "eval_draws", "early_stopping"),
    *("checkpoint_every", "keep", "log_every", "resume"),
)


def _request(given: dict[str, Any], options: Options, model_file: str, model: str) -> Request:
    """The settings; a resumed run keeps those of its start that are not given anew."""
    from bl_compiler.training.loop import Settings
    from bl_compiler.training.runs import RunFolder
    from bl_compiler.training.session import Request

    folder = RunFolder(Path(given["out"]))
    if given["resume"] and folder.exists():
        before = folder.read()
        _note_other_versions(before.about.get("versions", {}))
        recorded = {**before.about, **before.identity}
        for name in ("steps", "seed", "validation", "eval_every", "early_stopping"):
            if given[name] is None:
                given[name] = recorded.get(name)
    if given["steps"] is None:
        raise OptionError("missing option `--steps`", help="say how long to train: `--steps 5000`")
    if given["early_stopping"] and not given["validation"]:
        raise OptionError(
            "`--early-stopping` needs validation data", help="hold out a part of the data: `--validation 0.1`"
        )
    settings = Settings(
        steps=given["steps"],
        seed=given["seed"] or 0,
        eval_every=given["eval_every"] or 0,
        checkpoint_every=given["checkpoint_every"],
        patience=given["early_stopping"],
        log_every=given["log_every"],
    )
    from bl_compiler.driver.versions import versions

    about = {
        "model": model,
        "file": model_file,
        "data_file": given["data"],
        "steps": given["steps"],
        "eval_every": given["eval_every"],
        "early_stopping": given["early_stopping"],
        "compile": options.to_json(),
        "versions": versions(),
    }
    decisive = {"level": options.level, "passes": options.passes}
    if options.estimators != "auto":  # absent from older runs
        decisive["estimators"] = options.estimators
    return Request(
        data=given["data"],
        out=Path(given["out"]),
        validation=given["validation"] or 0.0,
        eval_draws=given["eval_draws"],
        settings=settings,
        resume=given["resume"],
        force=given["force"],
        keep=given["keep"],
        options=decisive,
        about=about,
    )


def _note_other_versions(before: Mapping[str, str]) -> None:
    """Say so if a run goes on under other versions: then its last bits may differ from those of the unbroken run."""
    from bl_compiler.driver.versions import versions

    now = versions()
    changed = [
        f"{name} {before[name]} -> {now.get(name, 'none')}"
        for name in ("blc", "jax", "jaxlib", "optax")
        if name in before and before[name] != now.get(name)
    ]
    if changed:
        terminal().note(f"the run was started with other versions ({', '.join(changed)}): it goes on, not to the bit")


def _show_warnings(term: Terminal, sink: Sink) -> None:
    if sink.diagnostics:
        term.diagnostics(sink.diagnostics, sink.sources, exit_code=exit_of(sink.diagnostics))


def _program(prepared: Prepared, optimized: Module, sink: Sink, target: Target | None, term: Terminal) -> Trainable:
    from bl_compiler.driver.programs import build_program, use_device
    from bl_compiler.training.programs import ProgramModel

    term.note(f"training on {use_device(target)}", level=1)
    return ProgramModel(build_program(optimized, sink.sources), prepared.sizes, prepared.needs.output_axes)


def _run(prepared: Prepared, program: Trainable, model: Module, term: Terminal, *, as_json: bool) -> Result:
    from bl_compiler.training.session import run_training

    start = prepared.start.step if prepared.start is not None else 0
    settings = prepared.request.settings
    if prepared.start is not None:
        term.note(f"going on from step {start}")
    elif prepared.request.resume:
        term.note(f"no checkpoint in {prepared.folder.path}: starting anew")
    told = "interrupted: saving a checkpoint (press Ctrl-C again to stop at once)"
    measure = "validation_loss" if prepared.needs.local_latents else "validation_nll"
    display = TrainingDisplay(term, start, settings.steps, as_json=as_json, measure=measure)
    with display, Interrupts(lambda: term.note(told)) as interrupts:
        return run_training(prepared, program, model, display, interrupted=interrupts)


def _finish(prepared: Prepared, result: Result, term: Terminal, *, as_json: bool) -> int:
    progress = result.progress
    out = prepared.folder.path
    if as_json:
        record = {"type": "end", "step": progress.step, "best_step": progress.best_step}
        term.out(
            json.dumps({**record, "stopped_early": progress.stopped_early, "interrupted": result.interrupted}) + "\n"
        )
    if result.interrupted:
        term.note(f"stopped at step {progress.step}; `--resume` goes on from there")
        return Exit.INTERRUPTED
    if progress.stopped_early:
        term.note(f"stopped early at step {progress.step}: no better since step {progress.best_step}")
    best = f"; best at step {progress.best_step}" if progress.best_step is not None else ""
    term.note(f"trained to step {progress.step}{best}: {out}")
    return Exit.OK
