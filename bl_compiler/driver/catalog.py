"""What the compiler knows, as rows of name and description: `blc list` and `blc explain` show them.

Invariant: nothing here imports numpy, networkx or jax. May import: floors 0-3.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bl_compiler.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing: its name, one line about it, what else is known as plain data, and the whole story."""

    name: str
    summary: str
    facts: Mapping[str, object] = field(default_factory=dict)
    text: str = ""


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0].rstrip(".")


def codes() -> Iterator[Entry]:
    """Diagnostic codes."""
    from bl_compiler.codes import CODES

    for code, entry in CODES.items():
        kind = f"warning `{entry.lint}` ({entry.group})" if entry.lint else "error"
        yield Entry(code, f"{entry.title} - {kind}", {"title": entry.title, "lint": entry.lint, "group": entry.group})


def lints() -> Iterator[Entry]:
    """Names that `--warn`, `--allow` and `--deny` take."""
    from bl_compiler.codes import CODES

    for code, entry in CODES.items():
        if entry.lint:
            yield Entry(entry.lint, f"{entry.title} ({entry.group}, {code})", {"group": entry.group, "code": code})


def passes() -> Iterator[Entry]:
    """Passes in their usual order."""
    from bl_compiler.passes.pipeline import options_of
    from bl_compiler.passes.registry import PASSES

    for name in PASSES:
        kind = PASSES.load(name)
        doc = inspect.getdoc(kind) or ""
        options = {option: str(found.type) for option, found in options_of(kind).items()}
        shown = "".join(f"\n  {option}: {type_}" for option, type_ in options.items())
        yield Entry(
            name, _first_line(doc), {"options": options}, f"{doc}\n\nOptions:{shown}" if options else f"{doc}\n"
        )


def levels() -> Iterator[Entry]:
    """Optimization levels."""
    from bl_compiler.passes.pipeline import Pipeline
    from bl_compiler.passes.registry import LEVELS

    for name in LEVELS:
        pipeline = str(Pipeline.parse(name))
        yield Entry(name, pipeline or "no passes: every site sampled as written", {"pipeline": pipeline})


def stages() -> Iterator[Entry]:
    """Stages of a compile."""
    from bl_compiler.driver.optimize import STAGES

    for name, text in STAGES.items():
        yield Entry(name, text)


def ops() -> Iterator[Entry]:
    """Ops of the IR."""
    from bl_compiler.ir.ops import CORE_OPS

    for name, spec in CORE_OPS.items():
        attrs = ", ".join(spec.attrs)
        facts = {
            "operands": list(spec.operands),
            "attributes": list(spec.attrs),
            "effect": str(spec.effect),
            "plates": str(spec.plates),
            "linear": list(spec.linear),
        }
        lines = [
            f"{name}({', '.join(spec.operands)})" + (f" {{{attrs}}}" if attrs else ""),
            "",
            spec.doc,
            "",
            f"effect: {spec.effect}",
            f"plates: {spec.plates}",
        ]
        if spec.linear:
            lines.append(f"linear in: {', '.join(spec.linear)}")
        yield Entry(name, spec.doc, facts, "\n".join(lines))


def layers() -> Iterator[Entry]:
    """Layers: what has weights, statistics or noise."""
    yield from _library(stateless=False)


def functions() -> Iterator[Entry]:
    """Built-in functions."""
    yield from _library(stateless=True)


def _library(*, stateless: bool) -> Iterator[Entry]:
    from bl_compiler.layers.registry import LAYERS

    for name, spec in sorted(LAYERS.items()):
        if spec.stateless is not stateless:
            continue
        params = [
            f"*{p.name}" if p.variadic else p.name if p.required else f"{p.name}={_literal(p.default)}"
            for p in spec.params
        ]
        signature = f"{name}({', '.join(params)})"
        roles = f"\n\nWeights: {', '.join(spec.roles)}" if spec.roles else ""
        facts = {
            "parameters": [{"name": p.name, "required": p.required, "default": repr(p.default)} for p in spec.params],
            "weights": list(spec.roles),
        }
        yield Entry(name, _first_line(spec.doc), facts, f"{signature}\n\n{spec.doc}{roles}")


