# SPDX-License-Identifier: Apache-2.0
"""`neurovm completion`: the script that lets a shell complete commands, options and files."""

from __future__ import annotations

import contextlib

import click
from click.shell_completion import CompletionItem, get_completion_class

# Who presses TAB waits no longer for each daemon.
PATIENCE_S = 0.5


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


def vms(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of VMs that begin so, with their states; run/NAME and service/NAME of what has two."""
    from neurovm.cli import fleet

    del param
    found: list[fleet.Seen] = []
    with contextlib.suppress(Exception):
        found = fleet.look(PATIENCE_S)[0]
    names = [seen.name for seen in found]
    called = {
        (seen.name if names.count(seen.name) == 1 else f"{seen.by}/{seen.name}"): seen.state
        for seen in found
    }
    return _beginning(ctx, called, incomplete)


def boxes_of_run(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of boxes that begin so."""
    from neurovm.cli import boxes

    del param
    return _beginning(ctx, {box.name: "" for box in boxes.every()}, incomplete)


def _beginning(ctx: click.Context, names: dict[str, str], incomplete: str) -> list[CompletionItem]:
    """Those that are not on the line yet."""
    given = ctx.params.get("names") or ()
    return [
        CompletionItem(name, help=about or None)
        for name, about in sorted(names.items())
        if name.startswith(incomplete) and name not in given
    ]
