"""A module behind the interface of a compiled program, evaluated by the interpreter.

Invariant: parameters are one flat dict of raw arrays and statistics by path, as for every backend.
May import: floors 0-1, numpy, `interpret`, `joint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy.typing as npt

from bl_compiler.backends.reference.initial import initial_value
from bl_compiler.backends.reference.interpret import NO_SIZES, NOTHING, evaluate
from bl_compiler.backends.reference.joint import plate_totals
from bl_compiler.backends.reference.noise import GeneratorNoise, NoiseSource
from bl_compiler.backends.reference.rules_tensor import unconstrain
from bl_compiler.backends.reference.values import Array, feed
from bl_compiler.ir.graph import Module, Node
from bl_compiler.ir.types import static_size
from bl_compiler.ir.walk import walk


@dataclass(frozen=True)
class ReferenceProgram:
    """Runs a module's entry points; one call is one draw."""

    module: Module

    def init(self, seed: int = 0) -> dict[str, Array]:
        """Initial raw parameters and statistics by path.

        They come from the entry `init`; before the pass `entries` has made it, from the declarations in `model`.
        """
        noise = GeneratorNoise(seed)
        if "init" not in self.module.functions:
            declared = [n for n in walk(self.module.functions["model"]) if n.op.name in ("model.param", "model.state")]
            return {node.attrs.text("path"): _initial(node, noise) for node in declared}
        outputs = evaluate(self.module.functions["init"], noise=noise, sizes=plate_totals(self.module, NO_SIZES))
        return {name.removeprefix("param:"): value for name, value in outputs.items()}

    def run(
        self,
        entry: str,
        params: Mapping[str, npt.ArrayLike] = NOTHING,
        inputs: Mapping[str, npt.ArrayLike] = NOTHING,
        *,
        sites: Mapping[str, npt.ArrayLike] = NOTHING,
        seed: int = 0,
        noise: NoiseSource | None = None,
        sizes: Mapping[str, int] = NO_SIZES,
        step: float | None = None,
    ) -> dict[str, Array]:
        """The outputs of an entry point by name.

        Args:
            entry: its name.
            params: raw parameters and statistics by path.
            inputs: what `model.input` reads, by key.
            sites: values of sites, for the entry `log_joint`, whose inputs `site:PATH` they are.
            seed: seeds the draws, unless `noise` is given.
            noise: where draws come from.
            sizes: totals of the plates that state none; symbolic sizes that no input's shape tells.
            step: the training step; None stands for the time after the last one.
        """
        return evaluate(
            self.module.functions[entry],
            params=params,
            inputs={**inputs, **{f"site:{site}": value for site, value in sites.items()}},
            noise=GeneratorNoise(seed) if noise is None else noise,
            sizes=plate_totals(self.module, sizes),
            step=step,
        )


def _initial(node: Node, noise: NoiseSource) -> Array:
    path, type_, init = node.attrs.text("path"), node.attrs.array_type("type"), node.attrs["init"]
    assert isinstance(init, tuple), init
    shape = tuple(static_size(d.size, "a parameter") for d in type_.dims)
    value = initial_value(init, shape, lambda d: noise.draw(path, (), d, d.shape))
    if node.op.name == "model.param":
        value = unconstrain(value, node.attrs.text("constraint"), node.attrs.number("low"), node.attrs.number("high"))
    return feed(value, type_.dtype, f"the initial value of `{path}`")
