"""The joint semantics of a module's function `model`: one explicit draw of everything, and every density.

Invariant: a site has one value per evaluation, used everywhere it is used. May import: floors 0-1, numpy, `interpret`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy.typing as npt

from bl_compiler.backends.reference.interpret import NO_SIZES, NOTHING, make_frame, run
from bl_compiler.backends.reference.noise import FixedNoise, GeneratorNoise, NoiseSource
from bl_compiler.backends.reference.values import Array
from bl_compiler.ir.graph import Module


@dataclass(frozen=True)
class ModelTrace:
    """What one evaluation of a model told. Entries of sites in regions have one leading axis per region.

    Attributes:
        values: of sites, points and noise, by site.
        likelihood: log likelihood by observed site, per batch element, 0 where masked out.
        prior: log prior density by site, of the value, per batch element of the prior.
        posterior: log posterior density likewise; points have none.
        kl: closed-form divergence by site, of the sites that have one.
        predictions: by key.
        updates: new statistics by path.
    """

    values: Mapping[str, Array]
    likelihood: Mapping[str, Array]
    prior: Mapping[str, Array]
    posterior: Mapping[str, Array]
    kl: Mapping[str, Array]
    predictions: Mapping[str, Array]
    updates: Mapping[str, Array]

    @property
    def log_joint(self) -> float:
        """Log p(data, values) of this batch, unscaled; noise counts as given."""
        return float(sum(x.sum() for part in (self.likelihood, self.prior) for x in part.values()))


def joint(
    module: Module,
    params: Mapping[str, npt.ArrayLike] = NOTHING,
    inputs: Mapping[str, npt.ArrayLike] = NOTHING,
    sites: Mapping[str, npt.ArrayLike] = NOTHING,
    *,
    noise: NoiseSource | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
    step: float | None = None,
    training: bool = True,
) -> ModelTrace:
    """Evaluate `model`.

    Args:
        module: the program; only its function `model` is read.
        params: raw parameters and statistics by path.
        inputs: what `model.input` reads, by key.
        sites: values for some sites, instead of draws; those of sites in regions stacked, outermost region first.
        noise: where the other sites draw from; generators seeded with 0 if left out.
        sizes: totals of the plates that state none; symbolic sizes that no input's shape tells.
        step: the training step; None stands for the time after the last one.
        training: which value `model.phase` gives.
    """
    source: NoiseSource = FixedNoise(sites, GeneratorNoise(0) if noise is None else noise)
    graph = module.functions["model"]
    totals = plate_totals(module, sizes)
    frame = make_frame(graph, params=params, inputs=inputs, noise=source, sizes=totals, step=step)
    frame = replace(frame, training=training)
    run(frame, graph)
    told = frame.record.stacked
    return ModelTrace(
        values=told("value"),
        likelihood=told("likelihood"),
        prior=told("prior"),
        posterior=told("posterior"),
        kl=told("kl"),
        predictions=told("prediction"),
        updates=told("update"),
    )


def plate_totals(module: Module, sizes: Mapping[str, int]) -> dict[str, int]:
    """`sizes` with the totals of those plates that state one."""
    return {**sizes, **{p.name: p.total for p in module.plates if p.total is not None}}
