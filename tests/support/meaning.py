"""What an objective must be, by the joint semantics of the function `model`: no entry point is asked.

loss = mean over the batch of [-log likelihood + local divergences] + (1 / N) · global divergences.

Invariant: both sides make the same draws, in 64 bits. May import: numpy, the front end, the passes, the reference.
"""

from __future__ import annotations

import numpy as np

from bl_compiler.backends.reference.joint import joint
from bl_compiler.backends.reference.noise import GeneratorNoise
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.verifying.feeds import perturbed
from bl_compiler.ir.graph import Module
from bl_compiler.ir.types import DistType
from bl_compiler.passes.entries import derive_entries
from tests.support.laws import after

EXACT = 1e-9


def check_meaning(model: Module, passes: str = "aggregate-kl,cse,dce", seed: int = 5) -> None:
    """The negative log likelihood, the divergence and the loss of a step are what the model says.

    Args:
        model: One plate, one draw a step, weight 1 of the divergence, priors of every site; holds the function `model`.
        passes: What the entry points go through.
        seed: Of parameters, inputs and draws.
    """
    (plate,) = model.plates
    assert isinstance(plate.size, int)
    assert plate.total is not None
    entries = after(derive_entries(model), passes)
    rng = np.random.default_rng(seed)
    inputs = {}
    for node in model.functions["model"].of("model.input"):
        name, type_ = node.attrs.text("key"), node.attrs.array_type("type")
        shape = [size for size in type_.shape if isinstance(size, int)]
        inputs[name] = rng.normal(size=shape) if type_.dtype.is_float else rng.integers(0, 4, shape)
    params = perturbed(entries, seed)
    told = joint(model, params, inputs, noise=GeneratorNoise(seed))
    local = {
        node.site
        for node in model.functions["model"].of("model.sample")
        if any(isinstance(v.type, DistType) and v.type.plates for v in node.inputs)
    }
    nll = -sum(x.sum() / plate.size for x in told.likelihood.values())
    kl = 0.0
    for site in told.posterior:
        divergence = told.kl[site].sum() if site in told.kl else (told.posterior[site].sum() - told.prior[site].sum())
        kl += divergence / (plate.size if site in local else plate.total)
    found = ReferenceProgram(entries).run("train", params, inputs, seed=seed)
    for name, wanted in (("nll", nll), ("kl", kl), ("loss", nll + kl)):
        gap = abs(float(found[name]) - wanted)
        assert gap <= EXACT * max(1.0, abs(wanted)), f"`{name}` is {float(found[name])!r}, not {wanted!r}"
