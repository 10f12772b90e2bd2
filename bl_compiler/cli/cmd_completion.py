"""`blc completion`: completion scripts for shells.

May import: floor 0, click, `cli`.
"""

from __future__ import annotations

import click

from bl_compiler.cli.framework import command as declare
from bl_compiler.cli.framework import terminal

SHELLS = ("bash", "zsh", "fish")


@declare(
    "completion",
    exits=(),
    examples=[
        ("blc completion bash >> ~/.bashrc", "for bash"),
        ("blc completion zsh >> ~/.zshrc", "for zsh"),
        ("blc completion fish > ~/.config/fish/completions/blc.fish", "for fish"),
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that completes commands, options, and names of passes, layers and codes."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, shell
    root = click.get_current_context().find_root()
    terminal().out(made(root.command, {}, "blc", "_BLC_COMPLETE").source() + "\n")
