"""Functions that emitted programs call: log densities, samplers, moments, KL formulas, constraints, windows, and so on.

Invariant: every file here is ordinary Python that stands alone but for jax, numpy and its siblings, because the
functions a program uses are copied, with what they call, to the top of its text. So all names in this folder are
distinct, and a file holds imports, constants and functions only.
May import: jax, numpy, the standard library, files of this folder.
"""
