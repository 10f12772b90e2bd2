"""Who divides by what: the number with which a term enters a sum over a data set.

A term with plates P is computed for B_p of the N_p elements of each plate p, so the sum of its entries times
`Π_{p in P} N_p / B_p` estimates the sum over the data set without bias (Hoffman et al. 2013, "Stochastic variational
inference", equation 30). Per-example objectives divide that by the size of the primary plate, after which a term on
the primary plate alone is a plain mean over its axis.

Invariant: sizes known at compile time become exact fractions; only sizes that are run-time scalars become nodes.
May import: floors 0-1, `entry_errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Module, Node, Value
from bl_compiler.ir.types import Dims, DistType, DType, broadcast_dims, plates_of
from bl_compiler.passes.entry_errors import EntriesError
from bl_compiler.source import Span


@dataclass(frozen=True, slots=True)
class Scale:
    """The factor `ratio · Π N_p (p in times) / Π N_p (p in over)`, N_p being run-time numbers."""

    ratio: Fraction = Fraction(1)
    times: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


def site_dims(node: Node) -> Dims:
    """The full dimensions of a site, batch and event: those of its value, with the plates of its distributions."""
    shapes = [v.type.batch + v.type.event if isinstance(v.type, DistType) else v.tensor.dims for v in node.inputs[:2]]
    return broadcast_dims(*shapes)


def primary_plate(module: Module, model: Graph) -> str | None:
    """The first declared plate that an observation carries: what "per example" means. None without such a plate."""
    carried = {name for node in model.of("model.observe") for name in plates_of(site_dims(node))}
    return next((plate.name for plate in module.plates if plate.name in carried), None)


def term_scale(module: Module, site: Dims, value: Dims, per: str | None, span: Span) -> Scale:
    """The factor of the *total* (see `total`) of a term.

    Args:
        module: Gives the sizes of data sets.
        site: The dimensions of the term's site. A plate in an event axis is already summed by the density.
        value: The dimensions of the term's entries.
        per: The primary plate where the objective is per example.
        span: Where the site is.

    Raises:
        EntriesError: A step's number of elements is needed as a number and is not known at compile time.
    """
    ratio, times = Fraction(1), list[str]()
    for dim in site:
        if not dim.is_plate or dim.name is None:
            continue
        if isinstance(dim.size, int):
            ratio /= dim.size
        elif dim.name not in plates_of(value):
            raise EntriesError("BLC0208", f"the size of plate `{dim.name}` is not known at compile time", span)
        size = module.plate(dim.name).total
        if size is not None:
            ratio *= size
        elif dim.name != per:
            times.append(dim.name)
    if per is None or (per in plates_of(site) and module.plate(per).total is None):
        return Scale(ratio, tuple(times))
    size = module.plate(per).total
    return Scale(ratio, tuple(times), (per,)) if size is None else Scale(ratio / size, tuple(times))


def widened(b: GraphBuilder, x: Value) -> Value:
    """An array in at least f32: sums over a batch lose too much in half precision."""
    return b.cast(x, DType.F32) if x.tensor.dtype in (DType.F16, DType.BF16) else x


def total(b: GraphBuilder, x: Value) -> Value:
    """The sum of x's entries, in at least f32; the mean over plate axes whose size in a step is symbolic."""
    x = widened(b, x)
    averaged = [i for i, d in enumerate(x.tensor.dims) if d.is_plate and isinstance(d.size, str)]
    x = b.reduce("sum", x, [i for i in range(x.tensor.rank) if i not in averaged])
    return b.reduce("mean", x, range(x.tensor.rank))


def scaled(b: GraphBuilder, x: Value, scale: Scale) -> Value:
    """A total times its factor. Integers stay exact in f32, so a plain mean is `sum / B` to the last bit."""
    if scale.ratio.numerator != 1:
        x = b.binary("mul", x, float(scale.ratio.numerator))
    for plate in scale.times:
        x = b.binary("mul", x, b.add("model.plate_size", plate=plate))
    if scale.ratio.denominator != 1:
        x = b.binary("div", x, float(scale.ratio.denominator))
    for plate in scale.over:
        x = b.binary("div", x, b.add("model.plate_size", plate=plate))
    return x
