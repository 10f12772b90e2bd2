"""Compile targets and the texts that name them, with the facts about TPU generations that can be known without one.

Invariant: `Target.parse(str(target)) == target`. May import: `suggest`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bl_compiler.suggest import did_you_mean


class OptionError(ValueError):
    """An option has a value that makes no sense; the command line exits with code 2.

    Attributes:
        message: What is wrong.
        help: The way out.
        code: The diagnostic code.
    """

    def __init__(self, message: str, *, help: str = "", code: str = "BLC0004") -> None:
        super().__init__(f"{message}; {help}" if help else message)
        self.message = message
        self.help = help
        self.code = code

    @classmethod
    def unknown(cls, what: str, word: str, known: Iterable[str], *, code: str = "BLC0004") -> OptionError:
        """An error about a word that is not one of the known ones, with a suggestion."""
        words = sorted(known) if isinstance(known, set | frozenset) else list(known)
        close = did_you_mean(word, words)
        help_text = f"did you mean `{close}`?" if close else f"known: {', '.join(words)}"
        return cls(f"unknown {what} `{word}`", help=help_text, code=code)


class Generation(NamedTuple):
    """A TPU generation: what its topologies are called and how they are built."""

    prefix: str
    rank: int
    devices_per_chip: int
    memory_gib: float


# Memory is what the compiler enforces a device, read off its out-of-memory messages: it cannot be asked for.
GENERATIONS: dict[str, Generation] = {
    "v2": Generation("v2", 2, 2, 7.48),
    "v3": Generation("v3", 2, 2, 15.48),
    "v4": Generation("v4", 3, 2, 15.25),
    "v5e": Generation("v5e", 2, 1, 15.75),
    "v5p": Generation("v5p", 3, 1, 95.73),
    "v6e": Generation("v6e", 2, 1, 31.24),
    "v7x": Generation("tpu7x", 3, 2, 94.74),
}
# Names in use elsewhere for the generations above.
_ALIASES = {
    "v5": "v5p",
    "v5lite": "v5e",
    "v5litepod": "v5e",
    "v6": "v6e",
    "v7": "v7x",
    "7x": "v7x",
    "tpu7x": "v7x",
    "trillium": "v6e",
    "ironwood": "v7x",
}
KINDS = ("cpu", "gpu", "cuda", "tpu", "reference")


@dataclass(frozen=True, slots=True)
class Target:
    """What to compile for: a kind of device here, or a TPU slice that need not be here.

    Attributes:
        kind: One of `KINDS`; `reference` is the NumPy interpreter.
        generation: The TPU generation of a slice, else empty.
        topology: The slice's chips along each dimension, else empty.
    """

    kind: str = "cpu"
    generation: str = ""
    topology: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError.unknown("target", self.kind, KINDS, code="BLC0601")
        if not self.generation and not self.topology:
            return
        if self.kind != "tpu":
            raise OptionError(f"target `{self.kind}` has no topologies", help=f"write `{self.kind}`", code="BLC0601")
        known = GENERATIONS.get(self.generation)
        if known is None:
            alias = _ALIASES.get(self.generation.lower())
            error = OptionError.unknown("TPU generation", self.generation, GENERATIONS, code="BLC0601")
            raise OptionError(error.message, help=f"did you mean `{alias}`?" if alias else error.help, code="BLC0601")
        example = "x".join(["2", "2", "1"] if known.rank == 3 else ["2", "4"])
        help_text = f"write {known.rank} positive sizes, such as `tpu:{self.generation}:{example}`"
        if len(self.topology) != known.rank or min(self.topology) < 1:
            shape = "x".join(map(str, self.topology))
            what = f"`{shape}` is not a topology of TPU {self.generation}" if shape else f"`{self}` lacks a topology"
            raise OptionError(what, help=help_text, code="BLC0601")

    @classmethod
    def parse(cls, text: str) -> Target:
        """The target written as `cpu`, `gpu`, `cuda`, `tpu`, `tpu:v5e:2x4` or `reference`.

        >>> Target.parse("tpu:v2:16x16").device_count
        512
        """
        kind, *rest = text.strip().split(":")
        if len(rest) > 2:
            raise OptionError(f"`{text}` is not a target", help="write, for example, `tpu:v5e:2x4`", code="BLC0601")
        generation, shape = [*rest, "", ""][:2]
        if kind == "tpu" and not shape and re.fullmatch(r"\d+(x\d+)+", generation):
            generation, shape = "", generation
        sizes = shape.split("x") if shape else []
        if not all(size.isdecimal() for size in sizes):
            raise OptionError(
                f"`{shape}` is not a topology", help="write the chips along each dimension: `2x4`", code="BLC0601"
            )
        if sizes and not generation:
            raise OptionError(
                f"`{text}` lacks a TPU generation", help=f"write, for example, `tpu:v5e:{shape}`", code="BLC0601"
            )
        return cls(kind, generation, tuple(int(size) for size in sizes))

    def __str__(self) -> str:
        if not self.generation:
            return self.kind
        return ":".join([self.kind, self.generation, *(["x".join(map(str, self.topology))] if self.topology else [])])

    @property
    def platform(self) -> str:
        """The platform name that JAX lowers for; `reference` runs without JAX and says `cpu`."""
        return {"gpu": "cuda", "reference": "cpu"}.get(self.kind, self.kind)

    @property
    def ahead_of_time(self) -> bool:
        """Whether this names a slice to compile for without devices."""
        return bool(self.topology)

    @property
    def topology_name(self) -> str:
        """The name of the slice in `jax.experimental.topologies`, empty without a topology."""
        return f"{GENERATIONS[self.generation].prefix}:{'x'.join(map(str, self.topology))}" if self.topology else ""

    @property
    def device_count(self) -> int | None:
        """The devices of the slice, or None where that depends on the machine."""
        if not self.topology:
            return None
        return math.prod(self.topology) * GENERATIONS[self.generation].devices_per_chip

    @property
    def device_memory(self) -> int | None:
        """The bytes a device of the slice offers to a program, where known."""
        return int(GENERATIONS[self.generation].memory_gib * 2**30) if self.generation else None
