"""The versions of blc and of what it stands on, without importing any of it.

May import: floor 0.
"""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = (
    *("jax", "jaxlib", "libtpu", "optax", "orbax-checkpoint", "numpy", "scipy"),
    *("networkx", "lark", "click", "rich"),
)


def versions() -> dict[str, str]:
    """Versions by name: blc, python, the platform, and the installed packages among `PACKAGES`."""
    from bl_compiler import __version__

    found = {
        "blc": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()}-{platform.machine()}",
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
