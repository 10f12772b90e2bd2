"""The entry of `blc`: runs a command and turns whatever happens into messages and an exit code.

Invariant: no exception leaves `main`, and no traceback is shown without `--traceback`.
May import: floor 0, click, `cli`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bl_compiler.cli.config import load
from bl_compiler.cli.exits import Exit, exit_of
from bl_compiler.cli.framework import BlcGroup, Opt, State, UnknownCommand, help_options
from bl_compiler.cli.term import COLORS, Terminal
from bl_compiler.diagnostics import BackendError, CompileError, Diagnostic, Severity, UnavailableError
from bl_compiler.options import OptionError
from bl_compiler.suggest import did_you_mean

COMMANDS = {
    "Models": {
        "compile": ("cmd_compile", "Compile a model for a target"),
        "check": ("cmd_check", "Report errors and warnings in models"),
        "fmt": ("cmd_fmt", "Format models"),
        "info": ("cmd_info", "Show a model's sites, shapes, parameters and cost"),
        "run": ("cmd_run", "Run an entry point of a model or bundle"),
        "verify": ("cmd_verify", "Check that every pass keeps what a model computes"),
    },
    "Training": {
        "train": ("cmd_train", "Train a model on a data file"),
        "evaluate": ("cmd_evaluate", "Measure a trained model on a data file"),
        "predict": ("cmd_predict", "Predict with a trained model"),
    },
    "Reference": {
        "explain": ("cmd_explain", "Explain a diagnostic code, pass, op, layer or distribution"),
        "list": ("cmd_list", "List what the compiler knows"),
    },
    "Tools": {
        "opt": ("cmd_opt", "Run passes over a model or IR file"),
        "repro": ("cmd_repro", "Replay a reproducer of an internal error, or shrink it"),
        "completion": ("cmd_completion", "Print a completion script for a shell"),
        "version": ("cmd_version", "Show the versions of blc and what it stands on"),
    },
}

EXAMPLES = (
    ("blc compile cnn.blg --target=tpu", "StableHLO for TPUs, in cnn.blc/"),
    ("blc train mlp.blg --data train.npz --steps 5000 --out run", "train, with checkpoints in run/"),
    ("blc explain BLC0206", "what an error means and how to mend it"),
)


@click.command(
    "blc", cls=BlcGroup, lazy=COMMANDS, examples=EXAMPLES, invoke_without_command=True, no_args_is_help=False
)
@click.option("--config", cls=Opt, metavar="FILE", help="The options file; `none` for none [default: blc.toml].")
@click.option("--color", cls=Opt, type=click.Choice(COLORS), metavar="WHEN", help="auto, always or never.")
@click.option("--version", cls=Opt, env=False, is_flag=True, help="Show the version and exit.")
@help_options
@click.pass_context
def group(ctx: click.Context, config: str | None, color: str | None, version: bool) -> None:
    """Compile Bayesian neural networks: models made of layers become JAX programs for CPU, GPU and TPU."""
    state: State = ctx.obj
    state.term.color = color or state.term.color
    if version:
        from bl_compiler import __version__

        state.term.out(f"blc {__version__}\n")
        ctx.exit()
    if ctx.invoked_subcommand is None:
        ctx.max_content_width = ctx.terminal_width = min(state.term.width(), 100)
        state.term.err(ctx.get_help() + "\n")
        ctx.exit(Exit.USAGE)
    loaded = load(config)
    state.config, state.config_known_good = loaded, not loaded.values


def main(argv: Sequence[str] | None = None) -> int:
    """Run `blc` with these arguments (those of the process for None); returns the exit code."""
    _open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "_BLC_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        state = State(Terminal(), load("none"))
        return shell_complete(group, {"obj": state}, "blc", "_BLC_COMPLETE", os.environ["_BLC_COMPLETE"])
    term = Terminal.of_arguments(arguments)
    try:
        code = _guarded(arguments, term)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has enough of it. Keep Python from complaining when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _open_streams() -> None:
    """Stand in for streams that the caller closed (`>&-`), which Python leaves out."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


def _guarded(arguments: list[str], term: Terminal) -> int:
    try:
        return _run(arguments, term)
    except BrokenPipeError:
        raise
    except CompileError as fault:
        code = exit_of(fault.diagnostics)
        term.diagnostics(fault.diagnostics, fault.sources, exit_code=code)
        return code
    except OptionError as fault:
        return _fail(term, Exit.USAGE, fault.code, fault.message, fault.help)
    except UnavailableError as fault:
        return _fail(term, Exit.UNAVAILABLE, "BLC0602", str(fault), "`blc list targets` says what is usable here")
    except BackendError as fault:
        return _fail(term, Exit.BACKEND, "BLC0603", str(fault))
    except MemoryError:
        return _fail(term, Exit.BACKEND, "BLC0603", "memory ran out", "a smaller `--batch` needs less")
    except (KeyboardInterrupt, click.Abort):
        term.note("interrupted")
        return Exit.INTERRUPTED
    except OSError as fault:
        name = f"`{fault.filename}`" if fault.filename else "output"
        return _fail(term, Exit.USAGE, "BLC0903", f"{name}: {(fault.strerror or str(fault)).lower()}")
    except Exception as fault:  # noqa: BLE001 - the last resort: a defect becomes a report, not a traceback
        # XLA's own error, known by name because jax is not imported here.
        if type(fault).__name__ == "JaxRuntimeError" and not term.traceback:
            return _fail(term, Exit.BACKEND, "BLC0603", str(fault).strip().split("\n")[0])
        from bl_compiler.cli.crash import report_crash

        return report_crash(fault, arguments, term)


def _run(arguments: list[str], term: Terminal) -> int:
    try:
        with group.make_context("blc", arguments, obj=State(term, load("none"))) as ctx:
            result = group.invoke(ctx)
        return int(result) if isinstance(result, int) else Exit.OK
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as fault:
        return _usage(fault, term)


def _usage(fault: click.UsageError, term: Terminal) -> int:
    """A bad command line: what is wrong, the likeliest right spelling, where to read more."""
    path = fault.ctx.command_path if fault.ctx else "blc"
    help_text = f"`{path} --help` lists what it takes"
    code = "BLC0004"
    if isinstance(fault, UnknownCommand):
        code, message = "BLC0003", fault.message
        close = did_you_mean(fault.name, fault.known)
        help_text = f"did you mean `blc {close}`?" if close else help_text
    elif isinstance(fault, click.NoSuchOption):
        code, message = "BLC0003", f"unknown option `{fault.option_name}` of `{path}`"
        known = [name for param in fault.ctx.command.params for name in param.opts] if fault.ctx else []
        close = did_you_mean(fault.option_name.strip("-"), [name[2:] for name in known if name.startswith("--")])
        help_text = f"did you mean `--{close}`?" if close else help_text
    else:
        text = fault.format_message().replace("'", "`").rstrip(".")
        message = text[:1].lower() + text[1:]
    return _fail(term, Exit.USAGE, code, message, help_text)


def _fail(term: Terminal, exit_code: Exit, code: str, message: str, help_text: str = "") -> int:
    found = Diagnostic(code, Severity.ERROR, message, helps=[help_text] if help_text else [])
    term.diagnostics([found], {}, exit_code=exit_code)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
