"""Checks that an optimizer and its arguments are optax's, before the text that names them runs.

May import: floors 0-1, optax.
"""

from __future__ import annotations

import importlib
import inspect

from bl_compiler.diagnostics import CompileError, Sink
from bl_compiler.ir.graph import Optimizer
from bl_compiler.suggest import did_you_mean


def check_optimizer(optimizer: Optimizer) -> None:
    """Raise unless optax has the optimizer, and it takes the arguments.

    Raises:
        CompileError: it has not, or does not.
    """
    optax = importlib.import_module("optax")
    function = getattr(optax, optimizer.name, None)
    if not callable(function):
        names = [name for name in dir(optax) if callable(getattr(optax, name)) and not name.startswith("_")]
        raise _error("BLC0201", f"optax has no `{optimizer.name}`", did_you_mean(optimizer.name, names))
    parameters = inspect.signature(function).parameters
    variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in optimizer.arguments:
        if not key.isdecimal() and key not in parameters and not variadic:
            raise _error("BLC0204", f"`{optimizer.name}` has no argument `{key}`", did_you_mean(key, parameters))
        match value:
            case (str() as name, tuple() as arguments):
                check_optimizer(Optimizer(name, arguments))


def _error(code: str, message: str, close: str | None) -> CompileError:
    sink = Sink()
    sink.error(code, message).help(f"did you mean `{close}`?" if close else "see optax's documentation")
    return CompileError(sink.diagnostics)
