"""Messages for syntax errors, spoken from what the parser accepts.

Invariant: a message states what was expected and found; the way out is in `help`, which `syntax_hints` provides for the
mistakes people make. May import: floor 0, `words`, `failure`, `syntax_hints`.
"""

from __future__ import annotations

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend.failure import OPENERS, Failure, Repair, Report
from bl_compiler.frontend.syntax_hints import HINTS
from bl_compiler.frontend.words import ITEM_KEYWORDS, KEYWORDS, TERMINAL_WORDS, expected_words, human_list, keyword_of

_CLOSERS = {"RPAR": "(", "RSQB": "[", "RBRACE": "{"}


def report(failure: Failure, sink: Sink) -> Repair | None:
    """Report a failure to the sink; returns how parsing can go on as if the text were right, if it can."""
    said = _base(failure)
    _unclosed(failure, said)
    for hint in HINTS:
        if hint(failure, said):
            break
    found = sink.error(said.code, said.message, at=said.span, label=said.label)
    for span, text in said.labels:
        found.label(span, text)
    for text, replace, sure in said.helps:
        found.help(text, replace=replace, sure=sure)
    return said.repair


def describe(failure: Failure) -> str:
    """What was found, in words."""
    text = failure.text if len(failure.text) <= 30 else failure.text[:27] + "..."
    match failure.terminal:
        case "$END":
            return TERMINAL_WORDS["$END"]
        case "":
            return f"`{text}`" if text.isprintable() else f"character U+{ord(text[0]):04X}"
        case "NUMBER":
            return f"number `{text}`"
        case "STRING":
            return "a string"
        case terminal:
            if keyword_of(terminal) or text in KEYWORDS:
                return f"keyword `{text}`"
            return f"name `{text}`" if terminal == "NAME" else f"`{text}`"


def _base(failure: Failure) -> Report:
    """The message that needs no special case."""
    found = describe(failure)
    if failure.terminal == "":
        return Report("BLC0102", f"unexpected {found}", failure.span)
    code = "BLC0103" if failure.terminal == "$END" else "BLC0101"
    expected = human_list(expected_words(failure.accepts))
    return Report(code, f"expected {expected}, found {found}" if expected else f"unexpected {found}", failure.span)


def _unclosed(failure: Failure, said: Report) -> None:
    """Point at the bracket that should have been closed, where nothing else could follow."""
    opener = failure.opener
    if opener is None or OPENERS[opener.type] not in failure.accepts:
        return
    closer = TERMINAL_WORDS[OPENERS[opener.type]]
    ends = failure.terminal in {"$END", *_CLOSERS} or keyword_of(failure.terminal) is not None
    if opener.type == "LBRACE":
        ends = failure.terminal == "$END" or failure.text in ITEM_KEYWORDS
    if ends:
        said.message = f"expected {closer}, found {describe(failure)}"
        said.labels.append((failure.token_span(opener), f"this `{opener}` is not closed"))
