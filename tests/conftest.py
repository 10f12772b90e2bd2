"""The environment of every test: eight CPU devices, reproducible examples, no settings of the user.

Invariant: nothing here imports jax, so tests that do not need it stay fast; jax reads these variables on import.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_OF_THE_USER = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "XLA_FLAGS", "PYTHONWARNINGS")
for _name in tuple(os.environ):
    if _name in _OF_THE_USER or _name.startswith("BLC_"):
        del os.environ[_name]

# `JAX_PLATFORMS=cuda python -m pytest -m gpu` runs the tests that need an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["TPU_SKIP_MDS_QUERY"] = "1"

settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")
