"""Streams of the command line: what goes where, in which width and colors.

Invariant: stdout is written by `Terminal.out` and `Terminal.out_bytes` only; everything else goes to stderr.
May import: floor 0.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from bl_compiler.diagnostics import Diagnostic
from bl_compiler.render_json import FORMATS, Format, render_all
from bl_compiler.source import SourceFile

COLORS = ("auto", "always", "never")
PIPED_WIDTH = 100


def use_color(choice: str | None, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to color a stream: flag, then `BLC_COLOR`, `NO_COLOR`, `FORCE_COLOR`, then whether it is a terminal."""
    stated = choice or environ.get("BLC_COLOR")
    if stated in ("always", "never"):
        return stated == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0") or environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return _is_terminal(stream, environ)


def _is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    return stream.isatty() and environ.get("TERM") != "dumb"


@dataclass(slots=True)
class Terminal:
    """The two streams with what the user said about them.

    Attributes:
        color: `--color`, None if not given.
        format: `--message-format`.
        verbosity: -1 under `-q`, 1 for each `-v`.
        traceback: Whether tracebacks are shown.
    """

    color: str | None = None
    format: Format = "human"
    verbosity: int = 0
    traceback: bool = False

    @staticmethod
    def of_arguments(arguments: Sequence[str]) -> Terminal:
        """What the arguments say about messages, for errors met before they are parsed."""
        term = Terminal()
        for i, argument in enumerate(arguments):
            if argument == "--":
                break
            name, mark, value = argument.partition("=")
            value = value if mark else next(iter(arguments[i + 1 : i + 2]), "")
            if name == "--color" and value in COLORS:
                term.color = value
            elif name == "--message-format":
                term.format = next((known for known in FORMATS if known == value), term.format)
            elif argument == "--traceback":
                term.traceback = True
        return term

    @property
    def color_out(self) -> bool:
        """Whether stdout is colored."""
        return use_color(self.color, sys.stdout, os.environ)

    @property
    def color_err(self) -> bool:
        """Whether stderr is colored."""
        return use_color(self.color, sys.stderr, os.environ)

    @property
    def progress(self) -> bool:
        """Whether a progress bar makes sense."""
        return self.verbosity >= 0 and self.format == "human" and _is_terminal(sys.stderr, os.environ)

    def width(self, stream: TextIO | None = None) -> int:
        """The width to lay text out in: the terminal's, or 100 in pipes and files."""
        stream = stream or sys.stdout
        if not stream.isatty():
            return PIPED_WIDTH
        return max(40, shutil.get_terminal_size((PIPED_WIDTH, 24)).columns)

    def out(self, text: str) -> None:
        """Write to stdout."""
        sys.stdout.write(text)

    def out_bytes(self, data: bytes) -> None:
        """Write bytes to stdout."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def err(self, text: str) -> None:
        """Write to stderr whatever the verbosity."""
        sys.stderr.write(text)

    def note(self, text: str, *, level: int = 0) -> None:
        """A line on stderr, silent under `-q` or below the verbosity that `level` asks for."""
        if self.verbosity >= level and self.format in ("human", "short"):
            sys.stderr.write(text.rstrip("\n") + "\n")

    def diagnostics(
        self,
        found: Sequence[Diagnostic],
        sources: Mapping[str, SourceFile],
        *,
        exit_code: int,
        to_stdout: bool = False,
    ) -> None:
        """Show diagnostics in the chosen format; under `-q` people see errors only."""
        people = self.format in ("human", "short")
        if people and self.verbosity < 0:
            found = [d for d in found if d.severity == "error"]
        stream = sys.stdout if to_stdout else sys.stderr
        text = render_all(
            found,
            sources,
            self.format,
            color=use_color(self.color, stream, os.environ),
            width=self.width(stream),
            exit_code=exit_code,
            version=_version(),
        )
        stream.write(text)


def _version() -> str:
    from bl_compiler import __version__

    return __version__
