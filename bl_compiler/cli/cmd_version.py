"""`blc version`: the versions of blc and of what it stands on.

May import: floor 0, click, `cli`; the driver inside functions.
"""

from __future__ import annotations

import json

from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import opt, terminal


@declare("version", exits=())
@opt("--json", "as_json", section="Output", is_flag=True, env=False, help="As one JSON object.")
def command(as_json: bool) -> None:
    """Show the versions of blc, Python, and the packages that compiled programs depend on."""
    from bl_compiler.driver.versions import versions

    found = versions()
    if as_json:
        terminal().out(json.dumps(found, indent=2) + "\n")
        return
    width = max(map(len, found))
    terminal().out("".join(f"{name:<{width}}  {version}\n" for name, version in found.items()))
