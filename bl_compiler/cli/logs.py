"""Logging as `-v` and `--log` ask for it: levels of the loggers `bl_compiler.COMPONENT`, written to stderr.

Invariant: once the command is over, logging is as it was before. May import: floor 0, click.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import click

from bl_compiler.options import OptionError, parse_names

COMPONENTS = ("backends", "driver", "frontend", "ir", "layers", "passes", "shapes", "training")
"""What `--log` can name: the packages of the compiler, and the types of a model's values."""

LEVELS = ("debug", "info", "warning", "error")
_PACKAGE = "bl_compiler"


class _Stderr(logging.Handler):
    """Writes to the stderr of the moment, which tests and wrappers replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        sys.stderr.write(f"{self.format(record)}\n")


def parse_log(text: str) -> dict[str, str]:
    """`passes=debug,shapes=info` as levels by component; a name alone means `info`.

    Raises:
        OptionError: There is no such component or level.

    Example:
        >>> parse_log("passes=debug,shapes")
        {'passes': 'debug', 'shapes': 'info'}
    """
    levels: dict[str, str] = {}
    for part in parse_names(text):
        component, mark, level = part.partition("=")
        if component not in COMPONENTS:
            raise OptionError.unknown("component", component, COMPONENTS)
        if mark and level not in LEVELS:
            raise OptionError.unknown("log level", level, LEVELS)
        levels[component] = level or "info"
    return levels


def show_verbosely(ctx: click.Context, verbosity: int) -> None:
    """What `-v` and `-vv` log: the stages, and everything."""
    _show(ctx, _PACKAGE, "info" if verbosity == 1 else "debug")


def show_components(ctx: click.Context, text: str) -> None:
    """What `--log` names."""
    for component, level in parse_log(text).items():
        _show(ctx, f"{_PACKAGE}.{component}", level)


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completions of the last component or level of a list."""
    before, comma, last = incomplete.rpartition(",")
    names = [f"{each}={level}" for each in COMPONENTS for level in LEVELS] if "=" in last else list(COMPONENTS)
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def _show(ctx: click.Context, name: str, level: str) -> None:
    logger, root = logging.getLogger(name), logging.getLogger(_PACKAGE)
    if not any(isinstance(handler, _Stderr) for handler in root.handlers):
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        _set_up(root, handler, ctx)
    ctx.find_root().call_on_close(_restoring(logger))
    logger.setLevel(level.upper())


def _set_up(root: logging.Logger, handler: logging.Handler, ctx: click.Context) -> None:
    root.addHandler(handler)
    ctx.find_root().call_on_close(lambda: root.removeHandler(handler))


def _restoring(logger: logging.Logger) -> Callable[[], None]:
    before = logger.level
    return lambda: logger.setLevel(before)
