"""Options that several commands share, and the `Options` they amount to.

Invariant: the name of a click parameter is the name of the field of `Options` it sets.
May import: floor 0, click, `cli`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bl_compiler.cli.framework import opt
from bl_compiler.options import Options, parse_define

F = TypeVar("F", bound=Callable[..., Any])


def _apply(function: F, section: str, options: Mapping[str, Mapping[str, Any]]) -> F:
    """Declare options, by their spellings, in the order of the help."""
    for spellings, details in reversed(list(options.items())):
        function = opt(*spellings.split(), **{"section": section, **details})(function)
    return function


def model_options(function: F) -> F:
    """Which model, with which options and batch size."""
    return _apply(
        function,
        "Input",
        {
            "--model": {"metavar": "NAME", "help": "The model, where a file holds several."},
            "-D --define defines": {"multiple": True, "metavar": "NAME=VALUE", "help": "Set an option of the file."},
            "--batch": {"metavar": "B", "help": "The size of the first plate; `dynamic` leaves it open."},
            "--stdin-filename": {"metavar": "NAME", "default": "<stdin>", "help": "How messages name stdin."},
            "--remap-path remap_paths": {
                "section": "Output",
                "multiple": True,
                "metavar": "A=B",
                "help": "Show paths under A as paths under B.",
            },
        },
    )


def lint_options(function: F) -> F:
    """What to do about lints."""
    shared = {"multiple": True, "metavar": "NAME"}
    return _apply(
        function,
        "Diagnostics",
        {
            "--warn": {**shared, "help": "Report a lint, a group of them, or a code."},
            "--allow": {**shared, "help": "Drop it."},
            "--deny": {**shared, "help": "Make it an error; `warnings` is all of them."},
        },
    )


def target_options(function: F) -> F:
    """What to compile for."""
    return _apply(
        function,
        "Target",
        {
            "--target": {"metavar": "T", "help": "cpu, gpu, tpu, tpu:v5e:2x4 or reference [default: cpu]."},
            # Designed and not built yet: they are refused in words, not as unknown options.
            "--mesh": {"hidden": True},
            "--shard": {"hidden": True},
            "--precision": {"hidden": True},
        },
    )


def pass_options(function: F) -> F:
    """Which passes run."""
    return _apply(
        function,
        "Optimization",
        {
            "-O --opt-level level": {"metavar": "0|1|2", "help": "The optimization level [default: 1]."},
            "--passes": {"metavar": "EDITS", "help": "Edit the level's passes, such as +flipout,-cse."},
            "--estimators": {
                "metavar": "E",
                "help": "Among exact ones: auto, fast, low-variance or shared [default: auto].",
            },
        },
    )


def development_options(function: F) -> F:
    """Looking inside the compiler."""
    passes = {"metavar": "PASSES", "is_flag": False, "flag_value": "*"}
    return _apply(
        function,
        "Compiler development",
        {
            "--stop-after": {"metavar": "STAGE|PASS", "help": "Stop there and write what there is."},
            "--print-pipeline": {"is_flag": True, "help": "Print the pipeline that would run, and stop."},
            "--dump-ir": {"metavar": "DIR", "help": "A file for each pass that changed the IR."},
            "--dump-ir-all": {"is_flag": True, "help": "With --dump-ir: for every pass."},
            "--dump-xla": {"metavar": "DIR", "help": "XLA's own dumps."},
            "--print-ir-before": {**passes, "help": "To stderr; `=a,b` for some."},
            "--print-ir-after": {**passes, "help": "To stderr; `=a,b` for some."},
            "--print-ir-after-change": {"is_flag": True, "help": "After passes that changed it."},
            "--print-ir-after-failure": {"is_flag": True, "help": "What a failing pass was given."},
            "--ir-form": {"metavar": "FORM", "help": "pretty, generic or json [default: pretty]."},
            "--full-constants": {"is_flag": True, "help": "Print large constants whole."},
            "--explain-rewrite": {"multiple": True, "metavar": "SITE", "help": "Why a site was or was not rewritten."},
            "--stats": {"is_flag": True, "help": "Count the rules tried and fired."},
            "--time-passes": {"is_flag": True, "help": "Time each pass."},
            "--verify-each/--no-verify-each": {"default": None, "help": "Verify the IR after every pass."},
            "--emit-repro": {"is_flag": True, "help": "Write a reproducer without a failure."},
            "--repro-dir": {"metavar": "DIR", "help": "Where reproducers go [default: here]."},
        },
    )


def options_of(given: Mapping[str, Any]) -> Options:
    """The `Options` of click parameters; those not given keep their defaults."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == () or (value is False and name != "verify_each"):
            continue
        values[name] = value
    if "defines" in values:
        values["defines"] = dict(parse_define(text) for text in values["defines"])
    for name in ("warn", "allow", "deny"):
        if name in values:
            values[name] = tuple(part.strip() for text in values[name] for part in text.split(",") if part.strip())
    if "remap_paths" in values:
        values["remap_paths"] = dict(text.partition("=")[::2] for text in values["remap_paths"])
    return Options.of(**values)
