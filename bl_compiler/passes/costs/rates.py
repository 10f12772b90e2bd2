"""How fast targets work, and so how many seconds a cost is.

A roofline: arithmetic and memory traffic overlap, so the longer of the two counts; transcendental functions, random
numbers and the start of kernels come on top. The figures rank alternatives on one target; they are no benchmark.
Invariant: every kind of target has rates. May import: floors 0-1, `cost`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bl_compiler.passes.costs.cost import Cost
from bl_compiler.targets import GENERATIONS, Target


@dataclass(frozen=True, slots=True)
class Rates:
    """What one device does in a second, in float32 as JAX computes it by default.

    Attributes:
        flops: operations of contractions and convolutions.
        bytes: bytes read or written.
        transcendentals: exponentials, logarithms and the like.
        randoms: words of random bits from the counter-based generator (threefry).
        start: seconds that starting a kernel takes.
        naive: operations of convolutions with groups.
    """

    flops: float
    bytes: float
    transcendentals: float
    randoms: float
    start: float
    naive: float

    def seconds(self, cost: Cost) -> float:
        """The predicted time of a cost."""
        overlapping = max(cost.flops / self.flops, cost.bytes / self.bytes)
        apart = cost.transcendentals / self.transcendentals + cost.randoms / self.randoms
        return overlapping + apart + cost.kernels * self.start + cost.naive / self.naive


# Measured with XLA on two threads of a server processor, best of several runs: products of matrices of order 256 to
# 2048 1.2e11 to 2.2e11 FLOP/s, 3x3 convolutions 1.1e11 to 2.0e11 FLOP/s (with few channels a tenth), streams of 1 to
# 10 MB 1.4e10 to 6e10 bytes/s (5e9 from main memory), exp, log and tanh 2e9 to 5.5e9 a second, random bits 2.3e8 to
# 2.9e8 words and standard normals 1.5e8 to 2.3e8 a second, small products 5e-7 s each, more where threads wait for each
# other. Convolutions with 4 to 64 groups 3e9 to 4e10 FLOP/s, 1e8 where each channel is a group; their gradients in the
# kernel 5e8 FLOP/s, all pairs of groups being counted.
_CPU = Rates(flops=1.5e11, bytes=1.5e10, transcendentals=3e9, randoms=2.5e8, start=1e-6, naive=1e9)
# One operation after the other, in float64, on one thread.
_REFERENCE = Rates(flops=2e10, bytes=5e9, transcendentals=2e8, randoms=5e7, start=2e-6, naive=1e9)
# NVIDIA H100 SXM. Published peaks: 4.95e14 FLOP/s in TF32, which XLA uses for float32 products, 3.35e12 bytes/s; taken
# at 40 % and 80 %. Special functions: 16 a clock in each of 132 multiprocessors at 1.7 GHz, half of that. A random word
# is about 60 integer operations, of which there are 64 a clock in each; half of that. Convolutions with groups are
# taken to be done densely at worst, as on TPUs.
_CUDA = Rates(flops=2e14, bytes=2.7e12, transcendentals=1.8e12, randoms=1.2e11, start=3e-6, naive=2e14)
# Published peaks of TPU chips: bfloat16 FLOP/s, to which default precision rounds float32 products, and bytes/s.
_TPU_PEAKS = {
    "v2": (4.5e13, 7.0e11),
    "v3": (1.23e14, 9.0e11),
    "v4": (2.75e14, 1.23e12),
    "v5e": (1.97e14, 8.19e11),
    "v5p": (4.59e14, 2.77e12),
    "v6e": (9.18e14, 1.64e12),
    "v7x": (2.31e15, 7.37e12),
}


def _tpu(generation: str) -> Rates:
    """A device of a TPU slice: half of the peak arithmetic, 80 % of the bandwidth.

    Vector units do 4 x 1024 operations a clock at about 1.5 GHz and a special function or a word of random bits takes
    tens of them.
    """
    share = 1 / GENERATIONS[generation].devices_per_chip
    flops, memory = 0.5 * share * _TPU_PEAKS[generation][0], 0.8 * share * _TPU_PEAKS[generation][1]
    return Rates(flops, memory, transcendentals=4e11, randoms=5e10, start=1e-6, naive=flops)


_KINDS = {"cpu": _CPU, "reference": _REFERENCE, "gpu": _CUDA, "cuda": _CUDA, "tpu": _tpu("v5e")}


def rates_of(target: Target | str) -> Rates:
    """The rates of one device of a target, or of the text of one; of a TPU of unknown generation those of a v5e.

    Raises:
        OptionError: the text names no target.
    """
    chosen = Target.parse(target) if isinstance(target, str) else target
    return _tpu(chosen.generation) if chosen.generation else _KINDS[chosen.kind]


def seconds(cost: Cost, target: Target | str) -> float:
    """The predicted time of a cost on one device of a target, such as `cpu`, `cuda` or `tpu:v5e:2x4`.

    Raises:
        OptionError: the text names no target.

    >>> seconds(Cost(flops=3e11, bytes=1e9), "cpu")
    2.0
    """
    return rates_of(target).seconds(cost)