def _literal(value: object) -> str:
    words = {True: "true", False: "false", None: "none"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f'"{value}"' if isinstance(value, str) else str(value)


def distributions() -> Iterator[Entry]:
    """Distributions."""
    from bl_compiler.ir.constraints import CONSTRAINTS
    from bl_compiler.ir.families import FAMILIES
    from bl_compiler.ir.improper import IMPROPER

    for name, family in {**FAMILIES, **IMPROPER}.items():
        params = ", ".join(p.name if p.default is None else f"{p.name}={p.default:g}" for p in family.params)
        support = CONSTRAINTS[family.support].doc
        lines = [f"{name}({params})", "", family.doc, "", f"support: {support}"]
        lines += [f"{p.name}: {CONSTRAINTS[p.constraint].doc}" for p in family.params]
        lines += [f"`{other}` may be given instead of `{own}`" for other, own in family.alternatives]
        if not family.reparameterized:
            lines.append("draws carry no gradients: it cannot be a posterior that is drawn from")
        facts = {"parameters": [p.name for p in family.params], "support": family.support}
        yield Entry(name, family.doc, facts, "\n".join(lines))


def posteriors() -> Iterator[Entry]:
    """Posteriors, their arguments and what they mean."""
    from inspect import cleandoc

    from bl_compiler.frontend.library import POSTERIORS
    from bl_compiler.frontend.posteriors import documentation

    for name, arguments in POSTERIORS.items():
        doc = cleandoc(documentation(name))
        text = f"{name}({', '.join(arguments)})\n\n{doc}" if arguments else f"{name}\n\n{doc}"
        yield Entry(name, _first_line(doc), {"arguments": list(arguments)}, text)


def estimators() -> Iterator[Entry]:
    """Estimators that `using` takes, their arguments, and when they are exact."""
    from bl_compiler.frontend.library import ESTIMATORS
    from bl_compiler.ir.estimators import DOCS

    for name, arguments in ESTIMATORS.items():
        text = f"{name}({', '.join(arguments)})\n\n{DOCS[name]}" if arguments else f"{name}\n\n{DOCS[name]}"
        yield Entry(name, _first_line(DOCS[name]), {"arguments": list(arguments)}, text)


def optimizers() -> Iterator[Entry]:
    """Optimizers and their arguments."""
    from bl_compiler.frontend.library import OPTIMIZERS

    for name, arguments in OPTIMIZERS.items():
        yield Entry(name, f"arguments: {', '.join(arguments)}")


def targets() -> Iterator[Entry]:
    """Targets, and whether this machine can run or fully compile for them."""
    from bl_compiler.targets import GENERATIONS

    jax = _installed("jax")
    gpu = jax and any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/dxg", "/dev/kfd"))
    libtpu = _installed("libtpu")
    no_jax = "jax is not installed"
    rows = [
        ("cpu", "this machine's processors", jax, no_jax),
        ("gpu", "a CUDA or ROCm device", gpu, no_jax if not jax else "no GPU device here"),
        ("tpu", "attached TPUs; StableHLO anywhere", libtpu, "StableHLO only: libtpu is not installed"),
        ("reference", "the NumPy interpreter in float64", True, ""),
    ]
    for name, text, usable, why in rows:
        yield Entry(name, f"{text} - usable here: {'yes' if usable else f'no, {why}'}", {"usable": usable, "why": why})
    for name, generation in GENERATIONS.items():
        example = "x".join(["2", "2", "1"] if generation.rank == 3 else ["2", "4"])
        yield Entry(
            f"tpu:{name}:{example}",
            f"a slice of TPU {name}, compiled for without devices - usable here: "
            + ("yes" if libtpu else "no, libtpu is not installed"),
            {"usable": libtpu, "why": "" if libtpu else "libtpu is not installed"},
        )


def _installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False


KINDS: dict[str, Callable[[], Iterator[Entry]]] = {
    "passes": passes,
    "ops": ops,
    "layers": layers,
    "functions": functions,
    "distributions": distributions,
    "posteriors": posteriors,
    "estimators": estimators,
    "optimizers": optimizers,
    "targets": targets,
    "codes": codes,
    "lints": lints,
    "levels": levels,
    "stages": stages,
}
"""What `blc list` lists."""

_EXPLAINED = (
    *("passes", "layers", "functions", "distributions", "ops", "levels", "stages", "posteriors", "estimators"),
    "optimizers",
)


def explain(name: str) -> str | None:
    """The whole story about what has this name: a pass, a layer, an estimator, or several of them."""
    parts = []
    for kind in _EXPLAINED:
        for entry in KINDS[kind]():
            if entry.name == name:
                parts.append(f"{_SINGULAR[kind]} {entry.text or f'{entry.name}: {entry.summary}'}")
    return "\n\n".join(parts) if parts else None


_SINGULAR = {
    "passes": "pass",
    "layers": "layer",
    "functions": "function",
    "distributions": "distribution",
    "ops": "op",
    "levels": "level",
    "stages": "stage",
    "posteriors": "posterior",
    "estimators": "estimator",
    "optimizers": "optimizer",
}


def closest(name: str) -> str | None:
    """What a misspelled name may have meant."""
    from bl_compiler.codes import CODES

    known = [entry.name for kind in _EXPLAINED for entry in KINDS[kind]()]
    return did_you_mean(name, [*known, *CODES, *(entry.lint for entry in CODES.values() if entry.lint)])
