"""Translation validation: whether every pass kept what a model computes, measured on the model at hand.

Invariant: the yardstick is always the module before any pass. May import: floors 0-4, numpy; JAX inside functions.
"""
