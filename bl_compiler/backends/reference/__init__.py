"""The reference interpreter: what a graph means, in float64 NumPy, by explicit sampling; the oracle.

Invariant: formulas here are written independently of `backends/jax`, which this package never imports.
May import: floors 0-1, numpy, scipy.
"""
