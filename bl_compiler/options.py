"""Options of a compile and the texts they are written as; command line, options file and Python API share them.

Invariant: an `Options` value is valid by construction, and `Options.of(**options.to_json())` equals it.
May import: `codes`, `suggest`, `targets`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

from bl_compiler.codes import CODES
from bl_compiler.suggest import did_you_mean
from bl_compiler.targets import OptionError, Target

__all__ = ["Constant", "LintLevel", "OptionError", "Options", "Target"]

Constant: TypeAlias = "bool | int | float | str | list[Constant] | tuple[Constant, ...] | None"
"""The value of an `option` of the language."""

LintLevel: TypeAlias = Literal["allow", "warn", "deny"]

LEVELS = (0, 1, 2)
ESTIMATORS = ("auto", "fast", "low-variance", "shared")
PRECISIONS = ("f32", "bf16")
IR_FORMS = ("pretty", "generic", "json")
EMIT_KINDS = ("ast", "ir", "ir-opt", "python", "jaxpr", "stablehlo", "hlo", "executable", "report", "none")
OFF_BY_DEFAULT = frozenset({"pedantic"})
"""Lint groups that speak only when asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that decides what a compile produces and shows.

    Attributes:
        model: The model to compile where a file holds several.
        defines: Values for the file's `option`s.
        batch: The size of the first plate; "dynamic" leaves it symbolic, None keeps what the file says.
        target: What to compile for.
        mesh: Device mesh axes and their sizes, in order; empty keeps what the file says.
        shard: Logical axes and the mesh axes they are laid over.
        auto_shard: Whether the cost model completes `shard`.
        level: The optimization level.
        passes: Edits of the level's pipeline, such as `+flipout,-cse`.
        pipeline: A whole pipeline in place of the level's.
        estimators: The preference among the exact estimators.
        precision: The dtype of matrix products.
        emit: The kinds of output.
        stop_after: The stage or pass to stop after.
        verify_each: Whether to verify after every pass; None leaves it to the level.
        warn: Lints, groups or codes to report.
        allow: Lints, groups or codes to drop.
        deny: Lints, groups or codes to turn into errors; "warnings" is all of them.
        remap_paths: Prefixes of file names and what replaces them in outputs.
        dump_ir: The folder for one IR file a pass.
        dump_ir_all: Whether passes that changed nothing get a file too.
        dump_xla: The folder for XLA's own dumps.
        print_ir_before: Passes to print the IR before; "*" is every pass.
        print_ir_after: Passes to print the IR after; "*" is every pass.
        print_ir_after_change: Whether to print the IR after passes that changed it.
        print_ir_after_failure: Whether to print the IR a pass failed on.
        ir_form: How IR is printed.
        full_constants: Whether large constants are printed whole.
        explain_rewrite: Sites whose rewrites to explain.
        stats: Whether to count the rules that were tried and fired.
        time_passes: Whether to time passes.
        repro_dir: The folder for reproducers; None is the current one.
        emit_repro: Whether to write a reproducer without a failure.
    """

    model: str | None = None
    defines: Mapping[str, Constant] = field(default_factory=dict, hash=False)
    batch: int | Literal["dynamic"] | None = None
    target: Target = field(default_factory=Target)
    mesh: Mapping[str, int] = field(default_factory=dict, hash=False)
    shard: Mapping[str, str] = field(default_factory=dict, hash=False)
    auto_shard: bool = False
    level: int = 1
    passes: str = ""
    pipeline: str | None = None
    estimators: str = "auto"
    precision: str = "f32"
    emit: tuple[str, ...] = ("stablehlo", "report")
    stop_after: str | None = None
    verify_each: bool | None = None
    warn: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    remap_paths: Mapping[str, str] = field(default_factory=dict, hash=False)
    dump_ir: str | None = None
    dump_ir_all: bool = False
    dump_xla: str | None = None
    print_ir_before: tuple[str, ...] = ()
    print_ir_after: tuple[str, ...] = ()
    print_ir_after_change: bool = False
    print_ir_after_failure: bool = False
    ir_form: str = "pretty"
    full_constants: bool = False
    explain_rewrite: tuple[str, ...] = ()
    stats: bool = False
    time_passes: bool = False
    repro_dir: str | None = None
    emit_repro: bool = False

    def __post_init__(self) -> None:
        _one_of("optimization level", self.level, LEVELS)
        _one_of("preference of estimators", self.estimators, ESTIMATORS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("form of IR", self.ir_form, IR_FORMS)
        for kind in self.emit:
            _one_of("kind of output", kind, EMIT_KINDS)
        if not self.emit:
            raise OptionError("`--emit` names no kind of output", help=f"known: {', '.join(EMIT_KINDS)}")
        if "none" in self.emit and len(self.emit) > 1:
            raise OptionError("`--emit none` stands alone", help="name the kinds you want, or `none` for no output")
        if isinstance(self.batch, int) and self.batch < 1:
            raise OptionError(f"`--batch` is {self.batch}", help="write a positive integer or `dynamic`")
        for axis, size in self.mesh.items():
            if size < 1:
                raise OptionError(f"mesh axis `{axis}` has the size {size}", help="write a positive integer")
        for name in (*self.warn, *self.allow, *self.deny):
            _check_lint(name)

    @classmethod
    def of(cls, **values: object) -> Options:
        """Options from Python values or from the texts of the command line.

        >>> Options.of(target="tpu:v5e:2x4", level="O2", mesh="data=4,model=2").mesh
        {'data': 4, 'model': 2}
        """
        known = {f.name for f in fields(cls)}
        parsed: dict[str, object] = {}
        for name, value in values.items():
            if name not in known:
                raise OptionError.unknown("option", name, known, code="BLC0003")
            parsed[name] = _parsed(name, value)
        return cls(**parsed)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The options that differ from the defaults, as plain data for a manifest."""
        changed = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if value != getattr(_DEFAULTS, f.name):
                changed[f.name] = str(value) if isinstance(value, Target) else _plain(value)
        return changed

    def lint_levels(self) -> dict[str, LintLevel]:
        """What to do about each lint, by code: its own name or code beats its group; among equals, the strictest."""
        levels: dict[str, LintLevel] = {}
        for code, entry in CODES.items():
            if not entry.lint:
                continue
            shown = "warnings" in self.warn or entry.group not in OFF_BY_DEFAULT
            level: LintLevel = "warn" if shown and "warnings" not in self.allow else "allow"
            for names in ({entry.group}, {entry.lint, code}):
                level = self._stated(names) or level
            levels[code] = "deny" if level == "warn" and "warnings" in self.deny else level
        return levels

    def _stated(self, names: set[str]) -> LintLevel | None:
        if names & set(self.deny):
            return "deny"
        if names & set(self.warn):
            return "warn"
        return "allow" if names & set(self.allow) else None

    def lint_filter(self) -> dict[LintLevel, frozenset[str]]:
        """The keyword arguments of `diagnostics.Sink` that carry out `lint_levels`."""
        levels = self.lint_levels()
        wanted: tuple[LintLevel, ...] = ("warn", "allow", "deny")
        return {level: frozenset(code for code in levels if levels[code] == level) for level in wanted}


