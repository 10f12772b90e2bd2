"""Deterministic variational inference: draws integrated out in closed form (Wu et al. 2019)."""
