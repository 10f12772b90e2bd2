"""What programs are run on: parameters away from their initial values, inputs, and values of sites.

Invariant: all of it follows from the seed; parameters and inputs are rounded to their element types, so that the
reference and the emitted program are given the same numbers. May import: floors 0-3, numpy; backends inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from bl_compiler.driver.running import Arrays
from bl_compiler.ir.graph import Graph, Module, Node
from bl_compiler.ir.types import DType
from bl_compiler.ir.walk import walk

SITE = "site:"
SMALL = 0.1
TYPICAL = 0.2
SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class Feeds:
    """What every entry point is run on.

    Attributes:
        params: Raw parameters and statistics by path.
        inputs: Inputs by name.
        sites: Values of sites by path, one set for each evaluation of `log_joint`.
        sizes: The totals of plates that state none.
    """

    params: Arrays
    inputs: Arrays
    sites: tuple[Arrays, ...]
    sizes: Mapping[str, int]


def perturbed(entries: Module, seed: int) -> Arrays:
    """Random parameters around the initial ones, at which nothing is degenerate.

    Every raw number is moved by a normal of standard deviation 0.3. Positive parameters, and diagonals of Cholesky
    factors, that start below 0.1 are set around 0.2 first: posteriors start so narrow that a wrong variance would drown
    in rounding. Statistics keep their signs, for some are variances.
    """
    from bl_compiler.backends.reference.program import ReferenceProgram
    from bl_compiler.backends.reference.rules_tensor import constrain, unconstrain

    spaces = _spaces(entries.functions["init"])
    statistics = _statistics(entries)
    found: Arrays = {}
    for path, start in ReferenceProgram(entries).init(seed).items():
        generator = np.random.default_rng([crc32(b"verify"), seed, crc32(path.encode())])
        node, dtype = spaces[path]
        value = np.asarray(start, np.float64)
        if dtype.is_float:
            noise = SPREAD * generator.normal(size=value.shape)
            if path in statistics:
                value = np.where(value == 0, np.abs(noise), value * np.exp(noise))
            else:
                kind = node.attrs.text("constraint") if node is not None else "real"
                if kind in ("positive", "lower_cholesky"):
                    space = constrain(value, kind)
                    scales = np.ones(space.shape, bool) if kind == "positive" else np.eye(space.shape[-1], dtype=bool)
                    value = unconstrain(np.where(scales & (space < SMALL), TYPICAL, space), kind)
                # The rows of a Cholesky factor are sums of so many numbers.
                value = value + (noise / np.sqrt(value.shape[-1]) if kind == "lower_cholesky" else noise)
        found[path] = as_type(value, dtype)
    return found


def as_type(value: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """An array rounded to an element type, and held as NumPy holds it for JAX."""
    from bl_compiler.training.specs import NUMPY_DTYPES

    if dtype is DType.BF16:
        import ml_dtypes

        return value.astype(ml_dtypes.bfloat16)
    return value.astype(NUMPY_DTYPES[dtype])


def _spaces(init: Graph) -> dict[str, tuple[Node | None, DType]]:
    """The constraint (the node that leaves its space) and the element type of each parameter."""
    found: dict[str, tuple[Node | None, DType]] = {}
    for output in init.outputs:
        node = init.producers.get(output.value)
        bounded = node if node is not None and node.op.name == "param.unconstrain" else None
        found[output.name.removeprefix("param:")] = bounded, output.value.tensor.dtype
    return found


def _statistics(module: Module) -> set[str]:
    """Paths that are kept with the parameters and not trained."""
    graphs = module.functions.values()
    read = {n.attrs.text("path") for graph in graphs for n in walk(graph) if n.op.name == "model.state"}
    train = module.functions.get("train")
    outputs = train.outputs if train is not None else ()
    return read | {o.name.removeprefix("state:") for o in outputs if o.name.startswith("state:")}


def trained_paths(module: Module) -> tuple[str, ...]:
    """Paths of the parameters that gradients train."""
    statistics = _statistics(module)
    found = ((o.name.removeprefix("param:"), o.value.tensor.dtype) for o in module.functions["init"].outputs)
    return tuple(path for path, dtype in found if path not in statistics and dtype.is_float)


def sites_of(entries: Module, params: Arrays, inputs: Arrays, sizes: Mapping[str, int], seeds: Iterable[int]) -> Any:
    """Values of the sites that `log_joint` takes, drawn by the reference: global ones from the posterior."""
    from bl_compiler.backends.reference.program import ReferenceProgram

    graph = entries.functions.get("log_joint")
    if graph is None:
        return ()
    wanted = {
        n.attrs.text("key"): n.attrs.array_type("type").dtype
        for n in walk(graph)
        if n.op.name == "model.input" and n.attrs.text("key").startswith(SITE)
    }
    reference, found = ReferenceProgram(entries), []
    for seed in seeds:
        drawn = reference.run("sample", params, inputs, seed=seed, sizes=sizes)
        values = {key.removeprefix(SITE): drawn.get(f"value:{key.removeprefix(SITE)}") for key in wanted}
        if any(value is None for value in values.values()):
            return ()
        found.append({name: as_type(np.asarray(v), wanted[SITE + name]) for name, v in values.items()})
    return tuple(found)
