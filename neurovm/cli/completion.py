# SPDX-License-Identifier: Apache-2.0
"""`neurovm completion`: the script that lets a shell complete commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      neurovm completion bash > ~/.local/share/bash-completion/completions/neurovm
      neurovm completion fish > ~/.config/fish/completions/neurovm.fish
      source <(neurovm completion zsh)
    """
    from neurovm.cli.app import COMPLETION

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    root = ctx.find_root()
    made = kind(root.command, {}, "neurovm", COMPLETION)
    click.echo(made.source())
