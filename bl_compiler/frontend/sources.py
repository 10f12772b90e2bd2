"""Reading a file and what it imports.

Invariant: each file is parsed once; a file's imports stand before it. May import: floor 0, `ast`, `parser`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bl_compiler.diagnostics import Sink
from bl_compiler.frontend import ast
from bl_compiler.source import NO_SPAN, SourceFile, Span
from bl_compiler.suggest import similar_file

Reader = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sources:
    """The main file and the files it imports, directly or not, in the order of their definitions."""

    main: ast.File
    imported: tuple[ast.File, ...] = ()


def read_file(path: str) -> str:
    """The text of a file.

    Raises:
        OSError: if it cannot be read.
        UnicodeDecodeError: if it is not UTF-8.
    """
    return Path(path).read_bytes().decode("utf-8-sig")


def read_source(path: str, sink: Sink, *, at: Span = NO_SPAN, read: Reader = read_file) -> SourceFile | None:
    """A source file, or None after an error on the sink."""
    try:
        source = SourceFile(path, read(path).replace("\r\n", "\n"))
    except UnicodeDecodeError as fault:
        sink.error("BLC0006", f"`{path}` is not UTF-8 text: byte {fault.start} cannot be decoded", at=at).help(
            "save the file as UTF-8"
        )
        return None
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        error = sink.error("BLC0001", f"cannot read `{path}`: {reason[:1].lower()}{reason[1:]}", at=at)
        close = similar_file(path)
        if close:
            error.help(f"did you mean `{close}`?")
        return None
    sink.add_source(source)
    return source


def load_sources(source: SourceFile, sink: Sink, *, read: Reader = read_file) -> Sources | None:
    """Parse a file and its imports; None if any of them has syntax errors or is missing."""
    from bl_compiler.frontend.parser import parse

    sink.add_source(source)
    done: dict[str, ast.File] = {}
    failed = False

    def visit(current: SourceFile, chain: tuple[str, ...]) -> ast.File | None:
        nonlocal failed
        tree = parse(current, sink)
        if tree is None:
            failed = True
            return None
        for item in tree.items:
            if not isinstance(item, ast.Import):
                continue
            path = posixpath.normpath(posixpath.join(posixpath.dirname(current.name), item.path))
            if path in chain:
                cycle = " -> ".join((*chain[chain.index(path) :], path))
                sink.error("BLC0002", f"import cycle: {cycle}", at=item.span)
                failed = True
            elif path not in done:
                inner = read_source(path, sink, at=item.span, read=read)
                found = visit(inner, (*chain, path)) if inner is not None else None
                if found is None:
                    failed = True
                else:
                    done[path] = found
        return tree

    main = visit(source, (posixpath.normpath(source.name),))
    return None if main is None or failed else Sources(main, tuple(done.values()))