# --- texts to values -------------------------------------------------------------------------------------------------


def parse_constant(text: str) -> Constant:
    """The value written as a literal of the language; a bare word is a string.

    >>> [parse_constant(text) for text in ("true", "50_000", "1e-3", "none", "same", "[64, 32]")]
    [True, 50000, 0.001, None, 'same', [64, 32]]
    """
    words: dict[str, Constant] = {"true": True, "false": False, "none": None}
    if text in words:
        return words[text]
    if re.fullmatch(r"[+-]?\d+(_\d+)*", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return float(text)
    match text[:1] + text[-1:] if len(text) > 1 else "":
        case '""':
            return text[1:-1]
        case "[]":
            return [parse_constant(part) for part in parse_names(text[1:-1])]
        case "()":
            return tuple(parse_constant(part) for part in parse_names(text[1:-1]))
    return text


def parse_define(text: str) -> tuple[str, Constant]:
    """`NAME=VALUE`; a name alone means `true`."""
    name, mark, value = text.partition("=")
    if not name.strip().isidentifier():
        raise OptionError(f"`{text}` is not NAME=VALUE", help="write, for example, `-D bayesian=false`")
    return name.strip(), parse_constant(value.strip()) if mark else True


def parse_batch(text: str) -> int | Literal["dynamic"] | None:
    """A size, `dynamic`, or `none` for what the file says."""
    value = parse_constant(text)
    if value is None or value == "dynamic":
        return "dynamic" if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise OptionError(f"`{text}` is not a batch size", help="write a positive integer or `dynamic`")


def parse_level(text: str) -> int:
    """`1`, `O1` or `-O1`."""
    digits = text.removeprefix("-").removeprefix("O")
    if digits.isdecimal() and int(digits) in LEVELS:
        return int(digits)
    raise OptionError(f"unknown optimization level `{text}`", help="the levels are 0, 1 and 2")


def parse_names(text: str) -> tuple[str, ...]:
    """A comma-separated list; commas within brackets of any kind do not separate.

    >>> parse_names("+flipout, local-reparam{sites=a,b}")
    ('+flipout', 'local-reparam{sites=a,b}')
    """
    parts, depth = [""], 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return tuple(part.strip() for part in parts if part.strip())


def parse_pairs(text: str) -> dict[str, str]:
    """`A=B,C=D` as a dictionary in the order written."""
    pairs: dict[str, str] = {}
    for part in parse_names(text):
        name, mark, value = part.partition("=")
        if not mark or not name or not value:
            raise OptionError(f"`{part}` is not NAME=VALUE", help="write, for example, `data=4,model=2`")
        if name in pairs:
            raise OptionError(f"`{name}` is given twice", help="give each name once")
        pairs[name] = value
    return pairs


def parse_mesh(text: str) -> dict[str, int]:
    """`data=4,model=2` as axis sizes in order."""
    mesh = {}
    for axis, size in parse_pairs(text).items():
        value = parse_constant(size)
        if not isinstance(value, int) or isinstance(value, bool):
            raise OptionError(f"mesh axis `{axis}` has the size `{size}`", help="write a positive integer")
        mesh[axis] = value
    return mesh


def _parse_flag(text: str) -> bool:
    value = parse_constant(text)
    if isinstance(value, bool):
        return value
    raise OptionError(f"`{text}` is not a truth value", help="write `true` or `false`")


_PARSERS: dict[str, Callable[[str], object]] = {
    "defines": lambda text: dict(parse_define(part) for part in parse_names(text)),
    "batch": parse_batch,
    "target": Target.parse,
    "mesh": parse_mesh,
    "shard": parse_pairs,
    "remap_paths": parse_pairs,
    "level": parse_level,
    "verify_each": _parse_flag,
    **dict.fromkeys(
        ("emit", "warn", "allow", "deny", "print_ir_before", "print_ir_after", "explain_rewrite"), parse_names
    ),
    **dict.fromkeys(("auto_shard", "dump_ir_all", "print_ir_after_change", "print_ir_after_failure"), _parse_flag),
    **dict.fromkeys(("full_constants", "stats", "time_passes", "emit_repro"), _parse_flag),
}


def _parsed(name: str, value: object) -> object:
    if isinstance(value, str) and name in _PARSERS:
        return _PARSERS[name](value)
    if isinstance(value, list):
        return tuple(value)
    return dict(value) if isinstance(value, Mapping) else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


# --- checks ----------------------------------------------------------------------------------------------------------


def _one_of(what: str, value: object, known: Iterable[object]) -> None:
    if value not in known:
        raise OptionError.unknown(what, str(value), [str(k) for k in known])


def _check_lint(name: str) -> None:
    lints = {code: entry for code, entry in CODES.items() if entry.lint}
    known = ["warnings", *{e.group: None for e in lints.values()}, *(e.lint for e in lints.values())]
    if name in known or name in lints:
        return
    if name in CODES:
        raise OptionError(f"`{name}` is an error", help="only warnings can be allowed or denied; see `blc list codes`")
    close = did_you_mean(name, known)
    raise OptionError(
        f"unknown lint `{name}`", help=f"did you mean `{close}`?" if close else "`blc list codes` shows the lints"
    )


_DEFAULTS = Options()
