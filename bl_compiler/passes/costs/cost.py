"""What evaluating something takes: an amount, not a time (`rates` turns it into seconds).

Invariant: costs add up, and zero is neutral. May import: the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of work.

    Attributes:
        flops: floating-point operations that processors do quickly, a multiplication with an addition being two.
        bytes: what is read from and written to memory.
        transcendentals: evaluations of exponentials, logarithms, square roots and the like.
        randoms: random numbers drawn: words of random bits, whatever they are turned into.
        kernels: pieces of work that are started one by one.
        naive: those among the operations, as often as they are done, that belong to convolutions with groups, which
            some targets have no fast code for.

    >>> 2 * (Cost(flops=3.0) + Cost(flops=1.0, randoms=5.0))
    Cost(flops=8.0, bytes=0.0, transcendentals=0.0, randoms=10.0, kernels=0.0, naive=0.0)
    """

    flops: float = 0.0
    bytes: float = 0.0
    transcendentals: float = 0.0
    randoms: float = 0.0
    kernels: float = 0.0
    naive: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        # Written out: `dataclasses.astuple` copies deeply, and costs are added many times for each node.
        return Cost(
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.transcendentals + other.transcendentals,
            self.randoms + other.randoms,
            self.kernels + other.kernels,
            self.naive + other.naive,
        )

    def __mul__(self, times: float) -> Cost:
        return Cost(
            self.flops * times,
            self.bytes * times,
            self.transcendentals * times,
            self.randoms * times,
            self.kernels * times,
            self.naive * times,
        )

    __rmul__ = __mul__


ZERO = Cost()
