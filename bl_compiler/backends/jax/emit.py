"""A module as the text of a Python program.

The text needs jax, numpy and (for training) optax only: the runtime functions that it uses are copied to its top.
Written to be read and owned; nothing in it is interpreted at run time. Invariant: equal modules give equal text.
May import: floors 0-1, `entries`, `functions`, `link`, `located`, `compat`.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bl_compiler.backends.jax import compat
from bl_compiler.backends.jax.entries import PUBLIC, constants, entry_functions, public_functions
from bl_compiler.backends.jax.functions import Writer, write_function
from bl_compiler.backends.jax.link import closure, imports_for, load, names_in, runtime
from bl_compiler.backends.jax.located import compile_text, pseudo_file, show_lines
from bl_compiler.ir.graph import Module
from bl_compiler.source import SourceFile, Span

_ARGUMENTS = ("params", "inputs", "sites", "sizes", "step", "key", "seed", "draws", "state", "OPTIMIZER", "TRAINED")
_BASE_IMPORTS = ("jax", "jnp")


@dataclass(frozen=True)
class EmittedModule:
    """A program as text.

    Attributes:
        name: the model's name.
        text: the whole Python module.
        functions: its public functions, in order.
        spans: the source position behind lines of the text, by line number.
    """

    name: str
    text: str
    functions: tuple[str, ...]
    spans: Mapping[int, Span] = field(default_factory=dict, compare=False)

    @property
    def tree(self) -> ast.Module:
        """The syntax tree of the text."""
        return ast.parse(self.text)

    @cached_property
    def namespace(self) -> dict[str, Any]:
        """The program's functions by name, ready to call; what goes wrong in them is reported at the source's lines."""
        import jax
        import jax.numpy as jnp

        compat.hide_own_frames()
        show_lines(SourceFile(pseudo_file(self.name), self.text))
        used = closure(names_in(self.tree))
        namespace: dict[str, Any] = {"__name__": self.name, "jax": jax, "jnp": jnp, **load(used)}
        if "optax" in names_in(self.tree):
            namespace["optax"] = importlib.import_module("optax")
        code = compile_text(self.text, self.name, self.spans, frozenset(d.name for d in used))
        exec(code, namespace)
        return namespace


def emit_module(module: Module) -> EmittedModule:
    """The module, which holds entry graphs, as Python text."""
    taken = [*runtime().definitions, *runtime().imports, *PUBLIC, *_ARGUMENTS, "optax"]
    graphs = [write_function(module, function, taken) for function in entry_functions(module)]
    public = list(public_functions(module))
    body = Writer([], {})
    settings = constants(module)
    body.write(settings)
    for lines in [*([line] for line in graphs), *public]:
        body.text += ["", ""]
        body.write(lines)
    head = _head(module, "\n".join(body.text))
    spans = {line + len(head): span for line, span in body.spans.items()}
    text = "\n".join([*head, *body.text]) + "\n"
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    return EmittedModule(module.name, text, tuple(name for name in PUBLIC if name in defined), spans)


def _head(module: Module, body: str) -> list[str]:
    """Docstring, imports and helpers of a text with this body."""
    used = closure(names_in(ast.parse(body)))
    reads = {*_BASE_IMPORTS, *(name for d in used for name in d.reads)}
    imports = imports_for(reads)
    if "OPTIMIZER" in body:
        imports.append("import optax")
    lines = [
        f'"""The model `{module.name}` as a JAX program.',
        "",
        "Emitted by bl_compiler, of which it needs nothing. Parameters are one dictionary by path; functions are pure.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_sorted_imports(imports),
        "",
    ]
    lines += [text for d in used if not d.is_function for text in d.text.split("\n")]
    for definition in used:
        if definition.is_function:
            lines += ["", "", *definition.text.split("\n")]
    return [*lines, "", ""]


def _sorted_imports(imports: list[str]) -> list[str]:
    """The standard library's imports, then the others; `import` before `from`."""
    outside = [s for s in imports if s.split()[1].partition(".")[0] in ("jax", "numpy", "optax")]
    inside = [s for s in imports if s not in outside]

    def order(statement: str) -> tuple[bool, str]:
        return statement.startswith("from"), statement

    return [*sorted(inside, key=order), *([""] if inside else []), *sorted(outside, key=order)]
