"""Diagnostics as values: what is wrong, where, and the way out. Rendering lives in `render.py` and `render_json.py`.

Invariant: a diagnostic's code is in `codes.CODES`, which also says whether it is an error or a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bl_compiler.codes import CODES
from bl_compiler.source import NO_SPAN, SourceFile, Span


class Severity(StrEnum):
    """How bad a diagnostic is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Label:
    """A remark at a span; the primary label shows the fault itself."""

    span: Span
    text: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Fix:
    """A replacement of the text at `span`."""

    span: Span
    text: str
    confidence: Literal["sure", "maybe"] = "maybe"


@dataclass(slots=True)
class Diagnostic:
    """One finding. Built by `Sink.error` and `Sink.warning`, extended by chained calls."""

    code: str
    severity: Severity
    message: str
    labels: list[Label] = field(default_factory=list)
    helps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)

    @property
    def span(self) -> Span:
        """The primary span, or `NO_SPAN`."""
        return next((label.span for label in self.labels if label.primary), NO_SPAN)

    def label(self, span: Span, text: str) -> Diagnostic:
        """Add a secondary label."""
        if span.known:
            self.labels.append(Label(span, text))
        return self

    def help(self, text: str, *, replace: tuple[Span, str] | None = None, sure: bool = False) -> Diagnostic:
        """Say the way out, with a replacement where one is known."""
        self.helps.append(text)
        if replace is not None and replace[0].known:
            self.fixes.append(Fix(*replace, confidence="sure" if sure else "maybe"))
        return self

    def note(self, text: str) -> Diagnostic:
        """Add background."""
        self.notes.append(text)
        return self


class CompileError(Exception):
    """The input is wrong; `diagnostics` say how. Never a defect of the compiler."""

    def __init__(self, diagnostics: Iterable[Diagnostic], sources: Mapping[str, SourceFile] | None = None) -> None:
        self.diagnostics = list(diagnostics)
        self.sources = dict(sources or {})
        super().__init__(self._text())

    def _text(self) -> str:
        from bl_compiler.render import render_human

        return "\n" + "\n".join(render_human(d, self.sources) for d in self.diagnostics)


class UnavailableError(Exception):
    """A known target or tool that this machine lacks (exit code 3)."""


class BackendError(Exception):
    """XLA refused a valid program or ran out of memory (exit code 4)."""


class Abort(Exception):
    """Raised to leave a statement after its error went to the sink; never reaches a user."""


class Sink:
    """Collects diagnostics; phases stop between, not within, so one run shows several errors.

    Args:
        warn: names of lints (or codes, or groups) to report though their group is off: `pedantic` is off unless named.
        allow: names of lints (or codes) to drop.
        deny: names of lints (or codes, or "warnings") to turn into errors.
    """

    def __init__(self, *, warn: Iterable[str] = (), allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.sources: dict[str, SourceFile] = {}
        self._warn = frozenset(warn)
        self._allow = frozenset(allow)
        self._deny = frozenset(deny)
        self._seen: set[tuple[str, str, Span]] = set()

    def add_source(self, source: SourceFile) -> None:
        """Make a source's text available to renderers."""
        self.sources[source.name] = source

    def error(self, code: str, message: str, *, at: Span = NO_SPAN, label: str = "") -> Diagnostic:
        """Report an error; returns it for chaining."""
        return self._add(code, Severity.ERROR, message, at, label)

    def warning(self, code: str, message: str, *, at: Span = NO_SPAN, label: str = "") -> Diagnostic:
        """Report a lint; `warn`, `allow` and `deny` of this sink and `# blc: allow(name)` comments apply."""
        names = {code, CODES[code].lint, CODES[code].group}
        if names & self._allow or names & self._allowed_in_source(at):
            return Diagnostic(code, Severity.WARNING, message)
        if CODES[code].group == "pedantic" and not names & (self._warn | self._deny):
            return Diagnostic(code, Severity.WARNING, message)
        denied = names & self._deny or "warnings" in self._deny
        return self._add(code, Severity.ERROR if denied else Severity.WARNING, message, at, label)

    def _allowed_in_source(self, at: Span) -> set[str]:
        source = self.sources.get(at.file)
        if source is None:
            return set()
        found: set[str] = set()
        for number in (at.line, at.line - 1):
            _, mark, rest = source.line(number).partition("# blc: allow(")
            if mark and (number == at.line or source.line(number).lstrip().startswith("#")):
                found |= {name.strip() for name in rest.partition(")")[0].split(",")}
        return found

    def _add(self, code: str, severity: Severity, message: str, at: Span, label: str) -> Diagnostic:
        if code not in CODES:
            raise KeyError(f"unknown diagnostic code {code}")
        found = Diagnostic(code, severity, message)
        if at.known:
            found.labels.append(Label(at, label, primary=True))
        if (code, message, at) not in self._seen:
            self._seen.add((code, message, at))
            self.diagnostics.append(found)
        return found

    @property
    def errors(self) -> list[Diagnostic]:
        """The errors so far."""
        return [d for d in self.diagnostics if d.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The warnings so far."""
        return [d for d in self.diagnostics if d.severity is Severity.WARNING]

    def raise_if_errors(self) -> None:
        """Raise `CompileError` if any error was reported."""
        if self.errors:
            raise CompileError(self.diagnostics, self.sources)
