"""The JAX backend: from entry graphs to Python text, to programs, StableHLO and bundles.

`emit` writes a module as Python; `program` runs it; `lower` gives StableHLO for any platform;
`artifact` keeps both on disk.
Invariant: what runs is the text that is shown, and only `compat` touches the parts of JAX that promise nothing.
May import: floors 0-1, jax, numpy, optax.
"""
