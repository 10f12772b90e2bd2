"""Training, evaluation and prediction of compiled models on data files.

Nothing here prints or exits: progress goes to callbacks, faults of data to a `Sink`. May import: floors 0-4; numpy at
the top of a module, jax and orbax inside functions.
"""
