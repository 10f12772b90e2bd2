"""The few lines that `blc compile` ends with: what was written, what the model is, what is missing.

May import: floor 0, `cli.tables`; the driver inside functions.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bl_compiler.cli.tables import size_text, table
from bl_compiler.options import Options

if TYPE_CHECKING:
    from bl_compiler.driver.compile import Compiled

_PURPOSE = {
    "manifest.json": "versions, options, digests",
    "params.json": "shapes and constraints of the parameters",
    "report.json": "what the compiler decided",
    "model.py": "the program; needs jax and optax only",
    "model.blir": "the optimized IR",
    "model.ir.blir": "the IR before entry points and passes",
    "model.ast.txt": "the syntax tree",
}
_SUFFIXES = {
    ".stablehlo.mlir": "StableHLO text",
    ".mlirbc": "StableHLO, portable bytecode",
    ".jaxpr.txt": "jaxpr",
    ".hlo.txt": "HLO optimized by XLA",
    ".cost.json": "XLA's figures of the executable",
}


def summary(folder: Path, compiled: Compiled, options: Options) -> str:
    """The closing lines of a compile."""
    assert compiled.module is not None
    rows = [(path.name, size_text(path.stat().st_size), _purpose(path.name)) for path in sorted(folder.iterdir())]
    lines = [f"compiled `{compiled.module.name}` for {options.target}: {folder}/"]
    lines += table(["file", "size", "holds"], rows, right="<><").rstrip("\n").split("\n")[1:]
    lines += [f"  {line}" for line in (_model(compiled), _missing(options)) if line]
    return "\n".join(lines)


def _purpose(name: str) -> str:
    if name in _PURPOSE:
        return _PURPOSE[name]
    return next((text for suffix, text in _SUFFIXES.items() if name.endswith(suffix)), "")


def _model(compiled: Compiled) -> str:
    from bl_compiler.passes.report import model_facts

    assert compiled.module is not None
    facts: Any = model_facts(compiled.module)
    totals = facts["totals"]
    kinds = totals["sites"]
    parts = [_counted(totals["parameters"], "parameter")]
    if kinds["sample"]:
        parts.append(f"{_counted(kinds['sample'], 'latent site')} of {_counted(totals['latents'], 'number')}")
    if kinds["observe"]:
        parts.append(_counted(kinds["observe"], "observation"))
    carlo = sum(site["kl"] == "monte-carlo" for site in facts["sites"])
    if carlo:
        parts.append(f"{_counted(carlo, 'KL term')} by Monte Carlo")
    return ", ".join(parts)


def _counted(count: int | None, noun: str) -> str:
    if count is None:
        return f"{noun}s unknown"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _missing(options: Options) -> str:
    """What this machine lacks to make an executable for the target."""
    target = options.target
    if target.kind == "tpu" and importlib.util.find_spec("libtpu") is None:
        return "no executable: libtpu is not installed here (`pip install 'bl-compiler[tpu]'`); StableHLO needs none"
    if target.kind in ("gpu", "cuda") and not Path("/dev/nvidia0").exists():
        return "no executable: there is no GPU here; the StableHLO compiles where there is one"
    return ""
